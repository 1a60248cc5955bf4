import type { Features } from "@holdfast/contracts/Fraud"
import type { OrderId } from "@holdfast/contracts/Id"
import * as IdentifierHash from "@holdfast/contracts/Identifier"
import type { PaymentRisk } from "@holdfast/contracts/Payment"
import type * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Facts } from "./Domain/Facts.ts"
import * as Identifiers from "./Domain/Identifiers.ts"
import * as RobustZ from "./Domain/RobustZ.ts"
import { counterKey, type CounterUse, type Snapshot } from "./Domain/Snapshot.ts"
import * as Window from "./Domain/Window.ts"
import { Settings } from "./Settings.ts"
import { type CardFacts, Counters, ListEntries, Orders, Sightings, Taints } from "./Tables.ts"

export type OrderProfile = Table.Row<typeof Orders>

const DAY = 86_400_000

/** Amounts that a history is judged by. */
const HISTORY = 60

/** The channel of an order that was heard of and never assessed: nothing else is known of it. */
const UNKNOWN = ""

/** What is remembered of an order, if only that it was cancelled. */
export const profileOf = (orderId: OrderId) => Effect.map(Transaction.get(Orders, { orderId }), Option.getOrUndefined)

/** What is remembered of an order that was assessed. */
export const assessedProfile = (orderId: OrderId) =>
  Effect.map(profileOf(orderId), (found) => found?.channel === UNKNOWN ? undefined : found)

/** An order of which nothing is known but its id. */
const unknown = (orderId: OrderId) => ({
  orderId,
  placedAt: 0,
  channel: UNKNOWN,
  currency: "",
  grand: 0,
  customer: null,
  card: null,
  authExpiresAt: null,
  delivered: false,
  returned: false,
  disputed: false,
  cancelled: false
})

/** What the order has shown of identifiers so far. */
export const shownBy = (orderId: OrderId) =>
  Effect.map(
    Transaction.select(Sightings, {
      where: [["orderId", "=", orderId]],
      orderBy: [["placedAt", "asc"], ["kind", "asc"], ["hash", "asc"]]
    }),
    (rows): ReadonlyArray<Identifiers.Shown> =>
      // Only `see` writes here, and it writes roles.
      rows.map(({ hash, kind }) => ({ role: kind as Identifiers.Role, hash }))
  )

const add = ({ counter, member, subject }: Window.Increment, placedAt: number) =>
  Effect.gen(function*() {
    const key = {
      counter,
      subjectKind: subject.kind,
      subject: subject.hash,
      member,
      bucket: Window.bucketOf(counter, placedAt)
    }
    const row = yield* Transaction.get(Counters, key)
    yield* Option.isNone(row)
      ? Transaction.insert(Counters, { ...key, n: 1 })
      : Transaction.update(Counters, key, (found) => ({ ...found, n: found.n + 1 }))
  })

/** How this shop hashes what comes in clear. */
export const hashOf = Effect.map(
  Settings,
  ({ hashKey }): Identifiers.HashOf => (kind, value) => IdentifierHash.hash(hashKey, kind, value)
)

/**
 * Remembers identifiers that the order shows, each once: what it has shown `before` is not counted again. Returns all of
 * them.
 */
export const see = (
  orderId: OrderId,
  placedAt: number,
  before: ReadonlyArray<Identifiers.Shown>,
  shown: ReadonlyArray<Identifiers.Shown>
) =>
  Effect.gen(function*() {
    const added = shown.filter(({ hash, role }) => !before.some((one) => one.role === role && one.hash === hash))
    for (const { hash, role } of added) yield* Transaction.insert(Sightings, { orderId, kind: role, hash, placedAt })
    const increments = Window.increments(Identifiers.subjects(before), Identifiers.subjects(added))
    for (const increment of increments) yield* add(increment, placedAt)
    return [...before, ...added]
  })

/** Remembers the card by which the order was paid or tried to be, in the order's own time; returns its hash. */
export const seeCard = (orderId: OrderId, placedAt: number, fingerprint: string) =>
  Effect.gen(function*() {
    const card: Identifiers.Shown = { role: "cardFp", hash: (yield* hashOf)("cardFp", fingerprint) }
    yield* see(orderId, placedAt, yield* shownBy(orderId), [card])
    return card
  })

/**
 * Counts a decline against the device and the IP address of the order and against its card, in the order's own time: the
 * card that was declined or, where that is not said, each that the order has shown.
 */
export const countDecline = (orderId: OrderId, placedAt: number, declined: Identifiers.Shown | undefined) =>
  Effect.flatMap(shownBy(orderId), (shown) => {
    const concerned = declined === undefined
      ? shown
      : [...shown.filter(({ role }) => role !== declined.role), declined]
    return Effect.forEach(
      Window.declineIncrements(Identifiers.subjects(concerned)),
      (increment) => add(increment, placedAt),
      { discard: true }
    )
  })

/** Remembers of an order what its features tell, where nothing but its id was known. */
export const remember = (
  orderId: OrderId,
  facts: Facts,
  shown: ReadonlyArray<Identifiers.Shown>,
  before: OrderProfile | undefined
) =>
  Effect.gen(function*() {
    if (before === undefined || before.channel === UNKNOWN) {
      const told = {
        placedAt: facts.placedAt,
        channel: facts.channel,
        currency: facts.currency,
        grand: facts.grand,
        customer: shown.find(({ role }) => role === "customer")?.hash ?? null
      }
      yield* before === undefined
        ? Transaction.insert(Orders, { ...unknown(orderId), ...told })
        : Transaction.update(Orders, { orderId }, (row) => ({ ...row, ...told }))
    }
  })

/** Remembers that an order was cancelled, also one that is yet to be assessed: no case is opened for it any more. */
export const rememberCancelled = (orderId: OrderId) =>
  Effect.flatMap(profileOf(orderId), (found) =>
    found === undefined
      ? Transaction.insert(Orders, { ...unknown(orderId), cancelled: true })
      : Transaction.update(Orders, { orderId }, (row) => ({ ...row, cancelled: true })))

/** Changes what is remembered of an order; nothing where it was never assessed. */
export const amend = (orderId: OrderId, change: (profile: OrderProfile) => OrderProfile) =>
  Effect.flatMap(
    assessedProfile(orderId),
    (found) => found === undefined ? Effect.void : Effect.asVoid(Transaction.update(Orders, { orderId }, change))
  )

/** What the bank's checks of the card said, without what stands for the card itself. */
export const mergeCard = (before: CardFacts | null, { fingerprint: _, ...now }: PaymentRisk): CardFacts => ({
  ...before,
  ...now
})

const countersFor = (uses: ReadonlyArray<CounterUse>, identifiers: ReadonlyArray<Window.Identifier>, at: number) =>
  Effect.gen(function*() {
    const found: Record<string, number> = {}
    for (const use of uses) {
      const { member, subjects } = Window.counters[use.counter]
      const wanted = identifiers.filter(({ kind }) => subjects.some((subject) => subject === kind))
      const { after, upTo } = Window.bucketsOf(use.counter, use.window, at)
      for (const { hash, kind } of wanted) {
        const [row] = yield* Transaction.query(
          `select ${member === undefined ? "sum(n)" : "count(distinct member)"} as n from counter
            where subject = ? and counter = ? and subject_kind = ? and bucket > ? and bucket <= ?`,
          [hash, use.counter, kind, after, upTo]
        )
        const n = Number(row?.["n"] ?? 0)
        const key = counterKey(use, kind)
        // An order with two cards: the busier one counts.
        if (n > (found[key] ?? 0)) found[key] = n
      }
    }
    return found
  })

const amounts = (where: string, parameters: ReadonlyArray<unknown>) =>
  Effect.map(
    Transaction.query(
      `select grand from order_profile where ${where} order by placed_at desc, grand desc limit ${HISTORY}`,
      parameters
    ),
    (rows) => RobustZ.spread(rows.map((row) => Number(row["grand"])))
  )

const nobody: Snapshot["customer"] = {
  orders: 0,
  deliveredBefore60d: 0,
  disputed: 0,
  returned: 0,
  amounts: RobustZ.nothing
}

const customerHistory = (orderId: OrderId, customer: string | undefined, facts: Facts) =>
  customer === undefined ? Effect.succeed(nobody) : Effect.gen(function*() {
    const [row] = yield* Transaction.query(
      `select count(*) as orders,
          sum(case when delivered and placed_at <= ? then 1 else 0 end) as delivered,
          sum(case when disputed then 1 else 0 end) as disputed,
          sum(case when returned then 1 else 0 end) as returned
        from order_profile where customer = ? and placed_at <= ? and order_id <> ?`,
      [facts.placedAt - 60 * DAY, customer, facts.placedAt, orderId]
    )
    const orders = Number(row?.["orders"] ?? 0)
    if (orders === 0) return nobody
    return {
      orders,
      deliveredBefore60d: Number(row?.["delivered"] ?? 0),
      disputed: Number(row?.["disputed"] ?? 0),
      returned: Number(row?.["returned"] ?? 0),
      amounts: yield* amounts("customer = ? and currency = ? and placed_at <= ? and order_id <> ?", [
        customer,
        facts.currency,
        facts.placedAt,
        orderId
      ])
    }
  })

/** When an identifier was first seen on another order that was placed no later. */
const firstSeen = (orderId: OrderId, roles: ReadonlyArray<Identifiers.Role>, hash: string | undefined, at: number) =>
  hash === undefined ? Effect.succeed(null) : Effect.map(
    Transaction.select(Sightings, {
      where: [["hash", "=", hash], ["kind", "in", roles], ["placedAt", "<=", at], ["orderId", "<>", orderId]],
      orderBy: [["placedAt", "asc"]],
      limit: 1
    }),
    (rows) => rows[0]?.placedAt ?? null
  )

const tainted = (orderId: OrderId, shown: ReadonlyArray<Identifiers.Shown>) => {
  const traced = shown.filter(({ role }) => Identifiers.traceable.includes(role))
  return traced.length === 0 ? Effect.succeed([]) : Effect.map(
    Transaction.select(Taints, { where: [["hash", "in", traced.map(({ hash }) => hash)], ["orderId", "<>", orderId]] }),
    (rows) => [
      ...new Set(
        traced.map(({ hash, role }) => ({ kind: Identifiers.kindOf(role), hash }))
          .filter(({ hash, kind }) => rows.some((row) => row.hash === hash && row.kind === kind))
          .map(({ kind }) => kind)
      )
    ]
  )
}

/**
 * What is remembered of other orders at the moment of an assessment. The order's own identifiers must have been remembered
 * before: its own order counts.
 */
export const snapshot = (
  orderId: OrderId,
  facts: Facts,
  features: Features,
  shown: ReadonlyArray<Identifiers.Shown>,
  uses: ReadonlyArray<CounterUse>
) =>
  Effect.gen(function*() {
    const hashOfRole = (role: Identifiers.Role) => shown.find((one) => one.role === role)?.hash
    const at = facts.placedAt
    const wanted = Identifiers.listable(shown, features.ip?.prefix, yield* hashOf)
    const entries = wanted.length === 0
      ? []
      : yield* Transaction.select(ListEntries, { where: [["valueHash", "in", wanted.map(({ hash }) => hash)]] })
    const found: Snapshot = {
      counters: yield* countersFor(uses, Identifiers.subjects(shown), at),
      emailFirstSeenAt: yield* firstSeen(orderId, ["email"], hashOfRole("email"), at),
      addressUsedBefore: (yield* firstSeen(orderId, ["address", "billingAddress"], hashOfRole("address"), at)) !== null,
      customer: yield* customerHistory(orderId, hashOfRole("customer"), facts),
      segment: yield* amounts("channel = ? and currency = ? and placed_at <= ? and order_id <> ?", [
        facts.channel,
        facts.currency,
        at,
        orderId
      ]),
      tainted: yield* tainted(orderId, shown),
      listed: Identifiers.listed(wanted, entries, yield* Transaction.now)
    }
    return found
  })

import * as Count from "../Count.ts"
import type * as Facts from "./Facts.ts"
import type { Finding } from "./Finding.ts"
import type { StoreFile } from "./Stores.ts"

const groupBy = <A>(items: ReadonlyArray<A>, key: (item: A) => string): ReadonlyMap<string, ReadonlyArray<A>> => {
  const groups = new Map<string, Array<A>>()
  for (const item of items) {
    const group = groups.get(key(item))
    if (group === undefined) groups.set(key(item), [item])
    else group.push(item)
  }
  return groups
}

/** States in which a payment holds, or may hold, the customer's money. */
const livePayments = new Set([
  "processing",
  "requires_action",
  "unknown",
  "authorized",
  "partially_captured",
  "captured",
  "captured_final"
])

const total = <A>(items: ReadonlyArray<A>, of: (item: A) => number): number =>
  items.reduce((sum, item) => sum + of(item), 0)

/**
 * Orders by themselves: totals (O2), lines, one order for an external reference (O1), numbers only when confirmed, and an
 * end for each (O8).
 */
export const orders = (
  all: ReadonlyArray<Facts.Order>,
  lines: ReadonlyArray<Facts.Line>
): ReadonlyArray<Finding> => {
  const linesOf = groupBy(lines, (line) => line.order_id)
  const externals = groupBy(all.filter((order) => order.external_ref !== null), (o) => `${o.channel} ${o.external_ref}`)
  const about = (order: Facts.Order, rule: string, detail: string): Finding => ({
    rule,
    agent: "order",
    id: order.id,
    detail: `${detail} (${[order.channel, order.external_ref ?? order.number ?? ""].join(" ").trim()})`
  })
  return [
    ...[...externals].flatMap(([reference, found]) =>
      found.length > 1
        ? [{ rule: "O1", agent: "order", id: reference, detail: `${found.length} orders for one external reference` }]
        : []
    ),
    ...all.flatMap((order) => {
      const own = linesOf.get(order.id) ?? []
      const grand = order.items - order.discount + order.shipping + order.fees +
        (order.tax_inclusive === 1 ? 0 : order.tax)
      const items = total(own, (line) => line.qty * line.unit_price)
      return [
        ...(grand === order.grand ? [] : [about(order, "O2", `grand is ${order.grand}, its parts make ${grand}`)]),
        ...(items === order.items ? [] : [about(order, "O2", `items is ${order.items}, its lines make ${items}`)]),
        ...(own.length === 0 ? [about(order, "O2", "has no lines")] : []),
        ...(own.every((line) => line.line_total === line.qty * line.unit_price - line.discount)
          ? []
          : [about(order, "O2", "a line's total is not quantity times price less discount")]),
        ...(order.state === "placed" || order.state === "cancelling"
          ? [about(order, "O8", `has no end: ${order.state}`)]
          : []),
        ...(order.state === "cancelled" && order.cancel_reason === null
          ? [about(order, "O6", "is cancelled without a reason")]
          : []),
        ...(order.state === "confirmed" && order.number === null
          ? [about(order, "O4", "is confirmed without number")]
          : [])
      ]
    })
  ]
}

/** Orders against payments: a confirmed order is paid for once and exactly (O4, P2), a cancelled one not at all. */
export const money = (
  orders: ReadonlyArray<Facts.Order>,
  payments: ReadonlyArray<Facts.Payment>,
  ledger: ReadonlyArray<Facts.LedgerSum>
): ReadonlyArray<Finding> => {
  const paymentsOf = groupBy(payments, (payment) => payment.order_id)
  const known = new Set(orders.map((order) => order.id))
  const ledgerOf = groupBy(ledger, (sum) => sum.payment_id)
  const finding = (rule: string, agent: string, id: string, detail: string): Finding => ({ rule, agent, id, detail })
  return [
    ...orders.flatMap((order) => {
      if (order.paid_by_channel === 1) return []
      const live = (paymentsOf.get(order.id) ?? []).filter((payment) => livePayments.has(payment.state))
      const held = total(live, (payment) => payment.authorized - payment.voided - payment.refunded)
      if (live.length > 1) return [finding("P2", "payment", order.id, `${live.length} live payments for one order`)]
      if (order.state === "cancelled") {
        return held === 0 && live.length === 0
          ? []
          : [finding("O6", "payment", order.id, `the order is cancelled and ${held} minor units are still held`)]
      }
      if (order.state !== "confirmed") return []
      const due = order.grand - order.cancelled_value
      return held >= due && total(live, (payment) => payment.amount) === order.grand &&
          live.every((p) => p.currency === order.currency)
        ? []
        : [finding("O4", "payment", order.id, `the order is confirmed for ${due}, ${held} is authorised`)]
    }),
    ...payments.flatMap((payment) => {
      const sums = ledgerOf.get(payment.id) ?? []
      const of = (...kinds: ReadonlyArray<string>) =>
        total(sums.filter(({ kind }) => kinds.includes(kind)), (sum) => sum.total)
      const compare = (what: string, column: number, sum: number) =>
        column === sum ? [] : [finding("P5", "payment", payment.id, `${what} is ${column}, the ledger says ${sum}`)]
      return [
        ...compare("authorized", payment.authorized, of("authorize", "increment")),
        ...compare("captured", payment.captured, of("capture")),
        ...compare("voided", payment.voided, of("void")),
        ...compare("refunded", payment.refunded, of("refund") - of("refund_reversal")),
        ...(payment.captured + payment.voided > payment.authorized
          ? [finding("P1", "payment", payment.id, "more is captured and voided than authorised")]
          : []),
        ...(payment.refunded > payment.captured - payment.charged_back
          ? [finding("P1", "payment", payment.id, "more is refunded than captured")]
          : []),
        ...(known.has(payment.order_id) ? [] : [finding("P7", "payment", payment.id, `no order ${payment.order_id}`)])
      ]
    })
  ]
}

/** Stock by itself (I1, I4, I5). */
export const stock = (levels: ReadonlyArray<Facts.Level>): ReadonlyArray<Finding> =>
  levels.flatMap((level) => {
    const id = `${level.sku} at ${level.location_id}`
    const finding = (rule: string, detail: string): Finding => ({ rule, agent: "inventory", id, detail })
    const compare = (what: string, column: number, sum: number) =>
      column === sum ? [] : [finding("I4", `${what} is ${column}, the ledger says ${sum}`)]
    const available = level.on_hand - level.reserved - level.on_hold - level.damaged
    return [
      ...compare("onHand", level.on_hand, level.l_on_hand),
      ...compare("reserved", level.reserved, level.l_reserved),
      ...compare("onHold", level.on_hold, level.l_on_hold),
      ...compare("damaged", level.damaged, level.l_damaged),
      ...(level.reserved === level.promised
        ? []
        : [finding("I5", `reserved is ${level.reserved}, open reservations hold ${level.promised}`)]),
      ...(available < -level.backorder_limit ||
          Math.min(level.on_hand, level.reserved, level.on_hold, level.damaged) < 0
        ? [finding("I1", `available is ${available}`)]
        : [])
    ]
  })

/** Orders against stock: a confirmed order holds exactly its units (O4), a cancelled one none. */
export const promises = (
  orders: ReadonlyArray<Facts.Order>,
  lines: ReadonlyArray<Facts.Line>,
  promised: ReadonlyArray<Facts.Promise>
): ReadonlyArray<Finding> => {
  const linesOf = groupBy(lines, (line) => line.order_id)
  const promisesOf = groupBy(promised, (promise) => promise.order_id)
  const known = new Set(orders.map((order) => order.id))
  const finding = (id: string, detail: string): Finding => ({ rule: "O4", agent: "inventory", id, detail })
  return [
    ...orders.flatMap((order) => {
      const held = promisesOf.get(order.id) ?? []
      if (order.state === "cancelled") {
        return held.length === 0 ? [] : [finding(order.id, "the order is cancelled and still has stock reserved")]
      }
      if (order.state !== "confirmed") return []
      const byLine = new Map(held.map((promise) => [promise.line_id, promise]))
      const wrong = (linesOf.get(order.id) ?? []).filter((line) => {
        const promise = byLine.get(line.id)
        const wanted = line.qty - line.qty_cancelled
        return wanted === 0
          ? promise !== undefined && promise.qty !== 0
          : promise?.state !== "committed" || promise.qty !== wanted
      })
      return wrong.map((line) =>
        finding(order.id, `line ${line.id} (${line.sku}): ${byLine.get(line.id)?.qty ?? 0} of ${line.qty} committed`)
      )
    }),
    ...[...promisesOf.keys()].filter((id) => !known.has(id)).map((id) => finding(id, "stock is reserved for no order"))
  ]
}

/** What an agent still has to do, and nobody does: sagas, dead letters, intents, and what an outage has left behind. */
export const unfinished = (
  agent: string,
  { intents, letters, sagas, withheld }: {
    readonly sagas: ReadonlyArray<Facts.Saga>
    readonly letters: ReadonlyArray<Facts.Letter>
    readonly intents: ReadonlyArray<Facts.Intent>
    readonly withheld: ReadonlyArray<Facts.Withheld>
  }
): ReadonlyArray<Finding> => [
  ...sagas.map((saga): Finding => ({
    rule: "saga",
    agent,
    id: saga.id,
    detail: `${saga.type} of ${saga.key} is ${saga.state} in ${saga.step}${
      saga.last_error === null ? "" : `: ${saga.last_error}`
    }`
  })),
  ...letters.map((letter): Finding => ({
    rule: "dead letter",
    agent,
    id: letter.id,
    detail: `${letter.type} is ${letter.status}: ${letter.error_code}: ${letter.error_message}`
  })),
  ...intents.map((intent): Finding => ({
    rule: "intent",
    agent,
    id: intent.operation_id,
    detail: `${intent.command} was accepted while Postgres was away and has not been carried out`
  })),
  ...withheld.map((operation): Finding => ({
    rule: "withheld",
    agent,
    id: operation.operation_id,
    detail: operation.behind === null
      ? `${operation.command} of an outage could not be merged (${operation.reason ?? "conflict"}): decide it with ` +
        `holdfast conflicts settle ${agent} ${operation.operation_id} --keep outage (or primary)`
      : `${operation.command} of an outage waits until ${operation.behind} is decided`
  }))
]

/** Messages that a consumer has not handled yet. */
export const undelivered = (
  source: string,
  consumer: string,
  pending: ReadonlyArray<Facts.Pending>
): ReadonlyArray<Finding> =>
  pending.map(({ created_at: at, seq, type }) => ({
    rule: "outbox",
    agent: source,
    id: String(seq),
    detail: `${type} of ${new Date(at).toISOString()} has not been handled by ${consumer}`
  }))

/** Messages that no broker has acknowledged yet. */
export const unpublished = (source: string, pending: ReadonlyArray<Facts.Pending>): ReadonlyArray<Finding> =>
  pending.map(({ created_at: at, seq, type }) => ({
    rule: "outbox",
    agent: source,
    id: String(seq),
    detail: `${type} of ${new Date(at).toISOString()} has not been published`
  }))

/** Operations that a file has taken alone and nobody has merged. */
export const unmerged = (file: StoreFile, { oldest, pending }: Facts.Backlog): ReadonlyArray<Finding> =>
  pending === 0 ? [] : [{
    rule: "backlog",
    agent: file.agent,
    id: file.directory,
    detail: `${
      Count.of(pending, "operation of an outage is", "operations of an outage are")
    } not in Postgres, the oldest of ${new Date(oldest ?? 0).toISOString()}: run the agent on this folder with Postgres`
  }]

/** A row that a file and Postgres do not have alike. */
export const unequal = (file: StoreFile, id: string, detail: string): Finding => ({
  rule: "shadow",
  agent: file.agent,
  id,
  detail: `${detail} (${file.directory})`
})

import type { Agent } from "@holdfast/agent/Agent"
import type { AgentConfig } from "@holdfast/agent/AgentConfig"
import type { ReadError } from "@holdfast/database/StoreError"
import type { ReaderShape } from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import * as Deliveries from "./Deliveries.ts"
import * as Facts from "./Facts.ts"
import type { Finding } from "./Finding.ts"
import * as Invariants from "./Invariants.ts"
import * as Shadows from "./Shadows.ts"
import * as Stores from "./Stores.ts"

/**
 * What to verify.
 *
 * @category models
 */
export interface Options {
  readonly agents: ReadonlyArray<Agent>
  /** Where the stores of record are, and what carries messages. */
  readonly config: Pick<AgentConfig, "postgres" | "kafka">
  /** Folders with files of the agents, one for each process. */
  readonly directories: ReadonlyArray<string>
  /** Whether the files are compared with Postgres, row by row. */
  readonly isShadowCompared: boolean
  /** Whether a folder without files of the agents is refused: always, where there is no Postgres. */
  readonly areFilesNeeded?: boolean
}

/**
 * What verification found, and the figures by which two runs are compared. Money in minor units.
 *
 * @category models
 */
export interface Verification {
  readonly findings: ReadonlyArray<Finding>
  readonly orders: ReadonlyArray<{
    readonly state: string
    readonly reason: string | null
    readonly currency: string
    readonly orders: number
    readonly grand: number
  }>
  readonly money: ReadonlyArray<{
    readonly currency: string
    readonly authorized: number
    readonly voided: number
    readonly captured: number
    readonly refunded: number
    /** Authorised and not given back: what confirmed orders are worth. */
    readonly held: number
  }>
  readonly stock: { readonly onHand: number; readonly reserved: number; readonly ledgerRows: number }
  readonly unfinishedSagas: number
  /** Messages that are not published, or not handled by one who wants them. */
  readonly undelivered: number
  /** Where the stores of record are. */
  readonly store: "postgres" | "files"
  /** The files of the agents that were found. */
  readonly shadows: ReadonlyArray<Shadows.Shadow>
  /** SHA-256 over the orders' business content; equal for two runs that ended alike. */
  readonly digest: string
}

/** Names the content of orders and nothing that differs from run to run: no ids of ours, no times of ours. */
const digestOf = (orders: ReadonlyArray<Facts.Order>, lines: ReadonlyArray<Facts.Line>): string => {
  const linesOf = new Map<string, Array<unknown>>()
  for (const { discount, line_total, order_id, qty, qty_cancelled, sku, unit_price } of lines) {
    const own = linesOf.get(order_id) ?? []
    own.push([sku, qty, unit_price, discount, line_total, qty_cancelled])
    linesOf.set(order_id, own)
  }
  const contents = orders.map((order) =>
    JSON.stringify([
      order.channel,
      order.external_ref ?? order.id,
      order.currency,
      [order.items, order.discount, order.shipping, order.fees, order.tax, order.grand],
      order.state,
      order.cancel_reason,
      linesOf.get(order.id) ?? []
    ])
  )
  return createHash("sha256").update(contents.sort().join("\n")).digest("hex")
}

const summed = <A, K extends string>(
  items: ReadonlyArray<A>,
  key: (item: A) => K,
  add: (item: A) => Record<string, number>
): ReadonlyMap<K, { readonly first: A; readonly sums: Record<string, number> }> => {
  const groups = new Map<K, { readonly first: A; readonly sums: Record<string, number> }>()
  for (const item of items) {
    const group = groups.get(key(item)) ?? { first: item, sums: {} }
    for (const [name, value] of Object.entries(add(item))) group.sums[name] = (group.sums[name] ?? 0) + value
    groups.set(key(item), group)
  }
  return groups
}

/**
 * Reads every agent's store and checks what must hold within and across them. Meant for a shop at rest: what is under way
 * shows as unfinished.
 *
 * @category running
 */
export const run = (options: Options): Effect.Effect<Verification, ReadError | Stores.StoreMisplaced> =>
  Effect.scoped(Effect.gen(function*() {
    const { agents, config, directories, isShadowCompared } = options
    const hasPrimary = Option.isSome(config.postgres)
    const stores = yield* Stores.read({
      agents,
      directories,
      areFilesNeeded: options.areFilesNeeded ?? isShadowCompared,
      postgres: config.postgres
    })
    const readers = stores.records
    const of = <A>(name: string, read: (reader: ReaderShape) => Effect.Effect<ReadonlyArray<A>, ReadError>) => {
      const reader = readers.get(name)
      return reader === undefined ? Effect.succeed<ReadonlyArray<A>>([]) : read(reader)
    }
    const orders = yield* of("order", Facts.orders)
    const lines = yield* of("order", Facts.lines)
    const payments = yield* of("payment", Facts.payments)
    const ledger = yield* of("payment", Facts.ledgerSums)
    const levels = yield* of("inventory", Facts.levels)
    const promised = yield* of("inventory", Facts.promises)
    const inventory = readers.get("inventory")
    const stock = inventory === undefined
      ? { on_hand: 0, reserved: 0, ledger_rows: 0 }
      : yield* Facts.stockTotals(inventory)
    const unfinished = (yield* Effect.forEach([...readers], ([name, reader]) =>
      Effect.map(
        Effect.all({
          sagas: Facts.unfinishedSagas(reader),
          letters: Facts.unsettledLetters(reader),
          intents: Facts.waitingIntents(reader),
          withheld: Facts.withheld(reader)
        }),
        (left) => Invariants.unfinished(name, left)
      ))).flat()
    const waiting = yield* Deliveries.check({ agents, stores, hasPrimary, hasBroker: Option.isSome(config.kafka) })
    const shadowed = yield* Shadows.check({ agents, stores, isCompared: isShadowCompared && hasPrimary })
    const orderGroups = summed(
      orders,
      (order) => `${order.state} ${order.cancel_reason ?? ""} ${order.currency}`,
      ({ grand }) => ({ orders: 1, grand })
    )
    const moneyGroups = summed(
      payments,
      (payment) => payment.currency,
      ({ authorized, captured, refunded, voided }) => ({ authorized, captured, refunded, voided })
    )
    return {
      findings: [
        ...Invariants.orders(orders, lines),
        ...Invariants.money(orders, payments, ledger),
        ...Invariants.stock(levels),
        ...Invariants.promises(orders, lines, promised),
        ...unfinished,
        ...waiting,
        ...shadowed.findings
      ],
      orders: [...orderGroups.values()].map(({ first, sums }) => ({
        state: first.state,
        reason: first.cancel_reason,
        currency: first.currency,
        orders: sums["orders"] ?? 0,
        grand: sums["grand"] ?? 0
      })),
      money: [...moneyGroups].map(([currency, { sums }]) => ({
        currency,
        authorized: sums["authorized"] ?? 0,
        voided: sums["voided"] ?? 0,
        captured: sums["captured"] ?? 0,
        refunded: sums["refunded"] ?? 0,
        held: (sums["authorized"] ?? 0) - (sums["voided"] ?? 0) - (sums["refunded"] ?? 0)
      })),
      stock: { onHand: stock.on_hand, reserved: stock.reserved, ledgerRows: stock.ledger_rows },
      unfinishedSagas: unfinished.filter(({ rule }) => rule === "saga").length,
      undelivered: waiting.length,
      store: hasPrimary ? "postgres" : "files",
      shadows: shadowed.shadows,
      digest: digestOf(orders, lines)
    }
  }))

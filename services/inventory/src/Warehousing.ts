import { CountOutdated, ReceiptReused, SameLocation, StockWouldBeNegative } from "@holdfast/contracts/InventoryErrors"
import * as Events from "@holdfast/contracts/InventoryEvents"
import type {
  Adjustment,
  Receipt,
  ReceiptResult,
  StockLevel,
  Transfer,
  TransferResult
} from "@holdfast/contracts/Stock"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Level from "./Domain/Level.ts"
import * as Movement from "./Domain/Movement.ts"
import * as Repository from "./Repository.ts"
import * as Stock from "./Stock.ts"
import { LedgerEntries } from "./Tables.ts"

const bookedBefore = (refId: string) =>
  Transaction.select(LedgerEntries, { where: [["refId", "=", refId], ["refType", "=", "receipt"]] })

const isSame = (rows: ReadonlyArray<Repository.LedgerRow>, movements: ReadonlyArray<Movement.Movement>): boolean => {
  const nameOf = (movement: { sku: string; locationId: string; lot: string }, units: number) =>
    `${movement.sku} ${movement.locationId} ${movement.lot} ${units}`
  const booked = new Set(rows.map((row) => nameOf(row, row.dOnHand)))
  return booked.size === movements.length &&
    movements.every((movement) => booked.has(nameOf(movement, movement.delta.onHand)))
}

/** Books goods that came in, once per refId; a receipt that is known changes nothing. */
export const receive = (receipt: Receipt) =>
  Effect.gen(function*() {
    const { locationId, refId } = receipt
    const movements = Movement.make(
      "receive",
      receipt.lines.map((line) => ({ ...line, locationId })),
      { refType: "receipt", refId }
    )
    const booked = yield* bookedBefore(refId)
    if (booked.length > 0 && !isSame(booked, movements)) return yield* new ReceiptReused({ refId })
    const levels = yield* Repository.levelsOf(movements.map((movement) => movement.sku))
    const stock = booked.length > 0
      ? levels.filter((level) => level.locationId === locationId)
      // Goods that come in break no bound.
      : yield* Effect.catchTag(Stock.move(levels, movements), "StockWouldBeNegative", (error) => Effect.die(error))
    return { refId, locationId, stock: stock.map(Repository.toStockLevel) } satisfies ReceiptResult
  })

/** Corrects what is on hand, by a difference or by a count that names what it expected. */
export const adjust = (adjustment: Adjustment) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const { locationId, lot, sku } = adjustment
    const levels = yield* Repository.levelsOf([sku])
    const level = levels.find((one) => one.locationId === locationId)
    const actual = level?.onHand ?? 0
    if ("expected" in adjustment && adjustment.expected !== actual) {
      return yield* new CountOutdated({ sku, locationId, expected: adjustment.expected, actual })
    }
    const counted = "expected" in adjustment
    const delta = counted ? adjustment.counted - actual : adjustment.delta
    // A count that finds what it expected moves nothing; where no goods have been yet, it begins the level.
    if (delta === 0 && level !== undefined) return Repository.toStockLevel(level)
    const reason = adjustment.reason ?? "count"
    const [changed] = yield* Stock.move(
      levels,
      Movement.make(counted ? "count" : "adjust", [{ sku, locationId, lot, qty: delta }], {
        refType: "adjustment",
        refId: tx.nextId("mov"),
        reason
      })
    )
    if (changed === undefined) {
      return yield* Effect.dieMessage(`no level of ${sku} at ${locationId} after its adjustment`)
    }
    yield* tx.emit(Events.StockAdjusted, { sku, locationId, delta, reason, by: tx.cause.actor ?? "system" })
    return Repository.toStockLevel(changed) satisfies StockLevel
  })

/** Moves what is available from one location to another; all lines or none. */
export const transfer = ({ from, lines, reason, to }: Transfer) =>
  Effect.gen(function*() {
    if (from === to) return yield* new SameLocation({ locationId: from })
    const id = yield* Transaction.nextId("mov")
    const cause = { refType: "transfer", refId: id, reason }
    const out = Movement.make("transfer_out", lines.map((line) => ({ ...line, locationId: from })), cause)
    const into = Movement.make("transfer_in", lines.map((line) => ({ ...line, locationId: to })), cause)
    const levels = yield* Repository.levelsOf(lines.map((line) => line.sku))
    const available = new Map(
      levels.filter((level) => level.locationId === from).map((level) => [level.sku, Level.available(level)])
    )
    for (const { delta, sku } of Movement.byPlace(out)) {
      const free = available.get(sku) ?? 0
      // A backorder promises goods that are not there: they cannot move either.
      if (free + delta.onHand < 0) {
        return yield* new StockWouldBeNegative({ sku, locationId: from, delta: delta.onHand, available: free })
      }
    }
    const stock = yield* Stock.move(levels, [...out, ...into])
    return { id, from, to, stock: stock.map(Repository.toStockLevel) } satisfies TransferResult
  })

import { StockWouldBeNegative } from "@holdfast/contracts/InventoryErrors"
import * as Events from "@holdfast/contracts/InventoryEvents"
import type { Sku } from "@holdfast/contracts/Sku"
import type { WriteError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Level from "./Domain/Level.ts"
import * as Movement from "./Domain/Movement.ts"
import type { LevelRow } from "./Repository.ts"
import * as Repository from "./Repository.ts"
import { LedgerEntries, SkuSettings, StockLevels } from "./Tables.ts"

/** A level as an operation left it, and why. */
interface Changed {
  readonly level: LevelRow
  readonly cause: string
}

/** Tells of each changed level once, and of each sku that sold out or came back. */
const tell = (before: ReadonlyArray<LevelRow>, changed: ReadonlyArray<Changed>) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const after = new Map(before.map((level) => [Movement.keyOf(level), level]))
    for (const { cause, level } of changed) {
      after.set(Movement.keyOf(level), level)
      yield* tx.emit(Events.StockChanged, { ...Repository.toStockLevel(level), cause })
    }
    const was = new Set(before.filter(Level.isInStock).map((level) => level.sku))
    const is = new Set([...after.values()].filter(Level.isInStock).map((level) => level.sku))
    for (const sku of new Set(changed.map(({ level }) => level.sku))) {
      if (was.has(sku) === is.has(sku)) continue
      yield* tx.emit(is.has(sku) ? Events.BackInStock : Events.OutOfStock, { sku, channelScope: [] })
    }
  })

const write = (level: LevelRow | undefined, place: Movement.Place, delta: Movement.Delta) =>
  level === undefined
    ? Effect.flatMap(
      Repository.backorderLimitOf(place.sku),
      (limit) => Transaction.insert(StockLevels, Movement.apply(Level.empty(place.sku, place.locationId, limit), delta))
    )
    : Transaction.update(
      StockLevels,
      { sku: place.sku, locationId: place.locationId },
      (row) => Movement.apply(row, delta)
    )

const record = (movements: ReadonlyArray<Movement.Movement>) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    for (const movement of movements) {
      yield* tx.insert(LedgerEntries, {
        id: tx.nextId("mov"),
        refId: movement.refId,
        refType: movement.refType,
        kind: movement.kind,
        sku: movement.sku,
        locationId: movement.locationId,
        lot: movement.lot,
        dOnHand: movement.delta.onHand,
        dReserved: movement.delta.reserved,
        dOnHold: movement.delta.onHold,
        dDamaged: movement.delta.damaged,
        reason: movement.reason ?? null,
        actor: tx.cause.actor ?? "system",
        at: tx.now
      })
    }
  })

/**
 * The one way stock moves: levels, ledger and events of all movements of an operation, each level written once, in
 * (sku, location) order. `levels` holds all levels of the skus that move, as this transaction reads them. What breaks a
 * bound is refused as a whole. Returns the changed levels.
 */
export const move = (
  levels: ReadonlyArray<LevelRow>,
  movements: ReadonlyArray<Movement.Movement>
): Effect.Effect<
  ReadonlyArray<LevelRow>,
  StockWouldBeNegative | WriteError,
  Transaction.Transaction | Transaction.Reader
> =>
  Effect.gen(function*() {
    const known = new Map(levels.map((level) => [Movement.keyOf(level), level]))
    const changed: Array<Changed> = []
    for (const place of Movement.byPlace(movements)) {
      const { delta, kind: cause } = place
      const before = known.get(Movement.keyOf(place))
      if (!Level.isWithinBounds(Movement.apply(before ?? Level.empty(place.sku, place.locationId, 0), delta))) {
        return yield* new StockWouldBeNegative({
          sku: place.sku,
          locationId: place.locationId,
          delta: delta.onHand - delta.reserved - delta.onHold - delta.damaged,
          available: before === undefined ? 0 : Level.available(before)
        })
      }
      changed.push({ level: yield* write(before, place, delta), cause })
    }
    yield* record(movements)
    yield* tell(levels, changed)
    return changed.map(({ level }) => level)
  })

/** Orders named at most when more is promised than there is. */
const MAX_NAMED_ORDERS = 100

/**
 * Takes over a sku's backorder limit. Where more is promised already than the new limit allows, the limit stays at what
 * is promised, and someone is told to decide (invariant I7).
 */
export const limitBackorders = (sku: Sku, wanted: number) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const present = yield* Repository.backorderLimitOf(sku)
    if (present === wanted) return
    const setting = yield* tx.get(SkuSettings, { sku })
    yield* setting._tag === "None"
      ? tx.insert(SkuSettings, { sku, backorderLimit: wanted })
      : tx.update(SkuSettings, { sku }, (row) => ({ ...row, backorderLimit: wanted }))
    const levels = yield* Repository.levelsOf([sku])
    const changed: Array<Changed> = []
    for (const level of levels) {
      const { broken, limit } = Level.limitBackorders(level, wanted)
      if (broken) {
        yield* tx.emit(Events.OversellDetected, {
          sku,
          locationId: level.locationId,
          available: Level.available(level),
          orderIds: yield* Repository.ordersHolding(sku, level.locationId, MAX_NAMED_ORDERS)
        })
      }
      if (limit === level.backorderLimit) continue
      const key = { sku, locationId: level.locationId }
      const after = yield* tx.update(StockLevels, key, (row) => ({ ...row, backorderLimit: limit }))
      changed.push({ level: after, cause: "backorder_limit" })
    }
    yield* tell(levels, changed)
  })

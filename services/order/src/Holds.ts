import type { OrderId } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import type { HoldReason } from "@holdfast/contracts/Order"
import { OrderHeld, OrderHoldReleased } from "@holdfast/contracts/OrderEvents"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Repository from "./Repository.ts"
import { Holds } from "./Tables.ts"

/** The hold of that reason that is in force, if there is one. */
export const inForce = (orderId: OrderId, reason: HoldReason) =>
  Effect.map(
    Transaction.select(Holds, {
      where: [["orderId", "=", orderId], ["reason", "=", reason], ["releasedAt", "is null"]]
    }),
    (rows) => rows[0]
  )

/** Holds the order; a hold of that reason that is in force stays as it is. */
export const place = (orderId: OrderId, reason: HoldReason, by: string, note?: string) =>
  Effect.gen(function*() {
    if ((yield* inForce(orderId, reason)) !== undefined) return
    const now = yield* Transaction.now
    yield* Transaction.insert(Holds, {
      id: yield* Transaction.nextId("hld"),
      orderId,
      reason,
      note: note ?? null,
      placedBy: by,
      placedAt: Instant.fromMillis(now),
      releasedAt: null,
      releasedBy: null
    })
    yield* Repository.change(orderId, () => ({}))
    yield* Repository.record(orderId, "held", { reason, ...(note === undefined ? {} : { note }) }, by)
    yield* Transaction.emit(OrderHeld, { orderId, reason, ...(note === undefined ? {} : { note }) })
  })

/** Ends a hold; `false` when there is none. */
export const release = (orderId: OrderId, reason: HoldReason, by: string) =>
  Effect.gen(function*() {
    const hold = yield* inForce(orderId, reason)
    if (hold === undefined) return false
    const now = yield* Transaction.now
    yield* Transaction.update(Holds, { id: hold.id }, (row) => ({
      ...row,
      releasedAt: Instant.fromMillis(now),
      releasedBy: by
    }))
    yield* Repository.change(orderId, () => ({}))
    yield* Repository.record(orderId, "hold_released", { reason }, by)
    yield* Transaction.emit(OrderHoldReleased, { orderId, reason, by })
    return true
  })

/** Ends all holds of an order that has ended. */
export const releaseAll = (orderId: OrderId, by: string) =>
  Effect.gen(function*() {
    for (const hold of yield* Repository.holds(orderId)) {
      if (hold.releasedAt === null) yield* release(orderId, hold.reason, by)
    }
  })

import { OrderId, OrderLineId, ReservationId } from "@holdfast/contracts/Id"
import type { ReservationRequest } from "@holdfast/contracts/Reservation"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as AgentOperations from "@holdfast/testing/AgentOperations"
import { Effect } from "effect"
import { handlers } from "../src/Handlers.ts"
import { initial } from "../src/migrations/0001_initial.ts"
import { subscriptions } from "../src/Reactions.ts"

export const store = Sqlite.layerTemporary({ agent: "inventory", migrations: [initial] })

export const inventory = AgentOperations.make("inventory", handlers, subscriptions)

const numbered = (prefix: string, n: number) => `${prefix}_${String(n).padStart(26, "0")}`

export const orderId = (n: number) => OrderId.make(numbered("ord", n))
export const lineId = (n: number) => OrderLineId.make(numbered("oli", n))
export const reservationId = (n: number) => ReservationId.make(numbered("rsv", n))

let receipts = 0

/** Goods come in. */
export const receive = (sku: string, qty: number, locationId = "main") =>
  inventory.call("receive", {
    payload: { refId: `delivery-${receipts++}`, locationId, lines: [{ sku, qty }] }
  })

/** A wish of order n for one line per pair. */
export const wish = (
  n: number,
  lines: ReadonlyArray<readonly [sku: string, qty: number]>,
  more: Partial<ReservationRequest> = {}
): ReservationRequest => ({
  orderId: orderId(n),
  lines: lines.map(([sku, qty], index) => ({ lineId: lineId(index), sku, qty })),
  ...more
})

export const level = (sku: string, locationId = "main") =>
  Effect.map(
    inventory.call("level", { path: { sku } }),
    ({ items }) => items.find((item) => item.locationId === locationId)
  )

/** Invariants I4 and I5 hold. */
export const mismatches = Effect.map(inventory.call("verifyLedger", {}), (check) => check.mismatches)

/** How the effect is refused; one that is not refused fails the test. */
export const refusal = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, never, R> =>
  Effect.matchEffect(effect, {
    onFailure: Effect.succeed,
    onSuccess: () => Effect.dieMessage("this should have been refused")
  })

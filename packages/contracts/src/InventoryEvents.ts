import * as Schema from "effect/Schema"
import { Channel } from "./Channel.ts"
import { HoldId, OrderId, ReservationId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import { LocationId } from "./Location.ts"
import * as Message from "./Message.ts"
import { LineQuantity } from "./Order.ts"
import { ReservedLine, Shortage } from "./Reservation.ts"
import { Sku } from "./Sku.ts"
import { StockLevel } from "./Stock.ts"

const byOrder = (payload: { readonly orderId: OrderId }) => payload.orderId
const bySku = (payload: { readonly sku: Sku }) => payload.sku

/** Answers reserve, extend and commit: the reservation as it is now. */
export const ReservationConfirmed = Message.event("inventory.reservation_confirmed", {
  payload: Schema.Struct({
    reservationId: ReservationId,
    orderId: OrderId,
    state: Schema.Literal("held", "committed"),
    expiresAt: Schema.optional(Instant),
    lines: Schema.Array(ReservedLine)
  }),
  key: byOrder,
  subject: (payload) => payload.reservationId
})

/** Answers reserve: nothing is held. */
export const ReservationRejected = Message.event("inventory.reservation_rejected", {
  payload: Schema.Struct({ orderId: OrderId, shortages: Schema.Array(Shortage) }),
  key: byOrder
})

/** The time of a held reservation is over; also answers extend and commit of an expired one. */
export const ReservationExpired = Message.event("inventory.reservation_expired", {
  payload: Schema.Struct({ reservationId: ReservationId, orderId: OrderId }),
  key: byOrder,
  subject: (payload) => payload.reservationId
})

/**
 * Units were given back; answers release, also of a reservation that holds nothing any more (then `lines` is empty), and
 * extend and commit of a released one.
 */
export const ReservationReleased = Message.event("inventory.reservation_released", {
  payload: Schema.Struct({
    reservationId: ReservationId,
    orderId: OrderId,
    lines: Schema.Array(LineQuantity),
    reason: Schema.optional(Schema.String)
  }),
  key: byOrder,
  subject: (payload) => payload.reservationId
})

/**
 * The answer to extend, commit or release that cannot be done and for which no other answer fits: an unknown reservation,
 * more units than are reserved, goods already shipped, the one extension used.
 */
export const ReservationCommandRefused = Message.event("inventory.reservation_command_refused", {
  payload: Schema.Struct({
    reservationId: ReservationId,
    orderId: OrderId,
    command: Schema.Literal("extend", "commit", "release"),
    code: Schema.String,
    detail: Schema.String
  }),
  key: byOrder,
  subject: (payload) => payload.reservationId
})

/** Promised units are on hold now. */
export const ReservationAffected = Message.event("inventory.reservation_affected", {
  payload: Schema.Struct({
    reservationId: ReservationId,
    orderId: OrderId,
    holdId: HoldId,
    lines: Schema.Array(ReservedLine)
  }),
  key: byOrder,
  subject: (payload) => payload.reservationId
})

/** The whole level after a movement: the last one stands. */
export const StockChanged = Message.event("inventory.stock_changed", {
  payload: Schema.Struct({
    ...StockLevel.pick(
      "sku",
      "locationId",
      "onHand",
      "reserved",
      "onHold",
      "damaged",
      "available",
      "incoming",
      "version"
    ).fields,
    cause: Schema.String
  }),
  key: bySku
})

const scope = Schema.Struct({
  sku: Sku,
  locationId: Schema.optional(LocationId),
  channelScope: Schema.Array(Channel).annotations({ description: "Empty: all channels" })
})

/** Nothing of the sku can be promised there any more. */
export const OutOfStock = Message.event("inventory.out_of_stock", { payload: scope, key: bySku })

/** The sku can be promised there again. */
export const BackInStock = Message.event("inventory.back_in_stock", { payload: scope, key: bySku })

/** What is on hand was corrected by hand or count. */
export const StockAdjusted = Message.event("inventory.stock_adjusted", {
  payload: Schema.Struct({
    sku: Sku,
    locationId: LocationId,
    delta: Schema.Number,
    reason: Schema.String,
    by: Schema.String
  }),
  key: bySku
})

/** More is promised than there is (invariant I7): someone must decide. */
export const OversellDetected = Message.event("inventory.oversell_detected", {
  payload: Schema.Struct({
    sku: Sku,
    locationId: LocationId,
    available: Schema.Number,
    orderIds: Schema.Array(OrderId)
  }),
  key: bySku
})

import * as Schema from "effect/Schema"
import { Destination } from "./Address.ts"
import { OrderId, OrderLineId, ReservationId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import * as Integer from "./Integer.ts"
import { LocationId } from "./Location.ts"
import { LineQuantities } from "./Order.ts"
import { Count, Quantity } from "./Quantity.ts"
import { Sku } from "./Sku.ts"
import * as Text from "./Text.ts"

/** held → committed → consumed; held → expired, released; committed → released (spec §8). */
export const ReservationState = Schema.Literal("held", "committed", "consumed", "expired", "released")
export type ReservationState = typeof ReservationState.Type

/** Seconds a reservation holds when the request names none. */
export const defaultTtlSeconds = 900

const Ttl = Integer.between(1, 48 * 3600)

/**
 * Units of a line promised from a location.
 *
 * @category schemas
 */
export const ReservedLine = Schema.Struct({ lineId: OrderLineId, sku: Sku, locationId: LocationId, qty: Quantity })
  .annotations({ identifier: "ReservedLine" })
export type ReservedLine = typeof ReservedLine.Type

/**
 * Stock promised to an order.
 *
 * @category schemas
 */
export const Reservation = Schema.Struct({
  id: ReservationId,
  orderId: OrderId,
  state: ReservationState,
  expiresAt: Schema.optional(Instant).annotations({ description: "While held: given back at this time" }),
  extended: Schema.Boolean,
  lines: Schema.Array(Schema.Struct({ ...ReservedLine.fields, consumed: Count })),
  createdAt: Instant,
  updatedAt: Instant,
  version: Integer.Version
}).annotations({ identifier: "Reservation" })
export type Reservation = typeof Reservation.Type

/**
 * A wish for stock: the body of `POST /reservations` and of the command inventory.reserve. An order has one reservation at
 * a time: the same order again answers with the one it has.
 *
 * @category schemas
 */
export const ReservationRequest = Schema.Struct({
  orderId: OrderId,
  reservationId: Schema.optional(ReservationId).annotations({
    description: "Chosen by the caller, so that the reservation can be released before its answer is known; " +
      "an expired one is held again under the same id, a released one never"
  }),
  lines: Schema.Array(Schema.Struct({ lineId: OrderLineId, sku: Sku, qty: Quantity })).pipe(
    Schema.minItems(1),
    Schema.maxItems(1000),
    Schema.filter((lines) => new Set(lines.map((line) => line.lineId)).size === lines.length, {
      message: () => "each lineId must be given once"
    })
  ),
  shipTo: Schema.optional(Destination),
  ttlSeconds: Schema.optional(Ttl).annotations({
    description: `How long the stock is held; ${defaultTtlSeconds} when left out`
  }),
  allowSplit: Schema.optional(Schema.Boolean).annotations({
    description: "Whether several locations may serve the order"
  }),
  partial: Schema.optional(Schema.Boolean).annotations({
    description: "true: reserve what there is; else all or nothing"
  })
}).annotations({ identifier: "ReservationRequest" })
export type ReservationRequest = typeof ReservationRequest.Type

/** The reason that an extension for a review carries: it comes besides the one extension a reservation has. */
export const reviewReason = "fraud_review"

/** The body of `POST /reservations/{id}/extend`. */
export const ExtendRequest = Schema.Struct({
  ttlSeconds: Schema.optional(Ttl).annotations({ description: "From now on; as long as at first when left out" }),
  reason: Schema.optional(Text.line(200)).annotations({
    description: `\`${reviewReason}\` extends once more, while the order is under review`
  })
}).annotations({ identifier: "ExtendRequest" })
export type ExtendRequest = typeof ExtendRequest.Type

/** The body of `POST /reservations/{id}/release`. */
export const ReleaseRequest = Schema.Struct({
  lines: Schema.optional(LineQuantities).annotations({ description: "Only these units; all when left out" }),
  reason: Schema.optional(Text.line(200))
}).annotations({ identifier: "ReleaseRequest" })
export type ReleaseRequest = typeof ReleaseRequest.Type

/**
 * What there is too little of.
 *
 * @category schemas
 */
export const Shortage = Schema.Struct({
  sku: Sku,
  wanted: Schema.Number,
  available: Schema.Number
}).annotations({
  identifier: "Shortage"
})
export type Shortage = typeof Shortage.Type

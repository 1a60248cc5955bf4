import * as Schema from "effect/Schema"
import { problem } from "./Problem.ts"
import { ReservationState, Shortage } from "./Reservation.ts"
import { Sku } from "./Sku.ts"

/**
 * Not all lines can be promised; nothing was reserved.
 *
 * @category errors
 */
export class InsufficientStock extends Schema.TaggedError<InsufficientStock>()(
  "InsufficientStock",
  { shortages: Schema.Array(Shortage) },
  problem({
    code: "insufficient_stock",
    status: 409,
    title: "There is not enough stock",
    detail: "Lower the quantities to what shortages says is available, or try again when goods have come in.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The reservation's state has no such step (spec §8).
 *
 * @category errors
 */
export class ReservationStateConflict extends Schema.TaggedError<ReservationStateConflict>()(
  "ReservationStateConflict",
  { reservationId: Schema.String, state: ReservationState },
  problem({
    code: "reservation_state_conflict",
    status: 409,
    title: "The reservation's state does not allow this",
    detail: "Read the reservation; if it has expired or was released, reserve again.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The one extension of the reservation is used.
 *
 * @category errors
 */
export class ExtensionUsed extends Schema.TaggedError<ExtensionUsed>()(
  "ExtensionUsed",
  { reservationId: Schema.String, expiresAt: Schema.optional(Schema.String) },
  problem({
    code: "extension_used",
    status: 409,
    title: "The reservation was extended before",
    detail: "Commit the reservation before expiresAt: it can be extended once only.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Less of the line is reserved than asked to release.
 *
 * @category errors
 */
export class ReleaseExceedsReserved extends Schema.TaggedError<ReleaseExceedsReserved>()(
  "ReleaseExceedsReserved",
  { reservationId: Schema.String, lineId: Schema.String, requested: Schema.Number, reserved: Schema.Number },
  problem({
    code: "release_exceeds_reserved",
    status: 409,
    title: "More units than are reserved",
    detail: "Release at most the reserved units of the named line.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * A count expected another level than there is: stock moved since it was read.
 *
 * @category errors
 */
export class CountOutdated extends Schema.TaggedError<CountOutdated>()(
  "CountOutdated",
  { sku: Sku, locationId: Schema.String, expected: Schema.Number, actual: Schema.Number },
  problem({
    code: "count_outdated",
    status: 409,
    title: "The stock moved since you read it",
    detail: "Read the level, count again and send the new expected and counted.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The movement would take more than is there and free (invariants I1, I7): counts are never clamped.
 *
 * @category errors
 */
export class StockWouldBeNegative extends Schema.TaggedError<StockWouldBeNegative>()(
  "StockWouldBeNegative",
  { sku: Sku, locationId: Schema.String, delta: Schema.Number, available: Schema.Number },
  problem({
    code: "stock_would_be_negative",
    status: 409,
    title: "There is less stock than you take away",
    detail: "Take away at most what is available at the location; release reservations or holds first if more must go.",
    severity: "medium",
    recovery: "fail"
  })
) {}

/**
 * A receipt with this refId was booked with other content.
 *
 * @category errors
 */
export class ReceiptReused extends Schema.TaggedError<ReceiptReused>()(
  "ReceiptReused",
  { refId: Schema.String },
  problem({
    code: "receipt_reused",
    status: 409,
    title: "This receipt was booked with other lines",
    detail: "Use a new refId for another delivery; correct a wrong receipt by an adjustment.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * A transfer names one location twice.
 *
 * @category errors
 */
export class SameLocation extends Schema.TaggedError<SameLocation>()(
  "SameLocation",
  { locationId: Schema.String },
  problem({
    code: "same_location",
    status: 422,
    title: "The transfer goes nowhere",
    detail: "Name two different locations in from and to.",
    severity: "low",
    recovery: "fail"
  })
) {}

import * as Schema from "effect/Schema"
import { Currency } from "./Currency.ts"
import { HoldReason, OrderState } from "./Order.ts"
import { problem } from "./Problem.ts"
import { Sku } from "./Sku.ts"

/**
 * The prices of today give another total than the buyer saw.
 *
 * @category errors
 */
export class CartChanged extends Schema.TaggedError<CartChanged>()(
  "CartChanged",
  { expectedTotal: Schema.Number, actualTotal: Schema.Number, currency: Currency },
  problem({
    code: "cart_changed",
    status: 409,
    title: "The total has changed",
    detail: "Show the buyer actualTotal and send the order again with it as expectedTotal and a new Idempotency-Key.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The catalogue does not have these skus.
 *
 * @category errors
 */
export class SkuUnknown extends Schema.TaggedError<SkuUnknown>()(
  "SkuUnknown",
  { skus: Schema.Array(Sku) },
  problem({
    code: "sku_unknown",
    status: 422,
    title: "A sku does not exist",
    detail: "Correct the listed skus, or create them in the catalogue first.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The skus exist but cannot be bought on this channel or in this currency.
 *
 * @category errors
 */
export class SkuNotSellable extends Schema.TaggedError<SkuNotSellable>()(
  "SkuNotSellable",
  { skus: Schema.Array(Sku) },
  problem({
    code: "sku_not_sellable",
    status: 422,
    title: "A sku is not for sale here",
    detail:
      "Take the listed skus out of the cart: they are not published on this channel or have no price in this currency.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The agreed totals are not what the lines give (invariant O2).
 *
 * @category errors
 */
export class TotalsMismatch extends Schema.TaggedError<TotalsMismatch>()(
  "TotalsMismatch",
  { field: Schema.String, expected: Schema.Number, actual: Schema.Number },
  problem({
    code: "totals_mismatch",
    status: 422,
    title: "The totals do not match the lines",
    detail:
      "Correct the named field: items is the sum of qty × unitPrice, grand = items − discount + shipping + fees + added tax.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * An address does not have the form its country demands.
 *
 * @category errors
 */
export class AddressInvalid extends Schema.TaggedError<AddressInvalid>()(
  "AddressInvalid",
  { address: Schema.Literal("shipping", "billing"), field: Schema.String },
  problem({
    code: "address_invalid",
    status: 422,
    title: "The address is not valid",
    detail: "Correct the named field of the address; postal codes must have the form of their country.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The order's state has no such step (spec §3).
 *
 * @category errors
 */
export class OrderStateConflict extends Schema.TaggedError<OrderStateConflict>()(
  "OrderStateConflict",
  { orderId: Schema.String, state: OrderState, action: Schema.String },
  problem({
    code: "order_state_conflict",
    status: 409,
    title: "The order's state does not allow this",
    detail: "Read the order: shipped goods are returned instead of cancelled, and ended orders stay as they are.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Less of the line is left to cancel than asked.
 *
 * @category errors
 */
export class CancelQuantityExceeded extends Schema.TaggedError<CancelQuantityExceeded>()(
  "CancelQuantityExceeded",
  { lineId: Schema.String, requested: Schema.Number, cancellable: Schema.Number },
  problem({
    code: "cancel_quantity_exceeded",
    status: 409,
    title: "More units than can be cancelled",
    detail: "Cancel at most cancellable units of the named line.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The order waits for no payment: it is paid, a payment is under way, or its time is over.
 *
 * @category errors
 */
export class OrderNotPayable extends Schema.TaggedError<OrderNotPayable>()(
  "OrderNotPayable",
  { orderId: Schema.String, state: OrderState },
  problem({
    code: "order_not_payable",
    status: 409,
    title: "The order does not wait for a payment",
    detail:
      "Read the order: pay again only while it is placed, its last payment was declined and expiresAt has not passed.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * No such hold is in force.
 *
 * @category errors
 */
export class HoldNotFound extends Schema.TaggedError<HoldNotFound>()(
  "HoldNotFound",
  { orderId: Schema.String, reason: HoldReason },
  problem({
    code: "hold_not_found",
    status: 404,
    title: "The order has no such hold",
    detail: "Read the order's holds and release one that is in force.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The hold belongs to a process that ends it by itself.
 *
 * @category errors
 */
export class HoldNotReleasable extends Schema.TaggedError<HoldNotReleasable>()(
  "HoldNotReleasable",
  { orderId: Schema.String, reason: HoldReason },
  problem({
    code: "hold_not_releasable",
    status: 409,
    title: "This hold is not released by hand",
    detail: "Decide the fraud case to end fraud_review; holds of payment and stock end when their cause does.",
    severity: "low",
    recovery: "fail"
  })
) {}

import * as Schema from "effect/Schema"
import { Money } from "./Money.ts"
import { PaymentState } from "./Payment.ts"
import { problem } from "./Problem.ts"

/**
 * The order has a live payment (invariant P2).
 *
 * @category errors
 */
export class PaymentExists extends Schema.TaggedError<PaymentExists>()(
  "PaymentExists",
  { orderId: Schema.String, paymentId: Schema.String, state: PaymentState },
  problem({
    code: "payment_exists",
    status: 409,
    title: "The order has a payment under way",
    detail: "Go on with the named payment; a new one can be made after it was declined, failed or was voided.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The payment's state has no such step (spec §5).
 *
 * @category errors
 */
export class PaymentStateConflict extends Schema.TaggedError<PaymentStateConflict>()(
  "PaymentStateConflict",
  { paymentId: Schema.String, state: PaymentState, action: Schema.String },
  problem({
    code: "payment_state_conflict",
    status: 409,
    title: "The payment's state does not allow this",
    detail:
      "Read the payment: while it is processing or unknown, wait or sync it; money captured is refunded, not voided.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Captured would exceed authorised (invariant P1).
 *
 * @category errors
 */
export class CaptureExceedsAuthorized extends Schema.TaggedError<CaptureExceedsAuthorized>()(
  "CaptureExceedsAuthorized",
  { paymentId: Schema.String, requested: Money, capturable: Money },
  problem({
    code: "capture_exceeds_authorized",
    status: 409,
    title: "More than is authorised",
    detail: "Capture at most capturable.",
    severity: "medium",
    recovery: "fail"
  })
) {}

/**
 * Refunded would exceed captured (invariant P1).
 *
 * @category errors
 */
export class RefundExceedsCaptured extends Schema.TaggedError<RefundExceedsCaptured>()(
  "RefundExceedsCaptured",
  { paymentId: Schema.String, requested: Money, refundable: Money },
  problem({
    code: "refund_exceeds_captured",
    status: 409,
    title: "More than can be refunded",
    detail: "Refund at most refundable: what is captured, less refunds made or under way and chargebacks.",
    severity: "medium",
    recovery: "fail"
  })
) {}

/**
 * Another refund of the payment has this refundKey.
 *
 * @category errors
 */
export class RefundKeyReused extends Schema.TaggedError<RefundKeyReused>()(
  "RefundKeyReused",
  { paymentId: Schema.String, refundKey: Schema.String, refundId: Schema.String },
  problem({
    code: "refund_key_reused",
    status: 409,
    title: "The refundKey belongs to another refund",
    detail: "Use a new refundKey for another refund; read the named refund to see what became of the first.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The refund is above the limit that needs no approval.
 *
 * @category errors
 */
export class RefundNeedsApproval extends Schema.TaggedError<RefundNeedsApproval>()(
  "RefundNeedsApproval",
  { limit: Money },
  problem({
    code: "refund_needs_approval",
    status: 409,
    title: "The refund needs an approval",
    detail: "Have the refund approved in the back office, or refund at most limit.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Nobody with the shared secret sent this webhook, or long ago.
 *
 * @category errors
 */
export class WebhookSignatureInvalid extends Schema.TaggedError<WebhookSignatureInvalid>()(
  "WebhookSignatureInvalid",
  { reason: Schema.Literal("missing", "malformed", "mismatch", "too_old") },
  problem({
    code: "webhook_signature_invalid",
    status: 401,
    title: "The webhook's signature is not valid",
    detail: "Sign the raw body with the shared secret and a fresh timestamp, and send both in the signature header.",
    severity: "high",
    recovery: "fail"
  })
) {}

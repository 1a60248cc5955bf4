import * as Schema from "effect/Schema"
import { DisputeId, OrderId, PaymentId, RefundId, RmaId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import * as Message from "./Message.ts"
import { Money } from "./Money.ts"
import { PaymentAction, PaymentRisk } from "./Payment.ts"

const key = (payload: { readonly orderId: OrderId }) => payload.orderId
const subject = (payload: { readonly paymentId: PaymentId }) => payload.paymentId
const about = { paymentId: PaymentId, orderId: OrderId }
const refund = {
  refundId: RefundId,
  ...about,
  rmaId: Schema.optional(RmaId),
  refundKey: Schema.optional(Schema.String)
}

/** The money is promised until `authExpiresAt`. */
export const PaymentAuthorized = Message.event("payment.authorized", {
  payload: Schema.Struct({ ...about, amount: Money, authExpiresAt: Schema.optional(Instant), risk: PaymentRisk }),
  key,
  subject
})

/** The customer must act, e.g. finish 3-D Secure, before `expiresAt`. */
export const PaymentActionRequired = Message.event("payment.action_required", {
  payload: Schema.Struct({ ...about, ...PaymentAction.fields }),
  key,
  subject
})

/**
 * No money will come from this payment: declined by the bank, failed at the gateway (`gateway_error`), or the customer's time
 * for an action is over (`action_expired`). `code` tells which.
 */
export const PaymentDeclined = Message.event("payment.declined", {
  payload: Schema.Struct({
    ...about,
    code: Schema.String,
    retryableByCustomer: Schema.Boolean,
    fingerprint: Schema.optional(Schema.String)
  }),
  key,
  subject
})

/** Money was taken; `final`: no more will be. */
export const PaymentCaptured = Message.event("payment.captured", {
  payload: Schema.Struct({ ...about, amount: Money, capturedTotal: Money, final: Schema.Boolean }),
  key,
  subject
})

/** No money was taken by this capture. */
export const CaptureFailed = Message.event("payment.capture_failed", {
  payload: Schema.Struct({ ...about, code: Schema.String, retryable: Schema.Boolean }),
  key,
  subject
})

/** What was authorised and not captured is free again: on request, or because the authorisation's time was over. */
export const PaymentVoided = Message.event("payment.voided", {
  payload: Schema.Struct({
    ...about,
    amount: Money,
    reason: Schema.optional(Schema.Literal("requested", "expired"))
  }),
  key,
  subject
})

/** The answer to payment.void that cannot be done, e.g. because the money is captured. */
export const VoidFailed = Message.event("payment.void_failed", {
  payload: Schema.Struct({ ...about, code: Schema.String, retryable: Schema.Boolean }),
  key,
  subject
})

/** The gateway has the refund; its end follows. */
export const RefundPending = Message.event("payment.refund_pending", {
  payload: Schema.Struct({ ...refund, amount: Money }),
  key,
  subject
})

/** Money went back. */
export const PaymentRefunded = Message.event("payment.refunded", {
  payload: Schema.Struct({ ...refund, amount: Money, refundedTotal: Money }),
  key,
  subject
})

/** No money went back by this refund. */
export const RefundFailed = Message.event("payment.refund_failed", {
  payload: Schema.Struct({ ...refund, code: Schema.String }),
  key,
  subject
})

/** The customer's bank asks the money back. */
export const DisputeOpened = Message.event("payment.dispute_opened", {
  payload: Schema.Struct({ disputeId: DisputeId, ...about, amount: Money, reason: Schema.String, dueBy: Instant }),
  key,
  subject
})

/** The bank has decided: `won`, the shop keeps the money. */
export const DisputeClosed = Message.event("payment.dispute_closed", {
  payload: Schema.Struct({ disputeId: DisputeId, ...about, outcome: Schema.Literal("won", "lost") }),
  key,
  subject
})

/** The authorisation ends soon and is not captured. */
export const AuthorizationExpiring = Message.event("payment.authorization_expiring", {
  payload: Schema.Struct({ ...about, authExpiresAt: Instant }),
  key,
  subject
})

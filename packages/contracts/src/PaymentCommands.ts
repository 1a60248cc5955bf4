import * as Schema from "effect/Schema"
import { OrderId, PaymentId } from "./Id.ts"
import * as Message from "./Message.ts"
import { Authorization, CaptureRequest, RefundRequest, VoidRequest } from "./Payment.ts"
import * as Text from "./Text.ts"

const key = (payload: { readonly orderId: OrderId }) => payload.orderId
const subject = (payload: { readonly paymentId: PaymentId }) => payload.paymentId
const target = { paymentId: PaymentId, orderId: OrderId }

/** Answered by payment.authorized, payment.action_required (then one of the others) or payment.declined. */
export const AuthorizePayment = Message.command("payment.authorize", { payload: Authorization, key, subject })

/** Answered by payment.captured or payment.capture_failed. */
export const CapturePayment = Message.command("payment.capture", {
  payload: Schema.Struct({ ...target, ...CaptureRequest.fields }),
  key,
  subject
})

/**
 * Answered by payment.voided, payment.declined (there was nothing to void) or payment.void_failed. While the authorisation's
 * outcome is unknown the void waits for it.
 */
export const VoidPayment = Message.command("payment.void", {
  payload: Schema.Struct({ ...target, ...VoidRequest.fields }),
  key,
  subject
})

/** Answered by payment.refunded or payment.refund_failed, both with the `refundKey`; payment.refund_pending may come first. */
export const RefundPayment = Message.command("payment.refund", {
  payload: Schema.Struct({ ...target, ...RefundRequest.fields, refundKey: Text.code(128) }),
  key,
  subject
})

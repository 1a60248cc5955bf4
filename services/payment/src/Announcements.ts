import type * as Message from "@holdfast/contracts/Message"
import * as Money from "@holdfast/contracts/Money"
import * as Events from "@holdfast/contracts/PaymentEvents"
import type { WriteError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as DeclineCodes from "./Domain/DeclineCodes.ts"
import type { News } from "./Domain/Settlement.ts"
import type { Origin } from "./Repository.ts"
import type { PaymentRow, RefundRow } from "./Tables.ts"

type Announced = Effect.Effect<void, WriteError, Transaction.Transaction>

const defined = <A>(value: A | null): A | undefined => value ?? undefined

const about = (payment: PaymentRow) => ({ paymentId: payment.id, orderId: payment.orderId })

const aboutRefund = (refund: RefundRow) => ({
  refundId: refund.id,
  paymentId: refund.paymentId,
  orderId: refund.orderId,
  rmaId: defined(refund.rmaId),
  refundKey: defined(refund.refundKey)
})

const emit = <Name extends string, A, I>(
  message: Message.Message<Name, A, I>,
  payload: A,
  origin: Origin
): Announced =>
  Effect.asVoid(Transaction.emit(message, payload, {
    correlationId: origin.correlationId,
    causationId: origin.causationId
  }))

/** Emits what happened to a payment, to whom it answers. A refund's news need the refund. */
export const announce = (
  payment: PaymentRow,
  news: News,
  origin: Origin,
  refund?: RefundRow
): Announced => {
  const money = (amount: number) => Money.of(amount, payment.currency)
  switch (news._tag) {
    case "Authorized":
      return emit(Events.PaymentAuthorized, {
        ...about(payment),
        amount: money(payment.authorized),
        authExpiresAt: defined(payment.authExpiresAt),
        risk: payment.risk ?? {}
      }, origin)
    case "ActionRequired":
      return payment.action === null
        ? Effect.void
        : emit(Events.PaymentActionRequired, { ...about(payment), ...payment.action }, origin)
    case "Declined": {
      const { retryableByCustomer } = DeclineCodes.meaning(news.code)
      return emit(Events.PaymentDeclined, {
        ...about(payment),
        code: news.code,
        retryableByCustomer,
        fingerprint: news.fingerprint
      }, origin)
    }
    case "Captured":
      return emit(Events.PaymentCaptured, {
        ...about(payment),
        amount: money(news.amount),
        capturedTotal: money(payment.captured),
        final: news.final
      }, origin)
    case "CaptureFailed":
      return emit(Events.CaptureFailed, {
        ...about(payment),
        code: news.code,
        retryable: DeclineCodes.meaning(news.code).retryableLater
      }, origin)
    case "Voided":
      return emit(Events.PaymentVoided, { ...about(payment), amount: money(news.amount), reason: news.reason }, origin)
    case "VoidFailed":
      return emit(Events.VoidFailed, {
        ...about(payment),
        code: news.code,
        retryable: DeclineCodes.meaning(news.code).retryableLater
      }, origin)
    case "RefundPending":
      return refund === undefined
        ? Effect.void
        : emit(Events.RefundPending, { ...aboutRefund(refund), amount: money(refund.amount) }, origin)
    case "Refunded":
      return refund === undefined
        ? Effect.void
        : emit(Events.PaymentRefunded, {
          ...aboutRefund(refund),
          amount: money(refund.amount),
          refundedTotal: money(payment.refunded)
        }, origin)
    case "RefundFailed":
      return refund === undefined
        ? Effect.void
        : emit(Events.RefundFailed, { ...aboutRefund(refund), code: news.code }, origin)
  }
}

/** What an ended or paused authorisation tells who asks again for it; `undefined` while its end will be told. */
export const answerAgain = (payment: PaymentRow): News | undefined => {
  switch (payment.state) {
    case "created":
    case "processing":
    case "unknown":
      return undefined
    case "requires_action":
      return { _tag: "ActionRequired" }
    case "declined":
    case "failed":
    case "expired":
      return { _tag: "Declined", code: payment.declineCode ?? "gateway_error" }
    case "voided":
      return { _tag: "Voided", amount: payment.voided, reason: "requested" }
    case "auth_expired":
      return { _tag: "Voided", amount: payment.voided, reason: "expired" }
    case "authorized":
    case "partially_captured":
    case "captured":
    case "captured_final":
    case "partially_refunded":
    case "refunded":
    case "disputed":
    case "charged_back":
      return { _tag: "Authorized" }
  }
}

import { RefundId } from "@holdfast/contracts/Id"
import type * as Message from "@holdfast/contracts/Message"
import * as Money from "@holdfast/contracts/Money"
import { AuthorizePayment, CapturePayment, RefundPayment, VoidPayment } from "@holdfast/contracts/PaymentCommands"
import * as Events from "@holdfast/contracts/PaymentEvents"
import * as Problem from "@holdfast/contracts/Problem"
import * as Transaction from "@holdfast/database/Transaction"
import * as Subscription from "@holdfast/messaging/Subscription"
import * as Effect from "effect/Effect"
import { announce, answerAgain } from "./Announcements.ts"
import * as Commands from "./Commands.ts"
import * as DeclineCodes from "./Domain/DeclineCodes.ts"
import * as PaymentStates from "./Domain/PaymentStates.ts"
import * as Repository from "./Repository.ts"

/** A refusal answers the command by an event: the saga that waits for it must hear of it. */
const codeOf = (refusal: unknown): string => Problem.of(refusal)?.code ?? "not_found"

const authorize = (wanted: Message.Payload<typeof AuthorizePayment>) =>
  Effect.gen(function*() {
    const result = yield* Commands.authorize(wanted)
    const origin = yield* Repository.origin
    if (result._tag === "OrderHasPayment") {
      const refused = yield* Commands.refuse(wanted)
      yield* announce(refused, { _tag: "Declined", code: "payment_exists" }, origin)
      return
    }
    // A payment that is on its way answers when it gets there.
    const answer = result._tag === "Begun" ? undefined : answerAgain(result.payment)
    if (answer !== undefined) yield* announce(result.payment, answer, origin)
  })

const capture = ({ orderId, paymentId, ...wanted }: Message.Payload<typeof CapturePayment>) => {
  const failed = (code: string, retryable: boolean) =>
    Transaction.emit(Events.CaptureFailed, { paymentId, orderId, code, retryable })
  const refused = (refusal: unknown) => failed(codeOf(refusal), DeclineCodes.meaning(codeOf(refusal)).retryableLater)
  return Effect.gen(function*() {
    const payment = yield* Commands.expect(paymentId)
    yield* PaymentStates.isOpen(payment.state)
      ? failed("payment_state_conflict", true)
      : Commands.capture(payment, wanted)
  }).pipe(
    Effect.catchTags({
      NotFound: refused,
      VersionConflict: refused,
      CurrencyMismatch: refused,
      PaymentStateConflict: refused,
      CaptureExceedsAuthorized: refused
    })
  )
}

const voidPayment = ({ orderId, paymentId }: Message.Payload<typeof VoidPayment>) =>
  Effect.gen(function*() {
    const payment = yield* Repository.payment(paymentId)
    if (payment !== undefined) return yield* Effect.asVoid(Commands.requestVoid(payment, "requested"))
    yield* Commands.bury(paymentId, orderId)
    // Nothing is known of the payment, not even its currency; zero is zero in any.
    yield* Transaction.emit(Events.PaymentVoided, {
      paymentId,
      orderId,
      amount: Money.of(0, "GBP"),
      reason: "requested"
    })
  })

const refund = ({ orderId, paymentId, ...wanted }: Message.Payload<typeof RefundPayment>) => {
  const refused = (refusal: unknown) =>
    Effect.flatMap(Transaction.nextId("ref"), (id) =>
      Transaction.emit(Events.RefundFailed, {
        refundId: RefundId.make(id),
        paymentId,
        orderId,
        rmaId: wanted.rmaId,
        refundKey: wanted.refundKey,
        code: codeOf(refusal)
      }))
  return Effect.gen(function*() {
    const payment = yield* Commands.expect(paymentId)
    const { known, refund } = yield* Commands.refund(payment, wanted)
    if (!known) return
    const origin = yield* Repository.origin
    switch (refund.state) {
      case "pending":
        return
      case "succeeded":
        return yield* announce(payment, { _tag: "Refunded" }, origin, refund)
      case "failed":
      case "cancelled":
        return yield* announce(
          payment,
          { _tag: "RefundFailed", code: refund.errorCode ?? refund.state },
          origin,
          refund
        )
    }
  }).pipe(
    Effect.catchTags({
      NotFound: refused,
      VersionConflict: refused,
      CurrencyMismatch: refused,
      PaymentStateConflict: refused,
      RefundKeyReused: refused,
      RefundExceedsCaptured: refused
    })
  )
}

/** The commands of the order and aftersales sagas; each is answered by an event, at once or when the gateway has told. */
export const subscriptions = [
  Subscription.on(AuthorizePayment, authorize, { writeClass: "provisional" }),
  Subscription.on(CapturePayment, capture, { writeClass: "provisional" }),
  Subscription.on(VoidPayment, voidPayment, { writeClass: "provisional" }),
  Subscription.on(RefundPayment, refund, { writeClass: "provisional" })
] as const

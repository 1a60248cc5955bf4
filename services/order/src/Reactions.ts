import type { OrderId, PaymentId } from "@holdfast/contracts/Id"
import { ImportOrder } from "@holdfast/contracts/OrderCommands"
import { ImportRefused } from "@holdfast/contracts/OrderEvents"
import * as Events from "@holdfast/contracts/PaymentEvents"
import * as Problem from "@holdfast/contracts/Problem"
import type { WriteError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import * as Subscription from "@holdfast/messaging/Subscription"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Catalogue from "./Catalogue.ts"
import * as Payments from "./Payments.ts"
import * as Placement from "./Placement.ts"
import * as Repository from "./Repository.ts"
import { Orders } from "./Tables.ts"

/** Does something if the message is about the payment that the order lives by. */
const ofPayment = <E, R>(
  { orderId, paymentId }: { readonly orderId: OrderId; readonly paymentId: PaymentId },
  react: Effect.Effect<unknown, E, R>
) =>
  Effect.flatMap(
    Transaction.get(Orders, { id: orderId }),
    (row) => Option.isSome(row) && row.value.paymentId === paymentId ? react : Effect.void
  )

const refuse = ({ channel, externalRef }: { readonly channel: string; readonly externalRef: string }) =>
(
  refusal: Exclude<Effect.Effect.Error<ReturnType<typeof Placement.importOrder>>, WriteError>
) => {
  const problem = Problem.of(refusal)
  return Transaction.emit(ImportRefused, {
    channel,
    externalRef,
    code: problem?.code ?? refusal._tag,
    detail: problem?.detail ?? refusal.message
  })
}

/** What others' messages do to orders, beside the answers that the sagas wait for. */
export const subscriptions = [
  ...Catalogue.subscriptions,
  Subscription.on(Events.PaymentAuthorized, (event) =>
    ofPayment(
      event,
      Effect.zipRight(
        Payments.settle(event.orderId, () => ({ authorized: event.amount.amount })),
        Repository.record(event.orderId, "payment_authorized", { paymentId: event.paymentId, amount: event.amount })
      )
    )),
  Subscription.on(Events.PaymentDeclined, (event) =>
    ofPayment(
      event,
      Repository.record(event.orderId, "payment_declined", { paymentId: event.paymentId, code: event.code })
    )),
  Subscription.on(Events.PaymentCaptured, (event) =>
    ofPayment(
      event,
      Effect.zipRight(
        Payments.settle(event.orderId, () => ({ captured: event.capturedTotal.amount })),
        Repository.record(event.orderId, "payment_captured", { paymentId: event.paymentId, amount: event.amount })
      )
    )),
  Subscription.on(Events.PaymentVoided, (event) =>
    event.amount.amount === 0 ? Effect.void : ofPayment(
      event,
      Effect.zipRight(
        Payments.settle(
          event.orderId,
          ({ authorized }) => ({ authorized: Math.max(0, authorized - event.amount.amount) }),
          true
        ),
        Repository.record(event.orderId, "payment_voided", { paymentId: event.paymentId, amount: event.amount })
      )
    )),
  Subscription.on(Events.PaymentRefunded, (event) =>
    ofPayment(
      event,
      Effect.zipRight(
        Payments.settle(event.orderId, () => ({ refunded: event.refundedTotal.amount })),
        Repository.record(event.orderId, "payment_refunded", { paymentId: event.paymentId, amount: event.amount })
      )
    )),
  Subscription.on(ImportOrder, (order) =>
    Effect.catchTags(Effect.asVoid(Placement.importOrder(order)), {
      AddressInvalid: refuse(order),
      AmountTooLarge: refuse(order),
      TotalsMismatch: refuse(order)
    }))
]

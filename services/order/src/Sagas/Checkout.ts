import * as SagaMachine from "@holdfast/agent/SagaMachine"
import { request } from "@holdfast/agent/SagaMachine"
import { AssessOrder } from "@holdfast/contracts/FraudCommands"
import type { OrderLineId } from "@holdfast/contracts/Id"
import { ReserveStock } from "@holdfast/contracts/InventoryCommands"
import { ReservationConfirmed } from "@holdfast/contracts/InventoryEvents"
import type * as Message from "@holdfast/contracts/Message"
import { VoidPayment } from "@holdfast/contracts/PaymentCommands"
import { PaymentAuthorized } from "@holdfast/contracts/PaymentEvents"
import type { Quantity } from "@holdfast/contracts/Quantity"
import type { Sku } from "@holdfast/contracts/Sku"
import { type Action, type Data, toCommit, toPayment } from "./CheckoutData.ts"
import { assessment, decided, lateAssessment, resolved, reviewLimit } from "./CheckoutFraud.ts"
import { authenticate, authorise, authorizationLost, awaitPayment, freePayment } from "./CheckoutPayment.ts"
import { commit, releaseStock, reserve } from "./CheckoutStock.ts"

const { on, stay } = SagaMachine

/**
 * Checkout (spec §18.2): reserve → assess → authorise → assess with the bank's answer → commit → confirm. What it did is
 * undone in reverse when it fails before the order is confirmed.
 */
export const definition: SagaMachine.Definition<Data, Action> = {
  type: "checkout",
  version: 1,
  first: "reserve",
  steps: {
    reserve,
    assess: assessment("pre_auth"),
    review_first: { ...reviewLimit, answers: [decided(toPayment)] },
    authorise,
    authenticate,
    await_payment: awaitPayment,
    assess_payment: assessment("post_auth"),
    free_payment: freePayment,
    review: { ...reviewLimit, answers: [decided(toCommit), resolved] },
    commit
  },
  always: [decided(stay), lateAssessment, authorizationLost],
  late: [
    on(PaymentAuthorized, (data: Data, event) =>
      data.paymentIds.includes(event.paymentId)
        ? [request(VoidPayment, { paymentId: event.paymentId, orderId: data.orderId, reason: "late" })]
        : []),
    on(
      ReservationConfirmed,
      (data: Data, event) =>
        data.reservationIds.includes(event.reservationId) ? [releaseStock(data, event.reservationId)] : []
    )
  ],
  compensated: (_, reason) => [{ _tag: "Cancel", reason }]
}

/** A line as other agents need it. */
export interface Line {
  readonly lineId: OrderLineId
  readonly sku: Sku
  readonly qty: Quantity
}

/**
 * A request with the order's lines, where it needs them: they are in the order's table, so that the saga's row stays small.
 * `undefined` for a request without lines.
 */
export const withLines = (
  { message, payload }: SagaMachine.Request
): ((lines: ReadonlyArray<Line>) => SagaMachine.Request) | undefined => {
  // The message tells what the payload is: both were made by `request`.
  switch (message.name) {
    case ReserveStock.name:
      return (lines) => request(ReserveStock, { ...(payload as Message.Payload<typeof ReserveStock>), lines })
    case AssessOrder.name:
      return (lines) => {
        const assessment = payload as Message.Payload<typeof AssessOrder>
        const features = { ...assessment.features, lines: lines.map(({ qty, sku }) => ({ sku, qty })) }
        return request(AssessOrder, { ...assessment, features })
      }
    default:
      return undefined
  }
}

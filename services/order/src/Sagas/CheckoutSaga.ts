import * as Saga from "@holdfast/agent/Saga"
import type { Request } from "@holdfast/agent/SagaMachine"
import * as Instant from "@holdfast/contracts/Instant"
import { OrderCancelled, OrderConfirmed } from "@holdfast/contracts/OrderEvents"
import type { WriteError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as CancelReason from "../Domain/CancelReason.ts"
import * as LineQuantities from "../Domain/LineQuantities.ts"
import * as Holds from "../Holds.ts"
import * as Payments from "../Payments.ts"
import * as Repository from "../Repository.ts"
import * as Checkout from "./Checkout.ts"
import { type Action, Data } from "./CheckoutData.ts"

const confirm = (data: Data) =>
  Effect.gen(function*() {
    const { orderId } = data
    const now = yield* Transaction.now
    const number = String(100_000 + (yield* Repository.nextNumber("order")))
    const row = yield* Repository.transition(orderId, "confirm", () => ({
      number,
      confirmedAt: Instant.fromMillis(now),
      reservationId: data.reservationId,
      paymentId: data.paymentId,
      fraudAssessmentId: data.assessmentId
    }))
    if (row.authorized + row.captured < row.grand) {
      return yield* Effect.dieMessage(`invariant O4: ${orderId} has no authorisation of its total`)
    }
    yield* Repository.record(orderId, "confirmed", { number })
    const { shippingOption } = yield* Repository.placement(orderId)
    yield* Transaction.emit(OrderConfirmed, {
      orderId,
      number,
      currency: row.currency,
      totals: Repository.totalsOf(row),
      ...(data.paymentId === null ? {} : { paymentId: data.paymentId }),
      reservationId: data.reservationId,
      ...(shippingOption?.promiseDate === undefined ? {} : { promiseDate: shippingOption.promiseDate })
    })
  })

const cancel = ({ assessmentId, orderId }: Data, sagaReason: string) =>
  Effect.gen(function*() {
    const now = yield* Transaction.now
    const reason = CancelReason.of(sagaReason)
    yield* Holds.releaseAll(orderId, "agent:order")
    const units = (yield* Repository.lines(orderId)).map((line) => ({
      lineId: line.id,
      qty: LineQuantities.movable(line, "cancel")
    }))
    yield* Repository.cancelUnits(units)
    const row = yield* Repository.transition(orderId, "cancel", ({ grand }) => ({
      cancelReason: reason,
      cancelledAt: Instant.fromMillis(now),
      cancelledValue: grand,
      fraudAssessmentId: assessmentId
    }))
    yield* Repository.record(orderId, "cancelled", { reason, ...(reason === sagaReason ? {} : { cause: sagaReason }) })
    yield* Transaction.emit(OrderCancelled, {
      orderId,
      reason,
      lines: units,
      refundDue: { amount: row.paidByChannel ? row.grand : 0, currency: row.currency },
      full: true
    })
  })

const act = (
  action: Action,
  data: Data
): Effect.Effect<void, WriteError, Transaction.Transaction | Transaction.Reader> => {
  const { orderId } = data
  switch (action._tag) {
    case "Hold":
      return Holds.place(orderId, action.reason, "agent:order", action.note)
    case "ReleaseHold":
      return Effect.asVoid(Holds.release(orderId, action.reason, action.by))
    case "Authorized":
      return Payments.settle(orderId, () => ({ authorized: action.amount }))
    case "ChangePayment":
      return Effect.asVoid(Repository.change(orderId, () => ({ paymentId: data.paymentId, authorized: 0 })))
    case "Confirm":
      return confirm(data)
    case "Cancel":
      return cancel(data, action.reason)
  }
}

const complete = (request: Request, { orderId }: Data) => {
  const withLines = Checkout.withLines(request)
  return withLines === undefined
    ? Effect.succeed(request)
    : Effect.map(
      Repository.lines(orderId),
      (lines) => withLines(lines.map(({ id, qty, sku }) => ({ lineId: id, sku, qty })))
    )
}

/** Checkout in the order's store. */
export const checkout = Saga.make(Checkout.definition, { data: Data, act, complete })

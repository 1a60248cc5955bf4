import * as SagaMachine from "@holdfast/agent/SagaMachine"
import type { OrderId } from "@holdfast/contracts/Id"
import type { CancelRequest } from "@holdfast/contracts/Order"
import { OrderStateConflict } from "@holdfast/contracts/OrderErrors"
import { CancelRequested } from "@holdfast/contracts/OrderEvents"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Cancellable from "./Domain/Cancellable.ts"
import * as Repository from "./Repository.ts"
import { cancellation } from "./Sagas/CancellationSaga.ts"
import { checkout } from "./Sagas/CheckoutSaga.ts"

const tell = (orderId: OrderId, { lines, note, reason }: CancelRequest, by: string) =>
  Effect.zipRight(
    Repository.record(orderId, "cancel_requested", {
      reason,
      ...(note === undefined ? {} : { note }),
      ...(lines === undefined ? {} : { lines })
    }, by),
    Transaction.emit(CancelRequested, { orderId, reason, ...(lines === undefined ? {} : { lines }), by })
  )

/** Before the order is confirmed its checkout turns back; it does so once, however often it is asked. */
const turnBack = (row: Repository.OrderRow, request: CancelRequest, by: string) =>
  Effect.gen(function*() {
    if (request.lines !== undefined) {
      return yield* new OrderStateConflict({ orderId: row.id, state: row.state, action: "cancel lines" })
    }
    const turned = yield* checkout.move(row.id, (data) => SagaMachine.fail(request.reason, data))
    if (turned) yield* tell(row.id, request, by)
  })

/** What goes back of captured money once the cancelled units need not be paid. */
const refundOf = (row: Repository.OrderRow, value: number): number => {
  const paid = row.captured - row.refunded
  const owed = row.grand - row.cancelledValue - value
  return Math.max(0, paid - owed)
}

/** Freezes a confirmed order and undoes all of it, or some units; the refund is worked out before anything changes. */
const undo = (row: Repository.OrderRow, request: CancelRequest, by: string) =>
  Effect.gen(function*() {
    const { currency, id: orderId, reservationId } = row
    const { full, lines, value } = yield* Cancellable.plan(
      {
        lines: yield* Repository.lines(orderId),
        totals: Repository.totalsOf(row),
        taxInclusive: row.taxInclusive
      },
      request.lines
    )
    if (reservationId === null) return yield* Effect.dieMessage(`${orderId} is confirmed without a reservation (O4)`)
    yield* Repository.transition(orderId, "request_cancellation", () => ({}))
    yield* tell(orderId, request, by)
    const refund = row.paymentId === null ? 0 : refundOf(row, value)
    yield* cancellation.start(orderId, {
      orderId,
      reason: request.reason,
      full,
      lines: lines.map(({ keep, line, qty }) => ({ lineId: line.id, qty, keep })),
      reservationId,
      paymentId: row.paymentId,
      value: { amount: value, currency },
      refund: refund === 0 ? null : { amount: refund, currency },
      refundKey: yield* Transaction.nextId("ref"),
      freeMoney: full && row.paymentId !== null && row.authorized > row.captured
    })
  })

/** Cancels the order, or some of its units, as far as its state allows. */
export const cancel = (orderId: OrderId, request: CancelRequest, by: string, expectedVersion?: number) =>
  Effect.gen(function*() {
    const row = yield* Repository.order(orderId, expectedVersion)
    switch (row.state) {
      case "placed":
        yield* turnBack(row, request, by)
        break
      case "confirmed":
        yield* undo(row, request, by)
        break
      default:
        return yield* new OrderStateConflict({ orderId, state: row.state, action: "cancel" })
    }
    return yield* Repository.load(orderId)
  })

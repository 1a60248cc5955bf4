import * as Saga from "@holdfast/agent/Saga"
import * as Instant from "@holdfast/contracts/Instant"
import { OrderCancelled } from "@holdfast/contracts/OrderEvents"
import type { WriteError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Holds from "../Holds.ts"
import * as Payments from "../Payments.ts"
import * as Repository from "../Repository.ts"
import type { Action, Data } from "./Cancellation.ts"
import * as Cancellation from "./Cancellation.ts"

const finish = ({ full, lines, orderId, reason, refund, value }: Data) =>
  Effect.gen(function*() {
    const now = yield* Transaction.now
    const units = lines.map(({ lineId, qty }) => ({ lineId, qty }))
    yield* Repository.cancelUnits(units)
    if (full) yield* Holds.releaseAll(orderId, "agent:order")
    const row = yield* Repository.transition(orderId, full ? "cancel" : "end_cancellation", (before) => ({
      cancelledValue: before.cancelledValue + value.amount,
      ...(full ? { cancelReason: reason, cancelledAt: Instant.fromMillis(now) } : {})
    }))
    yield* Payments.settle(orderId, () => ({}))
    yield* Repository.record(orderId, "cancelled", { reason, full, value })
    yield* Transaction.emit(OrderCancelled, {
      orderId,
      reason,
      lines: units,
      refundDue: row.paidByChannel ? value : refund ?? { amount: 0, currency: row.currency },
      full
    })
  })

const act = (
  action: Action,
  data: Data
): Effect.Effect<void, WriteError, Transaction.Transaction | Transaction.Reader> => {
  switch (action._tag) {
    case "Finish":
      return finish(data)
    case "Refuse":
      return Effect.zipRight(
        Repository.transition(data.orderId, "end_cancellation", () => ({})),
        Repository.record(data.orderId, "cancellation_refused", { code: action.code })
      )
  }
}

/** Cancellation in the order's store. */
export const cancellation = Saga.make(Cancellation.definition, { data: Cancellation.Data, act })

import type { OrderId } from "@holdfast/contracts/Id"
import { PaymentStatusChanged } from "@holdfast/contracts/OrderEvents"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as PaymentStatus from "./Domain/PaymentStatus.ts"
import * as Repository from "./Repository.ts"

interface Sums {
  readonly authorized: number
  readonly captured: number
  readonly refunded: number
}

/** Takes over what the order's payment has moved, and tells when its status of payment changes with it. */
export const settle = (orderId: OrderId, sums: (now: Sums) => Partial<Sums>, voided = false) =>
  Effect.gen(function*() {
    let from: Repository.OrderRow["paymentStatus"] = "none"
    const row = yield* Repository.change(orderId, (before) => {
      from = before.paymentStatus
      const after = { authorized: before.authorized, captured: before.captured, refunded: before.refunded }
      const next = { ...after, ...sums(after) }
      return {
        ...next,
        paymentStatus: PaymentStatus.of({
          ...next,
          due: before.grand - before.cancelledValue,
          voided: voided || from === "voided"
        })
      }
    })
    if (row.paymentStatus === from) return
    const { authorized, captured, currency, refunded } = row
    yield* Transaction.emit(PaymentStatusChanged, {
      orderId,
      from,
      to: row.paymentStatus,
      currency,
      authorized,
      captured,
      refunded
    })
  })

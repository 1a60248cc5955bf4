import * as Schema from "effect/Schema"
import * as PaymentStates from "./PaymentStates.ts"
import type { Payment } from "./Settlement.ts"
import * as Sums from "./Sums.ts"

/** That a payment is to be voided, kept until it is known how that ends; who asked is answered then. */
export const VoidWish = Schema.Struct({
  /** `expired`: the clock asks, and nobody waits for the answer. */
  reason: Schema.Literal("requested", "expired"),
  correlationId: Schema.String,
  causationId: Schema.String
})
export type VoidWish = typeof VoidWish.Type

/** What a void can do now. */
export type Prospect =
  /** It is not known yet what there is to void. */
  | "wait"
  | "void"
  /** The payment ended and holds nothing. */
  | "nothing_held"
  /** The money is captured: it can be refunded, not voided. */
  | "too_late"

/** Total over the states. */
export const prospect = (payment: Payment): Prospect => {
  const { captureReserved, state } = payment
  if (state === "requires_action") return "void"
  if (state === "created" || PaymentStates.isOpen(state)) return "wait"
  if (PaymentStates.isBarren(state) || state === "voided" || state === "auth_expired") return "nothing_held"
  if (captureReserved > 0) return "wait"
  return Sums.uncaptured(payment) > 0 ? "void" : "too_late"
}

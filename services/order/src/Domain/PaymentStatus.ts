import type { Amount } from "@holdfast/contracts/Amount"
import type { PaymentStatus } from "@holdfast/contracts/Order"

/** The sums of an order's payments; `due` is the grand total minus granted refunds. */
export interface Sums {
  readonly due: Amount
  readonly authorized: Amount
  readonly captured: Amount
  readonly refunded: Amount
  /** Whether an authorisation was given back. */
  readonly voided: boolean
}

/** The derived status of payment (spec §3). */
export const of = (sums: Sums): PaymentStatus => {
  if (sums.refunded > 0) return sums.refunded >= sums.captured ? "refunded" : "partially_refunded"
  if (sums.captured > sums.due) return "overcharged"
  if (sums.captured > 0) return sums.captured === sums.due ? "paid" : "partially_paid"
  if (sums.authorized > 0) return "authorized"
  return sums.voided ? "voided" : "none"
}

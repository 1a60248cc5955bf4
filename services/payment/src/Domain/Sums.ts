import type { PaymentLedgerKind } from "@holdfast/contracts/Payment"
import type { Fact } from "./PaymentStates.ts"

/** The money of a payment, in minor units of its currency. What is reserved is under way at the gateway. */
export interface Sums {
  readonly authorized: number
  readonly captureReserved: number
  readonly captured: number
  readonly voided: number
  readonly refundReserved: number
  readonly refunded: number
  readonly chargedBack: number
}

export const zero: Sums = {
  authorized: 0,
  captureReserved: 0,
  captured: 0,
  voided: 0,
  refundReserved: 0,
  refunded: 0,
  chargedBack: 0
}

/** One movement of money to be written to the ledger. */
export interface Entry {
  readonly kind: PaymentLedgerKind
  readonly amount: number
}

/** Authorised and neither captured nor voided, whether or not a capture is under way. */
export const uncaptured = (sums: Sums): number => sums.authorized - sums.captured - sums.voided

export const capturable = (sums: Sums): number => uncaptured(sums) - sums.captureReserved

export const refundable = (sums: Sums): number => sums.captured - sums.chargedBack - sums.refunded - sums.refundReserved

/** P1, and that nothing is negative. */
export const isSound = (sums: Sums): boolean => {
  const { authorized, captureReserved, captured, chargedBack, refundReserved, refunded, voided } = sums
  const all = [authorized, captureReserved, captured, voided, refundReserved, refunded, chargedBack]
  return all.every((amount) => Number.isSafeInteger(amount) && amount >= 0) && capturable(sums) >= 0 &&
    refundable(sums) >= 0
}

/** What the ledger's entries add up to (P5). */
export const ofLedger = (entries: Iterable<Entry>): Omit<Sums, "captureReserved" | "refundReserved"> => {
  const sum = { authorized: 0, captured: 0, voided: 0, refunded: 0, chargedBack: 0 }
  for (const { amount, kind } of entries) {
    switch (kind) {
      case "authorize":
      case "increment":
        sum.authorized += amount
        break
      case "capture":
        sum.captured += amount
        break
      case "void":
        sum.voided += amount
        break
      case "refund":
        sum.refunded += amount
        break
      case "refund_reversal":
        sum.refunded -= amount
        break
      case "chargeback":
        sum.chargedBack += amount
        break
      case "chargeback_reversal":
        sum.chargedBack -= amount
        break
      case "fee":
        break
    }
  }
  return sum
}

/** What a capture that led to these sums means for the state. */
export const captureFact = (sums: Sums): Fact =>
  uncaptured(sums) > 0 ? "captured_some" : sums.voided > 0 ? "captured_final" : "captured_all"

/** What a refund that led to these sums means for the state: all is back only when no more can be captured. */
export const refundFact = (sums: Sums): Fact =>
  sums.refunded === sums.captured - sums.chargedBack && uncaptured(sums) === 0 ? "refunded_all" : "refunded_some"

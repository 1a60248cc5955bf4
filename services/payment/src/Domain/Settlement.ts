import type { AttemptKind, CaptureMode, PaymentState } from "@holdfast/contracts/Payment"
import type { Outcome } from "./Outcome.ts"
import * as PaymentStates from "./PaymentStates.ts"
import * as Sums from "./Sums.ts"

/** What a decision about a payment depends on. */
export interface Payment extends Sums.Sums {
  readonly state: PaymentState
  readonly amount: number
  readonly captureMode: CaptureMode
}

/** What a decision about one call of the gateway depends on. */
export interface Attempt {
  readonly kind: AttemptKind
  readonly amount: number
  /** What the payment holds back for it. */
  readonly reserved: number
  /** A capture after which the rest of the authorisation is free. */
  readonly final: boolean
}

/** What others are told, in amounts of the payment's currency. */
export type News =
  | { readonly _tag: "Authorized" }
  | { readonly _tag: "ActionRequired" }
  | { readonly _tag: "Declined"; readonly code: string; readonly fingerprint?: string | undefined }
  | { readonly _tag: "Captured"; readonly amount: number; readonly final: boolean }
  | { readonly _tag: "CaptureFailed"; readonly code: string }
  | { readonly _tag: "Voided"; readonly amount: number; readonly reason: "requested" | "expired" }
  | { readonly _tag: "VoidFailed"; readonly code: string }
  | { readonly _tag: "RefundPending" }
  | { readonly _tag: "Refunded" }
  | { readonly _tag: "RefundFailed"; readonly code: string }

/** What an outcome changes. */
export interface Settlement {
  readonly state: PaymentState
  readonly sums: Sums.Sums
  /** `unknown`: not ended; the gateway is asked again. */
  readonly attempt: "succeeded" | "failed" | "unknown"
  readonly entries: ReadonlyArray<Sums.Entry>
  readonly news: ReadonlyArray<News>
}

const sumsOf = (payment: Sums.Sums): Sums.Sums => ({
  authorized: payment.authorized,
  captureReserved: payment.captureReserved,
  captured: payment.captured,
  voided: payment.voided,
  refundReserved: payment.refundReserved,
  refunded: payment.refunded,
  chargedBack: payment.chargedBack
})

const entry = (kind: Sums.Entry["kind"], amount: number): ReadonlyArray<Sums.Entry> =>
  amount > 0 ? [{ kind, amount }] : []

/** The settlement, unless the state has no such step. */
const when = (state: PaymentState | undefined, settlement: Omit<Settlement, "state">): Settlement | undefined =>
  state === undefined ? undefined : { state, ...settlement }

const authorize = (payment: Payment, outcome: Outcome): Settlement | undefined => {
  const sums = sumsOf(payment)
  const to = (fact: PaymentStates.Fact) => PaymentStates.next(payment.state, fact)
  switch (outcome._tag) {
    case "Approved": {
      const captured = payment.captureMode === "automatic" ? payment.amount : 0
      return when(to(captured > 0 ? "captured_all" : "authorized"), {
        sums: { ...sums, authorized: payment.amount, captured },
        attempt: "succeeded",
        entries: [...entry("authorize", payment.amount), ...entry("capture", captured)],
        news: captured > 0
          ? [{ _tag: "Authorized" }, { _tag: "Captured", amount: captured, final: true }]
          : [{ _tag: "Authorized" }]
      })
    }
    case "ActionRequired": {
      const known = payment.state === "requires_action"
      return when(to("action_required"), {
        sums,
        attempt: "unknown",
        entries: [],
        news: known ? [] : [{ _tag: "ActionRequired" }]
      })
    }
    case "Pending":
      return { state: payment.state, sums, attempt: "unknown", entries: [], news: [] }
    case "Declined":
      return when(to(outcome.code === rejected.code ? "failed" : "declined"), {
        sums,
        attempt: "failed",
        entries: [],
        news: [{ _tag: "Declined", code: outcome.code, fingerprint: outcome.fingerprint }]
      })
  }
}

const capture = (payment: Payment, attempt: Attempt, outcome: Outcome): Settlement | undefined => {
  const released = { ...sumsOf(payment), captureReserved: payment.captureReserved - attempt.reserved }
  switch (outcome._tag) {
    case "Approved": {
      const captured = { ...released, captured: released.captured + attempt.amount }
      const rest = attempt.final ? Sums.capturable(captured) : 0
      const sums = { ...captured, voided: captured.voided + rest }
      return when(PaymentStates.next(payment.state, Sums.captureFact(sums)), {
        sums,
        attempt: "succeeded",
        entries: [...entry("capture", attempt.amount), ...entry("void", rest)],
        news: [{ _tag: "Captured", amount: attempt.amount, final: Sums.uncaptured(sums) === 0 }]
      })
    }
    case "ActionRequired":
    case "Pending":
      return { state: payment.state, sums: sumsOf(payment), attempt: "unknown", entries: [], news: [] }
    case "Declined":
      return {
        state: payment.state,
        sums: released,
        attempt: "failed",
        entries: [],
        news: [{ _tag: "CaptureFailed", code: outcome.code }]
      }
  }
}

/** `expired`: what is cancelled is an action whose time is over, on nobody's request. */
const release = (payment: Payment, outcome: Outcome, expired: boolean): Settlement | undefined => {
  const sums = sumsOf(payment)
  switch (outcome._tag) {
    case "Approved": {
      const amount = Sums.uncaptured(sums)
      const unfinished = expired && payment.state === "requires_action"
      return when(PaymentStates.next(payment.state, unfinished ? "action_expired" : "voided"), {
        sums: { ...sums, voided: sums.voided + amount },
        attempt: "succeeded",
        entries: entry("void", amount),
        news: [
          unfinished
            ? { _tag: "Declined", code: "action_expired" }
            : { _tag: "Voided", amount, reason: expired ? "expired" : "requested" }
        ]
      })
    }
    case "ActionRequired":
    case "Pending":
      return { state: payment.state, sums, attempt: "unknown", entries: [], news: [] }
    case "Declined":
      return {
        state: payment.state,
        sums,
        attempt: "failed",
        entries: [],
        news: expired ? [] : [{ _tag: "VoidFailed", code: outcome.code }]
      }
  }
}

const refund = (payment: Payment, attempt: Attempt, outcome: Outcome): Settlement | undefined => {
  const released = { ...sumsOf(payment), refundReserved: payment.refundReserved - attempt.reserved }
  switch (outcome._tag) {
    case "Approved": {
      const sums = { ...released, refunded: released.refunded + attempt.amount }
      return when(PaymentStates.next(payment.state, Sums.refundFact(sums)), {
        sums,
        attempt: "succeeded",
        entries: entry("refund", attempt.amount),
        news: [{ _tag: "Refunded" }]
      })
    }
    case "ActionRequired":
    case "Pending":
      return {
        state: payment.state,
        sums: sumsOf(payment),
        attempt: "unknown",
        entries: [],
        news: [{ _tag: "RefundPending" }]
      }
    case "Declined":
      return {
        state: payment.state,
        sums: released,
        attempt: "failed",
        entries: [],
        news: [{ _tag: "RefundFailed", code: outcome.code }]
      }
  }
}

/**
 * What an outcome changes; `undefined` where the payment's state has no such step, i.e. the gateway contradicts itself.
 * `voidExpired`: the void is the clock's, not anybody's request.
 */
export const settle = (
  payment: Payment,
  attempt: Attempt,
  outcome: Outcome,
  voidExpired: boolean
): Settlement | undefined => {
  switch (attempt.kind) {
    case "authorize":
      return authorize(payment, outcome)
    case "capture":
      return capture(payment, attempt, outcome)
    case "void":
      return release(payment, outcome, voidExpired)
    case "refund":
      return refund(payment, attempt, outcome)
    case "query":
      return undefined
  }
}

/** The gateway refuses the call as such: nothing happened there, and the fault is not the customer's. */
export const rejected = { _tag: "Declined", code: "gateway_error" } as const satisfies Outcome

/** The answer is lost: the payment's state says so, for an authorisation; its money is not touched. */
export const lose = (payment: Payment, attempt: Attempt): PaymentState =>
  attempt.kind === "authorize" ? PaymentStates.next(payment.state, "answer_lost") ?? payment.state : payment.state

import type { AttemptId } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import type { WriteError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import { announce } from "./Announcements.ts"
import type { Outcome } from "./Domain/Outcome.ts"
import * as RetryMatrix from "./Domain/RetryMatrix.ts"
import * as Settlement from "./Domain/Settlement.ts"
import * as VoidWish from "./Domain/VoidWish.ts"
import * as Repository from "./Repository.ts"
import { type AttemptRow, Attempts, type PaymentRow, Refunds } from "./Tables.ts"

type Written<A = void> = Effect.Effect<A, WriteError, Transaction.Transaction | Transaction.Reader>

/** What one call of the gateway came to. */
export type Report =
  | { readonly _tag: "Outcome"; readonly outcome: Outcome }
  /** The gateway refuses the call as such. */
  | { readonly _tag: "Rejected" }
  /** No outcome yet. */
  | { readonly _tag: "Deferred"; readonly failure: RetryMatrix.Failure }

const end = (
  attempt: AttemptRow,
  state: "succeeded" | "failed",
  providerRef: string | null,
  errorCode: string | null
) =>
  Effect.flatMap(Transaction.now, (now) =>
    Transaction.update(Attempts, { id: attempt.id }, (row) => ({
      ...row,
      state,
      nextAt: null,
      providerRef: providerRef ?? row.providerRef,
      errorCode,
      endedAt: Instant.fromMillis(now)
    })))

const stepState = { send: "sent", query: "unknown" } as const

/** Why the gateway did not serve the last call; that it knows nothing of the call serves it as little. */
const lastError = (row: AttemptRow, failure: RetryMatrix.Failure): string | null =>
  failure === "not_called" || failure === "unknown_key"
    ? row.errorCode
    : RetryMatrix.isUnserved(failure)
    ? failure
    : null

const postpone = (
  attempt: AttemptRow,
  next: RetryMatrix.Next,
  failure: RetryMatrix.Failure,
  providerRef: string | null
) =>
  Effect.flatMap(Transaction.now, (now) =>
    Transaction.update(Attempts, { id: attempt.id }, (row) => ({
      ...row,
      state: stepState[next.step],
      tries: failure === "not_called" ? row.tries : row.tries + 1,
      nextAt: now + next.delayMillis,
      providerRef: providerRef ?? row.providerRef,
      errorCode: lastError(row, failure)
    })))

/** What a payment takes over from the gateway's answer to its authorisation. */
const learned = (attempt: AttemptRow, outcome: Outcome): Partial<PaymentRow> => {
  if (attempt.kind !== "authorize") return {}
  switch (outcome._tag) {
    case "Approved":
      return {
        providerRef: outcome.providerRef,
        authExpiresAt: outcome.authExpiresAt === undefined ? null : Instant.fromMillis(outcome.authExpiresAt),
        risk: outcome.risk ?? null,
        action: null
      }
    case "ActionRequired":
      return {
        providerRef: outcome.providerRef,
        action: {
          kind: outcome.kind,
          redirectUrl: outcome.redirectUrl,
          expiresAt: Instant.fromMillis(outcome.expiresAt)
        }
      }
    case "Pending":
      return { providerRef: outcome.providerRef }
    case "Declined":
      return { declineCode: outcome.code, action: null }
  }
}

const refundState = { succeeded: "succeeded", failed: "failed", unknown: "pending" } as const

const settleRefund = (attempt: AttemptRow, ended: Settlement.Settlement["attempt"], outcome: Outcome) =>
  Effect.gen(function*() {
    if (attempt.refundId === null) return undefined
    const now = yield* Transaction.now
    return yield* Transaction.update(Refunds, { id: attempt.refundId }, (row) => ({
      ...row,
      state: refundState[ended],
      providerRef: outcome.providerRef ?? row.providerRef,
      errorCode: outcome._tag === "Declined" ? outcome.code : null,
      updatedAt: Instant.fromMillis(now)
    }))
  })

/**
 * Writes what a call came to: the attempt, the payment, its ledger, a refund, and what others are told, to whom the
 * attempt answers. An attempt that has ended stays as it is, so that answer, query and webhook may come in any order and
 * number. `next` says when the gateway is asked again, should this not be the end.
 */
export const settle = (attemptId: AttemptId, report: Report, next: RetryMatrix.Next): Written =>
  Effect.gen(function*() {
    const attempt = yield* Repository.attempt(attemptId)
    if (attempt === undefined || attempt.nextAt === null) return
    const payment = yield* Repository.payment(attempt.paymentId)
    if (payment === undefined) return
    if (report._tag === "Deferred") {
      yield* postpone(attempt, next, report.failure, null)
      const state = next.step === "query" ? Settlement.lose(payment, attempt) : payment.state
      if (state !== payment.state) yield* Repository.updatePayment(payment.id, () => ({ state }))
      return
    }
    const expired = payment.voidWish?.reason === "expired"
    const outcome: Outcome = report._tag === "Outcome" ? report.outcome : Settlement.rejected
    const settlement = Settlement.settle(payment, attempt, outcome, expired)
    if (settlement === undefined) {
      return yield* Effect.dieMessage(
        `the gateway says ${outcome._tag} of ${attempt.idempotencyKey}, but the payment is ${payment.state}`
      )
    }
    const providerRef = outcome.providerRef ?? null
    if (settlement.attempt === "unknown") yield* postpone(attempt, next, "pending", providerRef)
    else yield* end(attempt, settlement.attempt, providerRef, outcome._tag === "Declined" ? outcome.code : null)
    const firstPending = attempt.providerRef === null
    const nothingNew = settlement.attempt === "unknown" && settlement.state === payment.state && !firstPending
    if (nothingNew) return
    const released = attempt.kind === "void" && settlement.attempt === "succeeded"
    const after = yield* Repository.updatePayment(payment.id, () => ({
      ...settlement.sums,
      state: settlement.state,
      ...learned(attempt, outcome),
      ...(released ? { action: null } : {}),
      ...(attempt.kind === "void" && settlement.attempt !== "unknown" ? { voidWish: null } : {}),
      ...(settlement.state === "expired" ? { declineCode: "action_expired" } : {})
    }))
    yield* Repository.book(after, settlement.entries, providerRef)
    const refund = yield* settleRefund(attempt, settlement.attempt, outcome)
    for (const news of settlement.news) {
      if (news._tag === "RefundPending" && !firstPending) continue
      yield* announce(after, news, attempt.kind === "void" ? payment.voidWish ?? attempt : attempt, refund)
    }
    if (released) yield* abandon(after, "authorize", "voided")
    yield* pursueVoid(after)
  })

/** Ends attempts that have become pointless. */
const abandon = (payment: PaymentRow, kind: "authorize" | "void", why: string): Written =>
  Effect.gen(function*() {
    const open = yield* Repository.openAttempts(payment.id, kind)
    yield* Effect.forEach(open, (attempt) => end(attempt, "failed", null, why), { discard: true })
  })

/**
 * Does for a wish to void what can be done by now: calls the gateway, answers that there is nothing to void, or waits. Run
 * after every change of the payment, so that a void is never forgotten.
 */
export const pursueVoid = (payment: PaymentRow): Written =>
  Effect.gen(function*() {
    const wish = payment.voidWish
    if (wish === null) return
    const prospect = VoidWish.prospect(payment)
    if (prospect === "wait") return
    if (prospect === "void") {
      const open = yield* Repository.openAttempts(payment.id, "void")
      if (open.length > 0) return
      yield* Repository.intend(
        payment,
        {
          kind: "void",
          amount: Math.max(0, payment.authorized - payment.captured - payment.voided),
          reserved: 0,
          final: false,
          refundId: null
        },
        wish
      )
      return
    }
    yield* abandon(payment, "void", prospect)
    const after = yield* Repository.updatePayment(payment.id, () => ({ voidWish: null }))
    if (wish.reason === "expired") return
    yield* announce(
      after,
      prospect === "nothing_held"
        ? { _tag: "Voided", amount: after.voided, reason: after.state === "auth_expired" ? "expired" : "requested" }
        : { _tag: "VoidFailed", code: "captured" },
      wish
    )
  })

import { AttemptId, type PaymentId, type RefundId } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import type { AttemptKind } from "@holdfast/contracts/Payment"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Expiry from "./Domain/Expiry.ts"
import * as PaymentStates from "./Domain/PaymentStates.ts"
import type { Entry } from "./Domain/Sums.ts"
import { type AttemptRow, Attempts, LedgerEntries, type PaymentRow, Payments, Refunds } from "./Tables.ts"

/** Who is answered by an attempt's events. */
export interface Origin {
  readonly correlationId: string
  readonly causationId: string
}

/** The operation at hand, as an origin. */
export const origin = Effect.map(
  Transaction.Transaction,
  (tx): Origin => ({ correlationId: tx.cause.correlationId, causationId: tx.cause.causationId })
)

export const payment = (id: PaymentId) => Effect.map(Transaction.get(Payments, { id }), Option.getOrUndefined)

export const refund = (id: RefundId) => Effect.map(Transaction.get(Refunds, { id }), Option.getOrUndefined)

export const attempt = (id: AttemptId) => Effect.map(Transaction.get(Attempts, { id }), Option.getOrUndefined)

export const attemptByKey = (idempotencyKey: string) =>
  Effect.map(
    Transaction.select(Attempts, { where: [["idempotencyKey", "=", idempotencyKey]], limit: 1 }),
    (rows) => rows[0]
  )

/** The order's payment that is or may become money (P2: there is one at most). */
export const livePayment = (orderId: PaymentRow["orderId"]) =>
  Effect.map(
    Transaction.select(Payments, { where: [["orderId", "=", orderId], ["state", "in", PaymentStates.live]], limit: 1 }),
    (rows) => rows[0]
  )

export const openAttempts = (paymentId: PaymentId, kind?: AttemptKind) =>
  Transaction.select(Attempts, {
    where: [
      ["paymentId", "=", paymentId],
      ["nextAt", "is not null"],
      ...(kind === undefined ? [] : [["kind", "=", kind] as const])
    ]
  })

/** Changes a payment; what follows from its state and times (`dueAt`, `updatedAt`) is kept here. */
export const updatePayment = (
  id: PaymentId,
  change: (row: PaymentRow) => Partial<Omit<PaymentRow, "id" | "version" | "dueAt" | "updatedAt">>
) =>
  Effect.flatMap(Transaction.now, (now) =>
    Transaction.update(Payments, { id }, (row) => {
      const changed = { ...row, ...change(row) }
      return { ...changed, dueAt: Expiry.dueAt(limits(changed)), updatedAt: Instant.fromMillis(now) }
    }))

/** What the clock's rules look at. */
export const limits = (row: Pick<PaymentRow, "state" | "action" | "authExpiresAt" | "warned">): Expiry.Limits => ({
  state: row.state,
  actionExpiresAt: row.action === null ? null : Instant.toMillis(row.action.expiresAt),
  authExpiresAt: row.authExpiresAt === null ? null : Instant.toMillis(row.authExpiresAt),
  warned: row.warned
})

/** Stores the intent of a call; it is made after the commit (P4: one row, one key, for each seq). */
export const intend = (
  payment: Pick<PaymentRow, "id">,
  wanted: Pick<AttemptRow, "kind" | "amount" | "reserved" | "final" | "refundId">,
  origin: Origin
) =>
  Effect.gen(function*() {
    const now = yield* Transaction.now
    const earlier = yield* Transaction.select(Attempts, {
      where: [["paymentId", "=", payment.id], ["kind", "=", wanted.kind]],
      orderBy: [["seq", "desc"]],
      limit: 1
    })
    const seq = (earlier[0]?.seq ?? 0) + 1
    return yield* Transaction.insert(Attempts, {
      id: AttemptId.make(yield* Transaction.nextId("att")),
      paymentId: payment.id,
      seq,
      ...wanted,
      idempotencyKey: `pay:${payment.id}:${wanted.kind}:${seq}`,
      state: "sent",
      tries: 0,
      nextAt: now,
      providerRef: null,
      errorCode: null,
      startedAt: Instant.fromMillis(now),
      endedAt: null,
      correlationId: origin.correlationId,
      causationId: origin.causationId
    })
  })

/** Writes movements of a payment's money behind the earlier ones. */
export const book = (
  payment: Pick<PaymentRow, "id" | "currency" | "provider">,
  entries: ReadonlyArray<Entry>,
  providerRef: string | null
) =>
  entries.length === 0 ? Effect.void : Effect.gen(function*() {
    const now = yield* Transaction.now
    const last = yield* Transaction.select(LedgerEntries, {
      where: [["paymentId", "=", payment.id]],
      orderBy: [["n", "desc"]],
      limit: 1
    })
    let n = last[0]?.n ?? 0
    for (const { amount, kind } of entries) {
      n++
      yield* Transaction.insert(LedgerEntries, {
        paymentId: payment.id,
        n,
        kind,
        amount,
        currency: payment.currency,
        provider: payment.provider,
        providerRef,
        at: Instant.fromMillis(now)
      })
    }
  })

import { NotFound, VersionConflict } from "@holdfast/contracts/Errors"
import { type OrderId, type PaymentId, RefundId } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import * as Money from "@holdfast/contracts/Money"
import type { Authorization, CaptureRequest, RefundRequest } from "@holdfast/contracts/Payment"
import {
  CaptureExceedsAuthorized,
  PaymentExists,
  PaymentStateConflict,
  RefundExceedsCaptured,
  RefundKeyReused
} from "@holdfast/contracts/PaymentErrors"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Sums from "./Domain/Sums.ts"
import * as VoidWish from "./Domain/VoidWish.ts"
import { Gateway } from "./Gateway.ts"
import * as Repository from "./Repository.ts"
import * as Results from "./Results.ts"
import { Attempts, type PaymentRow, Payments, type RefundRow, Refunds, Tombstones } from "./Tables.ts"

/** The payment, or what is wrong with asking for it. */
export const expect = (id: PaymentId, expectedVersion?: number) =>
  Effect.gen(function*() {
    const payment = yield* Repository.payment(id)
    if (payment === undefined) return yield* new NotFound({ resource: "payment", id })
    if (expectedVersion !== undefined && expectedVersion !== payment.version) {
      return yield* new VersionConflict({
        resource: "payment",
        id,
        expected: expectedVersion,
        actual: payment.version
      })
    }
    return payment
  })

const sameCurrency = (payment: PaymentRow, money: Money.Money) =>
  money.currency === payment.currency
    ? Effect.void
    : new Money.CurrencyMismatch({ expected: payment.currency, actual: money.currency })

/** Stores a payment in the given state, and nothing else. */
const store = (wanted: Authorization, state: "processing" | "voided" | "failed", declineCode: string | null) =>
  Effect.gen(function*() {
    const gateway = yield* Gateway
    const now = Instant.fromMillis(yield* Transaction.now)
    return yield* Transaction.insert(Payments, {
      id: wanted.paymentId,
      orderId: wanted.orderId,
      customerId: wanted.customerId ?? null,
      provider: gateway.provider,
      methodKind: "card",
      methodToken: wanted.methodToken,
      currency: wanted.amount.currency,
      amount: wanted.amount.amount,
      ...Sums.zero,
      state,
      captureMode: wanted.captureMode,
      providerRef: null,
      authExpiresAt: null,
      action: null,
      declineCode,
      risk: null,
      voidWish: null,
      warned: false,
      dueAt: null,
      createdAt: now,
      updatedAt: now
    })
  })

/** What became of a wish to authorise: a payment under way, or one that is known already, was voided or is refused. */
export type Authorized =
  | { readonly _tag: "Begun" | "Known" | "Voided"; readonly payment: PaymentRow }
  | { readonly _tag: "OrderHasPayment"; readonly live: PaymentRow }

/** Stores the payment and the intent to authorise it, unless it is known, was voided before, or the order has one (P2). */
export const authorize = (wanted: Authorization) =>
  Effect.gen(function*() {
    const known = yield* Repository.payment(wanted.paymentId)
    if (known !== undefined) return { _tag: "Known", payment: known } satisfies Authorized as Authorized
    const tombstone = yield* Transaction.get(Tombstones, { paymentId: wanted.paymentId })
    if (tombstone._tag === "Some") {
      return { _tag: "Voided", payment: yield* store(wanted, "voided", null) } satisfies Authorized as Authorized
    }
    const live = yield* Repository.livePayment(wanted.orderId)
    if (live !== undefined) return { _tag: "OrderHasPayment", live } satisfies Authorized as Authorized
    const payment = yield* store(wanted, "processing", null)
    yield* Repository.intend(
      payment,
      { kind: "authorize", amount: payment.amount, reserved: 0, final: false, refundId: null },
      yield* Repository.origin
    )
    return { _tag: "Begun", payment } satisfies Authorized as Authorized
  })

/** A payment that never reaches the gateway because the order has another one. */
export const refuse = (wanted: Authorization) => store(wanted, "failed", "payment_exists")

export const paymentExists = (live: PaymentRow) =>
  new PaymentExists({ orderId: live.orderId, paymentId: live.id, state: live.state })

const conflict = (payment: PaymentRow, action: string) =>
  new PaymentStateConflict({ paymentId: payment.id, state: payment.state, action })

/** Reserves what is to be captured and stores the intent (P1 in the transaction, and in the table's checks). */
export const capture = (payment: PaymentRow, wanted: CaptureRequest) =>
  Effect.gen(function*() {
    if (wanted.amount !== undefined) yield* sameCurrency(payment, wanted.amount)
    const final = wanted.final === true
    const capturable = Sums.capturable(payment)
    const amount = wanted.amount?.amount ?? capturable
    const promised = payment.state === "authorized" || payment.state === "partially_captured" ||
      payment.state === "partially_refunded"
    if (!promised || payment.voidWish !== null || (amount === 0 && capturable === 0)) {
      return yield* conflict(payment, "capture")
    }
    if (amount > capturable) {
      return yield* new CaptureExceedsAuthorized({
        paymentId: payment.id,
        requested: Money.of(amount, payment.currency),
        capturable: Money.of(capturable, payment.currency)
      })
    }
    // A final capture holds the rest too: nothing can be captured after it.
    const reserved = final ? capturable : amount
    yield* Repository.intend(
      payment,
      { kind: "capture", amount, reserved, final, refundId: null },
      yield* Repository.origin
    )
    return yield* Repository.updatePayment(payment.id, (row) => ({ captureReserved: row.captureReserved + reserved }))
  })

/**
 * Wishes the payment voided: done now, when its outcome is known, or answered at once where there is nothing to void. Who
 * asked is told by `payment.voided` or `payment.void_failed`.
 */
export const requestVoid = (payment: PaymentRow, reason: VoidWish.VoidWish["reason"]) =>
  Effect.gen(function*() {
    const wish = { reason, ...(yield* Repository.origin) }
    const wishing = yield* Repository.updatePayment(payment.id, (row) => ({
      voidWish: reason === "expired" && row.voidWish !== null ? row.voidWish : wish
    }))
    yield* Results.pursueVoid(wishing)
    return (yield* Repository.payment(payment.id)) ?? wishing
  })

/** As {@link requestVoid}, for callers who are told at once that it is too late. */
export const voidOrRefuse = (payment: PaymentRow) =>
  VoidWish.prospect(payment) === "too_late" ? conflict(payment, "void") : requestVoid(payment, "requested")

/** Remembers that a payment nobody has heard of is void: its authorisation, should it come, never reaches the gateway. */
export const bury = (paymentId: PaymentId, orderId: OrderId) =>
  Effect.gen(function*() {
    const known = yield* Transaction.get(Tombstones, { paymentId })
    if (known._tag === "Some") return
    yield* Transaction.insert(Tombstones, {
      paymentId,
      orderId,
      at: Instant.fromMillis(yield* Transaction.now)
    })
  })

/** A refund under way, or the one that has the same `refundKey`. */
export interface Refunding {
  readonly refund: RefundRow
  readonly known: boolean
}

/** Reserves the refund and stores the intent (P1 in the transaction, and in the table's checks). */
export const refund = (payment: PaymentRow, wanted: RefundRequest) =>
  Effect.gen(function*() {
    yield* sameCurrency(payment, wanted.amount)
    const amount = wanted.amount.amount
    if (wanted.refundKey !== undefined) {
      const [known] = yield* Transaction.select(Refunds, {
        where: [["paymentId", "=", payment.id], ["refundKey", "=", wanted.refundKey]],
        limit: 1
      })
      if (known !== undefined) {
        if (known.amount === amount) return { refund: known, known: true } satisfies Refunding
        return yield* new RefundKeyReused({
          paymentId: payment.id,
          refundKey: wanted.refundKey,
          refundId: known.id
        })
      }
    }
    if (payment.captured === 0 || payment.state === "disputed" || payment.state === "charged_back") {
      return yield* conflict(payment, "refund")
    }
    const refundable = Sums.refundable(payment)
    if (amount > refundable) {
      return yield* new RefundExceedsCaptured({
        paymentId: payment.id,
        requested: wanted.amount,
        refundable: Money.of(refundable, payment.currency)
      })
    }
    const at = Instant.fromMillis(yield* Transaction.now)
    const refund = yield* Transaction.insert(Refunds, {
      id: RefundId.make(yield* Transaction.nextId("ref")),
      paymentId: payment.id,
      orderId: payment.orderId,
      rmaId: wanted.rmaId ?? null,
      refundKey: wanted.refundKey ?? null,
      amount,
      currency: payment.currency,
      reason: wanted.reason,
      state: "pending",
      providerRef: null,
      errorCode: null,
      createdAt: at,
      updatedAt: at
    })
    yield* Repository.intend(
      payment,
      { kind: "refund", amount, reserved: amount, final: false, refundId: refund.id },
      yield* Repository.origin
    )
    yield* Repository.updatePayment(payment.id, (row) => ({ refundReserved: row.refundReserved + amount }))
    return { refund, known: false } satisfies Refunding
  })

/** Has the gateway asked now about every call of the payment that has no outcome yet. Never charges. */
export const sync = (payment: PaymentRow) =>
  Effect.gen(function*() {
    const now = yield* Transaction.now
    const open = yield* Repository.openAttempts(payment.id)
    yield* Effect.forEach(
      open,
      (attempt) =>
        Transaction.update(
          Attempts,
          { id: attempt.id },
          (row) => ({ ...row, nextAt: Math.min(row.nextAt ?? now, now) })
        ),
      { discard: true }
    )
    return payment
  })

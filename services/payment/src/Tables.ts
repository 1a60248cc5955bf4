import { Currency } from "@holdfast/contracts/Currency"
import { AttemptId, CustomerId, DisputeId, OrderId, PaymentId, RefundId, RmaId } from "@holdfast/contracts/Id"
import {
  AttemptKind,
  CaptureMode,
  MethodKind,
  PaymentAction,
  PaymentLedgerKind,
  PaymentRisk,
  PaymentState,
  RefundState
} from "@holdfast/contracts/Payment"
import * as Table from "@holdfast/database/Table"
import * as Schema from "effect/Schema"
import { VoidWish } from "./Domain/VoidWish.ts"

/** One payment; amounts in minor units of `currency`. `dueAt` is when the clock must look at it (ms since the epoch). */
export const Payments = Table.make("payment", {
  columns: {
    id: Table.textOf(PaymentId),
    orderId: Table.textOf(OrderId),
    customerId: Table.nullable(Table.textOf(CustomerId)),
    provider: Table.text,
    methodKind: Table.textOf(MethodKind),
    methodToken: Table.text,
    currency: Table.textOf(Currency),
    amount: Table.integer,
    authorized: Table.integer,
    captureReserved: Table.integer,
    captured: Table.integer,
    voided: Table.integer,
    refundReserved: Table.integer,
    refunded: Table.integer,
    chargedBack: Table.integer,
    state: Table.textOf(PaymentState),
    captureMode: Table.textOf(CaptureMode),
    providerRef: Table.nullable(Table.text),
    authExpiresAt: Table.nullable(Table.text),
    action: Table.nullable(Table.json(PaymentAction)),
    declineCode: Table.nullable(Table.text),
    risk: Table.nullable(Table.json(PaymentRisk)),
    voidWish: Table.nullable(Table.json(VoidWish)),
    warned: Table.boolean,
    dueAt: Table.nullable(Table.integer),
    createdAt: Table.text,
    updatedAt: Table.text,
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})
export type PaymentRow = Table.Row<typeof Payments>

/**
 * One call of the gateway, committed before it is made. Open while `nextAt` is set: the time (ms since the epoch) of the
 * next call with its key. `sent`: that call repeats it; `unknown`: that call asks what became of it. While it is open its
 * `errorCode` is why the gateway did not serve the last call, and nothing if it did or has not been called.
 */
export const Attempts = Table.make("attempt", {
  columns: {
    id: Table.textOf(AttemptId),
    paymentId: Table.textOf(PaymentId),
    kind: Table.textOf(AttemptKind),
    seq: Table.integer,
    amount: Table.integer,
    reserved: Table.integer,
    final: Table.boolean,
    refundId: Table.nullable(Table.textOf(RefundId)),
    idempotencyKey: Table.text,
    state: Table.textOf(Schema.Literal("sent", "succeeded", "failed", "unknown")),
    tries: Table.integer,
    nextAt: Table.nullable(Table.integer),
    providerRef: Table.nullable(Table.text),
    errorCode: Table.nullable(Table.text),
    startedAt: Table.text,
    endedAt: Table.nullable(Table.text),
    correlationId: Table.text,
    causationId: Table.text
  },
  key: ["id"],
  // Its state changes with the payment's: spec §5 calls it a ledger, but a ledger's rows never change.
  merge: Table.partOf("payment")
})
export type AttemptRow = Table.Row<typeof Attempts>

/** Money on its way back. */
export const Refunds = Table.make("refund", {
  columns: {
    id: Table.textOf(RefundId),
    paymentId: Table.textOf(PaymentId),
    orderId: Table.textOf(OrderId),
    rmaId: Table.nullable(Table.textOf(RmaId)),
    refundKey: Table.nullable(Table.text),
    amount: Table.integer,
    currency: Table.textOf(Currency),
    reason: Table.text,
    state: Table.textOf(RefundState),
    providerRef: Table.nullable(Table.text),
    errorCode: Table.nullable(Table.text),
    createdAt: Table.text,
    updatedAt: Table.text,
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})
export type RefundRow = Table.Row<typeof Refunds>

/** Movements of money, numbered per payment. */
export const LedgerEntries = Table.make("ledger_entry", {
  columns: {
    paymentId: Table.textOf(PaymentId),
    n: Table.integer,
    kind: Table.textOf(PaymentLedgerKind),
    amount: Table.integer,
    currency: Table.textOf(Currency),
    provider: Table.text,
    providerRef: Table.nullable(Table.text),
    at: Table.text
  },
  key: ["paymentId", "n"],
  merge: Table.ledger
})
export type LedgerRow = Table.Row<typeof LedgerEntries>

/** What a provider notified us of, as it came; handled when `processedAt` is set. */
export const WebhookEvents = Table.make("webhook_event", {
  columns: {
    provider: Table.text,
    eventId: Table.text,
    type: Table.text,
    receivedAt: Table.text,
    payload: Table.json(Schema.Unknown),
    processedAt: Table.nullable(Table.text),
    version: Table.integer
  },
  key: ["provider", "eventId"],
  merge: Table.versioned
})
export type WebhookRow = Table.Row<typeof WebhookEvents>

/** Money that the customer's bank asks back. */
export const Disputes = Table.make("dispute", {
  columns: {
    id: Table.textOf(DisputeId),
    paymentId: Table.textOf(PaymentId),
    provider: Table.text,
    providerRef: Table.text,
    amount: Table.integer,
    chargedBack: Table.integer,
    currency: Table.textOf(Currency),
    reason: Table.text,
    dueBy: Table.text,
    state: Table.textOf(Schema.Literal("needs_response", "under_review", "won", "lost")),
    evidence: Table.json(Schema.Array(Schema.Unknown)),
    createdAt: Table.text,
    updatedAt: Table.text,
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})

/** Payments voided before their authorisation was heard of: it must never reach the gateway. */
export const Tombstones = Table.make("payment_tombstone", {
  columns: { paymentId: Table.textOf(PaymentId), orderId: Table.textOf(OrderId), at: Table.text },
  key: ["paymentId"],
  merge: Table.ledger
})

export const all = [Payments, Attempts, Refunds, LedgerEntries, WebhookEvents, Disputes, Tombstones] as const

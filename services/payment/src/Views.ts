import * as Money from "@holdfast/contracts/Money"
import type * as Contract from "@holdfast/contracts/Payment"
import type { AttemptRow, LedgerRow, PaymentRow, RefundRow } from "./Tables.ts"

const present = <K extends string, A>(key: K, value: A | null): { readonly [_ in K]?: A } =>
  // A computed key widens to string; it is K.
  (value === null ? {} : { [key]: value }) as { readonly [_ in K]?: A }

/** A payment as the public sees it: without its token. */
export const payment = (row: PaymentRow): Contract.Payment => {
  const money = (amount: number) => Money.of(amount, row.currency)
  return {
    id: row.id,
    orderId: row.orderId,
    ...present("customerId", row.customerId),
    provider: row.provider,
    methodKind: row.methodKind,
    amount: money(row.amount),
    authorized: money(row.authorized),
    captured: money(row.captured),
    refundReserved: money(row.refundReserved),
    refunded: money(row.refunded),
    chargedBack: money(row.chargedBack),
    state: row.state,
    captureMode: row.captureMode,
    ...present("providerRef", row.providerRef),
    ...present("authExpiresAt", row.authExpiresAt),
    ...(row.state === "requires_action" ? present("action", row.action) : {}),
    ...present("declineCode", row.declineCode),
    ...present("risk", row.risk),
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    version: row.version
  }
}

export const refund = (row: RefundRow): Contract.Refund => ({
  id: row.id,
  paymentId: row.paymentId,
  orderId: row.orderId,
  ...present("rmaId", row.rmaId),
  ...present("refundKey", row.refundKey),
  amount: Money.of(row.amount, row.currency),
  reason: row.reason,
  state: row.state,
  ...present("providerRef", row.providerRef),
  ...present("errorCode", row.errorCode),
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
  version: row.version
})

export const attempt = (row: AttemptRow, currency: PaymentRow["currency"]): Contract.PaymentAttempt => ({
  id: row.id,
  paymentId: row.paymentId,
  kind: row.kind,
  seq: row.seq,
  amount: Money.of(row.amount, currency),
  idempotencyKey: row.idempotencyKey,
  state: row.state,
  ...present("providerRef", row.providerRef),
  ...present("errorCode", row.errorCode),
  startedAt: row.startedAt,
  ...present("endedAt", row.endedAt)
})

export const ledgerEntry = (row: LedgerRow): Contract.PaymentLedgerEntry => ({
  n: row.n,
  paymentId: row.paymentId,
  kind: row.kind,
  amount: Money.of(row.amount, row.currency),
  ...present("providerRef", row.providerRef),
  at: row.at
})

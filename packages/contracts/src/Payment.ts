import * as Schema from "effect/Schema"
import { Country } from "./Country.ts"
import { AttemptId, CustomerId, OrderId, PaymentId, RefundId, RmaId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import * as Integer from "./Integer.ts"
import { Money, PositiveMoney } from "./Money.ts"
import { PaymentMethodToken } from "./Order.ts"
import * as Text from "./Text.ts"

/** Spec §5, states; `unknown`: the gateway's answer was lost, it is asked until it tells. */
export const PaymentState = Schema.Literal(
  "created",
  "processing",
  "requires_action",
  "unknown",
  "authorized",
  "partially_captured",
  "captured",
  "captured_final",
  "partially_refunded",
  "refunded",
  "disputed",
  "charged_back",
  "declined",
  "failed",
  "expired",
  "voided",
  "auth_expired"
)
export type PaymentState = typeof PaymentState.Type

/** The kind of the means of payment. */
export const MethodKind = Schema.Literal("card", "wallet", "bank", "invoice", "store_credit")
export type MethodKind = typeof MethodKind.Type

/** `automatic`: captured as soon as it is authorised. */
export const CaptureMode = Schema.Literal("manual", "automatic")
export type CaptureMode = typeof CaptureMode.Type

/** The outcome of a check by the bank. */
export const Check = Schema.Literal("pass", "fail", "unchecked")

/**
 * What the card's bank said, as the fraud check wants it.
 *
 * @category schemas
 */
export const PaymentRisk = Schema.Struct({
  avs: Schema.optional(Schema.Literal("both_match", "one_fails", "both_fail", "unchecked")).annotations({
    description: "Address check: street and postal code"
  }),
  cvc: Schema.optional(Check),
  threeDs: Schema.optional(Schema.Literal("authenticated", "attempted", "failed", "not_used")),
  cardCountry: Schema.optional(Country),
  fingerprint: Schema.optional(Schema.String).annotations({ description: "Stands for the card, not its number" })
}).annotations({ identifier: "PaymentRisk" })
export type PaymentRisk = typeof PaymentRisk.Type

/**
 * What the customer must do before the payment can go on, e.g. 3-D Secure.
 *
 * @category schemas
 */
export const PaymentAction = Schema.Struct({
  kind: Schema.String,
  redirectUrl: Schema.optional(Schema.String),
  expiresAt: Instant
}).annotations({ identifier: "PaymentAction" })
export type PaymentAction = typeof PaymentAction.Type

/**
 * A payment as public view; its token is never given back.
 *
 * @category schemas
 */
export const Payment = Schema.Struct({
  id: PaymentId,
  orderId: OrderId,
  customerId: Schema.optional(CustomerId),
  provider: Schema.String,
  methodKind: MethodKind,
  amount: Money,
  authorized: Money,
  captured: Money,
  refundReserved: Schema.propertySignature(Money).annotations({ description: "Refunds under way" }),
  refunded: Money,
  chargedBack: Money,
  state: PaymentState,
  captureMode: CaptureMode,
  providerRef: Schema.optional(Schema.String),
  authExpiresAt: Schema.optional(Instant),
  action: Schema.optional(PaymentAction).annotations({ description: "While requires_action" }),
  declineCode: Schema.optional(Schema.String),
  risk: Schema.optional(PaymentRisk),
  createdAt: Instant,
  updatedAt: Instant,
  version: Integer.Version
}).annotations({ identifier: "Payment" })
export type Payment = typeof Payment.Type

/** What the gateway is asked for. */
export const AttemptKind = Schema.Literal("authorize", "capture", "void", "refund", "query")
export type AttemptKind = typeof AttemptKind.Type

/**
 * One call of the gateway, stored before it is made.
 *
 * @category schemas
 */
export const PaymentAttempt = Schema.Struct({
  id: AttemptId,
  paymentId: PaymentId,
  kind: AttemptKind,
  seq: Schema.Number,
  amount: Schema.optional(Money),
  idempotencyKey: Schema.String.annotations({ description: "Sent to the gateway; every repetition carries the same" }),
  state: Schema.Literal("sent", "succeeded", "failed", "unknown"),
  providerRef: Schema.optional(Schema.String),
  errorCode: Schema.optional(Schema.String),
  startedAt: Instant,
  endedAt: Schema.optional(Instant)
}).annotations({ identifier: "PaymentAttempt" })
export type PaymentAttempt = typeof PaymentAttempt.Type

/** How far a refund is. */
export const RefundState = Schema.Literal("pending", "succeeded", "failed", "cancelled")
export type RefundState = typeof RefundState.Type

/**
 * Money on its way back.
 *
 * @category schemas
 */
export const Refund = Schema.Struct({
  id: RefundId,
  paymentId: PaymentId,
  orderId: OrderId,
  rmaId: Schema.optional(RmaId),
  refundKey: Schema.optional(Schema.String),
  amount: Money,
  reason: Schema.String,
  state: RefundState,
  providerRef: Schema.optional(Schema.String),
  errorCode: Schema.optional(Schema.String),
  createdAt: Instant,
  updatedAt: Instant,
  version: Integer.Version
}).annotations({ identifier: "Refund" })
export type Refund = typeof Refund.Type

/** What moved a payment's money. */
export const PaymentLedgerKind = Schema.Literal(
  "authorize",
  "increment",
  "capture",
  "void",
  "refund",
  "refund_reversal",
  "chargeback",
  "chargeback_reversal",
  "fee"
)
export type PaymentLedgerKind = typeof PaymentLedgerKind.Type

/**
 * One movement of money; append-only.
 *
 * @category schemas
 */
export const PaymentLedgerEntry = Schema.Struct({
  n: Schema.Union(Schema.Number, Schema.String),
  paymentId: PaymentId,
  kind: PaymentLedgerKind,
  amount: Money,
  providerRef: Schema.optional(Schema.String),
  at: Instant
}).annotations({ identifier: "PaymentLedgerEntry" })
export type PaymentLedgerEntry = typeof PaymentLedgerEntry.Type

const authorization = {
  orderId: OrderId,
  amount: PositiveMoney,
  methodToken: PaymentMethodToken,
  captureMode: CaptureMode,
  customerId: Schema.optional(CustomerId)
}

/**
 * The payload of the command payment.authorize: the sender chooses the payment's id, so that it can undo what it never
 * heard of again.
 *
 * @category schemas
 */
export const Authorization = Schema.Struct({ paymentId: PaymentId, ...authorization }).annotations({
  identifier: "Authorization"
})
export type Authorization = typeof Authorization.Type

/**
 * The body of `POST /payments`.
 *
 * @category schemas
 */
export const AuthorizationRequest = Schema.Struct({
  paymentId: Schema.optional(PaymentId).annotations({ description: "Made here when left out" }),
  ...authorization,
  captureMode: Schema.optional(CaptureMode).annotations({ description: "manual when left out" })
}).annotations({ identifier: "AuthorizationRequest" })
export type AuthorizationRequest = typeof AuthorizationRequest.Type

/** The body of `POST /payments/{id}/capture`. */
export const CaptureRequest = Schema.Struct({
  amount: Schema.optional(PositiveMoney).annotations({ description: "All that is authorised and open when left out" }),
  final: Schema.optional(Schema.Boolean).annotations({ description: "true: the rest of the authorisation is voided" }),
  reason: Schema.optional(Text.line(200))
}).annotations({ identifier: "CaptureRequest" })
export type CaptureRequest = typeof CaptureRequest.Type

/** The body of `POST /payments/{id}/void`. */
export const VoidRequest = Schema.Struct({ reason: Schema.optional(Text.line(200)) }).annotations({
  identifier: "VoidRequest"
})
export type VoidRequest = typeof VoidRequest.Type

/** The body of `POST /payments/{id}/refunds`. */
export const RefundRequest = Schema.Struct({
  amount: PositiveMoney,
  reason: Text.line(200),
  refundKey: Schema.optional(Text.code(128)).annotations({ description: "Refunded once for each key" }),
  rmaId: Schema.optional(RmaId)
}).annotations({ identifier: "RefundRequest" })
export type RefundRequest = typeof RefundRequest.Type

import type { Currency } from "@holdfast/contracts/Currency"
import type { PaymentId } from "@holdfast/contracts/Id"
import type { CaptureMode } from "@holdfast/contracts/Payment"
import type { WebhookSignatureInvalid } from "@holdfast/contracts/PaymentErrors"
import { Transaction } from "@holdfast/database/Transaction"
import * as Failure from "@holdfast/resilience/Failure"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type { Outcome } from "./Domain/Outcome.ts"

/**
 * The gateway did not do its part now: the call may have taken effect (`network`, `server_error`) or has not
 * (`rate_limited`). Repeating it with the same key is safe.
 *
 * @category errors
 */
export class GatewayAway extends Data.TaggedError("GatewayAway")<{
  readonly reason: "network" | "server_error" | "rate_limited"
  readonly detail: string
  readonly retryAfterMs?: number
}> {}

/**
 * A call with this key is under way at the gateway, or was made with other parameters: asking tells what became of it.
 *
 * @category errors
 */
export class GatewayKeyInUse extends Data.TaggedError("GatewayKeyInUse")<{ readonly detail: string }> {}

/**
 * The gateway refuses the call as such (a 4xx): nothing happened, and repeating it changes nothing.
 *
 * @category errors
 */
export class GatewayRejected extends Data.TaggedError("GatewayRejected")<{ readonly detail: string }> {}

/** How a call can fail; a decline is no failure but an outcome. */
export type GatewayError = GatewayAway | GatewayKeyInUse | GatewayRejected

export const failures = Failure.classifier<GatewayError>({
  GatewayAway: ({ reason }) => ({ severity: reason === "rate_limited" ? "low" : "high", recovery: "retry" }),
  GatewayKeyInUse: { severity: "low", recovery: "retry" },
  GatewayRejected: { severity: "high", recovery: "fail" }
})

/** What every call says: whose payment, how much, and the key under which it takes effect once. */
export interface Call {
  readonly idempotencyKey: string
  readonly paymentId: PaymentId
  readonly amount: number
  readonly currency: Currency
}

export interface AuthorizeCall extends Call {
  readonly orderId: string
  readonly methodToken: string
  readonly captureMode: CaptureMode
}

/** About an authorisation that the gateway knows as `authorizationRef`. */
export interface FollowUpCall extends Call {
  readonly authorizationRef: string
}

export interface CaptureCall extends FollowUpCall {
  /** The rest of the authorisation is released. */
  readonly final: boolean
}

/** A webhook whose signature was right: who it is, and what it says in the provider's own words. */
export interface Webhook {
  readonly eventId: string
  readonly type: string
  readonly payload: unknown
}

/** A webhook in our words; times are milliseconds since the epoch. */
export type Notice =
  | { readonly _tag: "CallEnded"; readonly idempotencyKey: string; readonly outcome: Outcome }
  | {
    readonly _tag: "DisputeOpened"
    readonly disputeRef: string
    readonly authorizationRef: string
    readonly amount: number
    readonly reason: string
    readonly dueBy: number
  }
  | { readonly _tag: "DisputeClosed"; readonly disputeRef: string; readonly outcome: "won" | "lost" }
  /** Says nothing that we act on. */
  | { readonly _tag: "Other" }

export interface GatewayShape {
  /** The provider's name in rows, keys and webhook paths. */
  readonly provider: string
  readonly authorize: (call: AuthorizeCall) => Effect.Effect<Outcome, GatewayError>
  readonly capture: (call: CaptureCall) => Effect.Effect<Outcome, GatewayError>
  readonly void: (call: FollowUpCall) => Effect.Effect<Outcome, GatewayError>
  readonly refund: (call: FollowUpCall) => Effect.Effect<Outcome, GatewayError>
  /** What became of the call with our key, or of the one that the gateway named so; `undefined`: it knows of none. */
  readonly retrieve: (
    of: { readonly idempotencyKey: string } | { readonly providerRef: string }
  ) => Effect.Effect<Outcome | undefined, GatewayError>
  /** Checks the signature over the raw body, and the age against `now` (milliseconds since the epoch). Pure. */
  readonly verifyWebhook: (
    raw: Uint8Array,
    signature: string | undefined,
    now: number
  ) => Either.Either<Webhook, WebhookSignatureInvalid>
  /** A stored webhook's payload in our words. Pure. */
  readonly interpret: (payload: unknown) => Notice
}

/** Nothing outside is called inside a transaction (O7): it would hold every other writer of the store. */
const outsideTransaction = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.contextWithEffect((context: Context.Context<never>) =>
    context.unsafeMap.has(Transaction.key)
      ? Effect.dieMessage("the gateway is called inside a transaction")
      : call
  )

/**
 * The one outside party of this agent.
 *
 * @category services
 */
export class Gateway extends Context.Tag("@holdfast/payment/Gateway")<Gateway, GatewayShape>() {
  /** The gateway, guarded against calls from inside a transaction. Every implementation is made by this. */
  static readonly guarded = (gateway: GatewayShape): GatewayShape => ({
    ...gateway,
    authorize: (call) => outsideTransaction(gateway.authorize(call)),
    capture: (call) => outsideTransaction(gateway.capture(call)),
    void: (call) => outsideTransaction(gateway.void(call)),
    refund: (call) => outsideTransaction(gateway.refund(call)),
    retrieve: (of) => outsideTransaction(gateway.retrieve(of))
  })
}

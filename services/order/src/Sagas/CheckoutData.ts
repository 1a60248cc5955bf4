import * as SagaMachine from "@holdfast/agent/SagaMachine"
import { Destination } from "@holdfast/contracts/Address"
import { Features } from "@holdfast/contracts/Fraud"
import { AssessmentId, CustomerId, OrderId, PaymentId, ReservationId } from "@holdfast/contracts/Id"
import { Money } from "@holdfast/contracts/Money"
import type { HoldReason } from "@holdfast/contracts/Order"
import { PaymentMethodToken } from "@holdfast/contracts/Order"
import * as Schema from "effect/Schema"

/** The assessments of a checkout: before the authorisation, and with the bank's answer. */
export const Stage = Schema.Literal("pre_auth", "post_auth")
export type Stage = typeof Stage.Type

/**
 * What checkout must remember. Every id it will ever use is made with the order, so that what it asked for can be told
 * from what others did, and undone before its answer is known.
 */
export const Data = Schema.Struct({
  orderId: OrderId,
  customerId: Schema.optional(CustomerId),
  amount: Money,
  shipTo: Destination,
  features: Features,
  /** When an order that waits for a payment is given up, in milliseconds since the epoch. */
  expiresAt: Schema.Number,
  /** The reservation at work, and all that this checkout may use, in turn. */
  reservationId: ReservationId,
  reservationIds: Schema.Array(ReservationId),
  /** The payment at work, and all that this checkout may use, in turn; `null` where there is nothing to pay here. */
  paymentId: Schema.NullOr(PaymentId),
  paymentIds: Schema.Array(PaymentId),
  methodToken: Schema.NullOr(PaymentMethodToken),
  authorized: Schema.Boolean,
  /** Stages that fraud, or the order in its place, has spoken about. */
  assessed: Schema.Array(Stage),
  assessmentId: Schema.NullOr(AssessmentId),
  /** `assumed`: fraud did not answer and the order is too large to go on without it. */
  review: Schema.Literal("none", "assumed", "open", "approved"),
  /** Stages whose answer was assumed and may still come. */
  unheard: Schema.Array(Stage)
})
export type Data = typeof Data.Type

/** What checkout changes in the order. */
export type Action =
  | { readonly _tag: "Hold"; readonly reason: HoldReason; readonly note?: string }
  | { readonly _tag: "ReleaseHold"; readonly reason: HoldReason; readonly by: string }
  | { readonly _tag: "Authorized"; readonly amount: number }
  | { readonly _tag: "ChangePayment" }
  | { readonly _tag: "Confirm" }
  | { readonly _tag: "Cancel"; readonly reason: string }

export type Transition = SagaMachine.Transition<Data, Action>
export type Answer = SagaMachine.Answer<Data, Transition>
export type Step = SagaMachine.Step<Data, Action>

export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE

export const hold = (reason: HoldReason): Action => ({ _tag: "Hold", reason })
export const release = (reason: HoldReason, by: string): Action => ({ _tag: "ReleaseHold", reason, by })

/** The id that comes after the one at work. */
export const after = <Id>(ids: ReadonlyArray<Id>, current: Id): Id | undefined => ids[ids.indexOf(current) + 1]

/** All that must be true before stock is committed. */
export const toCommit = (data: Data, ...actions: ReadonlyArray<Action>): Transition =>
  SagaMachine.next(data.review === "open" || data.review === "assumed" ? "review" : "commit", data, ...actions)

/** The money, where there is any to be had. */
export const toPayment = (data: Data, ...actions: ReadonlyArray<Action>): Transition =>
  data.paymentId === null ? toCommit(data, ...actions) : SagaMachine.next("authorise", data, ...actions)

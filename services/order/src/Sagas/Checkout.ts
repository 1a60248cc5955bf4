import { request } from "@holdfast/agent/SagaMachine"
import * as SagaMachine from "@holdfast/agent/SagaMachine"
import { Destination } from "@holdfast/contracts/Address"
import { Features } from "@holdfast/contracts/Fraud"
import type { AssessmentOutcome, AssessmentStage } from "@holdfast/contracts/Fraud"
import { AssessOrder } from "@holdfast/contracts/FraudCommands"
import { OrderAssessed, ReviewDecided } from "@holdfast/contracts/FraudEvents"
import type { OrderLineId } from "@holdfast/contracts/Id"
import { AssessmentId, CustomerId, OrderId, PaymentId, ReservationId } from "@holdfast/contracts/Id"
import {
  CommitReservation,
  ExtendReservation,
  ReleaseReservation,
  ReserveStock
} from "@holdfast/contracts/InventoryCommands"
import {
  ReservationCommandRefused,
  ReservationConfirmed,
  ReservationExpired,
  ReservationRejected,
  ReservationReleased
} from "@holdfast/contracts/InventoryEvents"
import type * as Message from "@holdfast/contracts/Message"
import { Money } from "@holdfast/contracts/Money"
import type { HoldReason } from "@holdfast/contracts/Order"
import { PaymentMethodToken } from "@holdfast/contracts/Order"
import { PaymentRisk, PaymentState } from "@holdfast/contracts/Payment"
import { AuthorizePayment, VoidPayment } from "@holdfast/contracts/PaymentCommands"
import {
  PaymentActionRequired,
  PaymentAuthorized,
  PaymentDeclined,
  PaymentVoided
} from "@holdfast/contracts/PaymentEvents"
import type { Quantity } from "@holdfast/contracts/Quantity"
import { ReservationState, reviewReason } from "@holdfast/contracts/Reservation"
import type { Sku } from "@holdfast/contracts/Sku"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as FraudFallback from "../Domain/FraudFallback.ts"

/** The assessments of a checkout: before the authorisation, and with the bank's answer. */
const Stage = Schema.Literal("pre_auth", "post_auth")
type Stage = typeof Stage.Type

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

type Transition = SagaMachine.Transition<Data, Action>
type Answer = SagaMachine.Answer<Data, Transition>
type Step = SagaMachine.Step<Data, Action>

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

const { done, fail, next, on, park, stay } = SagaMachine

const hold = (reason: HoldReason): Action => ({ _tag: "Hold", reason })
const release = (reason: HoldReason, by: string): Action => ({ _tag: "ReleaseHold", reason, by })

/** The id that comes after the one at work. */
const after = <Id>(ids: ReadonlyArray<Id>, current: Id): Id | undefined => ids[ids.indexOf(current) + 1]

// --- the way forward -------------------------------------------------------------------------------------------------

/** All that must be true before stock is committed. */
const toCommit = (data: Data, ...actions: ReadonlyArray<Action>): Transition =>
  next(data.review === "open" || data.review === "assumed" ? "review" : "commit", data, ...actions)

const toPayment = (data: Data, ...actions: ReadonlyArray<Action>): Transition =>
  data.paymentId === null ? toCommit(data, ...actions) : next("authorise", data, ...actions)

const reserved = (data: Data): Transition =>
  !data.assessed.includes("pre_auth") ? next("assess", data) : data.authorized ? toCommit(data) : toPayment(data)

/** The reservation is gone: another one, as long as there are ids for it. */
const reserveAgain = (data: Data): Transition => {
  const reservationId = after(data.reservationIds, data.reservationId)
  return reservationId === undefined ? fail("out_of_stock", data) : next("reserve", { ...data, reservationId })
}

const authorized = (data: Data, amount: number, risk: PaymentRisk): Transition => {
  const paid: Data = { ...data, authorized: true, features: { ...data.features, card: cardOf(risk) } }
  if (amount < data.amount.amount) return fail("payment_failed", paid)
  const actions = [{ _tag: "Authorized", amount }, release("awaiting_payment", "payment")] as const
  // Authorised anew after a block: a person has approved the order with all its facts.
  return data.assessed.includes("post_auth") ? toCommit(paid, ...actions) : next("assess_payment", paid, ...actions)
}

const cardOf = ({ fingerprint, ...risk }: PaymentRisk): NonNullable<Features["card"]> => ({
  ...risk,
  ...(fingerprint === undefined || !/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/.test(fingerprint) ? {} : { fingerprint })
})

const declined = (data: Data, retryable: boolean): Transition =>
  retryable ? next("await_payment", data, hold("awaiting_payment")) : fail("payment_declined", data)

// --- fraud -----------------------------------------------------------------------------------------------------------

/** What an outcome makes of the order at a stage. */
const assessed = (data: Data, stage: Stage, outcome: AssessmentOutcome): Transition => {
  const known: Data = { ...data, assessed: [...data.assessed, stage] }
  const goOn = stage === "pre_auth" ? toPayment : toCommit
  const held: Data = { ...known, review: "open" }
  switch (outcome) {
    case "approve":
      return goOn(known)
    case "review":
      return goOn(held, hold("fraud_review"))
    case "block_and_review":
      return next(data.authorized ? "free_payment" : "review_first", held, hold("fraud_review"))
    case "decline":
      return fail("fraud_decline", known)
  }
}

/** Fraud does not answer: the order decides by its own rule, and listens on. */
const assumed = (data: Data, stage: Stage): Transition => {
  const known: Data = { ...data, assessed: [...data.assessed, stage], unheard: [...data.unheard, stage] }
  const goOn = stage === "pre_auth" ? toPayment : toCommit
  return FraudFallback.outcome(data.amount) === "approve"
    ? goOn(known)
    : goOn({ ...known, review: data.review === "open" ? "open" : "assumed" }, hold("fraud_review"))
}

const assess = (stage: Stage) => (data: Data) => [
  request(AssessOrder, {
    orderId: data.orderId,
    stage,
    features: data.features
  })
]

const assessment = (stage: Stage): Step => ({
  requests: assess(stage),
  answers: [
    on(OrderAssessed, (data: Data, event) =>
      event.orderId === data.orderId && event.stage === stage
        ? assessed({ ...data, assessmentId: event.assessmentId }, stage, event.outcome)
        : undefined)
  ],
  waitMillis: () => 5 * SECOND,
  onMiss: (data) => assumed(data, stage),
  exhausted: "park"
})

const isStage = (stage: AssessmentStage): stage is Stage => stage !== "return"

/** An outcome that comes after the order decided by itself: it counts as long as checkout runs. */
const lateAssessment: Answer = on(OrderAssessed, (data: Data, event): Transition | undefined => {
  const { assessmentId, outcome, stage } = event
  if (event.orderId !== data.orderId || !isStage(stage) || !data.unheard.includes(stage)) return undefined
  const heard: Data = { ...data, assessmentId, unheard: data.unheard.filter((one) => one !== stage) }
  if (outcome === "decline") return fail("fraud_decline", heard)
  if (outcome !== "approve") return stay({ ...heard, review: "open" }, hold("fraud_review"))
  return heard.review === "assumed" && heard.unheard.length === 0
    ? stay({ ...heard, review: "none" }, release("fraud_review", "fraud"))
    : stay(heard)
})

const decided = (goOn: (data: Data, ...actions: ReadonlyArray<Action>) => Transition): Answer =>
  on(ReviewDecided, (data: Data, event): Transition | undefined => {
    if (event.orderId !== data.orderId) return undefined
    return event.outcome === "approve"
      ? goOn({ ...data, review: "approved", unheard: [] }, release("fraud_review", event.by))
      : fail("fraud_decline", data)
  })

/** A late approval ends the wait of a review that was only assumed. */
const resolved: Answer = on(OrderAssessed, (data: Data, event): Transition | undefined => {
  const transition = lateAssessment.read(data, event)
  return transition?._tag === "Stay" && transition.data.review === "none"
    ? toCommit(transition.data, ...transition.actions)
    : transition
})

// --- questions about others' state, where their events are missing ---------------------------------------------------

const readReservation = Schema.decodeUnknownOption(
  Schema.Struct({ id: ReservationId, state: ReservationState })
)
const readPayment = Schema.decodeUnknownOption(
  Schema.Struct({ id: PaymentId, state: PaymentState, authorized: Money, risk: Schema.optional(PaymentRisk) })
)

const askReservation = (
  read: (data: Data, state: ReservationState) => Transition | undefined
): NonNullable<Step["query"]> => ({
  agent: "inventory",
  path: (data) => `/reservations/${data.reservationId}`,
  read: (data, body) => Option.getOrUndefined(Option.map(readReservation(body), ({ state }) => read(data, state)))
})

type PaymentView = Option.Option.Value<ReturnType<typeof readPayment>>

const askPayment = (
  read: (data: Data, payment: PaymentView) => Transition | undefined
): NonNullable<Step["query"]> => ({
  agent: "payment",
  path: (data) => `/payments/${data.paymentId ?? ""}`,
  read: (data, body) => Option.getOrUndefined(Option.map(readPayment(body), (payment) => read(data, payment)))
})

const askWhetherAuthorized = askPayment((data, payment) => {
  switch (payment.state) {
    case "authorized":
      return authorized(data, payment.authorized.amount, payment.risk ?? {})
    case "declined":
    case "failed":
    case "expired":
      return declined(data, false)
    default:
      return undefined
  }
})

// --- requests --------------------------------------------------------------------------------------------------------

/** A line as other agents need it. */
export interface Line {
  readonly lineId: OrderLineId
  readonly sku: Sku
  readonly qty: Quantity
}

/**
 * A request with the order's lines, where it needs them: they are in the order's table, so that the saga's row stays small.
 * `undefined` for a request without lines.
 */
export const withLines = (
  { message, payload }: SagaMachine.Request
): ((lines: ReadonlyArray<Line>) => SagaMachine.Request) | undefined => {
  // The message tells what the payload is: both were made by `request`.
  switch (message.name) {
    case ReserveStock.name:
      return (lines) => request(ReserveStock, { ...(payload as Message.Payload<typeof ReserveStock>), lines })
    case AssessOrder.name:
      return (lines) => {
        const assessment = payload as Message.Payload<typeof AssessOrder>
        const features = { ...assessment.features, lines: lines.map(({ qty, sku }) => ({ sku, qty })) }
        return request(AssessOrder, { ...assessment, features })
      }
    default:
      return undefined
  }
}

const extend = (seconds: number, reason?: string) => (data: Data) => [
  request(ExtendReservation, {
    reservationId: data.reservationId,
    orderId: data.orderId,
    ttlSeconds: seconds,
    ...(reason === undefined ? {} : { reason })
  })
]

const voidPayment = (data: Data, reason: string) =>
  data.paymentId === null
    ? []
    : [request(VoidPayment, { paymentId: data.paymentId, orderId: data.orderId, reason })]

const releaseStock = (data: Data, reservationId: ReservationId) =>
  request(ReleaseReservation, { reservationId, orderId: data.orderId, reason: "checkout" })

const paymentAnswers: ReadonlyArray<Answer> = [
  on(
    PaymentAuthorized,
    (data: Data, event) =>
      event.paymentId === data.paymentId ? authorized(data, event.amount.amount, event.risk) : undefined
  ),
  on(
    PaymentDeclined,
    (data: Data, event) => event.paymentId === data.paymentId ? declined(data, event.retryableByCustomer) : undefined
  )
]

/** What ends a reservation before it was committed. */
const reservationLost: ReadonlyArray<Answer> = [
  on(
    ReservationExpired,
    (data: Data, event) => event.reservationId === data.reservationId ? reserveAgain(data) : undefined
  ),
  on(
    ReservationReleased,
    (data: Data, event) => event.reservationId === data.reservationId ? reserveAgain(data) : undefined
  )
]

const reserve: Step = {
  requests: (data) => [
    request(ReserveStock, {
      reservationId: data.reservationId,
      orderId: data.orderId,
      // From the order when the request leaves, see `withLines`.
      lines: [],
      shipTo: data.shipTo,
      ttlSeconds: 15 * 60,
      allowSplit: true
    })
  ],
  answers: [
    on(
      ReservationConfirmed,
      (data: Data, event) => event.reservationId === data.reservationId ? reserved(data) : undefined
    ),
    on(
      ReservationRejected,
      (data: Data, event) => event.orderId === data.orderId ? fail("out_of_stock", data) : undefined
    ),
    ...reservationLost
  ],
  waitMillis: () => 10 * SECOND,
  query: askReservation((data, state) => state === "held" || state === "committed" ? reserved(data) : undefined),
  exhausted: "compensate",
  undo: {
    requests: (data) => [releaseStock(data, data.reservationId)],
    answers: [
      on(ReservationReleased, (data: Data, event) => event.reservationId === data.reservationId),
      on(ReservationExpired, (data: Data, event) => event.reservationId === data.reservationId)
    ]
  }
}

const authorise: Step = {
  requests: (data) =>
    data.paymentId === null || data.methodToken === null ? [] : [
      request(AuthorizePayment, {
        paymentId: data.paymentId,
        orderId: data.orderId,
        amount: data.amount,
        methodToken: data.methodToken,
        captureMode: "manual",
        ...(data.customerId === undefined ? {} : { customerId: data.customerId })
      })
    ],
  answers: [
    ...paymentAnswers,
    on(
      PaymentActionRequired,
      (data: Data, event) => event.paymentId === data.paymentId ? next("authenticate", data) : undefined
    )
  ],
  // Gateways answer within half a minute, or the payment agent asks them until they do.
  waitMillis: () => 45 * SECOND,
  query: askWhetherAuthorized,
  exhausted: "compensate",
  undo: {
    requests: (data) => voidPayment(data, "checkout"),
    answers: [
      on(PaymentVoided, (data: Data, event) => event.paymentId === data.paymentId),
      on(PaymentDeclined, (data: Data, event) => event.paymentId === data.paymentId)
    ]
  }
}

/** The customer finishes 3-D Secure or the like. */
const authenticate: Step = {
  requests: extend(45 * 60),
  answers: paymentAnswers,
  waitMillis: (data, now) => Math.max(SECOND, Math.min(30 * MINUTE, data.expiresAt + 4 * MINUTE - now)),
  onMiss: (data, misses) => misses < 2 ? undefined : fail("payment_expired", data),
  query: askWhetherAuthorized,
  exhausted: "compensate"
}

/** The payment was declined: the customer may try another until the order expires. */
const awaitPayment: Step = {
  requests: extend(45 * 60),
  answers: [
    on(
      PaymentAuthorized,
      (data: Data, event) =>
        event.paymentId === data.paymentId ? authorized(data, event.amount.amount, event.risk) : undefined
    )
  ],
  waitMillis: (data, now) => Math.max(SECOND, data.expiresAt - now),
  onMiss: (data) => fail("payment_expired", data),
  exhausted: "compensate"
}

const freed = (data: Data): Transition => {
  const paymentId = data.paymentId === null ? undefined : after(data.paymentIds, data.paymentId)
  return paymentId === undefined
    ? fail("payment_failed", data)
    : next("review_first", { ...data, authorized: false, paymentId }, { _tag: "ChangePayment" })
}

/** Blocked with the money authorised already: it is given back before a person looks at the case (spec §18.10). */
const freePayment: Step = {
  requests: (data) => voidPayment(data, "fraud"),
  answers: [
    on(PaymentVoided, (data: Data, event) => event.paymentId === data.paymentId ? freed(data) : undefined)
  ],
  waitMillis: () => 10 * SECOND,
  query: askPayment((data, { state }) => state === "voided" ? freed(data) : undefined),
  exhausted: "park"
}

/** Fraud owns the time limits of reviews (24 and 48 h); this one only keeps the order from waiting for ever. */
const reviewLimit = {
  requests: extend(48 * 3600, reviewReason),
  waitMillis: () => 49 * HOUR,
  onMiss: (data: Data) => park<Data, Action>("review_timeout", data),
  exhausted: "park"
} as const

const commit: Step = {
  requests: (data) => [
    request(CommitReservation, { reservationId: data.reservationId, orderId: data.orderId })
  ],
  answers: [
    on(
      ReservationConfirmed,
      (data: Data, event): Transition | undefined =>
        event.reservationId === data.reservationId && event.state === "committed"
          ? done(data, { _tag: "Confirm" })
          : undefined
    ),
    ...reservationLost,
    on(
      ReservationCommandRefused,
      (data: Data, event) =>
        event.reservationId === data.reservationId && event.command === "commit" ? reserveAgain(data) : undefined
    )
  ],
  waitMillis: () => 10 * SECOND,
  query: askReservation((data, state) =>
    state === "committed"
      ? done(data, { _tag: "Confirm" })
      : state === "expired" || state === "released"
      ? reserveAgain(data)
      : undefined
  ),
  exhausted: "compensate"
}

/** Someone gave the authorisation back, or its time was over: nothing is left to confirm the order with. */
const authorizationLost: Answer = on(
  PaymentVoided,
  (data: Data, event) =>
    data.authorized && event.paymentId === data.paymentId ? fail("payment_failed", data) : undefined
)

/**
 * Checkout (spec §18.2): reserve → assess → authorise → assess with the bank's answer → commit → confirm. What it did is
 * undone in reverse when it fails before the order is confirmed.
 */
export const definition: SagaMachine.Definition<Data, Action> = {
  type: "checkout",
  version: 1,
  first: "reserve",
  steps: {
    reserve,
    assess: assessment("pre_auth"),
    review_first: { ...reviewLimit, answers: [decided(toPayment)] },
    authorise,
    authenticate,
    await_payment: awaitPayment,
    assess_payment: assessment("post_auth"),
    free_payment: freePayment,
    review: { ...reviewLimit, answers: [decided(toCommit), resolved] },
    commit
  },
  always: [decided(stay), lateAssessment, authorizationLost],
  late: [
    on(PaymentAuthorized, (data: Data, event) =>
      data.paymentIds.includes(event.paymentId)
        ? [request(VoidPayment, { paymentId: event.paymentId, orderId: data.orderId, reason: "late" })]
        : []),
    on(
      ReservationConfirmed,
      (data: Data, event) =>
        data.reservationIds.includes(event.reservationId) ? [releaseStock(data, event.reservationId)] : []
    )
  ],
  compensated: (_, reason) => [{ _tag: "Cancel", reason }]
}

/** The customer pays with another token: under a new id, since the declined payment is final. */
export const payAgain = (
  data: Data,
  paymentId: PaymentId,
  spareId: PaymentId,
  methodToken: typeof PaymentMethodToken.Type
): Transition =>
  next(
    "authorise",
    { ...data, paymentId, paymentIds: [...data.paymentIds, paymentId, spareId], methodToken },
    release("awaiting_payment", "customer"),
    { _tag: "ChangePayment" }
  )

import * as SagaMachine from "@holdfast/agent/SagaMachine"
import { request } from "@holdfast/agent/SagaMachine"
import type { AssessmentOutcome, AssessmentStage } from "@holdfast/contracts/Fraud"
import { AssessOrder } from "@holdfast/contracts/FraudCommands"
import { OrderAssessed, ReviewDecided } from "@holdfast/contracts/FraudEvents"
import { reviewReason } from "@holdfast/contracts/Reservation"
import * as FraudFallback from "../Domain/FraudFallback.ts"
import {
  type Action,
  type Answer,
  type Data,
  hold,
  HOUR,
  release,
  SECOND,
  type Stage,
  type Step,
  toCommit,
  toPayment,
  type Transition
} from "./CheckoutData.ts"
import { extend } from "./CheckoutStock.ts"

const { fail, next, on, park, stay } = SagaMachine

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

/** Asks fraud what it thinks of the order at a stage. */
export const assessment = (stage: Stage): Step => ({
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
export const lateAssessment: Answer = on(OrderAssessed, (data: Data, event): Transition | undefined => {
  const { assessmentId, outcome, stage } = event
  if (event.orderId !== data.orderId || !isStage(stage) || !data.unheard.includes(stage)) return undefined
  const heard: Data = { ...data, assessmentId, unheard: data.unheard.filter((one) => one !== stage) }
  if (outcome === "decline") return fail("fraud_decline", heard)
  if (outcome !== "approve") return stay({ ...heard, review: "open" }, hold("fraud_review"))
  return heard.review === "assumed" && heard.unheard.length === 0
    ? stay({ ...heard, review: "none" }, release("fraud_review", "fraud"))
    : stay(heard)
})

/** A person has decided; approved, it goes on as given. */
export const decided = (goOn: (data: Data, ...actions: ReadonlyArray<Action>) => Transition): Answer =>
  on(ReviewDecided, (data: Data, event): Transition | undefined => {
    if (event.orderId !== data.orderId) return undefined
    return event.outcome === "approve"
      ? goOn({ ...data, review: "approved", unheard: [] }, release("fraud_review", event.by))
      : fail("fraud_decline", data)
  })

/** A late approval ends the wait of a review that was only assumed. */
export const resolved: Answer = on(OrderAssessed, (data: Data, event): Transition | undefined => {
  const transition = lateAssessment.read(data, event)
  return transition?._tag === "Stay" && transition.data.review === "none"
    ? toCommit(transition.data, ...transition.actions)
    : transition
})

/** Fraud owns the time limits of reviews (24 and 48 h); this one only keeps the order from waiting for ever. */
export const reviewLimit = {
  requests: extend(48 * 3600, reviewReason),
  waitMillis: () => 49 * HOUR,
  onMiss: (data: Data) => park<Data, Action>("review_timeout", data),
  exhausted: "park"
} as const

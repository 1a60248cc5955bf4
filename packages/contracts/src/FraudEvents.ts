import * as Schema from "effect/Schema"
import { AssessmentOutcome, AssessmentStage, ListKind, ListName, ReviewDecision, RulesetStats } from "./Fraud.ts"
import { AssessmentId, CaseId, OrderId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import * as Message from "./Message.ts"

const key = (payload: { readonly orderId: OrderId }) => payload.orderId

/** Answers fraud.assess. */
export const OrderAssessed = Message.event("fraud.assessed", {
  payload: Schema.Struct({
    assessmentId: AssessmentId,
    orderId: OrderId,
    stage: AssessmentStage,
    score: Schema.Number,
    outcome: AssessmentOutcome,
    topReasons: Schema.Array(Schema.String),
    rulesetVersion: Schema.Number,
    fallback: Schema.Boolean
  }),
  key,
  subject: (payload) => payload.assessmentId
})

/** A person must decide about the order until `dueAt`. */
export const CaseOpened = Message.event("fraud.case_opened", {
  payload: Schema.Struct({ caseId: CaseId, orderId: OrderId, score: Schema.Number, dueAt: Instant }),
  key,
  subject: (payload) => payload.caseId
})

/** The review has ended: the order goes on or is cancelled. */
export const ReviewDecided = Message.event("fraud.review_decided", {
  payload: Schema.Struct({ caseId: CaseId, orderId: OrderId, outcome: ReviewDecision, by: Schema.String }),
  key,
  subject: (payload) => payload.caseId
})

/** An identifier came on a list or off it. */
export const ListChanged = Message.event("fraud.list_changed", {
  payload: Schema.Struct({
    entryHash: Schema.String,
    list: ListName,
    kind: ListKind,
    action: Schema.Literal("added", "removed", "expired")
  }),
  key: (payload) => payload.entryHash
})

/** This version of the rules is live now; `shadowStats`: how it did in shadow. */
export const RulesetPublished = Message.event("fraud.ruleset_published", {
  payload: Schema.Struct({ version: Schema.Number, shadowStats: Schema.optional(RulesetStats) }),
  key: (payload) => String(payload.version)
})

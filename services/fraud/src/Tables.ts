import * as Fraud from "@holdfast/contracts/Fraud"
import { AssessmentId, CaseId, OrderId } from "@holdfast/contracts/Id"
import { PaymentRisk } from "@holdfast/contracts/Payment"
import * as Table from "@holdfast/database/Table"
import * as Schema from "effect/Schema"
import type { Facts } from "./Domain/Facts.ts"
import type { Snapshot } from "./Domain/Snapshot.ts"

const orderId = Table.textOf(OrderId)

/** What the bank's checks of a card said. */
const CardFacts = Schema.typeSchema(PaymentRisk).pipe(Schema.omit("fingerprint"))
export type CardFacts = typeof CardFacts.Type
/** A document of a type of this service's own: only its own code writes it. */
const json = <A>(): Table.Column<A> => Table.json(Schema.declare((_: unknown): _ is A => true))

/** The verdicts that count: one for each order and stage (invariant F3), with all that it takes to compute them again. */
export const Assessments = Table.make("assessment", {
  columns: {
    id: Table.textOf(AssessmentId),
    orderId,
    stage: Table.textOf(Fraud.AssessmentStage),
    ruleset: Table.integer,
    score: Table.integer,
    outcome: Table.textOf(Fraud.AssessmentOutcome),
    hits: json<Fraud.Assessment["hits"]>(),
    skipped: Table.json(Schema.Array(Schema.String)),
    fallback: Table.boolean,
    featuresHash: Table.text,
    facts: json<Facts>(),
    snapshot: json<Snapshot>(),
    /** What the score alone would have given; a person's earlier decision or exploration may have changed it. */
    byScore: Table.textOf(Fraud.AssessmentOutcome),
    tookMicros: Table.integer,
    at: Table.integer
  },
  key: ["id"],
  merge: Table.ledger
})

/** What rules in shadow would have said. Nothing that acts reads this table (invariant F6). */
export const ShadowScores = Table.make("shadow_score", {
  columns: {
    assessmentId: Table.textOf(AssessmentId),
    ruleset: Table.integer,
    orderId,
    score: Table.integer,
    outcome: Table.textOf(Fraud.AssessmentOutcome),
    agrees: Table.boolean,
    hits: Table.json(Schema.Array(Schema.String))
  },
  key: ["assessmentId", "ruleset"],
  merge: Table.ledger
})

export const Rulesets = Table.make("ruleset", {
  columns: {
    number: Table.integer,
    state: Table.textOf(Fraud.RulesetState),
    rules: Table.json(Schema.Array(Schema.typeSchema(Fraud.Rule))),
    thresholds: Table.json(Schema.typeSchema(Fraud.Thresholds)),
    note: Table.nullable(Table.text),
    createdAt: Table.integer,
    updatedAt: Table.integer,
    version: Table.integer
  },
  key: ["number"],
  merge: Table.versioned
})

export const ListEntries = Table.make("list_entry", {
  columns: {
    list: Table.textOf(Fraud.ListName),
    kind: Table.textOf(Fraud.ListKind),
    valueHash: Table.text,
    reason: Table.text,
    expiresAt: Table.nullable(Table.integer),
    addedBy: Table.text,
    at: Table.integer,
    version: Table.integer
  },
  key: ["list", "kind", "valueHash"],
  merge: Table.versioned
})

/** Events of an identifier in buckets of the orders' own time; differences add up, in whatever sequence they come. */
export const Counters = Table.make("counter", {
  columns: {
    counter: Table.text,
    subjectKind: Table.text,
    subject: Table.text,
    member: Table.text,
    bucket: Table.integer,
    n: Table.integer,
    version: Table.integer
  },
  key: ["counter", "subjectKind", "subject", "member", "bucket"],
  merge: Table.delta("n")
})

/** What is remembered of an order for the assessment of others. */
export const Orders = Table.make("order_profile", {
  columns: {
    orderId,
    /** The order's own time. */
    placedAt: Table.integer,
    channel: Table.text,
    currency: Table.text,
    grand: Table.integer,
    /** Hash of the customer, of a guest's e-mail, or null for who left neither. */
    customer: Table.nullable(Table.text),
    card: Table.nullable(Table.json(CardFacts)),
    authExpiresAt: Table.nullable(Table.integer),
    delivered: Table.boolean,
    returned: Table.boolean,
    disputed: Table.boolean,
    cancelled: Table.boolean,
    version: Table.integer
  },
  key: ["orderId"],
  merge: Table.versioned
})

/** An identifier was seen on an order, by its keyed hash (invariant F5). */
export const Sightings = Table.make("sighting", {
  columns: { orderId, kind: Table.text, hash: Table.text, placedAt: Table.integer },
  key: ["orderId", "kind", "hash"],
  merge: Table.ledger
})

/** An identifier of an order with a chargeback or confirmed fraud. */
export const Taints = Table.make("taint", {
  columns: { kind: Table.textOf(Fraud.ListKind), hash: Table.text, orderId, version: Table.integer },
  key: ["kind", "hash", "orderId"],
  merge: Table.versioned
})

export const Labels = Table.make("label", {
  columns: { id: Table.text, orderId, kind: Table.textOf(Fraud.LabelKind), at: Table.integer, labelledBy: Table.text },
  key: ["id"],
  merge: Table.ledger
})

export const Cases = Table.make("review_case", {
  columns: {
    id: Table.textOf(CaseId),
    orderId,
    score: Table.integer,
    state: Table.textOf(Fraud.CaseState),
    assignee: Table.nullable(Table.text),
    /** The principal behind the assignee. */
    claimedBy: Table.nullable(Table.text),
    decision: Table.nullable(Table.textOf(Fraud.ReviewDecision)),
    outcome: Table.textOf(Fraud.CaseOutcome),
    openedAt: Table.integer,
    dueAt: Table.integer,
    authExpiresAt: Table.nullable(Table.integer),
    snoozedUntil: Table.nullable(Table.integer),
    remindedAt: Table.nullable(Table.integer),
    escalatedAt: Table.nullable(Table.integer),
    closedAt: Table.nullable(Table.integer),
    /** When the clock has something to do with the case. */
    nextAt: Table.nullable(Table.integer),
    updatedAt: Table.integer,
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})

export const CaseNotes = Table.make("case_note", {
  columns: { id: Table.text, caseId: Table.textOf(CaseId), at: Table.integer, author: Table.text, body: Table.text },
  key: ["id"],
  merge: Table.ledger
})

export const all = [
  Assessments,
  ShadowScores,
  Rulesets,
  ListEntries,
  Counters,
  Orders,
  Sightings,
  Taints,
  Labels,
  Cases,
  CaseNotes
] as const

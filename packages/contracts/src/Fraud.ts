import * as Schema from "effect/Schema"
import { Country } from "./Country.ts"
import * as Dictionary from "./Dictionary.ts"
import { AssessmentId, CaseId, CustomerId, OrderId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import * as Integer from "./Integer.ts"
import { Money } from "./Money.ts"
import { PaymentRisk } from "./Payment.ts"
import { Count, Quantity } from "./Quantity.ts"
import { Sku } from "./Sku.ts"
import * as Text from "./Text.ts"

/** When an order is assessed: before the authorisation, with its answer, at a return. */
export const AssessmentStage = Schema.Literal("pre_auth", "post_auth", "return")
export type AssessmentStage = typeof AssessmentStage.Type

/** Below 30 approve, 30–59 review, 60–84 block_and_review, from 85 decline (spec §16). */
export const AssessmentOutcome = Schema.Literal("approve", "review", "block_and_review", "decline")
export type AssessmentOutcome = typeof AssessmentOutcome.Type

/**
 * A keyed hash of an identifier (e-mail, telephone, IP, device, card, address, customer) as lower-case hex: the identifier
 * itself is never sent (invariant F5).
 *
 * @category schemas
 */
export const Hash = Schema.String.pipe(
  Schema.pattern(/^[0-9a-f]{16,128}$/, { message: () => "a hash must be 16 to 128 lower-case hexadecimal digits" })
)

const score = Integer.between(0, 100)

/**
 * What the rules look at. Identifiers come hashed, beside them coarse facts that say nothing about a person. A fact that is
 * missing skips the rules that need it.
 *
 * @category schemas
 */
export const Features = Schema.Struct({
  placedAt: Instant.annotations({ description: "The order's own time: windows count in it, not in the clock's" }),
  channel: Schema.optional(Text.code(64)),
  grand: Money,
  lines: Schema.optional(
    Schema.Array(
      Schema.Struct({
        sku: Sku,
        qty: Quantity,
        category: Schema.optional(Text.code(64)).annotations({ description: "e.g. resale" })
      })
    ).pipe(Schema.maxItems(1000))
  ),
  billingCountry: Schema.optional(Country),
  shippingCountry: Schema.optional(Country),
  expressShipping: Schema.optional(Schema.Boolean),
  sessionStartedAt: Schema.optional(Instant),
  customer: Schema.optional(
    Schema.Struct({
      hash: Schema.optional(Hash).annotations({ description: "Absent: a guest without history" }),
      guest: Schema.Boolean,
      ordersBefore: Schema.optional(Count).annotations({
        description: "Where the sender knows better than the counters"
      }),
      deliveredBefore60d: Schema.optional(Count).annotations({ description: "Delivered orders older than 60 days" }),
      disputes: Schema.optional(Count),
      returnRateBp: Schema.optional(Integer.between(0, 10_000))
    })
  ),
  email: Schema.optional(
    Schema.Struct({
      hash: Hash,
      domain: Schema.optional(Text.line(253)),
      firstSeenAt: Schema.optional(Instant),
      nameSimilarity: Schema.optional(score).annotations({
        description: "Jaro–Winkler similarity of the name and the local part, in hundredths"
      })
    })
  ),
  phoneHash: Schema.optional(Hash),
  ip: Schema.optional(
    Schema.Struct({
      hash: Schema.optional(Hash),
      prefix: Schema.optional(Text.line(43)).annotations({
        description: "The network, /24 or /48, e.g. 203.0.113.0/24: enough for country and kind"
      }),
      country: Schema.optional(Country),
      kind: Schema.optional(Schema.Literal("ordinary", "proxy", "vpn", "tor", "hosting"))
    })
  ),
  device: Schema.optional(Schema.Struct({ hash: Hash })),
  shippingAddress: Schema.optional(
    Schema.Struct({
      hash: Hash,
      kind: Schema.optional(Schema.Literal("ordinary", "freight_forwarder", "parcel_locker"))
    })
  ),
  billingAddress: Schema.optional(Schema.Struct({ hash: Hash })),
  card: Schema.optional(
    Schema.Struct({
      ...PaymentRisk.fields,
      fingerprint: Schema.optional(Text.code(128)),
      bin: Schema.optional(
        Schema.String.pipe(Schema.pattern(/^\d{6,8}$/, { message: () => "a BIN must be 6 to 8 digits" }))
      )
    })
  )
}).annotations({ identifier: "Features" })
export type Features = typeof Features.Type

/**
 * The body of `POST /assessments` and of the command fraud.assess.
 *
 * @category schemas
 */
export const AssessmentRequest = Schema.Struct({ orderId: OrderId, stage: AssessmentStage, features: Features })
  .annotations({ identifier: "AssessmentRequest" })
export type AssessmentRequest = typeof AssessmentRequest.Type

/**
 * The verdict of the rules on an order at a stage.
 *
 * @category schemas
 */
export const Assessment = Schema.Struct({
  id: AssessmentId,
  orderId: OrderId,
  stage: AssessmentStage,
  rulesetVersion: Schema.Number,
  score,
  outcome: AssessmentOutcome,
  hits: Schema.Array(
    Schema.Struct({
      rule: Schema.String,
      points: Schema.Number,
      facts: Schema.Record({ key: Schema.String, value: Schema.Unknown })
    })
  ),
  skipped: Schema.Array(Schema.String).annotations({ description: "Rules whose facts were missing" }),
  featuresHash: Schema.String,
  tookMs: Schema.Number,
  fallback: Schema.Boolean.annotations({ description: "Whether facts were missing or the rules failed" }),
  assessedAt: Instant
}).annotations({ identifier: "Assessment" })
export type Assessment = typeof Assessment.Type

/** What a person decides about an order in review. */
export const ReviewDecision = Schema.Literal("approve", "decline")
export type ReviewDecision = typeof ReviewDecision.Type

/** pending → investigating → closed; closed → investigating; snoozed until a time. */
export const CaseState = Schema.Literal("pending", "investigating", "snoozed", "closed")
export type CaseState = typeof CaseState.Type

/** What a case was, for learning. */
export const CaseOutcome = Schema.Literal("confirmed_fraud", "suspicious", "false_positive", "unset")
export type CaseOutcome = typeof CaseOutcome.Type

/**
 * An order that a person must look at.
 *
 * @category schemas
 */
export const FraudCase = Schema.Struct({
  id: CaseId,
  orderId: OrderId,
  customerId: Schema.optional(CustomerId),
  assessmentIds: Schema.Array(AssessmentId),
  score,
  state: CaseState,
  assignee: Schema.optional(Schema.String),
  decision: Schema.optional(ReviewDecision),
  outcome: CaseOutcome,
  openedAt: Instant,
  dueAt: Instant,
  snoozedUntil: Schema.optional(Instant),
  closedAt: Schema.optional(Instant),
  notes: Schema.Array(Schema.Struct({ at: Instant, by: Schema.String, text: Schema.String })),
  updatedAt: Instant,
  version: Integer.Version
}).annotations({ identifier: "FraudCase" })
export type FraudCase = typeof FraudCase.Type

/** Deny refuses, allow trusts, watch only marks. */
export const ListName = Schema.Literal("deny", "allow", "watch")
export type ListName = typeof ListName.Type

/** What identifier an entry is of. */
export const ListKind = Schema.Literal("email", "phone", "ip", "cidr", "device", "cardFp", "address", "customer")
export type ListKind = typeof ListKind.Type

/**
 * An identifier on a list, by its keyed hash.
 *
 * @category schemas
 */
export const ListEntry = Schema.Struct({
  list: ListName,
  kind: ListKind,
  valueHash: Schema.String,
  reason: Schema.String,
  expiresAt: Schema.optional(Instant),
  by: Schema.String,
  at: Instant,
  version: Integer.Version
}).annotations({ identifier: "ListEntry" })
export type ListEntry = typeof ListEntry.Type

/**
 * An identifier to put on a list, in clear (it is hashed before it is stored) or hashed.
 *
 * @category schemas
 */
export const ListEntryInput = Schema.Struct({
  kind: ListKind,
  value: Schema.optional(Text.line(254)).annotations({ description: "In clear; hashed before it is stored" }),
  valueHash: Schema.optional(Hash),
  reason: Text.line(200),
  expiresAt: Schema.optional(Instant)
}).pipe(
  Schema.filter((entry) =>
    (entry.value === undefined) !== (entry.valueHash === undefined)
      ? undefined
      : { path: ["value"], message: "send either value or valueHash" }
  )
).annotations({ identifier: "ListEntryInput" })
export type ListEntryInput = typeof ListEntryInput.Type

/** How far a version of the rules is. */
export const RulesetState = Schema.Literal("draft", "shadow", "live", "retired")
export type RulesetState = typeof RulesetState.Type

const points = Integer.between(-100, 100)

/**
 * A rule: a built-in condition with its parameters, and what it adds to the score.
 *
 * @category schemas
 */
export const Rule = Schema.Struct({
  code: Text.code(16).annotations({ description: "e.g. R03" }),
  when: Schema.Struct({
    condition: Text.code(64).annotations({ description: "Name of a built-in condition" }),
    parameters: Schema.optional(
      Dictionary.of(Text.codeForm(64), Schema.Union(Schema.JsonNumber, Schema.Boolean, Text.line(100)), 0, 20, "a word")
    )
  }),
  points,
  floor: Schema.optional(score).annotations({ description: "The score is at least this when the rule hits" }),
  group: Schema.optional(Text.code(64))
}).annotations({ identifier: "Rule" })
export type Rule = typeof Rule.Type

/** Scores from which an order is reviewed, blocked, declined; in rising order. */
export const Thresholds = Schema.Struct({ review: score, block: score, decline: score }).annotations({
  identifier: "Thresholds"
})
export type Thresholds = typeof Thresholds.Type

const ruleset = {
  rules: Schema.Array(Rule).pipe(Schema.minItems(1), Schema.maxItems(200)),
  thresholds: Thresholds
}

/** The body of `POST /rulesets`. */
export const RulesetInput = Schema.Struct({ ...ruleset, note: Schema.optional(Text.line(500)) }).annotations({
  identifier: "RulesetInput"
})
export type RulesetInput = typeof RulesetInput.Type

/**
 * A version of the rules: draft → shadow (scores without effect) → live (one at a time) → retired.
 *
 * @category schemas
 */
export const Ruleset = Schema.Struct({
  rulesetVersion: Integer.Version,
  state: RulesetState,
  ...ruleset,
  note: Schema.optional(Schema.String),
  createdAt: Instant,
  updatedAt: Instant,
  version: Integer.Version
}).annotations({ identifier: "Ruleset" })
export type Ruleset = typeof Ruleset.Type

/**
 * What a version of the rules decided so far.
 *
 * @category schemas
 */
export const RulesetStats = Schema.Struct({
  rulesetVersion: Integer.Version,
  assessed: Count,
  outcomes: Schema.Struct({ approve: Count, review: Count, block_and_review: Count, decline: Count }),
  agreesWithLive: Schema.optional(Count).annotations({ description: "Of a shadow: same outcome as the live rules" }),
  rules: Schema.Array(
    Schema.Struct({
      code: Schema.String,
      hits: Count,
      precisionBp: Schema.optional(Schema.Number),
      recallBp: Schema.optional(Schema.Number)
    })
  )
}).annotations({ identifier: "RulesetStats" })
export type RulesetStats = typeof RulesetStats.Type

/** What an order turned out to be. */
export const LabelKind = Schema.Literal("chargeback", "confirmed", "cleared")
export type LabelKind = typeof LabelKind.Type

/**
 * The truth about an order, learnt later.
 *
 * @category schemas
 */
export const Label = Schema.Struct({ orderId: OrderId, kind: LabelKind, at: Instant }).annotations({
  identifier: "Label"
})
export type Label = typeof Label.Type

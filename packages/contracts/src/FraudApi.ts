import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as Schema from "effect/Schema"
import { Actor } from "./Actor.ts"
import { CommandPolicy } from "./CommandPolicy.ts"
import { Description, Summary } from "./Documentation.ts"
import { Common } from "./Errors.ts"
import {
  Assessment,
  AssessmentOutcome,
  AssessmentRequest,
  CaseOutcome,
  CaseState,
  FraudCase,
  Hash,
  Label,
  LabelKind,
  ListEntry,
  ListEntryInput,
  ListKind,
  ListName,
  ReviewDecision,
  Ruleset,
  RulesetInput,
  RulesetState,
  RulesetStats
} from "./Fraud.ts"
import { AlreadyAssessed, CaseStateConflict, CaseTaken, RulesetInvalid, RulesetStateConflict } from "./FraudErrors.ts"
import { AssessmentId, CaseId, OrderId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import { Version } from "./Integer.ts"
import * as Page from "./Page.ts"
import * as Text from "./Text.ts"

const caseById = Schema.Struct({ id: CaseId })
const byVersion = Schema.Struct({ version: Schema.NumberFromString.pipe(Schema.compose(Version)) })

/**
 * Assessments, cases, lists and rules (spec §16).
 *
 * @category apis
 */
export const FraudApi = HttpApiGroup.make("fraud")
  .add(
    HttpApiEndpoint.post("assess", "/assessments")
      .setPayload(AssessmentRequest)
      .addSuccess(Assessment, { status: 201 })
      .addError(AlreadyAssessed)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Assess an order")
      .annotate(Description, "An order has one outcome for each stage; a case is opened when a person must decide.")
  )
  .add(
    HttpApiEndpoint.get("getAssessment", "/assessments/:id")
      .setPath(Schema.Struct({ id: AssessmentId }))
      .addSuccess(Assessment)
      .annotate(Summary, "Read an assessment with the rules that hit")
  )
  .add(
    HttpApiEndpoint.get("listAssessments", "/assessments")
      .setUrlParams(
        Schema.Struct({
          ...Page.parameters,
          orderId: Schema.optional(OrderId),
          outcome: Schema.optional(AssessmentOutcome)
        })
      )
      .addSuccess(Page.of(Assessment))
      .annotate(Summary, "List assessments, e.g. of an order")
  )
  .add(
    HttpApiEndpoint.get("listCases", "/cases")
      .setUrlParams(
        Schema.Struct({
          ...Page.parameters,
          state: Schema.optional(CaseState),
          orderId: Schema.optional(OrderId),
          assignee: Schema.optional(Actor),
          updatedSince: Page.updatedSince
        })
      )
      .addSuccess(Page.of(FraudCase))
      .annotate(Summary, "List cases")
  )
  .add(
    HttpApiEndpoint.get("getCase", "/cases/:id")
      .setPath(caseById)
      .addSuccess(FraudCase)
      .annotate(Summary, "Read a case")
  )
  .add(
    HttpApiEndpoint.post("claim", "/cases/:id/claim")
      .setPath(caseById)
      .setPayload(Schema.Struct({ assignee: Schema.optional(Actor) }))
      .addSuccess(FraudCase)
      .addError(CaseTaken)
      .addError(CaseStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Take a case")
      .annotate(Description, "The assignee is who asks, unless named. A closed case is reopened.")
  )
  .add(
    HttpApiEndpoint.post("decide", "/cases/:id/decide")
      .setPath(caseById)
      .setPayload(
        Schema.Struct({
          decision: ReviewDecision,
          outcome: Schema.optional(CaseOutcome).annotations({ description: "What the case was, for learning" }),
          note: Schema.optional(Text.paragraphs(2000))
        })
      )
      .addSuccess(FraudCase)
      .addError(CaseTaken)
      .addError(CaseStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Decide a case")
      .annotate(Description, "Approved, the order goes on; declined, it is cancelled. Closes the case.")
  )
  .add(
    HttpApiEndpoint.post("snooze", "/cases/:id/snooze")
      .setPath(caseById)
      .setPayload(Schema.Struct({ until: Instant, note: Schema.optional(Text.paragraphs(2000)) }))
      .addSuccess(FraudCase)
      .addError(CaseStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Put a case aside until a time")
      .annotate(Description, "Its due time stays as it is.")
  )
  .add(
    HttpApiEndpoint.post("addToList", "/lists/:list")
      .setPath(Schema.Struct({ list: ListName }))
      .setPayload(ListEntryInput)
      .addSuccess(ListEntry, { status: 201 })
      .annotate(CommandPolicy, { writeClass: "provisional", idempotencyKey: "required" })
      .annotate(Summary, "Put an identifier on a list")
      .annotate(Description, "An entry that is there already gets the new reason and expiry.")
  )
  .add(
    HttpApiEndpoint.del("removeFromList", "/lists/:list/:kind/:valueHash")
      .setPath(Schema.Struct({ list: ListName, kind: ListKind, valueHash: Hash }))
      .addSuccess(ListEntry)
      .annotate(CommandPolicy, { writeClass: "provisional", idempotencyKey: "optional" })
      .annotate(Summary, "Take an identifier off a list")
  )
  .add(
    HttpApiEndpoint.get("listEntries", "/lists/:list")
      .setPath(Schema.Struct({ list: ListName }))
      .setUrlParams(
        Schema.Struct({ ...Page.parameters, kind: Schema.optional(ListKind), valueHash: Schema.optional(Hash) })
      )
      .addSuccess(Page.of(ListEntry))
      .annotate(Summary, "List the entries of a list")
  )
  .add(
    HttpApiEndpoint.post("createRuleset", "/rulesets")
      .setPayload(RulesetInput)
      .addSuccess(Ruleset, { status: 201 })
      .addError(RulesetInvalid)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Make a new version of the rules, as a draft")
  )
  .add(
    HttpApiEndpoint.get("listRulesets", "/rulesets")
      .setUrlParams(Schema.Struct({ ...Page.parameters, state: Schema.optional(RulesetState) }))
      .addSuccess(Page.of(Ruleset))
      .annotate(Summary, "List the versions of the rules, newest first")
  )
  .add(
    HttpApiEndpoint.get("getRuleset", "/rulesets/:version")
      .setPath(byVersion)
      .addSuccess(Ruleset)
      .annotate(Summary, "Read a version of the rules")
  )
  .add(
    HttpApiEndpoint.post("shadow", "/rulesets/:version/shadow")
      .setPath(byVersion)
      .addSuccess(Ruleset)
      .addError(RulesetStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Let a draft score beside the live rules, without effect")
  )
  .add(
    HttpApiEndpoint.post("publish", "/rulesets/:version/publish")
      .setPath(byVersion)
      .addSuccess(Ruleset)
      .addError(RulesetStateConflict)
      .annotate(CommandPolicy, { writeClass: "provisional", idempotencyKey: "optional" })
      .annotate(Summary, "Make a shadow the live rules")
      .annotate(Description, "The rules that were live are retired.")
  )
  .add(
    HttpApiEndpoint.get("stats", "/rulesets/:version/stats")
      .setPath(byVersion)
      .addSuccess(RulesetStats)
      .annotate(Summary, "What a version of the rules decided so far")
  )
  .add(
    HttpApiEndpoint.post("label", "/labels")
      .setPayload(Schema.Struct({ orderId: OrderId, kind: LabelKind, at: Schema.optional(Instant) }))
      .addSuccess(Label, { status: 201 })
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Record the truth about an order")
  )
  .addError(Common)

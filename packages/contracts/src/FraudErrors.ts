import * as Schema from "effect/Schema"
import { CaseState, RulesetState } from "./Fraud.ts"
import { problem } from "./Problem.ts"

/**
 * Another person works on the case.
 *
 * @category errors
 */
export class CaseTaken extends Schema.TaggedError<CaseTaken>()(
  "CaseTaken",
  { caseId: Schema.String, assignee: Schema.String },
  problem({
    code: "case_taken",
    status: 409,
    title: "Someone else has the case",
    detail: "Leave the case to its assignee, or ask them to give it up.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The case's state has no such step.
 *
 * @category errors
 */
export class CaseStateConflict extends Schema.TaggedError<CaseStateConflict>()(
  "CaseStateConflict",
  { caseId: Schema.String, state: CaseState },
  problem({
    code: "case_state_conflict",
    status: 409,
    title: "The case's state does not allow this",
    detail: "Read the case: a closed one is decided; claim it again to reopen it.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The order has its outcome for this stage, from other facts (invariant F3).
 *
 * @category errors
 */
export class AlreadyAssessed extends Schema.TaggedError<AlreadyAssessed>()(
  "AlreadyAssessed",
  { orderId: Schema.String, assessmentId: Schema.String },
  problem({
    code: "already_assessed",
    status: 409,
    title: "The order was assessed at this stage with other facts",
    detail: "Use the named assessment; an order has one outcome for each stage.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The rules refer to what does not exist or contradict themselves.
 *
 * @category errors
 */
export class RulesetInvalid extends Schema.TaggedError<RulesetInvalid>()(
  "RulesetInvalid",
  { issues: Schema.Array(Schema.String) },
  problem({
    code: "ruleset_invalid",
    status: 422,
    title: "The ruleset cannot work",
    detail: "Correct what is listed in issues: unknown conditions, codes used twice, thresholds out of order.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The ruleset's state has no such step.
 *
 * @category errors
 */
export class RulesetStateConflict extends Schema.TaggedError<RulesetStateConflict>()(
  "RulesetStateConflict",
  { rulesetVersion: Schema.Number, state: RulesetState },
  problem({
    code: "ruleset_state_conflict",
    status: 409,
    title: "The ruleset's state does not allow this",
    detail:
      "Put a draft in shadow first, publish a shadow; make a new version instead of changing a live or retired one.",
    severity: "low",
    recovery: "fail"
  })
) {}

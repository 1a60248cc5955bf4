import type { AssessmentOutcome, ReviewDecision, Thresholds } from "@holdfast/contracts/Fraud"
import { inMinorUnits } from "./EuroAmount.ts"

/** From mild to severe. */
const bySeverity = ["approve", "review", "block_and_review", "decline"] as const satisfies ReadonlyArray<
  AssessmentOutcome
>

/** The more severe of two outcomes. */
export const highest = (one: AssessmentOutcome, other: AssessmentOutcome): AssessmentOutcome =>
  bySeverity.indexOf(one) >= bySeverity.indexOf(other) ? one : other

export const ofScore = (score: number, { block, decline, review }: Thresholds): AssessmentOutcome =>
  score >= decline ? "decline" : score >= block ? "block_and_review" : score >= review ? "review" : "approve"

/** Whether a person must decide. */
export const needsReview = (outcome: AssessmentOutcome): boolean =>
  outcome === "review" || outcome === "block_and_review"

interface Amount {
  readonly grand: number
  readonly currency: string
}

/** Where the rules could not be run at all: what a large order may cost is worth a look. */
export const withoutRules = ({ currency, grand }: Amount): AssessmentOutcome =>
  grand > inMinorUnits(150, currency) ? "review" : "approve"

/** Where more rules than this were skipped for missing facts, a large order is looked at whatever its score. */
export const whenFactsAreMissing = (skipped: number, { currency, grand }: Amount): AssessmentOutcome =>
  skipped > 3 && grand > inMinorUnits(300, currency) ? "review" : "approve"

/** The review threshold while the counters are stale (level 2: no bus). */
export const cautious = (thresholds: Thresholds): Thresholds => ({
  ...thresholds,
  review: Math.min(thresholds.review, 25)
})

/** What a person decided about the order before, at an earlier stage. */
export interface Decided {
  readonly decision: ReviewDecision
  /** The highest score that person saw. */
  readonly score: number
}

/**
 * A decision stands at later stages: a declined order stays declined, an approved one approved as long as the score is not
 * above what was seen. Else the same order would be reviewed twice for the same reasons.
 */
export const afterDecision = (
  outcome: AssessmentOutcome,
  score: number,
  decided: Decided | undefined
): AssessmentOutcome => {
  if (decided === undefined) return outcome
  if (decided.decision === "decline") return "decline"
  return score <= decided.score && needsReview(outcome) ? "approve" : outcome
}

/** A number from 0 to 99 that belongs to the text: the same in every run. */
const percentileOf = (text: string): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % 100
}

/** Lets one in a hundred mild reviews pass, so that it can be learnt what reviews are worth. */
export const explored = (outcome: AssessmentOutcome, score: number, orderId: string): AssessmentOutcome =>
  outcome === "review" && score < 45 && percentileOf(orderId) === 0 ? "approve" : outcome

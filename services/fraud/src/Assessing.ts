import type { AssessmentRequest } from "@holdfast/contracts/Fraud"
import { OrderAssessed } from "@holdfast/contracts/FraudEvents"
import type { AssessmentId, OrderId } from "@holdfast/contracts/Id"
import * as Transaction from "@holdfast/database/Transaction"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import * as Facts from "./Domain/Facts.ts"
import * as Identifiers from "./Domain/Identifiers.ts"
import * as Outcome from "./Domain/Outcome.ts"
import * as Score from "./Domain/Score.ts"
import type { Snapshot } from "./Domain/Snapshot.ts"
import * as Memory from "./Memory.ts"
import * as Repository from "./Repository.ts"
import * as Reviewing from "./Reviewing.ts"
import { Settings } from "./Settings.ts"
import { Assessments, ShadowScores } from "./Tables.ts"

export const featuresHash = (features: AssessmentRequest["features"]): string =>
  // Decoding gives the fields in the order of the schema.
  createHash("sha256").update(JSON.stringify(features)).digest("hex")

/** The rules applied; where they fail themselves, the rule for that case. */
const judge = (rules: Repository.RulesetRow | undefined, facts: Facts.Facts, snapshot: Snapshot) =>
  rules === undefined
    ? Effect.succeed(Score.withoutRules(facts))
    : Effect.try(() => Score.score(rules, facts, snapshot)).pipe(
      Effect.catchAll((error) =>
        Effect.as(Effect.logError("the fraud rules failed", error.error), Score.withoutRules(facts))
      )
    )

/** What a person decided about the order last. */
const decidedBefore = (orderId: OrderId) =>
  Effect.map(Repository.casesOf(orderId), (cases): Outcome.Decided | undefined => {
    const last = cases.filter(({ state }) => state === "closed").at(-1)
    return last === undefined || last.decision === null ? undefined : { decision: last.decision, score: last.score }
  })

const tell = (row: Repository.AssessmentRow, reasons: ReadonlyArray<string>) =>
  Transaction.emit(OrderAssessed, {
    assessmentId: row.id,
    orderId: row.orderId,
    stage: row.stage,
    score: row.score,
    outcome: row.outcome,
    topReasons: reasons,
    rulesetVersion: row.ruleset,
    fallback: row.fallback
  })

/** Tells the verdict that the order has at that stage once more. */
export const tellAgain = (row: Repository.AssessmentRow) => tell(row, Score.topReasons(row, { rules: [] }))

/** `stale`: the counters have not heard everything (no bus), so that less is let pass. */
export interface Options {
  readonly counters: "fresh" | "stale"
}

/**
 * Assesses an order that has no verdict at this stage yet: remembers what it shows, applies the live rules and those in
 * shadow, opens a case where a person must decide, and tells the verdict.
 */
export const assess = ({ features, orderId, stage }: AssessmentRequest, { counters }: Options) =>
  Effect.gen(function*() {
    const startedAt = yield* Clock.currentTimeNanos
    const { nextId, now } = yield* Transaction.Transaction
    const profile = yield* Memory.profileOf(orderId)
    const before = profile === undefined ? [] : yield* Memory.shownBy(orderId)
    const facts = Facts.make(stage, features, {
      cardKnown: before.some(({ role }) => role === "cardFp"),
      card: profile?.card ?? undefined
    })
    const shownNow = Identifiers.ofFeatures(features, yield* Memory.hashOf)
    yield* Memory.remember(orderId, facts, shownNow, profile)
    const shown = yield* Memory.see(orderId, facts.placedAt, before, shownNow)
    const { live, shadows } = yield* Repository.rulesetsInUse
    const inUse = live === undefined ? shadows : [live, ...shadows]
    const snapshot = yield* Memory.snapshot(orderId, facts, features, shown, Score.counterUses(inUse))

    const careful = (rules: Repository.RulesetRow): Repository.RulesetRow =>
      counters === "stale" ? { ...rules, thresholds: Outcome.cautious(rules.thresholds) } : rules
    const result = yield* judge(live === undefined ? undefined : careful(live), facts, snapshot)
    const { explore } = yield* Settings
    const considered = Outcome.afterDecision(
      result.outcome,
      result.score,
      profile === undefined ? undefined : yield* decidedBefore(orderId)
    )
    const outcome = explore ? Outcome.explored(considered, result.score, orderId) : considered

    // The prefix makes it one.
    const id = nextId("fas") as AssessmentId
    for (const shadow of shadows) {
      const would = yield* judge(careful(shadow), facts, snapshot)
      yield* Transaction.insert(ShadowScores, {
        assessmentId: id,
        ruleset: shadow.number,
        orderId,
        score: would.score,
        outcome: would.outcome,
        agrees: would.outcome === result.outcome,
        hits: would.hits.map(({ rule }) => rule)
      })
    }
    const row = yield* Transaction.insert(Assessments, {
      id,
      orderId,
      stage,
      ruleset: live?.number ?? 0,
      score: result.score,
      outcome,
      hits: result.hits,
      skipped: result.skipped,
      fallback: result.fallback,
      featuresHash: featuresHash(features),
      facts,
      snapshot,
      byScore: result.outcome,
      // A figure for people: that it differs when the operation is run again changes nothing.
      tookMicros: Number(((yield* Clock.currentTimeNanos) - startedAt) / 1000n),
      at: now
    })
    yield* tell(row, Score.topReasons(result, { rules: live?.rules ?? [] }))
    // The verdict on a return does not hold the order: aftersales decides about it.
    if (Outcome.needsReview(outcome) && stage !== "return" && profile?.cancelled !== true) {
      yield* Reviewing.open(orderId, result.score, profile?.authExpiresAt ?? null)
    }
    return row
  })

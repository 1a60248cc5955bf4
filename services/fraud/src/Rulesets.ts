import type { RulesetInput, RulesetStats } from "@holdfast/contracts/Fraud"
import { RulesetInvalid, RulesetStateConflict } from "@holdfast/contracts/FraudErrors"
import { RulesetPublished } from "@holdfast/contracts/FraudEvents"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Learning from "./Domain/Learning.ts"
import * as RulesetCheck from "./Domain/RulesetCheck.ts"
import * as RulesetState from "./Domain/RulesetState.ts"
import * as Repository from "./Repository.ts"
import { Labels, Rulesets } from "./Tables.ts"

export const byNumber = (number: number) =>
  Repository.found("ruleset", String(number), Transaction.get(Rulesets, { number }))

export const create = ({ note, rules, thresholds }: RulesetInput) =>
  Effect.gen(function*() {
    const issues = RulesetCheck.issues({ rules, thresholds })
    if (issues.length > 0) return yield* new RulesetInvalid({ issues: issues.slice(0, 50) })
    const now = yield* Transaction.now
    const [last] = yield* Transaction.select(Rulesets, { orderBy: [["number", "desc"]], limit: 1 })
    return yield* Transaction.insert(Rulesets, {
      number: (last?.number ?? 0) + 1,
      state: "draft",
      rules,
      thresholds,
      note: note ?? null,
      createdAt: now,
      updatedAt: now
    })
  })

/** Takes a ruleset one step further. */
export const advance = (row: Repository.RulesetRow, by: RulesetState.Step) =>
  Effect.gen(function*() {
    const state = RulesetState.step(row.state, by)
    if (state === undefined) {
      return yield* new RulesetStateConflict({ rulesetVersion: row.number, state: row.state })
    }
    const updatedAt = yield* Transaction.now
    return yield* Transaction.update(Rulesets, { number: row.number }, (found) => ({ ...found, state, updatedAt }))
  })

/** How many of the last verdicts the figures of single rules are made of. */
const SAMPLE = 20_000

/** What a ruleset decided: live in assessments, in shadow beside them. */
export const stats = (number: number) =>
  Effect.gen(function*() {
    const outcomes = yield* Transaction.query(
      `select outcome, sum(n) as n, sum(agrees) as agrees, sum(shadow) as shadow from (
          select outcome, count(*) as n, 0 as agrees, 0 as shadow from assessment where ruleset = ? group by outcome
          union all
          select outcome, count(*) as n, sum(case when agrees then 1 else 0 end) as agrees, count(*) as shadow
            from shadow_score where ruleset = ? group by outcome
        ) as both_kinds group by outcome`,
      [number, number]
    )
    const verdicts = yield* Transaction.query(
      `select order_id, hits from (
          select order_id, hits, id as sequence from assessment where ruleset = ?
          union all
          select order_id, hits, assessment_id as sequence from shadow_score where ruleset = ?
        ) as verdicts order by sequence desc limit ${SAMPLE}`,
      [number, number]
    )
    const labels = yield* Transaction.select(Labels, { orderBy: [["at", "desc"], ["id", "desc"]], limit: SAMPLE })
    const { rules } = yield* byNumber(number)
    const sum = (column: string) => outcomes.reduce((total, row) => total + Number(row[column] ?? 0), 0)
    const of = (outcome: string) => Number(outcomes.find((row) => row["outcome"] === outcome)?.["n"] ?? 0)
    const found: RulesetStats = {
      rulesetVersion: number,
      assessed: sum("n"),
      outcomes: {
        approve: of("approve"),
        review: of("review"),
        block_and_review: of("block_and_review"),
        decline: of("decline")
      },
      ...(sum("shadow") === 0 ? {} : { agreesWithLive: sum("agrees") }),
      rules: Learning.figures(
        rules.map(({ code }) => code),
        verdicts.map((row) => ({ orderId: String(row["order_id"]), hits: Learning.codesOf(row["hits"]) })),
        labels
      )
    }
    return found
  })

/** Makes a shadow the live rules; those that were live retire. */
export const publish = (row: Repository.RulesetRow) =>
  Effect.gen(function*() {
    const shadowStats = yield* stats(row.number)
    const { live } = yield* Repository.rulesetsInUse
    const mayPublish = RulesetState.step(row.state, "publish") !== undefined
    // One is live at any time: the old one leaves first.
    if (mayPublish && live !== undefined) yield* advance(live, "retire")
    const published = yield* advance(row, "publish")
    yield* Transaction.emit(RulesetPublished, { version: row.number, shadowStats })
    return published
  })

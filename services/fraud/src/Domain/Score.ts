import type { Assessment, AssessmentOutcome, Rule, Thresholds } from "@holdfast/contracts/Fraud"
import * as Condition from "./Condition.ts"
import type { Facts } from "./Facts.ts"
import * as Outcome from "./Outcome.ts"
import type { CounterUse, Snapshot } from "./Snapshot.ts"

export interface Rules {
  readonly rules: ReadonlyArray<Rule>
  readonly thresholds: Thresholds
}

export type RuleHit = Assessment["hits"][number]

export interface Score {
  readonly score: number
  readonly outcome: AssessmentOutcome
  readonly hits: ReadonlyArray<RuleHit>
  /** Rules that could not be asked for want of a fact that such an order should have. */
  readonly skipped: ReadonlyArray<string>
  readonly fallback: boolean
}

/** Channels where the buyer sits at a browser of their own: such an order comes with a session. */
const sessionChannels: ReadonlySet<string> = new Set(["web", "app", "mobile"])

/**
 * Whether an order of this channel should have that part at this stage. An order agreed elsewhere (a marketplace, the
 * telephone, an import) has no session of ours to miss, and no order has a card's answer before it was asked.
 */
const expects = (part: Condition.Part, { channel, stage }: Facts): boolean =>
  sessionChannels.has(channel) && (part === "card" ? stage === "post_auth" : stage !== "return")

const clamp = (points: number): number => Math.min(100, Math.max(0, points))

/** Entries of the watch list only mark. */
const watched = (snapshot: Snapshot): ReadonlyArray<RuleHit> => {
  const kinds = snapshot.listed.filter((entry) => entry.list === "watch").map((entry) => entry.kind)
  return kinds.length === 0 ? [] : [{ rule: "watch", points: 0, facts: { kinds } }]
}

/**
 * The score of an order: the points of the rules that hit, clamped to 0–100, then the floors of the hard rules, which nothing
 * lowers (invariant F2). Pure: the same facts, rules and snapshot give the same score (invariant F1).
 */
export const score = ({ rules, thresholds }: Rules, facts: Facts, snapshot: Snapshot): Score => {
  const hits: Array<RuleHit> = []
  const skipped: Array<string> = []
  let sum = 0
  let floor = 0
  for (const rule of rules) {
    const verdict = Condition.of(rule)?.test(facts, snapshot, rule.when.parameters ?? {}) ?? "clear"
    if (verdict === "clear") continue
    if ("missing" in verdict) {
      if (expects(verdict.missing, facts)) skipped.push(rule.code)
      continue
    }
    const points = verdict.points ?? rule.points
    sum += points
    floor = Math.max(floor, rule.floor ?? 0)
    hits.push({ rule: rule.code, points, facts: verdict.facts })
  }
  const total = Math.max(clamp(sum), floor)
  return {
    score: total,
    outcome: Outcome.highest(
      Outcome.ofScore(total, thresholds),
      Outcome.whenFactsAreMissing(skipped.length, facts)
    ),
    hits: [...hits, ...watched(snapshot)],
    skipped,
    fallback: skipped.length > 0
  }
}

/** Where the rules themselves failed. */
export const withoutRules = (facts: Facts): Score => ({
  score: 0,
  outcome: Outcome.withoutRules(facts),
  hits: [],
  skipped: [],
  fallback: true
})

/** The rules that weigh most, worst first: reasons that fit a line. */
export const topReasons = ({ hits }: Pick<Score, "hits">, { rules }: Pick<Rules, "rules">): ReadonlyArray<string> => {
  const floors = new Map(rules.map((rule) => [rule.code, rule.floor ?? 0]))
  const weight = (hit: RuleHit) => Math.max(hit.points, floors.get(hit.rule) ?? 0)
  return hits.filter((hit) => weight(hit) > 0).sort((a, b) => weight(b) - weight(a)).slice(0, 5).map((hit) => hit.rule)
}

/** The counters that these rules look at, each once. */
export const counterUses = (rulesets: ReadonlyArray<Pick<Rules, "rules">>): ReadonlyArray<CounterUse> => {
  const uses = new Map<string, CounterUse>()
  for (const rule of rulesets.flatMap((ruleset) => ruleset.rules)) {
    for (const use of Condition.of(rule)?.counters(rule.when.parameters ?? {}) ?? []) {
      uses.set(`${use.counter}/${use.window}`, use)
    }
  }
  return [...uses.values()]
}

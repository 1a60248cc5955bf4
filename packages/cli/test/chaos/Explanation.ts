import type { Ending } from "../../src/Replay/Report.ts"

/** An entry of an order's history. */
export interface Entry {
  readonly at: string
  readonly kind: string
  readonly data: Readonly<Record<string, unknown>>
}

/** What agents know of an order that ended otherwise than it does undisturbed. */
export interface Evidence {
  readonly timeline: ReadonlyArray<Entry>
  /** What fraud said of it, and when. */
  readonly assessments: ReadonlyArray<{ readonly outcome: string; readonly at: string }>
}

/** A rule that an agent declares, and what shows that it was at work. */
export interface Explanation {
  readonly rule: "deadline" | "fraud fallback"
  readonly detail: string
}

/** How long checkout waits in a step before it gives up, in milliseconds: three times what it waits for an answer. */
const patience: Readonly<Record<string, number>> = {
  reserve_timeout: 3 * 10_000,
  commit_timeout: 3 * 10_000,
  authorise_timeout: 3 * 45_000
}

/** Fraud has this long to answer, in milliseconds; then the order decides by its own rule. */
const FRAUD_MILLIS = 5_000

const when = ({ timeline }: Evidence, kind: string): number =>
  Date.parse(timeline.find((entry) => entry.kind === kind)?.at ?? "")

/** An agent did not answer for as long as checkout waits. */
const byDeadline = (ending: Ending, evidence: Evidence): Explanation | undefined => {
  const cause = evidence.timeline.find(({ kind }) => kind === "cancelled")?.data["cause"]
  const waited = when(evidence, "cancelled") - when(evidence, "placed")
  const wanted = typeof cause === "string" ? patience[cause] : undefined
  return wanted !== undefined && ending.state === "cancelled" && waited >= wanted
    ? { rule: "deadline", detail: `${String(cause)} after ${(waited / 1000).toFixed(1)} s` }
    : undefined
}

/** Fraud would have declined and did not say so in time. */
const byFallback = (ending: Ending, evidence: Evidence): Explanation | undefined => {
  const declined = evidence.assessments.find(({ outcome }) => outcome === "decline")
  const late = Date.parse(declined?.at ?? "") - when(evidence, "placed")
  return ending.state === "confirmed" && late >= FRAUD_MILLIS
    ? { rule: "fraud fallback", detail: `fraud declined after ${(late / 1000).toFixed(1)} s` }
    : undefined
}

/**
 * The declared rule by which an order ended otherwise than it does undisturbed; undefined where none accounts for it. A
 * reason alone explains nothing: there must be a trace of what the rule demands.
 */
export const explain = (ending: Ending, evidence: Evidence): Explanation | undefined =>
  byDeadline(ending, evidence) ?? byFallback(ending, evidence)

/** The two endings of an invoice; undefined for one that it does not have. */
export interface Difference {
  readonly invoice: string
  readonly undisturbed: Ending | undefined
  readonly disturbed: Ending | undefined
}

const isSame = (one: Ending | undefined, other: Ending | undefined): boolean =>
  one !== undefined && other !== undefined && one.state === other.state && one.reason === other.reason &&
  one.grand === other.grand

/** Invoices whose orders did not end alike. */
export const differences = (
  undisturbed: ReadonlyArray<Ending>,
  disturbed: ReadonlyArray<Ending>
): ReadonlyArray<Difference> => {
  const ones = new Map(undisturbed.map((ending) => [ending.invoice, ending]))
  const others = new Map(disturbed.map((ending) => [ending.invoice, ending]))
  return [...new Set([...ones.keys(), ...others.keys()])]
    .map((invoice) => ({ invoice, undisturbed: ones.get(invoice), disturbed: others.get(invoice) }))
    .filter((one) => !isSame(one.undisturbed, one.disturbed))
}

const shown = (ending: Ending | undefined): string =>
  ending === undefined ? "no order" : `${ending.state}${ending.reason === undefined ? "" : `: ${ending.reason}`}`

/** The report of the differing orders; `unexplained` must be empty. */
export interface Report {
  readonly explained: ReadonlyArray<{ readonly rule: Explanation["rule"]; readonly line: string }>
  readonly unexplained: ReadonlyArray<string>
}

/** Names the rule of each difference. */
export const report = (
  all: ReadonlyArray<Difference>,
  evidenceOf: (orderId: string) => Evidence | undefined
): Report => {
  const judged = all.map((difference) => {
    const { disturbed, invoice, undisturbed } = difference
    const line = `${invoice} (${disturbed?.orderId ?? ""}): ${shown(undisturbed)}, disturbed ${shown(disturbed)}`
    const evidence = disturbed === undefined ? undefined : evidenceOf(disturbed.orderId)
    // No rule makes an order appear or vanish, or changes what it is worth.
    const isComparable = disturbed !== undefined && undisturbed !== undefined && disturbed.grand === undisturbed.grand
    const explanation = isComparable && evidence !== undefined ? explain(disturbed, evidence) : undefined
    return { line, explanation }
  })
  return {
    explained: judged.flatMap(({ explanation, line }) =>
      explanation === undefined
        ? []
        : [{ rule: explanation.rule, line: `${line}: ${explanation.rule}, ${explanation.detail}` }]
    ),
    unexplained: judged.flatMap(({ explanation, line }) => explanation === undefined ? [line] : [])
  }
}

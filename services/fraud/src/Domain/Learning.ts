import type { LabelKind, RulesetStats } from "@holdfast/contracts/Fraud"

export interface Verdict {
  readonly orderId: string
  /** Codes of the rules that hit. */
  readonly hits: ReadonlyArray<string>
}

export interface Truth {
  readonly orderId: string
  readonly kind: LabelKind
}

/** The codes in a stored list of hits, which are codes themselves or objects with one. */
export const codesOf = (stored: unknown): ReadonlyArray<string> => {
  const hits: unknown = typeof stored === "string" ? JSON.parse(stored) : stored
  if (!Array.isArray(hits)) return []
  return hits.map((hit: unknown) =>
    typeof hit === "object" && hit !== null && "rule" in hit ? String(hit.rule) : String(hit)
  )
}

const basisPoints = (part: number, whole: number) => Math.round(10_000 * part / whole)

/**
 * How each rule did. Precision: of the orders that it hit and whose truth is known, the share that was fraud; recall: of
 * the fraudulent orders that were assessed, the share that it hit. `truths` comes newest first: the last word counts.
 */
export const figures = (
  codes: ReadonlyArray<string>,
  verdicts: ReadonlyArray<Verdict>,
  truths: ReadonlyArray<Truth>
): RulesetStats["rules"] => {
  const bad = new Map<string, boolean>()
  for (const { kind, orderId } of truths) if (!bad.has(orderId)) bad.set(orderId, kind !== "cleared")
  const ordersHit = new Map(codes.map((code) => [code, new Set<string>()]))
  const hits = new Map<string, number>()
  const assessedBad = new Set<string>()
  for (const verdict of verdicts) {
    if (bad.get(verdict.orderId) === true) assessedBad.add(verdict.orderId)
    for (const code of verdict.hits) {
      hits.set(code, (hits.get(code) ?? 0) + 1)
      ordersHit.get(code)?.add(verdict.orderId)
    }
  }
  return codes.map((code) => {
    const known = [...ordersHit.get(code) ?? []].filter((orderId) => bad.has(orderId))
    const right = known.filter((orderId) => bad.get(orderId) === true).length
    return {
      code,
      hits: hits.get(code) ?? 0,
      ...(known.length === 0 ? {} : { precisionBp: basisPoints(right, known.length) }),
      ...(assessedBad.size === 0 ? {} : { recallBp: basisPoints(right, assessedBad.size) })
    }
  })
}

/**
 * Something that must hold and does not.
 *
 * @category models
 */
export interface Finding {
  /** The invariant by its name in the domain rules, e.g. `I4`, or a short word. */
  readonly rule: string
  readonly agent: string
  /** What it is about: an order, a sku, a payment. */
  readonly id: string
  readonly detail: string
}

/**
 * Reports at most so many findings of one rule by name; the rest is counted.
 *
 * @category conversions
 */
export const format = (findings: ReadonlyArray<Finding>, perRule = 20): ReadonlyArray<string> => {
  const byRule = new Map<string, Array<Finding>>()
  for (const finding of findings) {
    const key = `${finding.agent} ${finding.rule}`
    byRule.set(key, [...byRule.get(key) ?? [], finding])
  }
  return [...byRule].flatMap(([key, members]) => [
    ...members.slice(0, perRule).map(({ detail, id }) => `${key}: ${id}: ${detail}`),
    ...(members.length > perRule ? [`${key}: and ${members.length - perRule} more`] : [])
  ])
}

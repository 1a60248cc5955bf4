import * as Condition from "./Condition.ts"
import type { Rules } from "./Score.ts"

/** What is wrong with a set of rules, as sentences; empty for one that works. */
export const issues = ({ rules, thresholds }: Rules): ReadonlyArray<string> => {
  const codes = new Set<string>()
  const twice = rules.flatMap(({ code }) => codes.size === codes.add(code).size ? [`${code} is there twice`] : [])
  const { block, decline, review } = thresholds
  return [
    ...twice,
    ...rules.flatMap(Condition.parameterIssues),
    ...(review < block && block < decline ? [] : ["thresholds must rise: review < block < decline"])
  ]
}

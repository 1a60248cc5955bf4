import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { History } from "./History.ts"

/**
 * What was promised and not kept; each line names an operation or a sum.
 *
 * @category errors
 */
export class PromiseBroken extends Data.TaggedError("PromiseBroken")<{ readonly violations: ReadonlyArray<string> }> {
  override get message(): string {
    const shown = this.violations.slice(0, 20)
    const rest = this.violations.length - shown.length
    return [`${this.violations.length} broken promises`, ...shown, ...(rest > 0 ? [`… and ${rest} more`] : [])].join(
      "\n"
    )
  }
}

/**
 * A history against the effects that are found at its end: every acknowledged operation has exactly one, a refused one
 * none, one whose outcome nobody was told none or one, and there is no effect that nobody asked for.
 *
 * @category models
 */
export interface SetFull {
  readonly acknowledged: number
  readonly refused: number
  readonly unknown: number
  readonly unknownButThere: number
  readonly lost: ReadonlyArray<string>
  readonly doubled: ReadonlyArray<string>
  readonly refusedButThere: ReadonlyArray<string>
  readonly strangers: ReadonlyArray<string>
}

/**
 * @category checks
 */
export const setFull = (history: History, effects: Iterable<string>): SetFull => {
  const found = new Map<string, number>()
  for (const op of effects) found.set(op, (found.get(op) ?? 0) + 1)
  const outcomes = history.outcomes()
  const having = (...phases: ReadonlyArray<string>) =>
    [...outcomes].filter(([, phase]) => phases.includes(phase)).map(([op]) => op)
  const acknowledged = having("ok")
  const refused = having("fail")
  const unknown = having("info", "invoke")
  return {
    acknowledged: acknowledged.length,
    refused: refused.length,
    unknown: unknown.length,
    unknownButThere: unknown.filter((op) => found.has(op)).length,
    lost: acknowledged.filter((op) => !found.has(op)),
    doubled: [...found].filter(([, times]) => times > 1).map(([op]) => op),
    refusedButThere: refused.filter((op) => found.has(op)),
    strangers: [...found.keys()].filter((op) => !outcomes.has(op))
  }
}

/**
 * The broken promises of a set, in words.
 *
 * @category conversions
 */
export const violations = (set: SetFull): ReadonlyArray<string> => [
  ...set.lost.map((op) => `${op} was acknowledged and is lost`),
  ...set.doubled.map((op) => `${op} took effect more than once`),
  ...set.refusedButThere.map((op) => `${op} was refused and took effect`),
  ...set.strangers.map((op) => `${op} took effect and nobody asked for it`)
]

/**
 * Fails when there are violations.
 *
 * @category checks
 */
export const kept = (broken: ReadonlyArray<string>): Effect.Effect<void, PromiseBroken> =>
  broken.length === 0 ? Effect.void : Effect.fail(new PromiseBroken({ violations: broken }))

/**
 * The value below which a share of all lies; 0 where there is none.
 *
 * @category arithmetic
 */
export const percentile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

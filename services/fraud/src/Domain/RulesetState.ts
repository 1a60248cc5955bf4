import type { RulesetState } from "@holdfast/contracts/Fraud"

export type Step = "shadow" | "publish" | "retire"

const steps: Readonly<Record<RulesetState, Readonly<Partial<Record<Step, RulesetState>>>>> = {
  draft: { shadow: "shadow" },
  shadow: { publish: "live" },
  live: { retire: "retired" },
  retired: {}
}

/** The state after a step, or nothing where the state has no such step. */
export const step = (from: RulesetState, by: Step): RulesetState | undefined => steps[from][by]

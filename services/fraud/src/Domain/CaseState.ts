import type { CaseState } from "@holdfast/contracts/Fraud"

/** `wake`: the snooze is over; `end`: the order has ended without a decision. */
export type Step = "claim" | "decide" | "snooze" | "wake" | "end"

const steps: Readonly<Record<CaseState, Readonly<Partial<Record<Step, CaseState>>>>> = {
  pending: { claim: "investigating", decide: "closed", snooze: "snoozed", end: "closed" },
  investigating: { claim: "investigating", decide: "closed", snooze: "snoozed", end: "closed" },
  snoozed: { claim: "investigating", decide: "closed", snooze: "snoozed", wake: "pending", end: "closed" },
  closed: { claim: "investigating" }
}

/** The state after a step, or nothing where the state has no such step. */
export const step = (from: CaseState, by: Step): CaseState | undefined => steps[from][by]

import type { ReservationState } from "@holdfast/contracts/Reservation"

/** What can happen to a reservation. */
export type Step = "reserve" | "extend" | "commit" | "expire" | "release" | "ship"

/**
 * Where each step leads (spec §8); a step that is not listed is refused. A release also ends what has expired, so that a
 * reserve that comes late cannot hold stock again for an order that gave up.
 */
const steps: Readonly<Record<ReservationState, Readonly<Partial<Record<Step, ReservationState>>>>> = {
  held: { extend: "held", commit: "committed", expire: "expired", release: "released" },
  committed: { commit: "committed", release: "released", ship: "consumed" },
  expired: { reserve: "held", release: "released" },
  released: { release: "released" },
  consumed: {}
}

/** The state after the step, or `undefined` where it is not allowed. */
export const next = (state: ReservationState, step: Step): ReservationState | undefined => steps[state][step]

/** Whether units are promised in this state. */
export const isOpen = (state: ReservationState): boolean => state === "held" || state === "committed"

/** The states in which units are promised. */
export const open: ReadonlyArray<ReservationState> = ["held", "committed"]

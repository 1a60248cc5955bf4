import type { CaseState } from "@holdfast/contracts/Fraud"

const HOUR = 3_600_000

/** What the clock needs to know of a case; times in milliseconds since the epoch. */
export interface Review {
  readonly state: CaseState
  readonly score: number
  /** Whether it was decided before (a reopened case): then the clock decides nothing any more. */
  readonly decided: boolean
  readonly openedAt: number
  readonly authExpiresAt: number | null
  readonly snoozedUntil: number | null
  readonly remindedAt: number | null
  readonly escalatedAt: number | null
}

export type Action = "wake" | "remind" | "approve" | "decline" | "escalate"

/** When the clock decides: after 48 h, or 12 h before the authorisation ends. */
export const dueAt = ({ authExpiresAt, openedAt }: Pick<Review, "authExpiresAt" | "openedAt">): number =>
  Math.min(openedAt + 48 * HOUR, authExpiresAt === null ? Infinity : authExpiresAt - 12 * HOUR)

/** An escalated case may wait for a person until shortly before the authorisation ends (invariant F4). */
const lastCall = ({ authExpiresAt }: Review): number => authExpiresAt === null ? Infinity : authExpiresAt - HOUR

const timeoutAction = (score: number): Action => score >= 60 ? "decline" : score < 45 ? "approve" : "escalate"

/** The moments of a case that lie ahead, each with what happens then. */
const moments = (review: Review): ReadonlyArray<readonly [at: number, action: Action]> => {
  if (review.state === "closed") return []
  const wake: ReadonlyArray<readonly [number, Action]> = review.snoozedUntil === null
    ? []
    : [[review.snoozedUntil, "wake"]]
  if (review.decided) return wake
  const due = dueAt(review)
  const remind = review.openedAt + 24 * HOUR
  return [
    ...wake,
    ...(review.remindedAt === null && remind < due ? [[remind, "remind"] as const] : []),
    review.escalatedAt === null ? [due, timeoutAction(review.score)] as const : [lastCall(review), "decline"] as const
  ]
}

/** What is due at `now`: a decision before all else. */
export const due = (review: Review, now: number): Action | undefined => {
  const actions = moments(review).filter(([at]) => at <= now).map(([, action]) => action)
  return actions.find((action) => action === "approve" || action === "decline" || action === "escalate") ??
    actions.at(0)
}

/** When to look at the case again; `null` for never. */
export const nextAt = (review: Review): number | null => {
  const next = Math.min(...moments(review).map(([at]) => at))
  return Number.isFinite(next) ? next : null
}

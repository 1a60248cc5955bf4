import type { PaymentState } from "@holdfast/contracts/Payment"

const HOUR = 60 * 60 * 1000

/** People are warned this long before an authorisation ends. */
export const warningMillis = 48 * HOUR

/** What the clock does to a payment. Times are milliseconds since the epoch. */
export interface Limits {
  readonly state: PaymentState
  readonly actionExpiresAt: number | null
  readonly authExpiresAt: number | null
  readonly warned: boolean
}

const isPromised = (state: PaymentState): boolean => state === "authorized" || state === "partially_captured"

/** When the clock must look at the payment again; `null`: never. */
export const dueAt = (limits: Limits): number | null => {
  if (limits.state === "requires_action") return limits.actionExpiresAt
  if (!isPromised(limits.state) || limits.authExpiresAt === null) return null
  return limits.warned ? limits.authExpiresAt : limits.authExpiresAt - warningMillis
}

/** What is to be done at `now`. */
export type Due = "cancel_action" | "expire_authorization" | "warn" | "nothing"

export const due = (limits: Limits, now: number): Due => {
  const at = dueAt(limits)
  if (at === null || now < at) return "nothing"
  if (limits.state === "requires_action") return "cancel_action"
  return limits.authExpiresAt !== null && now >= limits.authExpiresAt ? "expire_authorization" : "warn"
}

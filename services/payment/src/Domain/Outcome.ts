import type { PaymentRisk } from "@holdfast/contracts/Payment"

/**
 * What a gateway says about one call, in its answer, when asked for it later, or in a webhook. An approval is of the whole
 * amount asked for. Times are milliseconds since the epoch.
 */
export type Outcome =
  | {
    readonly _tag: "Approved"
    readonly providerRef: string
    /** An authorisation only. */
    readonly authExpiresAt?: number
    readonly risk?: PaymentRisk
  }
  | {
    readonly _tag: "ActionRequired"
    readonly providerRef: string
    readonly kind: string
    readonly redirectUrl: string
    readonly expiresAt: number
  }
  /** Accepted; the end comes by a webhook or is found by asking. */
  | { readonly _tag: "Pending"; readonly providerRef: string }
  | { readonly _tag: "Declined"; readonly code: string; readonly providerRef?: string; readonly fingerprint?: string }

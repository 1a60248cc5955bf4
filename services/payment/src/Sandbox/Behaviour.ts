/** How the sandbox treats a payment with a certain token. */
export interface Behaviour {
  readonly authorize: "approve" | "challenge" | { readonly decline: string }
  /** How the answer to the authorisation comes. `never`: no call about this payment is ever answered. */
  readonly answer: "at_once" | "slow" | "lost" | "error_first" | "never"
  /** Webhooks about the authorisation, besides the answer. */
  readonly webhooks: "none" | "first" | "twice" | "out_of_order"
  readonly capture: "approve" | { readonly decline: string }
  readonly refund: "approve" | "later"
  /** The customer's bank asks captured money back after a while. */
  readonly disputed: boolean
}

const ok: Behaviour = {
  authorize: "approve",
  answer: "at_once",
  webhooks: "none",
  capture: "approve",
  refund: "approve",
  disputed: false
}

/** The tokens (spec §5). */
export const behaviours = {
  ok,
  decline_insufficient: { ...ok, authorize: { decline: "insufficient_funds" } },
  decline_stolen: { ...ok, authorize: { decline: "stolen_card" } },
  threeds: { ...ok, authorize: "challenge" },
  slow_30s: { ...ok, answer: "slow" },
  timeout_but_charged: { ...ok, answer: "lost" },
  error_500_then_ok: { ...ok, answer: "error_first" },
  never_answers: { ...ok, answer: "never" },
  webhook_first: { ...ok, webhooks: "first" },
  webhook_twice: { ...ok, webhooks: "twice" },
  webhook_out_of_order: { ...ok, webhooks: "out_of_order" },
  capture_fails: { ...ok, capture: { decline: "capture_declined" } },
  refund_async: { ...ok, refund: "later" },
  dispute_later: { ...ok, disputed: true }
} as const satisfies Readonly<Record<string, Behaviour>>

const byToken = new Map<string, Behaviour>(Object.entries(behaviours))

const unknown: Behaviour = { ...ok, authorize: { decline: "invalid_token" } }

/**
 * The behaviour of a token, with or without the prefix `tok_`; one that does not exist is declined. What follows a colon
 * names the card, so that `ok:ada` and `ok:bob` behave alike and are two cards.
 */
export const of = (token: string): Behaviour => byToken.get(token.replace(/^tok_/, "").replace(/:.*$/, "")) ?? unknown

/** What stands for the token's card: `ok:ada` and `decline_insufficient:ada` are the same one. */
export const card = (token: string): string => /:(.+)$/.exec(token)?.[1] ?? token

import type { PaymentState } from "@holdfast/contracts/Payment"

/** What can happen to a payment (spec §5, states). */
export type Fact =
  | "sent"
  | "action_required"
  | "authorized"
  | "answer_lost"
  | "declined"
  | "failed"
  | "action_expired"
  | "captured_some"
  | "captured_all"
  | "captured_final"
  | "voided"
  | "authorization_expired"
  | "refunded_some"
  | "refunded_all"
  | "disputed"
  | "dispute_won"
  | "dispute_lost"

type Row = Readonly<Partial<Record<Fact, PaymentState>>>

const refunds: Row = { refunded_some: "partially_refunded", refunded_all: "refunded", disputed: "disputed" }

const answers: Row = {
  action_required: "requires_action",
  authorized: "authorized",
  captured_all: "captured",
  declined: "declined",
  failed: "failed"
}

/**
 * From state and fact to the next state. `failed` comes from the gateway's refusal alone, never from a time-out: an answer
 * that is lost leads to `unknown`, and from there only what the gateway says leads on (P6).
 */
const table: Readonly<Record<PaymentState, Row>> = {
  created: { sent: "processing", voided: "voided", failed: "failed" },
  processing: { ...answers, answer_lost: "unknown" },
  unknown: answers,
  requires_action: { ...answers, action_expired: "expired", voided: "voided" },
  authorized: {
    captured_some: "partially_captured",
    captured_all: "captured",
    captured_final: "captured_final",
    voided: "voided",
    authorization_expired: "auth_expired"
  },
  partially_captured: {
    captured_some: "partially_captured",
    captured_all: "captured",
    captured_final: "captured_final",
    voided: "captured_final",
    authorization_expired: "captured_final",
    ...refunds
  },
  captured: refunds,
  captured_final: refunds,
  // A partial capture may be refunded before the rest is captured or voided.
  partially_refunded: {
    captured_some: "partially_refunded",
    captured_all: "partially_refunded",
    captured_final: "partially_refunded",
    voided: "partially_refunded",
    authorization_expired: "partially_refunded",
    ...refunds
  },
  // What was under way when the bank stepped in still ends.
  disputed: {
    captured_some: "disputed",
    captured_all: "disputed",
    captured_final: "disputed",
    voided: "disputed",
    authorization_expired: "disputed",
    refunded_some: "disputed",
    refunded_all: "disputed",
    dispute_won: "captured",
    dispute_lost: "charged_back"
  },
  charged_back: { refunded_some: "charged_back", refunded_all: "charged_back" },
  declined: {},
  failed: {},
  expired: {},
  voided: {},
  auth_expired: {},
  refunded: {}
}

/** The next state, or `undefined` where the state has no such step. */
export const next = (state: PaymentState, fact: Fact): PaymentState | undefined => table[state][fact]

/** Where an order's one payment can be that still is or may become money (P2). */
export const live: ReadonlyArray<PaymentState> = [
  "processing",
  "requires_action",
  "unknown",
  "authorized",
  "partially_captured",
  "captured",
  "captured_final"
]

/** The gateway has not told yet how the authorisation ended. */
export const isOpen = (state: PaymentState): boolean =>
  state === "processing" || state === "unknown" || state === "requires_action"

/** Ended without the gateway ever having promised money. */
export const isBarren = (state: PaymentState): boolean =>
  state === "declined" || state === "failed" || state === "expired"

import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"

/** How a call of the gateway can end without an outcome. */
export type Failure =
  /** No answer in time, or the connection broke: it may have happened. */
  | "no_answer"
  /** A 5xx: it may have happened. */
  | "server_error"
  | "rate_limited"
  /** An earlier call with the same key is not finished there. */
  | "key_in_use"
  /** Our own guard let nothing through: the call was not made. */
  | "not_called"
  /** The gateway knows nothing of the key. */
  | "unknown_key"
  /** Accepted, not ended. */
  | "pending"

/** Failures in which the gateway did not do its part: another call, about something else, may fare better. */
export type Unserved = Extract<Failure, "no_answer" | "server_error" | "rate_limited">

/** Whether the gateway did not do its part. */
export const isUnserved = (failure: Failure): failure is Unserved =>
  failure === "no_answer" || failure === "server_error" || failure === "rate_limited"

/**
 * What to do next about an attempt: `send` repeats the call with the same key, `query` asks what became of it. There is
 * no third way: no fresh key, and no giving up (P6).
 */
export interface Next {
  readonly step: "send" | "query"
  readonly delayMillis: number
}

/** After this many calls without an answer asking is better than repeating. */
export const maxSends = 5

/** Gateways forget keys after a day: repeating a call later might charge again, so then only asking is left. */
export const keyLifetimeMillis = 23 * 60 * 60 * 1000

const sends: RetryPolicy.RetryPolicy = {
  ...RetryPolicy.request,
  base: "200 millis",
  cap: "10 seconds",
  jitter: "equal"
}
const queries: RetryPolicy.RetryPolicy = { ...sends, base: "500 millis", cap: "1 minute" }

/** What is known of the attempt: calls made so far with this one, its age, and a number in [0, 1). */
export interface Situation {
  readonly tries: number
  readonly ageMillis: number
  readonly random: number
  readonly retryAfterMillis?: number | undefined
}

/** What may be done: a call is not repeated once the gateway may have forgotten its key. */
export const allowed = (step: Next["step"], ageMillis: number): Next["step"] =>
  ageMillis < keyLifetimeMillis ? step : "query"

const stepAfter = (failure: Failure, step: Next["step"], tries: number): Next["step"] => {
  switch (failure) {
    case "not_called":
    case "rate_limited":
      return step
    case "server_error":
      return step === "send" && tries < maxSends ? "send" : "query"
    case "no_answer":
    case "key_in_use":
    case "pending":
      return "query"
    case "unknown_key":
      // The call never arrived. With its key it is safe to repeat, even if it is still on its way.
      return "send"
  }
}

/** The retry matrix (spec §5, policies): what follows the failure of a `step`. Total. */
export const next = (failure: Failure, step: Next["step"], situation: Situation): Next => {
  const { ageMillis, random, retryAfterMillis = 0, tries } = situation
  const following = allowed(stepAfter(failure, step, tries), ageMillis)
  const backoff = RetryPolicy.delay(following === "send" ? sends : queries, Math.max(1, tries), 0, random)
  return { step: following, delayMillis: Math.ceil(Math.max(backoff, retryAfterMillis)) }
}

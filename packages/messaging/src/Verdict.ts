import type { ExecuteError } from "@holdfast/database/StoreError"
import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"
import * as Cause from "effect/Cause"
import { DependencyAway, type HandlerError } from "./DeliveryError.ts"

/**
 * What becomes of a message whose handling failed (spec §19.4): `Park` tries again later, `Bury` waits for a person, `Away`
 * keeps it where it is.
 *
 * @category models
 */
export type Verdict = Failed | { readonly _tag: "Away"; readonly error: DependencyAway }

/**
 * The message itself failed: `code` is a stable word, `detail` a sentence.
 *
 * @category models
 */
export interface Failed {
  readonly _tag: "Park" | "Bury"
  readonly code: string
  readonly detail: string
}

/** The code of a message that waits for the primary store: it is never given up. */
export const awaitsPrimary = "awaits_primary"

/**
 * The verdict on a failure.
 *
 * @category constructors
 */
export const ofFailure = (error: HandlerError | ExecuteError): Verdict => {
  switch (error._tag) {
    case "NotYet":
      return { _tag: "Park", code: "not_yet", detail: error.detail }
    case "AwaitsPrimary":
      return { _tag: "Park", code: awaitsPrimary, detail: error.detail }
    // Most often the event that creates the row has not come yet: another topic, no order between them.
    case "RowMissing":
      return { _tag: "Park", code: "row_missing", detail: `${error.table} has no row ${error.key}` }
    case "Unprocessable":
      return { _tag: "Bury", code: error.code, detail: error.detail }
    case "ConstraintViolated":
      return { _tag: "Bury", code: `constraint_${error.kind}`, detail: `${error.table}: ${error.detail}` }
    case "MessageTooLarge":
      return { _tag: "Bury", code: "message_too_large", detail: error.message }
    case "OperationIdReused":
      return { _tag: "Bury", code: "event_id_reused", detail: `another message was handled as ${error.operationId}` }
    case "StoreUnavailable":
      return { _tag: "Away", error: new DependencyAway({ detail: error.detail, cause: error }) }
    case "WriteRefused":
      return {
        _tag: "Away",
        error: new DependencyAway({ detail: `${error.operationId} waits for the primary store`, cause: error })
      }
    case "OutcomeUnknown":
      return {
        _tag: "Away",
        error: new DependencyAway({ detail: `the outcome of ${error.operationId} is unknown`, cause: error })
      }
  }
}

/**
 * The verdict on a defect: a bug, which trying again does not mend.
 *
 * @category constructors
 */
export const ofDefect = (cause: Cause.Cause<unknown>): Failed => ({
  _tag: "Bury",
  code: "defect",
  detail: String(Cause.squash(cause))
})

/** Quick attempts first: most of what comes too early is early by milliseconds. */
const quick: RetryPolicy.RetryPolicy = { ...RetryPolicy.request, attempts: 6 }
const slow = [10_000, 60_000, 600_000] as const

/**
 * How long a message that failed so waits after so many attempts, in milliseconds; `undefined` when it is not tried again
 * by itself. `random` is in [0, 1).
 *
 * @category arithmetic
 */
export const delay = ({ _tag, code }: Failed, attempts: number, random: number): number | undefined => {
  if (_tag === "Bury") return undefined
  if (attempts < quick.attempts) return Math.ceil(RetryPolicy.delay(quick, attempts, 0, random))
  // One that waits for the primary is tried at its return anyway; each attempt before is one more operation to merge.
  return slow[attempts - quick.attempts] ?? (code === awaitsPrimary ? slow.at(-1) : undefined)
}

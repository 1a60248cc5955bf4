import type { WriteError } from "@holdfast/database/StoreError"
import * as Data from "effect/Data"

/**
 * The message will never be handled as it is: it becomes a dead letter at once, and the messages behind it go on. `code`
 * is a stable word for machines, `detail` a sentence for the person who finds the letter.
 *
 * @category errors
 */
export class Unprocessable extends Data.TaggedError("Unprocessable")<{
  readonly code: string
  readonly detail: string
}> {}

/**
 * The message came too early, e.g. its aggregate is not here yet: it is tried again for about eleven minutes, and the
 * later messages of its key wait behind it.
 *
 * @category errors
 */
export class NotYet extends Data.TaggedError("NotYet")<{ readonly detail: string }> {}

/**
 * What the message wants is there, and may not be given before the primary store is back: it is tried again until then,
 * however long that takes, and the later messages of its key wait behind it.
 *
 * @category errors
 */
export class AwaitsPrimary extends Data.TaggedError("AwaitsPrimary")<{ readonly detail: string }> {}

/**
 * Not the message fails but what it needs, e.g. the store: nothing is given up, the delivery pauses and is repeated.
 *
 * @category errors
 */
export class DependencyAway extends Data.TaggedError("DependencyAway")<{
  readonly detail: string
  readonly cause: unknown
}> {
  override get message(): string {
    return this.detail
  }
}

/**
 * How a handler of messages may fail. A `ConstraintViolated` or a `MessageTooLarge` counts as unprocessable, a `RowMissing` as
 * not yet, a `StoreUnavailable` as a dependency that is away.
 *
 * @category errors
 */
export type HandlerError = Unprocessable | NotYet | AwaitsPrimary | WriteError

import * as Data from "effect/Data"
import * as Predicate from "effect/Predicate"

/**
 * How bad a failure is for the one who runs the program: `critical` wakes somebody, `low` is a line in a log.
 *
 * @category models
 */
export type Severity = "critical" | "high" | "medium" | "low"

/**
 * What to do about a failure: `retry` the same call, use the `fallback`, `degrade` (shed this work, keep the rest),
 * or `fail` because no repetition can help.
 *
 * @category models
 */
export type Recovery = "retry" | "fallback" | "degrade" | "fail"

/**
 * Severity and recovery of one kind of failure.
 *
 * @category models
 */
export interface Classification {
  readonly severity: Severity
  readonly recovery: Recovery
}

/**
 * Any failure with a tag.
 *
 * @category models
 */
export interface Tagged {
  readonly _tag: string
}

/**
 * One entry for every tag of the union `F`: a classification, or a function of the failure where the tag alone does
 * not decide. A tag left out does not compile.
 *
 * @category models
 */
export type Table<F extends Tagged> = {
  readonly [Tag in F["_tag"]]: Classification | ((failure: Extract<F, { readonly _tag: Tag }>) => Classification)
}

/**
 * Total functions over the failure union `F`.
 *
 * @category models
 */
export interface Classifier<in F extends Tagged> {
  /** Every tag of `F`. */
  readonly tags: ReadonlyArray<string>
  readonly severity: (failure: F) => Severity
  readonly recovery: (failure: F) => Recovery
}

/**
 * Turns a table over all tags of `F` into its `severity` and `recovery`:
 * `Failure.classifier<ConnectionLost | Conflict>({ ConnectionLost: …, Conflict: … })`.
 *
 * @category constructors
 */
export const classifier = <F extends Tagged>(table: Table<F>): Classifier<F> => {
  // The table has an entry for every tag of F; TypeScript loses the link between a key and its entry's parameter.
  const entries = table as Readonly<Record<string, Classification | ((failure: F) => Classification)>>
  const of = (failure: F): Classification => {
    const entry = entries[failure._tag] ?? unknownTag
    return typeof entry === "function" ? entry(failure) : entry
  }
  return {
    tags: Object.keys(entries),
    severity: (failure) => of(failure).severity,
    recovery: (failure) => of(failure).recovery
  }
}

// Only an untyped caller gets here; a failure that nobody knows is a bug and must not be retried.
const unknownTag: Classification = { severity: "critical", recovery: "fail" }

/**
 * The breaker of a policy lets nothing through; the call was not made. The dependency is tried again no sooner than
 * in `retryAfterMs` milliseconds.
 *
 * @category errors
 */
export class BreakerOpen extends Data.TaggedError("BreakerOpen")<{
  readonly policy: string
  readonly retryAfterMs: number
}> {
  override get message() {
    return `"${this.policy}" is not called: its circuit breaker is open`
  }
}

/**
 * No room: `limit` calls run and the queue is full (`queue`), or the place in it was held for the longest time
 * allowed (`wait`). The call was not made.
 *
 * @category errors
 */
export class BulkheadFull extends Data.TaggedError("BulkheadFull")<{
  readonly policy: string
  readonly limit: number
  readonly reason: "queue" | "wait"
}> {
  override get message() {
    return `"${this.policy}" is busy: ${this.limit} calls at once are its limit`
  }
}

/**
 * One attempt gave no answer within `timeoutMs` milliseconds. What it asked for may still happen: the outcome is
 * unknown.
 *
 * @category errors
 */
export class AttemptTimeout extends Data.TaggedError("AttemptTimeout")<{
  readonly policy: string
  readonly timeoutMs: number
}> {
  override get message() {
    return `"${this.policy}" did not answer within ${this.timeoutMs} ms`
  }
}

/**
 * The time for the whole piece of work is over. If a call was under way, its outcome is unknown.
 *
 * @category errors
 */
export class DeadlineExceeded extends Data.TaggedError("DeadlineExceeded")<{
  readonly operation: string
}> {
  override get message() {
    return `"${this.operation}" did not end by its deadline`
  }
}

/**
 * More calls than the rate limit admits; the next one is admitted in `retryAfterMs` milliseconds. The call was not
 * made.
 *
 * @category errors
 */
export class RateLimited extends Data.TaggedError("RateLimited")<{
  readonly policy: string
  readonly retryAfterMs: number
}> {
  override get message() {
    return `"${this.policy}" is over its rate limit`
  }
}

/**
 * What a policy itself can add to the failures of the call it guards.
 *
 * @category models
 */
export type PolicyFailure = BreakerOpen | BulkheadFull | AttemptTimeout | DeadlineExceeded | RateLimited

/**
 * Severity and recovery of a policy's own failures.
 *
 * @category constants
 */
export const policyFailures: Classifier<PolicyFailure> = classifier<PolicyFailure>({
  BreakerOpen: { severity: "high", recovery: "fallback" },
  BulkheadFull: { severity: "medium", recovery: "degrade" },
  AttemptTimeout: { severity: "high", recovery: "retry" },
  DeadlineExceeded: { severity: "medium", recovery: "fail" },
  RateLimited: { severity: "low", recovery: "retry" }
})

const policyTags: ReadonlySet<string> = new Set<PolicyFailure["_tag"]>([
  "BreakerOpen",
  "BulkheadFull",
  "AttemptTimeout",
  "DeadlineExceeded",
  "RateLimited"
])

/**
 * Whether a failure is a policy's own.
 *
 * @category guards
 */
export const isPolicyFailure = (failure: unknown): failure is PolicyFailure =>
  Predicate.hasProperty(failure, "_tag") && Predicate.isString(failure._tag) && policyTags.has(failure._tag)

/**
 * How long the failure itself asks to wait, in milliseconds: its `retryAfterMs`, where it has one.
 *
 * @category accessors
 */
export const retryAfterMs = (failure: unknown): number | undefined =>
  Predicate.hasProperty(failure, "retryAfterMs") && Predicate.isNumber(failure.retryAfterMs) &&
    failure.retryAfterMs >= 0
    ? failure.retryAfterMs
    : undefined

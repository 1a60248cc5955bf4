import * as Failure from "@holdfast/resilience/Failure"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

/**
 * The broker did not answer, not in time, or not now: the same call may succeed later. What it asked for may have happened.
 *
 * @category errors
 */
export class BrokerAway extends Data.TaggedError("BrokerAway")<{
  readonly operation: string
  readonly detail: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return `${this.operation}: ${this.detail}`
  }
}

/**
 * The broker answers, and says no: `code` is its own word for it. Somebody must change its settings, its permissions or
 * ours.
 *
 * @category errors
 */
export class BrokerRefused extends Data.TaggedError("BrokerRefused")<{
  readonly operation: string
  readonly code: string
  readonly detail: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return `${this.operation}: ${this.detail} (${this.code})`
  }
}

/**
 * A topic is not as it is declared, and using it would lose messages or their order; `detail` says what to do.
 *
 * @category errors
 */
export class TopicMismatch extends Data.TaggedError("TopicMismatch")<{
  readonly topic: string
  readonly detail: string
}> {
  override get message(): string {
    return `topic ${this.topic} ${this.detail}`
  }
}

/**
 * What using a broker can meet.
 *
 * @category errors
 */
export type KafkaError = BrokerAway | BrokerRefused | TopicMismatch

/**
 * Severity and recovery. Nothing is given up for any of them: messages wait in the outbox and on the broker.
 *
 * @category constants
 */
export const failures: Failure.Classifier<KafkaError> = Failure.classifier<KafkaError>({
  BrokerAway: { severity: "high", recovery: "degrade" },
  BrokerRefused: { severity: "critical", recovery: "degrade" },
  TopicMismatch: { severity: "critical", recovery: "degrade" }
})

const isKafkaError = (error: unknown): error is KafkaError =>
  error instanceof BrokerAway || error instanceof BrokerRefused || error instanceof TopicMismatch

/**
 * Whether it passes only when somebody changes something.
 *
 * @category accessors
 */
export const isCritical = (error: unknown): boolean => isKafkaError(error) && failures.severity(error) === "critical"

/**
 * Says in the log that something does not work; what is critical does not pass by itself.
 *
 * @category logging
 */
export const log = (what: string, error: unknown): Effect.Effect<void> => {
  const line = `${what}: ${error instanceof Error ? error.message : String(error)}`
  return isCritical(error) ? Effect.logError(line) : Effect.logWarning(line)
}

/** An error and what caused it, outermost first. The client wraps errors in ones that say the contrary of them. */
const chain = (thrown: unknown): ReadonlyArray<object> => {
  const errors: Array<object> = []
  const walk = (error: unknown): void => {
    if (!Predicate.isObject(error) || errors.includes(error)) return
    errors.push(error)
    if (Predicate.hasProperty(error, "errors") && Array.isArray(error.errors)) error.errors.forEach(walk)
    if (Predicate.hasProperty(error, "cause")) walk(error.cause)
  }
  walk(thrown)
  return errors
}

const text = (error: object | undefined, property: string): string | undefined =>
  Predicate.hasProperty(error, property) && Predicate.isString(error[property]) ? error[property] : undefined

/** The library stumbles over what an answer lacks, in words about its own variables; wrapped, the words alone are left. */
const isStumbling = (root: object | undefined, message: string): boolean =>
  root instanceof TypeError || /^Cannot (read|set|destructure) propert/.test(message)

const tooLarge: ReadonlyArray<string> = ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"]

/**
 * Whether the broker has found more than it takes at once, of one partition; none of that partition was taken.
 *
 * @category refinements
 */
export const isTooLarge = (error: KafkaError): error is BrokerRefused =>
  error._tag === "BrokerRefused" && tooLarge.includes(error.code)

/**
 * What a call of the client has thrown.
 *
 * @category constructors
 */
export const of = (operation: string, thrown: unknown): BrokerAway | BrokerRefused => {
  const errors = chain(thrown)
  const root = errors.at(-1)
  const message = text(root, "message") ?? String(thrown)
  const detail = isStumbling(root, message) ? "the broker's answer was incomplete: it starts, or stops" : message
  const refusal = errors.find((error) =>
    (text(error, "name") === "KafkaJSProtocolError" && Predicate.hasProperty(error, "retriable") &&
      error.retriable === false) ||
    text(error, "name") === "KafkaJSSASLAuthenticationError"
  )
  // -1 is what a broker says that does not know either; it passes.
  const code = text(refusal, "type") ?? (refusal === undefined ? undefined : "SASL_AUTHENTICATION_FAILED")
  return code === undefined || code === "UNKNOWN"
    ? new BrokerAway({ operation, detail, cause: thrown })
    : new BrokerRefused({ operation, code, detail, cause: thrown })
}

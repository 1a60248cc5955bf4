import * as Errors from "@holdfast/contracts/Errors"
import * as Problem from "@holdfast/contracts/Problem"
import type { ExecuteError, WriteError } from "@holdfast/database/StoreError"
import type { PolicyFailure } from "@holdfast/resilience/Failure"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { type HttpAnswer, PROBLEM_TYPE } from "./HttpAnswer.ts"
import { MessageTooLarge, RuleViolated } from "./HttpErrors.ts"

/**
 * What an error answer says about the moment besides the error.
 *
 * @category models
 */
export interface Moment {
  readonly correlationId: string
  readonly level: number
}

/** The public face of each failure that the kernel's own parts can add to a handler's. */
const kernelFailures: {
  readonly [Tag in (ExecuteError | WriteError | PolicyFailure)["_tag"]]: (
    failure: Extract<ExecuteError | WriteError | PolicyFailure, { readonly _tag: Tag }>
  ) => object
} = {
  StoreUnavailable: () => new Errors.StoreUnavailable(),
  OutcomeUnknown: () => new Errors.StoreUnavailable(),
  WriteRefused: () => new Errors.DegradedWriteRefused({ level: 1 }),
  OperationIdReused: () => new Errors.IdempotencyKeyReused(),
  ConstraintViolated: (failure) => new RuleViolated({ rule: failure.kind }),
  MessageTooLarge: ({ bytes, limitBytes, type }) => new MessageTooLarge({ event: type, bytes, limitBytes }),
  RowMissing: (failure) => new Errors.NotFound({ resource: failure.table, id: failure.key }),
  BreakerOpen: () => new Errors.Overloaded(),
  BulkheadFull: () => new Errors.Overloaded(),
  RateLimited: () => new Errors.Overloaded(),
  AttemptTimeout: () => new Errors.DeadlineExceeded(),
  DeadlineExceeded: () => new Errors.DeadlineExceeded()
}

/**
 * The public error that stands for a failure: itself if it is one, its public face if it is the kernel's, `undefined` for
 * anything else, which is a fault.
 *
 * @category conversions
 */
export const publicError = (failure: unknown): object | undefined => {
  if (Problem.of(failure) !== undefined && Predicate.isObject(failure)) return failure
  if (!Predicate.hasProperty(failure, "_tag") || !Predicate.isString(failure._tag)) return undefined
  // The table has an entry for every tag of its union; TypeScript loses the link between a key and its parameter.
  const faces = kernelFailures as Readonly<Record<string, ((failure: unknown) => object) | undefined>>
  return Object.hasOwn(faces, failure._tag) ? faces[failure._tag]?.(failure) : undefined
}

/**
 * Why something is not done now although nothing is broken: the client repeats it, the store comes back. `undefined` for
 * any other failure.
 *
 * @category conversions
 */
export const refusal = (failure: unknown): { readonly code: string; readonly reason: string } | undefined => {
  const definition = Problem.of(publicError(failure))
  if (definition?.status !== 503) return undefined
  const detail = Predicate.hasProperty(failure, "detail") ? failure.detail : undefined
  return { code: definition.code, reason: Predicate.isString(detail) ? detail : definition.title }
}

const encoders = new WeakMap<object, (error: unknown) => unknown>()

/** The error's own fields as its schema encodes them. */
const ownFields = (error: object): object => {
  const known = encoders.get(error.constructor)
  if (known !== undefined) return Object(known(error))
  if (!Schema.isSchema(error.constructor)) return {}
  const encode = Schema.encodeUnknownSync(Schema.make<unknown, unknown, never>(error.constructor.ast))
  encoders.set(error.constructor, encode)
  return Object(encode(error))
}

/** Seconds after which to try again. */
const retryAfter = (error: object): string =>
  Predicate.hasProperty(error, "retryAfterMs") && Predicate.isNumber(error.retryAfterMs)
    ? String(Math.max(1, Math.ceil(error.retryAfterMs / 1000)))
    : "1"

/**
 * A failure as problem+json (RFC 9457) with code, severity, recovery and the error's own fields. What is not public
 * becomes `internal_error` and says nothing about the inside; log its cause.
 *
 * @category conversions
 */
export const render = (failure: unknown, moment: Moment): HttpAnswer => {
  const error = publicError(failure) ?? new Errors.InternalError()
  const definition = Problem.of(error) ?? internal
  const retryable = definition.recovery === "retry" || definition.recovery === "degrade"
  const { _tag, ...fields } = { _tag: "", ...ownFields(error) }
  const body = {
    ...fields,
    type: `urn:holdfast:problem:${definition.code}`,
    title: definition.title,
    status: definition.status,
    detail: definition.detail,
    code: definition.code,
    severity: definition.severity,
    recovery: definition.recovery,
    retryable,
    correlationId: moment.correlationId,
    degradationLevel: moment.level
  }
  const headers: Record<string, string> = {}
  if (retryable && definition.status !== 412) headers["retry-after"] = retryAfter(error)
  if (error instanceof Errors.MethodNotAllowed) headers.allow = error.allowed.join(", ")
  return { status: definition.status, contentType: PROBLEM_TYPE, body: JSON.stringify(body), headers }
}

const internal: Problem.Problem = {
  code: "internal_error",
  status: 500,
  title: "The agent failed",
  detail: "Report the correlationId.",
  severity: "critical",
  recovery: "fail"
}

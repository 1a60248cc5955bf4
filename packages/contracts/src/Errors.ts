import * as Schema from "effect/Schema"
import { problem } from "./Problem.ts"

/**
 * What is wrong with one field of a request; `path` as in `lines[3].qty`, empty for the whole body.
 *
 * @category models
 */
export const Issue = Schema.Struct({ path: Schema.String, message: Schema.String })
export type Issue = typeof Issue.Type

/**
 * The request cannot be understood: malformed JSON, missing or wrong fields, parameters or headers.
 *
 * @category errors
 */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()(
  "InvalidRequest",
  { issues: Schema.Array(Issue) },
  problem({
    code: "invalid_request",
    status: 400,
    title: "The request is not valid",
    detail: "Correct the fields listed in issues and send the request again.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * There is no such thing, or no such route.
 *
 * @category errors
 */
export class NotFound extends Schema.TaggedError<NotFound>()(
  "NotFound",
  { resource: Schema.String, id: Schema.String },
  problem({
    code: "not_found",
    status: 404,
    title: "Not found",
    detail: "Check the id and the path; lists show what exists, /docs the paths.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The path exists, its method does not.
 *
 * @category errors
 */
export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>()(
  "MethodNotAllowed",
  { method: Schema.String, allowed: Schema.Array(Schema.String) },
  problem({
    code: "method_not_allowed",
    status: 405,
    title: "This path does not take this method",
    detail: "Use one of the methods in allowed, or look the path up in /docs.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The body is larger than the route takes.
 *
 * @category errors
 */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()(
  "PayloadTooLarge",
  { limitBytes: Schema.Number },
  problem({
    code: "payload_too_large",
    status: 413,
    title: "The body is too large",
    detail: "Send at most limitBytes bytes; split the request into smaller ones.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The body is not of a media type the route reads.
 *
 * @category errors
 */
export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()(
  "UnsupportedMediaType",
  { supported: Schema.Array(Schema.String) },
  problem({
    code: "unsupported_media_type",
    status: 415,
    title: "The media type of the body is not supported",
    detail: "Send the body as one of the types in supported and name it in the Content-Type header.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * A command that creates, moves stock or moves money came without `Idempotency-Key`.
 *
 * @category errors
 */
export class IdempotencyKeyRequired extends Schema.TaggedError<IdempotencyKeyRequired>()(
  "IdempotencyKeyRequired",
  {},
  problem({
    code: "idempotency_key_required",
    status: 400,
    title: "The Idempotency-Key header is missing",
    detail:
      "Send an Idempotency-Key header of your choice, 1 to 255 characters, and the same one when you repeat the request.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The `Idempotency-Key` is empty, too long or holds characters that are not printable ASCII.
 *
 * @category errors
 */
export class IdempotencyKeyInvalid extends Schema.TaggedError<IdempotencyKeyInvalid>()(
  "IdempotencyKeyInvalid",
  {},
  problem({
    code: "idempotency_key_invalid",
    status: 400,
    title: "The Idempotency-Key header is not valid",
    detail: "Send one Idempotency-Key header of 1 to 255 printable ASCII characters, e.g. a UUID.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The key was used before for another request.
 *
 * @category errors
 */
export class IdempotencyKeyReused extends Schema.TaggedError<IdempotencyKeyReused>()(
  "IdempotencyKeyReused",
  {},
  problem({
    code: "idempotency_key_reused",
    status: 422,
    title: "The Idempotency-Key belongs to another request",
    detail: "Use a new key for a new request; repeat the old request unchanged to get its answer.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The first request with this key is still running.
 *
 * @category errors
 */
export class RequestInProgress extends Schema.TaggedError<RequestInProgress>()(
  "RequestInProgress",
  {},
  problem({
    code: "request_in_progress",
    status: 409,
    title: "The same request is still running",
    detail: "Wait as long as Retry-After says and repeat the request with the same Idempotency-Key.",
    severity: "low",
    recovery: "retry"
  })
) {}

/**
 * An edit came without `If-Match`.
 *
 * @category errors
 */
export class PreconditionRequired extends Schema.TaggedError<PreconditionRequired>()(
  "PreconditionRequired",
  {},
  problem({
    code: "precondition_required",
    status: 428,
    title: "The If-Match header is missing",
    detail: "Read the resource, send its ETag as If-Match with the edit.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The resource has changed since it was read.
 *
 * @category errors
 */
export class VersionConflict extends Schema.TaggedError<VersionConflict>()(
  "VersionConflict",
  {
    resource: Schema.optional(Schema.String),
    id: Schema.optional(Schema.String),
    expected: Schema.optional(Schema.Number),
    actual: Schema.optional(Schema.Number)
  },
  problem({
    code: "version_conflict",
    status: 412,
    title: "The resource has changed since you read it",
    detail:
      "Read the resource again, apply your edit to it and send its new ETag as If-Match, under a new Idempotency-Key.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The command may not run on the fallback store (write class refused, or beyond its bound).
 *
 * @category errors
 */
export class DegradedWriteRefused extends Schema.TaggedError<DegradedWriteRefused>()(
  "DegradedWriteRefused",
  { level: Schema.optional(Schema.Number) },
  problem({
    code: "degraded_write_refused",
    status: 503,
    title: "This command is not possible while the agent runs degraded",
    detail: "Nothing was stored. Repeat the request when Retry-After has passed; /health/detailed tells the cause.",
    severity: "high",
    recovery: "degrade"
  })
) {}

/**
 * More requests at once than the agent takes.
 *
 * @category errors
 */
export class Overloaded extends Schema.TaggedError<Overloaded>()(
  "Overloaded",
  {},
  problem({
    code: "overloaded",
    status: 503,
    title: "The agent is overloaded",
    detail: "Nothing was stored. Repeat the request when Retry-After has passed, with growing pauses.",
    severity: "medium",
    recovery: "retry"
  })
) {}

/**
 * One principal asks more often than each may.
 *
 * @category errors
 */
export class RateLimited extends Schema.TaggedError<RateLimited>()(
  "RateLimited",
  { retryAfterMs: Schema.Number },
  problem({
    code: "rate_limited",
    status: 429,
    title: "You send requests too fast",
    detail: "Nothing was stored. Repeat the request when Retry-After has passed, and send them more slowly.",
    severity: "low",
    recovery: "retry"
  })
) {}

/**
 * The request was not answered within its deadline; a command may still take effect.
 *
 * @category errors
 */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>()(
  "DeadlineExceeded",
  {},
  problem({
    code: "deadline_exceeded",
    status: 504,
    title: "The request was not answered in time",
    detail: "Repeat the request with the same Idempotency-Key: it takes effect once, whichever attempt succeeds.",
    severity: "medium",
    recovery: "retry"
  })
) {}

/**
 * The process is stopping.
 *
 * @category errors
 */
export class Draining extends Schema.TaggedError<Draining>()(
  "Draining",
  {},
  problem({
    code: "draining",
    status: 503,
    title: "The agent is stopping",
    detail: "Nothing was stored. Repeat the request when Retry-After has passed; another process will answer it.",
    severity: "low",
    recovery: "retry"
  })
) {}

/**
 * A fault of the agent itself.
 *
 * @category errors
 */
export class InternalError extends Schema.TaggedError<InternalError>()(
  "InternalError",
  {},
  problem({
    code: "internal_error",
    status: 500,
    title: "The agent failed",
    detail: "Repeat the request once with the same Idempotency-Key; if it fails again, report the correlationId.",
    severity: "critical",
    recovery: "fail"
  })
) {}

/**
 * No store can be read or written now.
 *
 * @category errors
 */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()(
  "StoreUnavailable",
  {},
  problem({
    code: "store_unavailable",
    status: 503,
    title: "The agent's store is not available",
    detail:
      "Repeat the request with the same Idempotency-Key when Retry-After has passed; /health/detailed tells the cause.",
    severity: "critical",
    recovery: "retry"
  })
) {}

/**
 * What any endpoint may answer besides its own errors: every API group declares it.
 *
 * @category schemas
 */
export const Common = Schema.Union(
  InvalidRequest,
  NotFound,
  PayloadTooLarge,
  UnsupportedMediaType,
  IdempotencyKeyRequired,
  IdempotencyKeyInvalid,
  IdempotencyKeyReused,
  RequestInProgress,
  PreconditionRequired,
  VersionConflict,
  DegradedWriteRefused,
  Overloaded,
  RateLimited,
  DeadlineExceeded,
  Draining,
  InternalError,
  StoreUnavailable
)
export type Common = typeof Common.Type

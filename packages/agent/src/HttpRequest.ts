import { IdempotencyKeyInvalid, InvalidRequest } from "@holdfast/contracts/Errors"
import * as Either from "effect/Either"
import { createHash, randomUUID } from "node:crypto"
import type { IncomingHttpHeaders } from "node:http"

/**
 * A request whose body has been read, not yet decoded.
 *
 * @category models
 */
export interface HttpRequest {
  readonly method: string
  /** Path and query as they came. */
  readonly url: string
  readonly params: Readonly<Record<string, string | undefined>>
  readonly search: Readonly<Record<string, string | Array<string>>>
  readonly headers: IncomingHttpHeaders
  readonly body: Uint8Array
  readonly principal: string
  readonly correlationId: string
  /** The agent's degradation level at this moment. */
  readonly level: number
  /** Since when it has had this level, milliseconds since 1970. */
  readonly levelSince: number
  /** The request was accepted before and is carried out now: it is not accepted again. */
  readonly isIntent?: boolean
  /** The id under which it was accepted. */
  readonly operationId?: string
}

/**
 * The principal of all who do not say who they are.
 *
 * @category constants
 */
export const ANONYMOUS = "anonymous"

/**
 * Who asks. Credentials are not checked yet: they only keep the keys of different clients apart, and enter records as a
 * hash.
 *
 * @category accessors
 */
export const principal = (headers: IncomingHttpHeaders): string =>
  headers.authorization === undefined
    ? ANONYMOUS
    : `auth-${createHash("sha256").update(headers.authorization).digest("hex").slice(0, 16)}`

const CORRELATION_ID = /^[\w.:-]{1,128}$/

/** The request's correlation id, or a new one where there is none or one that could not be echoed safely. */
export const correlationId = (headers: IncomingHttpHeaders): string => {
  const given = headers["x-correlation-id"]
  return typeof given === "string" && CORRELATION_ID.test(given) ? given : `req-${randomUUID()}`
}

const TRACE_PARENT = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/

/** The W3C trace context of the request, where it is valid. */
export const traceParent = (headers: IncomingHttpHeaders): string | undefined => {
  const given = headers.traceparent
  return typeof given === "string" && TRACE_PARENT.test(given) ? given : undefined
}

const KEY = /^[\x20-\x7e]{1,255}$/

/** The `Idempotency-Key`: 1 to 255 printable ASCII characters. */
export const idempotencyKey = (
  headers: IncomingHttpHeaders
): Either.Either<string | undefined, IdempotencyKeyInvalid> => {
  const given = headers["idempotency-key"]
  if (given === undefined) return Either.right(undefined)
  return typeof given === "string" && KEY.test(given) ? Either.right(given) : Either.left(new IdempotencyKeyInvalid())
}

const ENTITY_TAG = /^"([1-9]\d{0,14})"$/

/** The version in `If-Match: "<version>"`. */
export const expectedVersion = (headers: IncomingHttpHeaders): Either.Either<number | undefined, InvalidRequest> => {
  const given = headers["if-match"]
  if (given === undefined) return Either.right(undefined)
  const version = ENTITY_TAG.exec(given)?.[1]
  return version === undefined
    ? Either.left(
      new InvalidRequest({
        issues: [{ path: "header.If-Match", message: "must be the ETag of the resource, e.g. \"3\"" }]
      })
    )
    : Either.right(Number(version))
}

/** Tells two requests under one key apart: method, path, principal and body (spec §1.2). */
export const fingerprint = (request: HttpRequest): string =>
  createHash("sha256").update(`${request.method} ${request.url}\n${request.principal}\n`).update(request.body)
    .digest("hex")

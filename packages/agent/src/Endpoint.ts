import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { CommandPolicy, type CommandPolicyShape } from "@holdfast/contracts/CommandPolicy"
import * as Errors from "@holdfast/contracts/Errors"
import * as Problem from "@holdfast/contracts/Problem"
import { Database, type DatabaseShape } from "@holdfast/database/Database"
import { type Operation, retention } from "@holdfast/database/Operation"
import { MessageTooLarge, WriteRefused } from "@holdfast/database/StoreError"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import { randomUUID } from "node:crypto"
import type * as Handler from "./Handler.ts"
import * as HttpAnswer from "./HttpAnswer.ts"
import * as HttpRequest from "./HttpRequest.ts"
import * as Intents from "./Intents.ts"
import * as ProblemJson from "./ProblemJson.ts"
import * as RequestBody from "./RequestBody.ts"

/**
 * An endpoint with its handler, compiled once: decoders, encoders and policy are ready when a request comes.
 *
 * @category models
 */
export interface Endpoint {
  readonly agent: string
  readonly name: string
  readonly method: string
  /** With the agent's prefix, parameters as `:name`. */
  readonly path: `/${string}`
  /** Undefined for a query. */
  readonly policy: CommandPolicyShape | undefined
  /** The answer; fails with what `ProblemJson` renders. Needs what the handler needs. */
  readonly respond: (
    request: HttpRequest.HttpRequest
  ) => Effect.Effect<HttpAnswer.HttpAnswer, Handler.AnyFailure, Handler.AnyService>
}

type Decode = (value: unknown) => Either.Either<unknown, Errors.InvalidRequest>

/** Longer requests get their first fault only: listing every fault of 10 000 lines helps nobody. */
const ALL_FAULTS_BELOW = 64 * 1024

const MAX_ISSUES = 20
const MAX_MESSAGE = 200

const pathOf = (prefix: string, path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (text, key) => typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`,
    prefix
  )

const invalid = (prefix: string, error: ParseResult.ParseError["issue"]): Errors.InvalidRequest =>
  new Errors.InvalidRequest({
    issues: ParseResult.ArrayFormatter.formatIssueSync(error).slice(0, MAX_ISSUES).map((issue) => ({
      path: pathOf(prefix, issue.path).slice(0, MAX_MESSAGE),
      message: issue.message.length > MAX_MESSAGE ? `${issue.message.slice(0, MAX_MESSAGE)}…` : issue.message
    }))
  })

/** An endpoint's schema: it needs no services, which its declaration cannot say. */
interface Described {
  readonly ast: AST.AST
}

const plain = (schema: Described) => Schema.make<unknown, unknown, never>(schema.ast)

const decoder = (prefix: string, schema: Described): Decode => {
  const first = ParseResult.decodeUnknownEither(plain(schema))
  const all = ParseResult.decodeUnknownEither(plain(schema), { errors: "all" })
  return (value) => {
    const decoded = first(value)
    if (Either.isRight(decoded)) return Either.right(decoded.right)
    const small = JSON.stringify(value ?? null).length < ALL_FAULTS_BELOW
    const faults = small ? all(value) : decoded
    return Either.left(invalid(prefix, Either.isLeft(faults) ? faults.left : decoded.left))
  }
}

/** What a handler is given, as it grows. */
interface Input {
  [part: string]: unknown
  readonly principal: string
  readonly correlationId: string
  readonly rawBody: Uint8Array
  idempotencyKey: string | undefined
  expectedVersion: number | undefined
}

/** Reads one part of a request into the handler's input, or answers what is wrong with it. */
type Step = (request: HttpRequest.HttpRequest, into: Input) => Errors.Common | undefined

const storableUrl: Step = (request) =>
  RequestBody.isStorable(decodeURIComponentSafely(request.url))
    ? undefined
    : new Errors.InvalidRequest({ issues: [{ path: "url", message: "has a NUL character or is not valid UTF-8" }] })

const keyOf = (policy: CommandPolicyShape): Step => (request, into) => {
  const key = HttpRequest.idempotencyKey(request.headers)
  if (Either.isLeft(key)) return key.left
  into.idempotencyKey = key.right
  return key.right === undefined && policy.idempotencyKey === "required"
    ? new Errors.IdempotencyKeyRequired()
    : undefined
}

const versionOf = (policy: CommandPolicyShape): Step => (request, into) => {
  const version = HttpRequest.expectedVersion(request.headers)
  if (Either.isLeft(version)) return version.left
  into.expectedVersion = version.right
  return version.right === undefined && policy.ifMatch === "required" ? new Errors.PreconditionRequired() : undefined
}

/** The step for a part that the endpoint declares a schema for. */
const part = (
  name: string,
  schema: Option.Option<Described>,
  prefix: string,
  raw: (request: HttpRequest.HttpRequest) => Either.Either<unknown, Errors.Common>
): ReadonlyArray<Step> => {
  if (Option.isNone(schema)) return []
  const decode = decoder(prefix, schema.value)
  return [(request, into) => {
    const value = raw(request)
    if (Either.isLeft(value)) return value.left
    const decoded = decode(value.right)
    if (Either.isLeft(decoded)) return decoded.left
    into[name] = decoded.right
    return undefined
  }]
}

type Encode = (value: unknown) => { readonly status: number; readonly contentType: string; readonly body: unknown }

const encoder = (schema: Described): Encode => {
  const members = AST.isUnion(schema.ast) ? schema.ast.types : [schema.ast]
  const fallback = HttpApiSchema.getStatusSuccessAST(schema.ast)
  const statusOf = (ast: AST.AST) => HttpApiSchema.getStatus(ast, HttpApiSchema.isVoid(ast) ? 204 : fallback)
  const encoded = (ast: AST.AST): Encode => {
    const status = statusOf(ast)
    const contentType = HttpApiSchema.getEncoding(ast).contentType
    if (HttpApiSchema.isVoid(ast)) return () => ({ status, contentType, body: undefined })
    const encode = ParseResult.encodeUnknownSync(plain({ ast }))
    return (value) => ({ status, contentType, body: encode(value) })
  }
  const statuses = new Set(members.map(statusOf))
  if (statuses.size === 1) {
    const [status = fallback] = statuses
    const whole = encoded(schema.ast)
    return (value) => ({ ...whole(value), status })
  }
  const cases = members.map((ast) => ({
    is: ParseResult.is(plain({ ast: AST.typeAST(ast) })),
    encode: encoded(ast)
  }))
  const whole = encoded(schema.ast)
  return (value) => (cases.find((member) => member.is(value))?.encode ?? whole)(value)
}

interface Identified {
  readonly version?: unknown
  readonly [key: string]: unknown
}

/** Headers that follow from the body: its version as entity tag, its id as the place where it can be read. */
const bodyHeaders = (
  body: Identified,
  status: number,
  item: { readonly path: string; readonly key: string } | undefined
): Record<string, string> | undefined => {
  let headers: Record<string, string> | undefined
  if (Number.isSafeInteger(body.version)) headers = { etag: `"${String(body.version)}"` }
  if (item !== undefined && (status === 201 || status === 202)) {
    const id = body[item.key] ?? body.id
    if (typeof id === "string") headers = { ...headers, location: `${item.path}/${encodeURIComponent(id)}` }
  }
  return headers
}

/** Reads of an agent that cannot write say as of when they are (spec §1.2), where that is known. */
const stale = (answer: HttpAnswer.HttpAnswer, asOf: number): HttpAnswer.HttpAnswer => ({
  ...answer,
  headers: {
    ...answer.headers,
    ...(asOf === 0 ? {} : { "x-data-as-of": DateTime.formatIso(DateTime.unsafeMake(asOf)) }),
    warning: "110 - \"Response is Stale\""
  }
})

/** From then on what others commit is missing: without Postgres nobody else does. */
const asOf = (levelSince: number, { primary }: DatabaseShape): number => primary?.asOf() ?? levelSince

/** At level 3 nothing here moves; while the file stands in for the primary, other processes' rows do not. */
const isStale = (level: number, database: DatabaseShape): boolean =>
  level >= 3 || (level === 1 && (database.primary?.replicas() ?? 1) > 1)

/** 30 days for orders and payments, a day for others (spec §20). */
const keepMillis = (agent: string): number =>
  agent === "order" || agent === "payment" ? retention.orderOrPayment : retention.other

/**
 * Compiles an endpoint of the agent. `item` is the path of the endpoint that reads one element of this collection, if
 * there is one: created elements are located by it.
 *
 * @category constructors
 */
export const make = (
  agent: string,
  declared: HttpApiEndpoint.HttpApiEndpoint.AnyWithProps,
  handler: Handler.Handler<never, unknown, unknown, Handler.AnyService>,
  itemKey: string | undefined
): Endpoint => {
  const policy = Option.getOrUndefined(Context.getOption(declared.annotations, CommandPolicy))
  const path: `/${string}` = declared.path === "/" ? `/${agent}` : `/${agent}${declared.path}`
  const name = `${agent}.${declared.name}`
  if (handler._tag !== "Action" && (policy !== undefined) !== (handler._tag === "Command")) {
    throw new TypeError(
      policy === undefined
        ? `the handler of ${name} writes, but its endpoint has no CommandPolicy annotation`
        : `the endpoint ${name} has a CommandPolicy annotation, but its handler only reads`
    )
  }
  const encode = encoder(declared.successSchema)
  const item = itemKey === undefined ? undefined : { path, key: itemKey }
  // What the decoders below produce is what the handler's type asks for: both come from the same declared.
  const run = handler.run as (request: unknown) => Effect.Effect<unknown, Handler.AnyFailure, Handler.AnyService>

  const success = (value: unknown): HttpAnswer.HttpAnswer => {
    const { body, contentType, status } = encode(value)
    if (body === undefined) return { status, contentType, body: "" }
    if (typeof body === "string" && contentType !== HttpAnswer.JSON_TYPE) return { status, contentType, body }
    return HttpAnswer.json(status, body, bodyHeaders(Object(body), status, item))
  }

  const steps: ReadonlyArray<Step> = [
    storableUrl,
    ...(policy === undefined ? [] : [keyOf(policy), versionOf(policy)]),
    ...part("path", declared.pathSchema, "path", (request) => Either.right(request.params)),
    ...part("urlParams", declared.urlParamsSchema, "query", (request) => Either.right(request.search)),
    ...part("headers", declared.headersSchema, "header", (request) => Either.right(request.headers)),
    ...part(
      "payload",
      declared.payloadSchema,
      "",
      (request) => RequestBody.parseJson(request.body, request.headers["content-type"])
    )
  ]

  const decode = (request: HttpRequest.HttpRequest): Either.Either<Input, Errors.Common> => {
    const input: Input = {
      principal: request.principal,
      correlationId: request.correlationId,
      rawBody: request.body,
      idempotencyKey: undefined,
      expectedVersion: undefined
    }
    for (const step of steps) {
      const fault = step(request, input)
      if (fault !== undefined) return Either.left(fault)
    }
    return Either.right(input)
  }

  const answerQuery = (request: HttpRequest.HttpRequest, input: Input) =>
    Effect.flatMap(Database, (database) =>
      Effect.map(
        Effect.zipRight(database.fresh, database.read(Effect.suspend(() => run(input)))),
        (value) =>
          isStale(request.level, database) ? stale(success(value), asOf(request.levelSince, database)) : success(value)
      ))

  const answerCommand = (
    request: HttpRequest.HttpRequest,
    input: Input,
    commandPolicy: CommandPolicyShape
  ) => {
    const id = request.operationId ?? (input.idempotencyKey !== undefined
      ? `http:${agent}:${request.principal}:${input.idempotencyKey}`
      : `http:${agent}:${request.principal}:unkeyed:${randomUUID()}`)
    const traceparent = HttpRequest.traceParent(request.headers)
    let done: HttpAnswer.HttpAnswer | undefined
    let refused: { readonly error: unknown; readonly answer: HttpAnswer.HttpAnswer } | undefined
    const operation: Operation<unknown, Handler.AnyFailure, Handler.AnyService> = {
      id,
      command: name,
      writeClass: commandPolicy.writeClass,
      fingerprint: HttpRequest.fingerprint(request),
      cause: {
        correlationId: request.correlationId,
        causationId: id,
        actor: request.principal,
        ...(traceparent === undefined ? {} : { traceparent })
      },
      keepMillis: keepMillis(agent),
      handler: Effect.suspend(() => run(input)),
      answer: (value) => HttpAnswer.toRecord(done = success(value)),
      refusal: (error) => {
        // Of what the kernel refuses, this alone follows from the request: its client must not find it done later.
        const definition = Problem.of(error instanceof MessageTooLarge ? ProblemJson.publicError(error) : error)
        // What may succeed when it is tried again is not remembered.
        if (definition === undefined || definition.status >= 500 || definition.recovery === "retry") return undefined
        refused = { error, answer: ProblemJson.render(error, request) }
        return HttpAnswer.toRecord(refused.answer)
      }
    }
    return Effect.flatMap(Database, (database) =>
      Effect.matchEffect(database.execute(operation), {
        onSuccess: (outcome) =>
          Effect.succeed(
            outcome._tag === "Known" ? HttpAnswer.fromRecord(outcome.answer) : done ?? success(outcome.value)
          ),
        // A refusal is answered as it is on record. Any other failure means that nothing was recorded.
        onFailure: (error) => {
          if (refused !== undefined && refused.error === error) return Effect.succeed(refused.answer)
          return error instanceof WriteRefused && error.writeClass === "provisional" && request.isIntent !== true
            ? Intents.accept(database, endpoint, request, operation)
            : Effect.fail(error)
        }
      }))
  }

  const endpoint: Endpoint = {
    agent,
    name,
    method: declared.method,
    path,
    policy,
    respond: (request) => {
      if (request.level >= 4) return Effect.fail(new Errors.StoreUnavailable())
      const decoded = decode(request)
      if (Either.isLeft(decoded)) return Effect.fail(decoded.left)
      if (policy !== undefined && request.level >= 3) {
        return Effect.fail(new Errors.DegradedWriteRefused({ level: request.level }))
      }
      if (handler._tag === "Action") return Effect.map(Effect.suspend(() => run(decoded.right)), success)
      return policy === undefined ? answerQuery(request, decoded.right) : answerCommand(request, decoded.right, policy)
    }
  }
  return endpoint
}

/** The URL's text without percent-encoding; a NUL where that is malformed, so that it counts as not storable. */
const decodeURIComponentSafely = (url: string): string => {
  if (!url.includes("%")) return url
  try {
    return decodeURIComponent(url)
  } catch {
    return "\0"
  }
}

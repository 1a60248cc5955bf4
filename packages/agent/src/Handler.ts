import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import type { ExecuteError, WriteError } from "@holdfast/database/StoreError"
import type { PolicyFailure } from "@holdfast/resilience/Failure"
import type * as Effect from "effect/Effect"
import type * as Types from "effect/Types"

/**
 * What every handler is told about the request besides what its endpoint declares.
 *
 * @category models
 */
export interface RequestContext {
  /** Who asks: `anonymous`, or a hash of the credentials presented. */
  readonly principal: string
  /** The request's `X-Correlation-Id`, or an id made for it; the events of a command carry it on. */
  readonly correlationId: string
  /** The `Idempotency-Key` header, where the client sent one. */
  readonly idempotencyKey: string | undefined
  /** The version in `If-Match`, where the client sent one; the handler compares it with the aggregate's. */
  readonly expectedVersion: number | undefined
  /** The body as it came, e.g. to check a signature; empty for requests without one. */
  readonly rawBody: Uint8Array
}

type Part<Key extends string, A> = [A] extends [never] ? {} : { readonly [K in Key]: A }

/**
 * The request an endpoint's handler gets: the declared parts, decoded, and the context.
 *
 * @category models
 */
export type Request<Endpoint> = Endpoint extends HttpApiEndpoint.HttpApiEndpoint<
  infer _Name,
  infer _Method,
  infer Path,
  infer UrlParams,
  infer Payload,
  infer Headers,
  infer _Success,
  infer _Error,
  infer _R,
  infer _RE
> ? Types.Simplify<
    & Part<"path", Path>
    & Part<"urlParams", UrlParams>
    & Part<"payload", Payload>
    & Part<"headers", Headers>
    & RequestContext
  >
  : never

/**
 * The request of the endpoint of that name, for handlers written apart from their group:
 * `(request: Handler.RequestOf<typeof GiftCardApi, "issue">) => …`.
 *
 * @category models
 */
export type RequestOf<Api extends HttpApiGroup.HttpApiGroup.Any, Name extends string> = Request<
  HttpApiEndpoint.HttpApiEndpoint.WithName<HttpApiGroup.HttpApiGroup.Endpoints<Api>, Name>
>

/**
 * A handler that writes: it runs as an operation, in one transaction (DESIGN §4).
 *
 * @category models
 */
export interface Command<in Request, out A, out E, out R> {
  readonly _tag: "Command"
  readonly run: (request: Request) => Effect.Effect<A, E, R>
}

/**
 * A handler that only reads.
 *
 * @category models
 */
export interface Query<in Request, out A, out E, out R> {
  readonly _tag: "Query"
  readonly run: (request: Request) => Effect.Effect<A, E, R>
}

/**
 * A handler that is neither one operation nor a read: it runs operations of its own, e.g. to replay a message.
 *
 * @category models
 */
export interface Action<in Request, out A, out E, out R> {
  readonly _tag: "Action"
  readonly run: (request: Request) => Effect.Effect<A, E, R>
}

/**
 * A handler of any kind.
 *
 * @category models
 */
export type Handler<Request, A, E, R> =
  | Command<Request, A, E, R>
  | Query<Request, A, E, R>
  | Action<Request, A, E, R>

/** What the kernel's own parts can add to a handler's failures; each has a public face. */
export type KernelFailure = ExecuteError | WriteError | PolicyFailure

/**
 * Any service: stands for what an agent's parts need where their own types are forgotten. Nothing can be got from it.
 *
 * @category models
 */
export type AnyService = {}

/**
 * Any failure, where its type is forgotten.
 *
 * @category models
 */
export type AnyFailure = {}

// Only `any` accepts whatever requirements a handler has; `Context` below collects them.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Open = any

type Of<Endpoint extends HttpApiEndpoint.HttpApiEndpoint.Any, GroupError> = Handler<
  Request<Endpoint>,
  HttpApiEndpoint.HttpApiEndpoint.Success<Endpoint>,
  HttpApiEndpoint.HttpApiEndpoint.Error<Endpoint> | GroupError | KernelFailure,
  Open
>

/**
 * One handler for each endpoint of the group, by the endpoint's name. It fails with the errors that the endpoint or its
 * group declares, or with the kernel's; what clients can meet is in the contract.
 *
 * @category models
 */
export type For<Api extends HttpApiGroup.HttpApiGroup.Any> = {
  readonly [Name in HttpApiEndpoint.HttpApiEndpoint.Name<HttpApiGroup.HttpApiGroup.Endpoints<Api>>]: Of<
    HttpApiEndpoint.HttpApiEndpoint.WithName<HttpApiGroup.HttpApiGroup.Endpoints<Api>, Name>,
    HttpApiGroup.HttpApiGroup.Error<Api>
  >
}

/**
 * What handlers need, whatever their requests.
 *
 * @category models
 */
export type Context<Handlers> = {
  [N in keyof Handlers]: Handlers[N] extends Handler<infer _Request, infer _A, infer _E, infer R> ? R : never
}[keyof Handlers]

/**
 * A handler that writes. Its effect has `Transaction`; it contains no call to the outside, no sleep, no clock and no
 * random. A public error (`Problem`) with a 4xx status refuses the request: nothing is written, and the refusal is
 * remembered under the request's key.
 *
 * @category constructors
 */
export const command = <Request, A, E, R>(
  run: (request: Request) => Effect.Effect<A, E, R>
): Command<Request, A, E, R> => ({ _tag: "Command", run })

/**
 * A handler that reads the committed state. Its effect has `Reader`.
 *
 * @category constructors
 */
export const query = <Request, A, E, R>(
  run: (request: Request) => Effect.Effect<A, E, R>
): Query<Request, A, E, R> => ({ _tag: "Query", run })

/**
 * A handler that takes care of its own operations and must do no harm when it is asked twice.
 *
 * @category constructors
 */
export const action = <Request, A, E, R>(
  run: (request: Request) => Effect.Effect<A, E, R>
): Action<Request, A, E, R> => ({ _tag: "Action", run })

/**
 * The handlers of a group, each typed by its endpoint:
 *
 * ```ts
 * export const handlers = Handler.group(GiftCardApi, {
 *   issue: Handler.command(({ payload }) => Effect.gen(function*() { … })),
 *   balance: Handler.query(({ path }) => …)
 * })
 * ```
 *
 * @category constructors
 */
export const group = <Api extends HttpApiGroup.HttpApiGroup.Any, Handlers extends For<Api>>(
  _api: Api,
  handlers: Handlers
): NoInfer<Handlers> => handlers

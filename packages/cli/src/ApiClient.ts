import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Url from "./Url.ts"

/**
 * No agents answer at the address, or none that can do the work.
 *
 * @category errors
 */
export class AgentsUnreachable extends Data.TaggedError("AgentsUnreachable")<{
  readonly url: string
  /** Those that are configured to answer there; empty where that is not known. */
  readonly agents: ReadonlyArray<string>
  readonly detail: string
}> {
  override get message(): string {
    return `${silence(this)}: ${this.detail}`
  }
}

/** Who does not answer where. */
const silence = ({ agents, url }: { readonly agents: ReadonlyArray<string>; readonly url: string }): string =>
  agents.length === 0
    ? `no agents answer at ${url}`
    : `${agents.join(", ")} ${agents.length === 1 ? "does" : "do"} not answer at ${url}`

/**
 * An agent refused the request, or answered with something else than promised.
 *
 * @category errors
 */
export class RequestRefused extends Data.TaggedError("RequestRefused")<{
  readonly request: string
  readonly status: number
  readonly code: string
  /** What is wrong; empty where the answer does not say it. */
  readonly title: string
  /** What to do about it. */
  readonly detail: string
}> {
  override get message(): string {
    return format(this)
  }
}

/** What a request can meet. */
export type ApiError = AgentsUnreachable | RequestRefused

const ProblemBody = Schema.parseJson(Schema.Struct({
  code: Schema.String,
  title: Schema.String,
  detail: Schema.String,
  reason: Schema.optional(Schema.String),
  issues: Schema.optional(Schema.Array(Schema.Struct({ path: Schema.String, message: Schema.String })))
}))
const isProblem = Schema.decodeUnknownOption(ProblemBody)

/** One attempt waits at most this long for its answer. */
const ATTEMPT_MILLIS = 15_000

/** The longest pause between attempts. */
const MAX_PAUSE_MILLIS = 250

/** How often a client that waits says so. */
const SAID_MILLIS = 10_000

/**
 * How a client bears agents that do not answer.
 *
 * @category models
 */
export interface Options {
  readonly patienceMillis: number
  /** Told at once what the client waits for, and now and then as long as it waits. */
  readonly waits?: (line: string) => void
}

/**
 * A client like any other: it repeats a request under the same `Idempotency-Key` while agents are away, restarting or
 * overloaded, until its patience ends.
 *
 * @category services
 */
export class ApiClient extends Context.Tag("@holdfast/cli/ApiClient")<ApiClient, {
  readonly addresses: Url.Addresses
  /** Asks the agent that the path begins with. */
  readonly get: <A, I>(path: string, answer: Schema.Schema<A, I>) => Effect.Effect<A, ApiError>
  readonly post: <A, I>(
    path: string,
    body: unknown,
    key: string | undefined,
    answer: Schema.Schema<A, I>
  ) => Effect.Effect<A, ApiError>
}>() {
  /** A client of the agents at these addresses; `patienceMillis` is how long it goes on without any answer. */
  static readonly layer = (options: Options & { readonly addresses: Url.Addresses }) =>
    Layer.succeed(this, make(options.addresses, options))

  /** The same with `--url` as it was given, else the addresses that are configured. */
  static readonly layerConfig = (options: Options & { readonly url: Option.Option<string> }) =>
    Layer.unwrapEffect(Effect.map(
      Url.addresses(options.url),
      (addresses) => this.layer({ ...options, addresses })
    ))
}

interface Attempt {
  readonly status: number
  readonly body: string
}

/** The agent whose path this is. */
const agentOf = (path: string): string => path.split("/")[1] ?? ""

/** What a failed request says of itself, without the names of errors around it. */
const messageOf = (thrown: unknown): string => {
  if (!(thrown instanceof Error)) return String(thrown)
  if (thrown.cause instanceof Error) return messageOf(thrown.cause)
  return thrown.message !== "" ? thrown.message : "code" in thrown ? String(thrown.code) : thrown.name
}

const make = (
  addresses: Url.Addresses,
  { patienceMillis, waits }: Options
): Context.Tag.Service<ApiClient> => {
  let saidAt = Number.NEGATIVE_INFINITY
  const say = (what: string) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      if (waits === undefined || now - saidAt < SAID_MILLIS) return
      saidAt = now
      waits(`waits up to ${Duration.format(Duration.millis(patienceMillis))}: ${what}`)
    })

  const attempt = (url: string, method: string, path: string, body: string | undefined, key: string | undefined) =>
    Effect.tryPromise({
      try: async (): Promise<Attempt> => {
        const response = await fetch(`${url}${path}`, {
          method,
          signal: AbortSignal.timeout(ATTEMPT_MILLIS),
          headers: {
            ...(body === undefined ? {} : { "content-type": "application/json" }),
            ...(key === undefined ? {} : { "idempotency-key": key })
          },
          ...(body === undefined ? {} : { body })
        })
        return { status: response.status, body: await response.text() }
      },
      catch: (cause) => new AgentsUnreachable({ url, agents: addresses.namedAt(url), detail: messageOf(cause) })
    })

  /** 408, 429 and 5xx pass: the request was late, or the agents are overloaded, draining or on their way back. */
  const passes = (status: number): boolean => status === 408 || status === 429 || status >= 500

  const send = (
    url: string,
    method: string,
    path: string,
    body: unknown,
    key: string | undefined
  ): Effect.Effect<Attempt, ApiError> =>
    Effect.gen(function*() {
      const started = yield* Clock.currentTimeMillis
      const text = body === undefined ? undefined : JSON.stringify(body)
      let pause = 50
      for (;;) {
        const outcome = yield* Effect.either(attempt(url, method, path, text, key))
        if (outcome._tag === "Right" && !passes(outcome.right.status)) return outcome.right
        const waited = (yield* Clock.currentTimeMillis) - started
        if (waited > patienceMillis) {
          return yield* outcome._tag === "Left" ? outcome.left : refused(`${method} ${path}`, outcome.right)
        }
        yield* say(
          outcome._tag === "Left"
            ? `${silence(outcome.left)} (${outcome.left.detail})`
            : format(refused(`${method} ${path}`, outcome.right))
        )
        yield* Effect.sleep(pause)
        pause = Math.min(pause * 2, MAX_PAUSE_MILLIS)
      }
    })

  const decoded = <A, I>(
    request: string,
    answer: Attempt,
    schema: Schema.Schema<A, I>
  ): Effect.Effect<A, RequestRefused> =>
    answer.status >= 300
      ? refused(request, answer)
      : Effect.mapError(
        Schema.decode(Schema.parseJson(schema))(answer.body),
        (error) =>
          new RequestRefused({
            request,
            status: answer.status,
            code: "unexpected_answer",
            title: "The answer is not as promised",
            detail: error.message
          })
      )

  const getAt = <A, I>(url: string, path: string, answer: Schema.Schema<A, I>) =>
    Effect.flatMap(send(url, "GET", path, undefined, undefined), (got) => decoded(`GET ${path}`, got, answer))

  return {
    addresses,
    get: (path, answer) => getAt(addresses.of(agentOf(path)), path, answer),
    post: (path, body, key, answer) =>
      Effect.flatMap(
        send(addresses.of(agentOf(path)), "POST", path, body, key),
        (got) => decoded(`POST ${path}`, got, answer)
      )
  }
}

/** A refusal in one line: what was asked, what is wrong, what to do. */
export const format = ({ detail, request, status, title }: RequestRefused): string =>
  `${request}: ${[String(status), title].join(" ").trim()}. ${detail}`.trim()

const refused = (request: string, { body, status }: Attempt): RequestRefused => {
  const problem = isProblem(body)
  const issues = problem._tag === "Some" ? problem.value.issues ?? [] : []
  return new RequestRefused({
    request,
    status,
    code: problem._tag === "Some" ? problem.value.code : "unknown",
    title: problem._tag === "Some" ? problem.value.title : "",
    detail: problem._tag === "Some"
      ? [
        problem.value.detail,
        ...(problem.value.reason === undefined ? [] : [`Reason: ${problem.value.reason}.`]),
        ...issues.map(({ message, path }) => `${path}: ${message}`)
      ].join(" ")
      : body.slice(0, 200)
  })
}

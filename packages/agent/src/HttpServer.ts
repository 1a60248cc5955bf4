import * as Errors from "@holdfast/contracts/Errors"
import * as Deadline from "@holdfast/resilience/Deadline"
import type { RateLimited } from "@holdfast/resilience/Failure"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Http from "node:http"
import * as Net from "node:net"
import type { AnyFailure, AnyService } from "./Handler.ts"
import type { HttpAnswer } from "./HttpAnswer.ts"
import * as HttpErrors from "./HttpErrors.ts"
import * as HttpMetrics from "./HttpMetrics.ts"
import * as HttpRequest from "./HttpRequest.ts"
import type { HttpRoute, Routes } from "./HttpRoute.ts"
import * as ProblemJson from "./ProblemJson.ts"
import * as RequestBody from "./RequestBody.ts"

/**
 * How the server listens and what it admits.
 *
 * @category models
 */
export interface Options {
  readonly host: string
  /** 0 for any free port. */
  readonly port: number
  readonly routes: Routes
  /** The level of the process, for answers that belong to no agent. */
  readonly level: () => number
  readonly maxInFlight: number
  /** Lets one go on, or says when it may ask again; without it everybody goes on. */
  readonly admit?: (who: string) => Effect.Effect<void, RateLimited>
  readonly maxBodyBytes: number
  readonly deadline: Duration.Duration
  /** Requests that take longer leave a line in the log. */
  readonly slow: Duration.Duration
}

/**
 * A listening server.
 *
 * @category models
 */
export interface HttpServer {
  readonly port: number
  /** Requests accepted and not yet answered. */
  readonly inFlight: () => number
  /**
   * Stops taking connections, answers every request that is in flight or still comes on a live connection, and closes
   * each connection after its answer. Ends when none is left or, at the latest, after the time given; what is still
   * running then is cut. Returns how many requests were cut.
   */
  readonly drain: (within: Duration.Duration) => Effect.Effect<number>
}

/**
 * The address is taken or does not exist.
 *
 * @category errors
 */
export class ListenFailed extends Data.TaggedError("ListenFailed")<{
  readonly host: string
  readonly port: number
  readonly reason: string
}> {
  override get message() {
    return this.reason === "EADDRINUSE"
      ? `port ${this.port} of ${this.host} is in use; stop the other process or set HOLDFAST_PORT, e.g. ` +
        `HOLDFAST_PORT=${this.port + 1}`
      : `cannot listen on ${this.host}:${this.port}: ${this.reason}; set HOLDFAST_HOST or HOLDFAST_PORT`
  }
}

/** One request on its way to its answer. */
interface Exchange {
  readonly request: Http.IncomingMessage
  readonly response: Http.ServerResponse
  readonly startedAt: number
  readonly correlationId: string
  readonly metric: HttpMetrics.RouteMetric
  readonly level: () => number
  readonly isPage: boolean
  answered: boolean
  fiber: Fiber.RuntimeFiber<HttpAnswer, AnyFailure> | undefined
  timer: NodeJS.Timeout | undefined
}

/** What every answer says besides its own headers. */
const commonHeaders = (answer: HttpAnswer, correlationId: string, level: number): Record<string, string | number> => ({
  "content-type": answer.contentType,
  "content-length": Buffer.byteLength(answer.body),
  "x-content-type-options": "nosniff",
  "x-correlation-id": correlationId,
  "x-degradation-level": level,
  ...answer.headers
})

/** The answer to bytes that never became a request. */
const rawProblem = (failure: unknown, level: number): string => {
  const correlationId = HttpRequest.correlationId({})
  const answer = ProblemJson.render(failure, { correlationId, level })
  const headers = { ...commonHeaders(answer, correlationId, level), connection: "close" }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${answer.status} ${Http.STATUS_CODES[answer.status] ?? ""}\r\n${lines.join("")}\r\n${answer.body}`
}

/** Who is limited; strangers each by the address that they come from. */
const limitedAs = (principal: string, request: Http.IncomingMessage): string =>
  principal === HttpRequest.ANONYMOUS ? `${principal} ${request.socket.remoteAddress ?? ""}` : principal

/** What a request that cannot be parsed deserves. */
const protocolError = (code: string | undefined): object =>
  code === "HPE_HEADER_OVERFLOW"
    ? new HttpErrors.HeadersTooLarge()
    : code === "ERR_HTTP_REQUEST_TIMEOUT"
    ? new HttpErrors.RequestTimeout()
    : new Errors.InvalidRequest({ issues: [{ path: "", message: "the request is not valid HTTP/1.1" }] })

/**
 * Listens and serves until the scope closes. A request costs one fiber, which starts at once and, if it ends at once, is
 * answered in the same turn of the event loop.
 *
 * @category constructors
 */
export const make = (options: Options) =>
  Effect.gen(function*() {
    const logging = yield* Effect.runtime()
    const deadlineMillis = Duration.toMillis(options.deadline)
    const slowMillis = Duration.toMillis(options.slow)
    const unrouted = HttpMetrics.routeMetric("_OTHER", "")
    const exchanges = new Set<Exchange>()
    let admitted = 0
    let draining = false

    const lastRefusals = new Map<string, { at: number; since: number }>()

    /** How many refusals of the route with this code were kept to themselves since the last line; undefined: this one too. */
    const toldRefusals = (exchange: Exchange, code: string): number | undefined => {
      const name = `${exchange.metric.route} ${code}`
      const now = performance.now()
      const last = lastRefusals.get(name)
      if (last !== undefined && now - last.at < REFUSALS_EVERY_MILLIS) {
        last.since++
        return undefined
      }
      lastRefusals.set(name, { at: now, since: 0 })
      return last?.since ?? 0
    }

    const lineOf = (exchange: Exchange, status: number, failure: unknown, cause: Cause.Cause<unknown> | undefined) => {
      const isBroken = cause !== undefined && !Chunk.isEmpty(Cause.defects(cause))
      const refusal = isBroken ? undefined : ProblemJson.refusal(failure)
      if (refusal !== undefined) {
        const before = toldRefusals(exchange, refusal.code)
        const line = before === undefined
          ? Effect.logDebug("request refused")
          : refusal.code === OVERLOADED
          ? Effect.logWarning("request refused")
          : Effect.logInfo("request refused")
        return Effect.annotateLogs(line, { ...refusal, ...(before === undefined || before === 0 ? {} : { before }) })
      }
      return status < 500
        ? Effect.logInfo("slow request")
        : cause === undefined || (status > 500 && !isBroken)
        ? Effect.logWarning("request failed")
        : Effect.logError("request failed", cause)
    }

    const log = (
      exchange: Exchange,
      status: number,
      millis: number,
      failure: unknown,
      cause: Cause.Cause<unknown> | undefined
    ) => {
      // A probe that says that it is not ready has not failed.
      if (exchange.isPage && status === 503) return
      const annotations = {
        method: exchange.request.method ?? "",
        route: exchange.metric.route,
        status,
        millis: Math.round(millis),
        correlationId: exchange.correlationId,
        degradationLevel: exchange.level()
      }
      Runtime.runFork(logging)(Effect.annotateLogs(lineOf(exchange, status, failure, cause), annotations))
    }

    const send = (exchange: Exchange, answer: HttpAnswer, failure?: unknown, cause?: Cause.Cause<unknown>) => {
      if (exchange.answered) return
      exchange.answered = true
      clearTimeout(exchange.timer)
      const { request, response } = exchange
      const headers = commonHeaders(answer, exchange.correlationId, exchange.level())
      const trace = HttpRequest.traceParent(request.headers)
      if (trace !== undefined) headers.traceparent = trace
      // An answer before the end of the body leaves bytes on the connection that nobody wants to read.
      if (draining || (!request.complete && RequestBody.has(request))) headers.connection = "close"
      if (answer.status === 204) {
        delete headers["content-type"]
        delete headers["content-length"]
      }
      response.writeHead(answer.status, headers)
      response.end(request.method === "HEAD" ? undefined : answer.body)
      const millis = performance.now() - exchange.startedAt
      HttpMetrics.count(exchange.metric, answer.status, millis / 1000)
      if (answer.status >= 500 || millis > slowMillis) log(exchange, answer.status, millis, failure, cause)
    }

    const fail = (exchange: Exchange, failure: unknown, cause?: Cause.Cause<unknown>) =>
      send(
        exchange,
        ProblemJson.render(failure, { correlationId: exchange.correlationId, level: exchange.level() }),
        failure,
        cause
      )

    /** Refuses before the body was read: reads it first, because a client that still sends does not listen. */
    const refuse = (exchange: Exchange, failure: unknown) =>
      RequestBody.read(exchange.request, options.maxBodyBytes, () => fail(exchange, failure))

    const settle = (exchange: Exchange, exit: Exit.Exit<HttpAnswer, AnyFailure>) => {
      if (exit._tag === "Success") return send(exchange, exit.value)
      const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
      if (failure !== undefined && ProblemJson.publicError(failure) !== undefined) {
        return fail(exchange, failure, exit.cause)
      }
      if (Cause.isInterruptedOnly(exit.cause)) return fail(exchange, new Errors.Draining())
      fail(exchange, new Errors.InternalError(), exit.cause)
    }

    /** The milliseconds this request may take: the server's deadline, or less if the client says so. */
    const budget = (request: Http.IncomingMessage): Either.Either<number, Errors.InvalidRequest> => {
      const header = request.headers[Deadline.header]
      if (header === undefined) return Either.right(deadlineMillis)
      return typeof header === "string" && /^\d{1,15}$/.test(header)
        ? Either.right(Math.min(deadlineMillis, Number(header) - Date.now()))
        : Either.left(
          new Errors.InvalidRequest({
            issues: [{ path: `header.${Deadline.header}`, message: "must be milliseconds since 1970" }]
          })
        )
    }

    /** Goes on where the limit allows it; who counts the requests of several processes may take a moment. */
    const ifAdmitted = (exchange: Exchange, who: string, endsAt: number, goOn: () => void) => {
      if (options.admit === undefined) return goOn()
      const decided = (exit: Exit.Exit<void, RateLimited>) => {
        if (exchange.answered || exchange.response.destroyed) return
        if (exit._tag === "Success") return goOn()
        const limit = Cause.failureOption(exit.cause)
        if (Option.isNone(limit)) return fail(exchange, new Errors.InternalError(), exit.cause)
        refuse(exchange, new Errors.RateLimited({ retryAfterMs: Math.ceil(limit.value.retryAfterMs) }))
      }
      const fiber = Runtime.runFork(logging)(Effect.locally(options.admit(who), Deadline.current, endsAt))
      const exit = fiber.unsafePoll()
      if (exit === null) fiber.addObserver(decided)
      else decided(exit)
    }

    const run = (
      exchange: Exchange,
      route: Extract<HttpRoute, { readonly _tag: "Endpoint" }>,
      runtime: Runtime.Runtime<AnyService>,
      request: HttpRequest.HttpRequest,
      endsAt: number
    ) => {
      const fiber = Runtime.runFork(runtime, route.endpoint.respond(request), {
        updateRefs: (refs, fiberId) => FiberRefs.updateAs(refs, { fiberId, fiberRef: Deadline.current, value: endsAt })
      })
      const exit = fiber.unsafePoll()
      if (exit !== null) return settle(exchange, exit)
      exchange.fiber = fiber
      fiber.addObserver((ended) => settle(exchange, ended))
    }

    const serveEndpoint = (
      exchange: Exchange,
      route: Extract<HttpRoute, { readonly _tag: "Endpoint" }>,
      params: HttpRequest.HttpRequest["params"],
      search: HttpRequest.HttpRequest["search"]
    ) => {
      const { request, response } = exchange
      if (admitted >= options.maxInFlight) return refuse(exchange, new Errors.Overloaded())
      const left = budget(request)
      if (Either.isLeft(left)) return refuse(exchange, left.left)
      if (left.right <= 0) return refuse(exchange, new Errors.DeadlineExceeded())
      admitted++
      const endsAt = exchange.startedAt + left.right
      let isBodyAwaited = false
      exchange.timer = setTimeout(() => {
        // Before the body is there nothing has begun: the client need not ask what became of it.
        fail(exchange, isBodyAwaited ? new HttpErrors.RequestTimeout() : new Errors.DeadlineExceeded())
        exchange.fiber?.unsafeInterruptAsFork(exchange.fiber.id())
      }, left.right)
      response.once("close", () => {
        admitted--
        clearTimeout(exchange.timer)
        // The client has gone: what has not begun need not begin.
        if (!exchange.answered) exchange.fiber?.unsafeInterruptAsFork(exchange.fiber.id())
      })
      const principal = HttpRequest.principal(request.headers)
      ifAdmitted(exchange, limitedAs(principal, request), endsAt, () => {
        isBodyAwaited = true
        RequestBody.read(request, options.maxBodyBytes, (body) => {
          isBodyAwaited = false
          if (exchange.answered || response.destroyed) {
            return
          }
          if (Either.isLeft(body)) {
            return fail(exchange, body.left)
          }
          const runtime = route.host.runtime()
          if (runtime === undefined) {
            return fail(exchange, new HttpErrors.Starting())
          }
          run(exchange, route, runtime, {
            method: request.method ?? "",
            url: request.url ?? "/",
            params,
            search,
            headers: request.headers,
            body: body.right,
            principal,
            correlationId: exchange.correlationId,
            level: route.host.level(),
            levelSince: route.host.levelSince()
          }, endsAt)
        })
      })
    }

    const servePage = (
      exchange: Exchange,
      route: Extract<HttpRoute, { readonly _tag: "Page" }>,
      search: HttpRequest.HttpRequest["search"]
    ) => {
      const answer = route.answer({ headers: exchange.request.headers, search })
      if (!(answer instanceof Promise)) {
        return send(exchange, answer)
      }
      answer.then(
        (ready) => send(exchange, ready),
        (error: unknown) => fail(exchange, new Errors.InternalError(), Cause.die(error))
      )
    }

    const serve = (request: Http.IncomingMessage, response: Http.ServerResponse) => {
      const url = request.url ?? "/"
      const found = options.routes.router.find(request.method === "HEAD" ? "GET" : request.method ?? "", url)
      const route = found?.handler
      const exchange: Exchange = {
        request,
        response,
        startedAt: performance.now(),
        correlationId: HttpRequest.correlationId(request.headers),
        metric: route?.metric ?? unrouted,
        level: route === undefined ? options.level : route._tag === "Page" ? route.level : route.host.level,
        isPage: route?._tag === "Page",
        answered: false,
        fiber: undefined,
        timer: undefined
      }
      exchanges.add(exchange)
      response.once("close", () => exchanges.delete(exchange))
      if (request.headers.host === undefined && request.httpVersion === "1.1") {
        refuse(exchange, protocolError(undefined))
      } else if (found === undefined) {
        const allowed = options.routes.methodsOf(url)
        refuse(
          exchange,
          allowed.length === 0
            ? new Errors.NotFound({ resource: "route", id: url.slice(0, 200) })
            : new Errors.MethodNotAllowed({ method: request.method ?? "", allowed })
        )
      } else if (found.handler._tag === "Page") {
        servePage(exchange, found.handler, found.searchParams)
      } else serveEndpoint(exchange, found.handler, found.params, found.searchParams)
    }

    const server = Http.createServer({
      keepAliveTimeout: 65_000,
      requestTimeout: 30_000,
      headersTimeout: 15_000,
      // The two hold to within a second; Node would look every thirty seconds.
      connectionsCheckingInterval: 1_000,
      // Node would answer a request without Host by itself, and not with problem+json; nor one that expects something.
      requireHostHeader: false
    })
    server.on("request", serve)
    server.on("checkExpectation", serve)
    // A body that is announced as too large is refused before it is sent.
    server.on("checkContinue", (request: Http.IncomingMessage, response: Http.ServerResponse) => {
      if (!(Number(request.headers["content-length"]) > options.maxBodyBytes)) {
        response.writeContinue()
      }
      serve(request, response)
    })
    server.on("clientError", (error: NodeJS.ErrnoException, socket: Net.Socket) => {
      if (socket.writable && error.code !== "ECONNRESET") {
        socket.end(rawProblem(protocolError(error.code), options.level()))
      } else socket.destroy()
    })

    yield* Effect.async<void, ListenFailed>((resume) => {
      server.once("error", (error: NodeJS.ErrnoException) =>
        resume(Effect.fail(
          new ListenFailed({ host: options.host, port: options.port, reason: error.code ?? error.message })
        )))
      server.listen(options.port, options.host, () => resume(Effect.void))
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
    )
    const address = server.address()

    const connections = Effect.async<number>((resume) => {
      server.getConnections((error, count) => resume(Effect.succeed(error === null ? count : 0)))
    })

    /**
     * Closes the listening socket just after a short turn of the event loop in which no connection came: those that the
     * system has accepted but the process has not would be reset.
     */
    const stopListening = Effect.async<void>((resume) => {
      const begun = performance.now()
      let came = 0
      let since = performance.now()
      const count = () => void came++
      const look = () => {
        const now = performance.now()
        const waited = now - begun
        // The longer it has waited, the longer a turn it takes for quiet.
        const quiet = came === 0 && now - since < 1 + waited / 500
        if (!quiet && waited < QUIET_LIMIT_MILLIS) {
          came = 0
          since = now
          setImmediate(look)
          return
        }
        // http.Server.close would also cut idle connections at once, on which a request may be under way already.
        Net.Server.prototype.close.call(server)
        server.off("connection", count)
        resume(Effect.void)
      }
      server.on("connection", count)
      setImmediate(look)
    })

    const drain = (within: Duration.Duration) =>
      Effect.gen(function*() {
        const end = performance.now() + Duration.toMillis(within)
        yield* stopListening
        // Not before: clients whose connection is closed come back on a new one.
        draining = true
        let idleSince = performance.now()
        while (performance.now() < end && (yield* connections) > 0) {
          if (exchanges.size > 0) idleSince = performance.now()
          if (performance.now() - idleSince >= IDLE_GRACE_MILLIS) server.closeIdleConnections()
          yield* Effect.sleep("10 millis")
        }
        const cut = exchanges.size
        for (const exchange of exchanges) exchange.fiber?.unsafeInterruptAsFork(exchange.fiber.id())
        server.closeAllConnections()
        return cut
      })

    const listening: HttpServer = {
      port: typeof address === "object" && address !== null ? address.port : options.port,
      inFlight: () => exchanges.size,
      drain
    }
    return listening
  })

/** Requests that are refused for one reason leave a line this often for each route, the others at debug. */
const REFUSALS_EVERY_MILLIS = 10_000

/** The one refusal whose cause is the process itself. */
const OVERLOADED = "overloaded"

/** Under a load that leaves no quiet turn the server closes all the same. */
const QUIET_LIMIT_MILLIS = 5_000

/** How long idle connections are kept for a request that may be under way. */
const IDLE_GRACE_MILLIS = 500

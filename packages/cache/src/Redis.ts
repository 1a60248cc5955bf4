import type * as CircuitBreaker from "@holdfast/resilience/CircuitBreaker"
import * as Deadline from "@holdfast/resilience/Deadline"
import * as Dependency from "@holdfast/resilience/Dependency"
import * as Failure from "@holdfast/resilience/Failure"
import * as Policy from "@holdfast/resilience/Policy"
import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"
import * as TimeSource from "@holdfast/resilience/TimeSource"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { Redis as Client, type RedisOptions } from "ioredis"

/**
 * Where Redis is and how to get in.
 *
 * @category models
 */
export interface Config {
  readonly host: string
  readonly port: number
  /** The number of the database; 0 by default. */
  readonly database?: number | undefined
  readonly user?: string | undefined
  readonly password?: Redacted.Redacted | undefined
  /** How the connection is encrypted, in the words of Node's `tls.connect`; not at all by default. */
  readonly tls?: false | { readonly rejectUnauthorized: boolean; readonly ca?: string } | undefined
  /** Before every key, so that others may use the same Redis; `holdfast:` by default. */
  readonly keyPrefix?: string | undefined
}

/**
 * Redis did not answer: it is known to be away and was not asked (`away`), there was no connection or it broke
 * (`connection`), or no answer came in time (`silent`). What was asked in the last two cases may still happen.
 *
 * @category errors
 */
export class RedisUnavailable extends Data.TaggedError("RedisUnavailable")<{
  readonly reason: "away" | "connection" | "silent"
  readonly detail: string
}> {
  override get message() {
    return this.detail
  }
}

/**
 * Redis answered with an error: `code` is its first word (`OOM`, `READONLY`, `WRONGTYPE`).
 *
 * @category errors
 */
export class RedisRefused extends Data.TaggedError("RedisRefused")<{
  readonly code: string
  readonly detail: string
}> {
  override get message() {
    return this.detail
  }
}

/**
 * Why a command has no result.
 *
 * @category errors
 */
export type RedisFailure = RedisUnavailable | RedisRefused | Failure.PolicyFailure

/** With these Redis says of itself that it cannot serve; any other refusal is the command's own fault. */
const unable: ReadonlySet<string> = new Set([
  "BUSY",
  "CLUSTERDOWN",
  "LOADING",
  "MASTERDOWN",
  "MISCONF",
  "NOAUTH",
  "NOPERM",
  "NOREPLICAS",
  "OOM",
  "READONLY",
  "WRONGPASS"
])

/**
 * What to do about Redis' own failures: nothing needs it, so that something else stands in.
 *
 * @category constants
 */
export const failures: Failure.Classifier<RedisUnavailable | RedisRefused> = Failure.classifier<
  RedisUnavailable | RedisRefused
>({
  RedisUnavailable: { severity: "medium", recovery: "fallback" },
  RedisRefused: ({ code }) =>
    unable.has(code) ? { severity: "medium", recovery: "fallback" } : { severity: "high", recovery: "fail" }
})

/** An answer later than this is none. */
const commandMillis = 250

/** How long it may take to connect, and then to log in. */
const handshakeMillis = 2_000

/** How long the first connection may take before it is asked for an answer all the same, within the probe's own time. */
const firstConnectionMillis = handshakeMillis - commandMillis

/** How long a connection that is given up may take to send what it still holds. */
const disconnectMillis = 100

/** Between two attempts to connect, and between two probes: from 50 ms to 1 s. */
const pace: RetryPolicy.RetryPolicy = {
  ...RetryPolicy.background,
  base: "50 millis",
  cap: "1 second",
  jitter: "equal"
}

/**
 * What a command is run on.
 *
 * @category models
 */
export type Connection = Client

/**
 * One connection to Redis, watched and guarded: nothing waits for it for longer than a quarter of a second, and while it
 * is away nothing waits at all.
 *
 * @category models
 */
export interface RedisShape {
  /** `away` by the first command without an answer; `up` again when all that was said by `onReturn` is done. */
  readonly dependency: Dependency.Dependency
  /** Asks Redis. Commands reach it in the order in which they are given, those of `change` included. */
  readonly use: <A>(command: (connection: Connection) => Promise<A>) => Effect.Effect<A, RedisFailure>
  /**
   * Tells Redis, at once: the fiber ends with its answer, whether its caller waits or not. A change that fails, for
   * whatever reason, makes Redis away: nobody knows whether it has it.
   */
  readonly change: <A>(
    command: (connection: Connection) => Promise<A>
  ) => Effect.Effect<Fiber.Fiber<A, RedisFailure>>
  /** How often Redis has come back. What was learnt from it before the last time may be wrong. */
  readonly returns: () => number
  /**
   * Does this now and each time that Redis has come back, before it is `up`; while it fails, Redis stays away. Where Redis
   * is up already, it is away for a moment.
   */
  readonly onReturn: (work: Effect.Effect<void, RedisFailure>) => Effect.Effect<void, never, Scope.Scope>
  readonly breaker: CircuitBreaker.CircuitBreaker
  /** The numbers of this moment. */
  readonly stats: () => Policy.Stats
}

/**
 * Redis, for this process.
 *
 * @category services
 */
export class Redis extends Context.Tag("@holdfast/cache/Redis")<Redis, RedisShape>() {
  /** Connects in the background, again and again. Building it never waits and never fails. */
  static readonly layer = (config: Config): Layer.Layer<Redis> => Layer.scoped(this, make(config))
}

/**
 * A connection to Redis that lives as long as the scope.
 *
 * @category constructors
 */
export const make = (config: Config): Effect.Effect<RedisShape, never, Scope.Scope> =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime()
    const random = drawFrom(yield* Effect.random)
    const time = yield* TimeSource.current
    const address = `Redis at ${config.host}:${config.port}`
    const changes = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
    const preparations = new Set<Effect.Effect<void, RedisFailure>>()
    let connectionFault: string | undefined
    let returns = 0

    const silent = `${address} did not answer within ${commandMillis} ms`
    const unconnected = () =>
      `${address} is not connected${connectionFault === undefined ? "" : `: ${connectionFault}`}`
    const classify = (thrown: unknown): RedisUnavailable | RedisRefused => {
      if (thrown instanceof RedisUnavailable || thrown instanceof RedisRefused) return thrown
      // What ioredis rejects with is no subclass of Error that JavaScript has; those are faults of the command's code.
      if (!(thrown instanceof Error) || thrown instanceof TypeError || thrown instanceof RangeError) throw thrown
      return thrown.name === "ReplyError"
        ? refusal(thrown.message)
        : new RedisUnavailable({ reason: "connection", detail: unconnected() })
    }
    /** Its answer, or that there is none in time. One that waits to be read while the process is held up is in time. */
    const inTime = <A>(answer: Promise<A>): Promise<A> =>
      new Promise((resolve, reject) => {
        const none = () => reject(new RedisUnavailable({ reason: "silent", detail: silent }))
        const cancel = time.after(commandMillis, () => setImmediate(none))
        answer.then(resolve, reject).finally(cancel)
      })

    // The numbers are constants: were they wrong, no test would pass.
    const policy = yield* Effect.orDie(Policy.make("redis", {
      failures,
      classify,
      attemptTimeout: handshakeMillis,
      retry: false,
      breaker: { slowCall: commandMillis },
      // One connection carries many commands at once, so that none has to wait for another.
      bulkhead: { limit: 1_000, queue: 0, maxWait: 0 }
    }))
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new Client(optionsOf(config, random))),
      (client) =>
        // What was changed last is to arrive; each change ends in time.
        Effect.zipRight(Effect.suspend(() => Fiber.awaitAll(changes)), Effect.sync(() => client.disconnect()))
    )
    /** It may be cut off without knowing: a new connection finds out sooner. */
    const giveUp = () => {
      if (client.status !== "ready" || !client.stream.writable) return
      connectionFault = SILENT
      client.disconnect(true)
    }
    /** Open once the first attempt to connect has ended somehow: until then nothing has failed. */
    const attempted = Effect.unsafeMakeLatch(false)
    const ping = Effect.suspend(() => {
      // Not begun yet, or given up for good: nobody else would begin.
      if (client.status === "wait" || client.status === "end") client.connect().catch(() => {})
      return Effect.zipRight(
        Effect.timeoutOption(attempted.await, firstConnectionMillis),
        Effect.tryPromise({ try: () => inTime(client.ping()), catch: classify })
      )
    }).pipe(Effect.asVoid, Effect.tapError((failure) => Effect.sync(() => isSilence(failure) && giveUp())))
    const dependency: Dependency.Dependency = yield* Dependency.make({
      name: "redis",
      probe: ping,
      // Its own time-out comes first.
      timeout: handshakeMillis,
      pace,
      recover: Effect.suspend(() => {
        returns++
        policy.breaker.reset()
        return Effect.forEach(preparations, (preparation) => preparation, { discard: true })
      })
    })

    const lose = (failure: RedisFailure) => {
      dependency.unsafeLost(failure.message)
      if (isSilence(failure)) giveUp()
    }
    client.on("error", (error: Error) => {
      connectionFault = error.message === COMMAND_TIMED_OUT ? SILENT : faultOf(error)
      attempted.unsafeOpen()
      dependency.unsafeLost(unconnected())
    })
    client.on("close", () => {
      attempted.unsafeOpen()
      dependency.unsafeLost(`${address} has closed the connection`)
    })
    client.on("ready", () => {
      connectionFault = undefined
      attempted.unsafeOpen()
      dependency.unsafeProbe()
    })

    /** Asks. A failure that `isLoss` makes Redis away before the caller hears of it, also when it does not wait any more. */
    const ask = <A>(
      command: (connection: Connection) => Promise<A>,
      isLoss: (failure: RedisFailure) => boolean
    ): Effect.Effect<A, RedisFailure> =>
      Effect.suspend(() => {
        const { lastError, status } = dependency.current()
        if (status === "away") return new RedisUnavailable({ reason: "away", detail: lastError ?? unconnected() })
        return policy.promise(() =>
          inTime(command(client)).catch((thrown: unknown) => {
            const failure = classify(thrown)
            if (isLoss(failure)) lose(failure)
            throw failure
          })
        )
      })

    return {
      dependency,
      use: (command) => ask(command, isEvidence),
      change: (command) =>
        Effect.sync(() => {
          // A refusal of the policy's own is a loss too.
          const told = Effect.tapError(ask(command, () => true), (failure) => Effect.sync(() => lose(failure)))
          const fiber = Runtime.runFork(runtime)(Effect.locally(told, Deadline.current, Infinity))
          changes.add(fiber)
          fiber.addObserver(() => changes.delete(fiber))
          return fiber
        }),
      returns: () => returns,
      onReturn: (work) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            preparations.add(work)
            dependency.unsafeLost("what uses it must be prepared first")
          }),
          () => Effect.sync(() => preparations.delete(work))
        ),
      breaker: policy.breaker,
      stats: () => policy.stats()
    }
  })

/** What ioredis says when its time-out is over. */
const COMMAND_TIMED_OUT = "Command timed out"

const SILENT = "it does not answer"

const optionsOf = (config: Config, random: () => number): RedisOptions => ({
  host: config.host,
  port: config.port,
  db: config.database ?? 0,
  ...config.user === undefined ? {} : { username: config.user },
  ...config.password === undefined ? {} : { password: Redacted.value(config.password) },
  ...config.tls === undefined || config.tls === false ? {} : { tls: config.tls },
  keyPrefix: config.keyPrefix ?? "holdfast:",
  connectionName: "holdfast",
  disableClientInfo: true,
  lazyConnect: true,
  connectTimeout: handshakeMillis,
  commandTimeout: handshakeMillis,
  disconnectTimeout: disconnectMillis,
  enableOfflineQueue: false,
  // None is sent again; and only so is each rejected as soon as its connection is gone.
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  retryStrategy: (attempts) => RetryPolicy.delay(pace, attempts, 0, random())
})

const refusal = (message: string): RedisRefused =>
  new RedisRefused({ code: /^[A-Z]+/.exec(message)?.[0] ?? "ERR", detail: message.slice(0, 200) })

const isSilence = (failure: RedisFailure): boolean => failure._tag === "RedisUnavailable" && failure.reason === "silent"

/** Whether a failure says that Redis is away, and not only that this command went wrong. */
const isEvidence = (failure: RedisFailure): boolean =>
  failure._tag === "RedisUnavailable" || (failure._tag === "RedisRefused" && unable.has(failure.code))

/** In words; an error of several addresses has no message of its own. */
const faultOf = (error: Error): string =>
  error instanceof AggregateError && error.message === "" ? String(error.errors[0]) : error.message

const drawFrom = (random: Random.Random) => () => Effect.runSync(random.next)

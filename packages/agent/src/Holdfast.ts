import { RateLimiter } from "@holdfast/cache/RateLimiter"
import type { EventBus } from "@holdfast/messaging/EventBus"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import { monitorEventLoopDelay } from "node:perf_hooks"
import type { Agent } from "./Agent.ts"
import * as AgentConfig from "./AgentConfig.ts"
import * as AgentHealth from "./AgentHealth.ts"
import * as AgentRuntime from "./AgentRuntime.ts"
import type { AgentStatus } from "./AgentStatus.ts"
import * as Documentation from "./Documentation.ts"
import * as Drain from "./Drain.ts"
import * as Health from "./Health.ts"
import * as HttpRoute from "./HttpRoute.ts"
import * as HttpServer from "./HttpServer.ts"
import * as Metrics from "./Metrics.ts"
import * as OutageLog from "./OutageLog.ts"
import * as Servers from "./Servers.ts"

/**
 * What a process runs, and on what.
 *
 * @category models
 */
export interface Options {
  readonly agents: ReadonlyArray<Agent>
  readonly config: AgentConfig.AgentConfig
  /** Of the program, for health, metrics and documentation. */
  readonly version?: string
  /** Opens each agent's store; by default Postgres where it is configured, else a SQLite file in the data folder. */
  readonly openStore?: AgentRuntime.OpenStore
  /** Carries messages between the agents; Kafka where it is configured, else their own outboxes, by default. */
  readonly bus?: Layer.Layer<EventBus>
  /** Counts requests where there is a limit; in Redis where it is configured, else in this process, by default. */
  readonly rateLimiter?: Layer.Layer<RateLimiter>
  /** Names this process among those that run the same agents; the host's name and a random part by default. */
  readonly instance?: string
}

/**
 * A process that serves.
 *
 * @category models
 */
export interface Holdfast {
  readonly port: number
  readonly agents: ReadonlyArray<AgentStatus>
  /** Ends when every agent is ready. */
  readonly ready: Effect.Effect<void>
  /** Drains and closes; the second call waits for the first. */
  readonly stop: Effect.Effect<void>
}

/** Admits requests as the configured limit says; none where there is no limit. */
const admission = (config: AgentConfig.AgentConfig, rateLimiter: Layer.Layer<RateLimiter>) =>
  Effect.transposeMapOption(config.rateLimit, (rate) =>
    Effect.map(Layer.build(rateLimiter), (context) => {
      const limiter = Context.get(context, RateLimiter)
      return (who: string) => limiter.take({ name: "http", ...rate }, who)
    }))

/**
 * Serves the agents in one process: listens first, then opens the stores side by side. Everything else waits for
 * nothing: an agent whose store cannot be opened says so in its health and tries on. Closing the scope drains.
 *
 * @category constructors
 */
export const serve = (options: Options): Effect.Effect<Holdfast, HttpServer.ListenFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const { config } = options
    const version = options.version ?? "0.1.0"
    const startedAt = yield* Clock.currentTimeMillis
    const clock = yield* Effect.clock
    const loopDelay = monitorEventLoopDelay({ resolution: 20 })
    yield* Effect.acquireRelease(
      Effect.sync(() => loopDelay.enable()),
      () => Effect.sync(() => loopDelay.disable())
    )
    const instance = options.instance ?? `${hostname()}-${randomUUID().slice(0, 8)}`
    const openStore = options.openStore ?? (yield* Servers.stores(config, instance))

    // What follows is closed by the drain, in its order; what is left after it, by the scope.
    const bus = yield* Layer.build(options.bus ?? Servers.bus(config))
    const redis = yield* Servers.redis(config)
    if (redis !== undefined) yield* OutageLog.ofDependency("Redis", redis.dependency, "memory stands in for it")
    const admit = yield* admission(config, options.rateLimiter ?? Servers.rateLimiter(redis))
    const running = yield* Effect.provide(
      Effect.forEach(options.agents, (agent) =>
        AgentRuntime.make(agent, {
          openStore,
          instance,
          hasPrimary: options.openStore === undefined && Option.isSome(config.postgres),
          fallback: AgentConfig.fallbackOf(config, agent.name),
          cache: redis?.dependency,
          neighbours: options.agents.map(({ name }) => name)
        })),
      bus
    )
    const agents = running.map((agent) => agent.status)
    const level = () => Health.worstLevel(agents)
    const process: Health.Process = {
      version,
      startedAt,
      now: () => clock.unsafeCurrentTimeMillis(),
      agents,
      loopDelayMillis: () => loopDelay.percentile(99) / 1e6
    }
    const routes: HttpRoute.Routes = HttpRoute.make([
      ...Health.mounts(process),
      Metrics.mount({ process, routes: () => routes.metrics, inFlight: () => server.inFlight() }, level),
      ...Documentation.mounts(options.agents, version, level),
      ...running.flatMap((agent) => agent.mounts)
    ])
    const server: HttpServer.HttpServer = yield* HttpServer.make({
      host: config.host,
      port: config.port,
      routes,
      level,
      maxInFlight: config.maxInFlight,
      ...Option.isSome(admit) ? { admit: admit.value } : {},
      maxBodyBytes: config.maxBodyBytes,
      deadline: config.requestDeadline,
      slow: Duration.seconds(1)
    })
    const drain = Drain.run({ server, agents: running, settle: config.drainSettle, deadline: config.drainDeadline })
    // In a fiber of its own: a finalizer cannot be interrupted, nor could the time-outs of the drain.
    const stop = yield* Effect.cached(
      Effect.flatMap(Effect.forkDaemon(Effect.interruptible(drain)), (fiber) => Effect.asVoid(fiber.await))
    )
    yield* Effect.addFinalizer(() => stop)
    yield* Effect.forEach(running, (agent) => agent.start)
    yield* Effect.logInfo(`listening on http://${config.host}:${server.port}`).pipe(
      Effect.annotateLogs("agents", options.agents.map((agent) => agent.name).join(" "))
    )
    const unheard = [...new Set(agents.flatMap((agent) => agent.unheard))]
    if (unheard.length > 0) {
      const hearing = agents.filter((agent) => agent.unheard.length > 0).map(({ name }) => name)
      yield* Effect.logWarning(AgentHealth.unheardIn(hearing.join(", "), unheard))
    }
    return {
      port: server.port,
      agents,
      ready: Effect.forEach(running, (agent) => agent.ready, { concurrency: "unbounded", discard: true }),
      stop
    }
  })

/**
 * Serves until interrupted, then drains.
 *
 * @category programs
 */
export const launch = (options: Options): Effect.Effect<never, HttpServer.ListenFailed> =>
  Effect.scoped(Effect.zipRight(serve(options), Effect.never))

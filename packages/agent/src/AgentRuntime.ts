import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import { Database, type DatabaseShape } from "@holdfast/database/Database"
import * as Replicated from "@holdfast/database/Replicated"
import type { StoreUnavailable } from "@holdfast/database/StoreError"
import { DeadLetters, Intents as KeptRequests, Sagas, Withheld } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as Consumer from "@holdfast/messaging/Consumer"
import { EventBus } from "@holdfast/messaging/EventBus"
import * as Topics from "@holdfast/messaging/Topics"
import { Degradation, type LevelPolicy } from "@holdfast/resilience/Degradation"
import type { Dependency } from "@holdfast/resilience/Dependency"
import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import type { Agent, Surface } from "./Agent.ts"
import * as AgentStatus from "./AgentStatus.ts"
import * as Drill from "./Drill.ts"
import * as Endpoint from "./Endpoint.ts"
import * as FailbackTimes from "./FailbackTimes.ts"
import type { AnyService } from "./Handler.ts"
import * as Housekeeping from "./Housekeeping.ts"
import type { Mount } from "./HttpRoute.ts"
import * as Intents from "./Intents.ts"
import * as Job from "./Job.ts"
import * as JobRunner from "./JobRunner.ts"
import * as KernelApi from "./KernelApi.ts"
import * as LevelEvents from "./LevelEvents.ts"
import * as LevelFacts from "./LevelFacts.ts"
import * as LevelTimes from "./LevelTimes.ts"
import * as OutageLog from "./OutageLog.ts"
import * as Outside from "./Outside.ts"
import * as StoreWatch from "./StoreWatch.ts"
import * as Surfaces from "./Surfaces.ts"

/**
 * Opens the store of an agent.
 *
 * @category models
 */
export type OpenStore = (agent: Agent) => Layer.Layer<Database, StoreUnavailable>

/**
 * What an agent's operator has decided, and what the process shares among its agents.
 *
 * @category models
 */
export interface Options {
  readonly openStore: OpenStore
  /** Names this process in events and leases. */
  readonly instance: string
  /** Whether the stores have a primary besides the file. */
  readonly hasPrimary: boolean
  readonly fallback: LevelPolicy["fallback"]
  readonly cache: Dependency | undefined
  /** The agents of the process. */
  readonly neighbours: ReadonlyArray<string>
}

/**
 * An agent in this process.
 *
 * @category models
 */
export interface Running {
  readonly agent: Agent
  readonly status: AgentStatus.AgentStatus
  readonly mounts: ReadonlyArray<Mount>
  /** Begins to open the store, in the background. */
  readonly start: Effect.Effect<void>
  /** Ends when the agent is ready; while its store cannot be opened, that takes as long as it takes. */
  readonly ready: Effect.Effect<void>
  /** Takes nothing new from clock and bus, and lets what is under way end, at most as long as given. */
  readonly quiesce: (within: Duration.Duration) => Effect.Effect<void>
  /** Ends what the store was asked for and closes it. */
  readonly close: Effect.Effect<void>
}

/** Between two attempts to open a store: from a quarter of a second to ten seconds. */
const pauses: RetryPolicy.RetryPolicy = { ...RetryPolicy.background, base: "250 millis", cap: "10 seconds" }

/** The parameter of the route that reads one element of the collection at this path. */
const itemKey = (path: string, all: ReadonlyArray<HttpApiEndpoint.HttpApiEndpoint.AnyWithProps>) => {
  const item = all.find((endpoint) =>
    endpoint.method === "GET" && endpoint.path.startsWith(`${path}/:`) &&
    !endpoint.path.slice(path.length + 2).includes("/")
  )
  return item?.path.slice(path.length + 2)
}

const compile = (agent: Agent, surface: Surface<AnyService>): ReadonlyArray<Endpoint.Endpoint> => {
  const endpoints = Surfaces.endpoints(surface.api)
  return endpoints.map((endpoint) => {
    const handler = surface.handlers[endpoint.name]
    if (handler === undefined) throw new TypeError(`${agent.name}.${endpoint.name} has no handler`)
    return Endpoint.make(agent.name, endpoint, handler, itemKey(endpoint.path, endpoints))
  })
}

/** Keeps at hand, for probes and metrics, which do no IO, how much waits for a person. */
const countWaiting = (status: AgentStatus.AgentStatus): Job.Job<Database> => {
  const tell = OutageLog.ofWaiting(status)
  return Job.worker(
    "count-waiting",
    { wakeOn: [DeadLetters, Sagas, KeptRequests, Withheld], every: "1 minute" },
    Effect.flatMap(Database, (database) =>
      Effect.flatMap(
        database.read(Transaction.query(
          "select status as state, count(*) as n from dead_letter where status in ('open', 'parked') group by status " +
            "union all select state, count(*) as n from saga where ended_at is null and state = 'needs_operator' group by state " +
            "union all select status as state, count(*) as n from intent where status = 'waiting' group by status"
        )),
        (rows) => {
          const count = (state: string) => Number(rows.find((row) => row["state"] === state)?.["n"] ?? 0)
          status.deadLetters = { open: count("open"), parked: count("parked") }
          status.sagasWaiting = count("needs_operator")
          status.intentsWaiting = count("waiting")
          return tell
        }
      ))
  )
}

/** The agents whose events it hears. */
const producersOf = (agent: Agent): ReadonlyArray<string> => {
  const subscriptions = [...agent.subscriptions, ...agent.parts.flatMap((part) => part.subscriptions)]
  return [...new Set(subscriptions.flatMap(({ topic }) => Topics.producer(topic) ?? []))]
}

const faultOf = (cause: Cause.Cause<StoreUnavailable>): string => {
  const error = Cause.squash(cause)
  return typeof error === "object" && error !== null && "detail" in error ? String(error.detail) : String(error)
}

/**
 * Prepares an agent: its routes can be mounted at once. `start` then opens its store (again and again, if need be) and its
 * ports, hears the bus and starts its jobs.
 *
 * @category constructors
 */
export const make = (
  agent: Agent,
  { cache, fallback, hasPrimary, instance, neighbours, openStore }: Options
): Effect.Effect<Running, never, EventBus | Scope.Scope> =>
  Effect.gen(function*() {
    const bus = yield* EventBus
    const shared = { broker: bus.broker, cache }
    const degradation = yield* Degradation.make({ fallback }, LevelFacts.initial({ ...shared, primary: hasPrimary }))
    yield* LevelFacts.followShared(degradation, shared, () => {
      const standing = bus.standing(agent.name)
      return standing !== undefined && standing.isHearing && standing.isSending
    })
    const endpoints = Surfaces.of(agent).flatMap((surface) => compile(agent, surface))
    const outside: Array<Outside.Party> = []
    const status: AgentStatus.AgentStatus = {
      name: agent.name,
      title: agent.title,
      phase: "starting",
      phaseSince: yield* Clock.currentTimeMillis,
      fault: undefined,
      dead: false,
      degradation: degradation.current,
      facts: degradation.facts,
      levelTimes: yield* LevelTimes.follow(degradation),
      failbackTimes: FailbackTimes.none(),
      fallback,
      commands: endpoints.flatMap(({ method, path, policy }) =>
        policy === undefined ? [] : [{ method, path, writeClass: policy.writeClass }]
      ),
      unheard: bus.broker === undefined ? producersOf(agent).filter((name) => !neighbours.includes(name)) : [],
      file: undefined,
      database: undefined,
      isDrilling: () => false,
      consumer: undefined,
      jobs: [],
      deadLetters: { open: 0, parked: 0 },
      sagasWaiting: 0,
      intentsWaiting: 0,
      lanes: () => bus.lanes().filter((lane) => lane.consumer === agent.name),
      publishing: () => bus.publishing().find((publishing) => publishing.agent === agent.name),
      standing: () => bus.standing(agent.name),
      outside,
      ...shared
    }
    const storeScope = yield* Scope.make()
    const workScope = yield* Scope.make()
    let runtime: Runtime.Runtime<AnyService> | undefined
    let jobs: JobRunner.Jobs | undefined

    /** Everything that the agent's handlers, subscriptions and jobs need. */
    const open = (scope: Scope.CloseableScope) =>
      Effect.gen(function*() {
        const opened = Context.get(yield* Layer.buildWithScope(openStore(agent), scope), Database)
        // From now on health says where the primary stands.
        status.database = opened
        if (opened.primary !== undefined) {
          yield* Scope.extend(LevelFacts.followPrimary(degradation, opened.primary, () => status.isDrilling()), scope)
          yield* Scope.extend(FailbackTimes.follow(status.failbackTimes, opened.primary), scope)
          yield* Replicated.settled(opened.primary)
        }
        const { database, dependency } = yield* Scope.extend(StoreWatch.make(opened, degradation), scope)
        status.file = dependency
        const kernel = Context.make(Database, database).pipe(
          Context.add(Degradation, degradation),
          Context.add(Outside.Outside, Outside.Outside.listing(outside))
        )
        const ports = yield* Effect.provide(Layer.buildWithScope(agent.ports, scope), kernel)
        return { database, context: Context.merge(kernel, ports) }
      })

    /** A store that cannot be opened costs the agent its level, not the process: it tries on and says what to fix. */
    const openStubbornly = Effect.gen(function*() {
      for (let attempt = 1;; attempt++) {
        const scope = yield* Scope.make()
        const exit = yield* Effect.exit(open(scope))
        if (Exit.isSuccess(exit)) {
          yield* Scope.addFinalizerExit(storeScope, (ended) => Scope.close(scope, ended))
          return exit.value
        }
        yield* Scope.close(scope, exit)
        const fault = faultOf(exit.cause)
        if (fault !== status.fault) {
          const line = `the ${agent.name} agent cannot open its store and tries on: ${fault}`
          yield* Chunk.isEmpty(Cause.defects(exit.cause)) ? Effect.logError(line) : Effect.logError(line, exit.cause)
        }
        status.fault = fault
        degradation.unsafeReport({ standby: "unreadable" })
        yield* Effect.sleep(Duration.millis(RetryPolicy.delay(pauses, attempt, 0, yield* Random.next)))
      }
    })

    const work = (database: DatabaseShape, everything: Context.Context<AnyService>) =>
      Effect.gen(function*() {
        const subscriptions = [...agent.subscriptions, ...agent.parts.flatMap((part) => part.subscriptions)]
        const consumer = yield* Consumer.make(subscriptions)
        const plain = yield* Effect.runtime<never>()
        const drills = yield* Drill.Drills.make(database, { fallback }, () => degradation.current().level)
        status.isDrilling = () => drills.current().state === "running"
        runtime = Runtime.make({
          ...plain,
          context: Context.merge(plain.context, everything).pipe(
            Context.add(KernelApi.MessageConsumer, consumer),
            Context.add(Drill.Drills, drills)
          )
        })
        status.consumer = consumer
        status.database = database
        AgentStatus.enter(status, "ready", yield* Clock.currentTimeMillis)
        yield* bus.join({ database, ...consumer })
        yield* LevelEvents.announce(database, degradation, instance)
        yield* OutageLog.ofLevel(status, degradation.changes)
        jobs = yield* JobRunner.start([
          ...agent.jobs,
          ...agent.parts.flatMap((part) => part.jobs),
          countWaiting(status),
          Intents.job(endpoints),
          Intents.forget,
          Housekeeping.job(agent.name, bus)
        ])
        status.jobs = jobs.stats
      })

    const main = Effect.gen(function*() {
      const { context, database } = yield* openStubbornly
      status.fault = undefined
      if (database.primary === undefined) degradation.unsafeReport({ standby: "ok" })
      // The agent's type says that nothing is missing; what its parts need is in here, the work's scope included.
      const everything = Context.add(context, Scope.Scope, workScope) as Context.Context<AnyService>
      yield* Effect.provide(work(database, everything), everything)
    }).pipe(
      Effect.tapErrorCause((cause) =>
        Effect.zipRight(
          Effect.sync(() => {
            status.dead = !Cause.isInterruptedOnly(cause)
            status.fault = "the agent has a fault of its own; see the log and restart it"
          }),
          Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logFatal(`the ${agent.name} agent died`, cause)
        )
      ),
      Effect.annotateLogs("agent", agent.name)
    )
    const isReady = yield* Deferred.make<void>()
    let starting: Fiber.RuntimeFiber<unknown> | undefined

    return {
      agent,
      status,
      mounts: endpoints.map((endpoint): Mount => ({
        _tag: "Endpoint",
        endpoint,
        host: {
          level: () => degradation.current().level,
          levelSince: () => degradation.current().since,
          runtime: () => runtime
        }
      })),
      start: Effect.suspend(() =>
        Effect.map(Effect.forkDaemon(Effect.zipRight(main, Deferred.succeed(isReady, undefined))), (fiber) => {
          starting = fiber
        })
      ),
      ready: Deferred.await(isReady),
      quiesce: (within) =>
        Effect.gen(function*() {
          if (starting !== undefined) yield* Fiber.interrupt(starting)
          yield* Effect.all([
            jobs === undefined ? Effect.void : jobs.stop(within),
            Effect.timeoutOption(Effect.disconnect(Scope.close(workScope, Exit.void)), within)
          ], { concurrency: "unbounded", discard: true })
        }),
      close: Effect.gen(function*() {
        runtime = undefined
        yield* Scope.close(storeScope, Exit.void)
        AgentStatus.enter(status, "stopped", yield* Clock.currentTimeMillis)
      })
    }
  })

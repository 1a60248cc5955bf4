import * as TimeSource from "@holdfast/resilience/TimeSource"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import type { Consumer } from "kafkajs"
import type { Member } from "../EventBus.ts"
import * as KafkaConfig from "../KafkaConfig.ts"
import * as KafkaError from "../KafkaError.ts"
import * as KafkaClient from "./KafkaClient.ts"
import * as KafkaPartitions from "./KafkaPartitions.ts"
import type { KafkaTopics } from "./KafkaTopics.ts"
import type { KafkaWatch } from "./KafkaWatch.ts"

/** Partitions whose messages are delivered at the same time. */
const CONCURRENTLY = 3

/** A consumer that has failed gets this long to leave its group; its connection is likely to be what is broken. */
const FAREWELL = "1 second"

/**
 * A new consumer gets this long to join its group, besides the session of one that was killed and is still counted in: on
 * a new cluster the topics for groups are made first.
 */
const FIRST_JOIN_MILLIS = 10_000

/** After the library has stopped by itself it says why, a little later. */
const REASON_WITHIN = "500 millis"

/**
 * Hears the topics of one agent.
 *
 * @category models
 */
export interface KafkaConsumer {
  /** The group that all processes of the agent share. */
  readonly group: string
  readonly partitions: KafkaPartitions.KafkaPartitions
  /** Hears for ever; interrupted, it settles what it has in hands, and leaves the group. */
  readonly run: Effect.Effect<never>
  /** Why it hears nothing now; `undefined` while it is alive. */
  readonly fault: () => string | undefined
  /** It has never joined its group, and has not had the time to: that it hears nothing is no fault yet. */
  readonly isNew: () => boolean
}

/** What the library sees where a delivery ends and it is not the library's own doing. */
class Abandoned extends Data.TaggedError("Abandoned")<{ readonly cause: Cause.Cause<unknown> }> {}

/**
 * The consumer of an agent, supervised: it starts without a broker, and is replaced by a new one whenever it stops, crashes
 * or falls silent. The library does not always restart a consumer, and says nothing when it does not. Each has a client of
 * its own, since those of one client share offsets, also with one that was given up.
 *
 * @category constructors
 */
export const make = (
  config: KafkaConfig.KafkaConfig,
  member: Member,
  topics: KafkaTopics,
  watch: KafkaWatch
): Effect.Effect<KafkaConsumer> =>
  Effect.map(TimeSource.current, (time) => {
    const { agent } = member.database
    const { timing } = config
    const millis = (what: keyof KafkaConfig.Timing) => KafkaConfig.millis(config, what)
    const group = `${config.prefix}holdfast.${agent}`
    const partitions = KafkaPartitions.make(config, member)

    /** `rejoining`: the group is sharing its partitions out anew. */
    let phase: "away" | "joining" | "joined" | "rejoining" = "away"
    let seenAt = time.now()
    let joinedAt: number | undefined
    let hasJoined = false
    const newUntil = time.now() + millis("session") + FIRST_JOIN_MILLIS
    let isRefused = false
    const isNew = () => !hasJoined && !isRefused && time.now() < newUntil
    let lastError = "it has not joined its group yet"
    let failures = 0
    let isTold = false

    const seen = () => {
      seenAt = time.now()
    }

    const joined = (assignment: Readonly<Record<string, ReadonlyArray<number>>>) => {
      seen()
      phase = "joined"
      joinedAt ??= time.now()
      hasJoined = true
      partitions.assign(assignment)
      watch.measure()
      watch.look()
    }

    /** Follows what the consumer says of itself; `stopped` and `crashed` end it. */
    const observe = (consumer: Consumer, stopped: () => void, crashed: (error: Error) => void) => {
      const { events } = consumer
      consumer.on(events.GROUP_JOIN, ({ payload }) => joined(payload.memberAssignment))
      consumer.on(events.REBALANCING, () => {
        seen()
        phase = "rejoining"
      })
      consumer.on(events.HEARTBEAT, seen)
      consumer.on(events.FETCH, seen)
      consumer.on(events.REQUEST_TIMEOUT, ({ payload }) => watch.lost(`${payload.apiName} was not answered in time`))
      consumer.on(events.STOP, stopped)
      consumer.on(events.DISCONNECT, stopped)
      // Whether the library would restart it does not matter: one owner of restarts is enough.
      consumer.on(events.CRASH, ({ payload }) => crashed(payload.error))
    }

    /** Fails when the consumer has fallen silent for good. */
    const silence = Effect.gen(function*() {
      const every = Math.min(millis("silence") / 4, 1_000)
      let lookedAt = time.now()
      for (;;) {
        yield* Effect.sleep(Duration.millis(every))
        const now = time.now()
        // This process itself stood still: what has come meanwhile is heard next.
        if (now - lookedAt > 2 * every + 1_000) seen()
        lookedAt = now
        const limit = millis("request") +
          (phase === "joined" ? millis("session") : Math.max(millis("session"), millis("rebalance")))
        if (now - seenAt > limit) {
          return yield* new KafkaError.BrokerAway({ operation: "hear", detail: `silent for ${Math.round(limit)} ms` })
        }
      }
    })

    const incarnation = Effect.gen(function*() {
      yield* topics.ensure(member.topics)
      const client = yield* Effect.acquireRelease(
        KafkaClient.open(config, watch.look),
        ({ close }) => Effect.sync(() => close("the consumer has ended"))
      )
      const consumer = client.kafka.consumer({
        groupId: group,
        sessionTimeout: millis("session"),
        heartbeatInterval: millis("heartbeat"),
        rebalanceTimeout: millis("rebalance"),
        maxWaitTimeInMs: millis("fetchWait"),
        allowAutoTopicCreation: false,
        retry: KafkaClient.retry.join
      })
      const deliveries = yield* FiberSet.make<unknown, unknown>()
      const run = yield* FiberSet.runtimePromise(deliveries)()
      const crashed = yield* Deferred.make<never, KafkaError.KafkaError>()
      const stopped = yield* Deferred.make<void>()
      let leaving = false
      observe(
        consumer,
        () => leaving || Deferred.unsafeDone(stopped, Exit.void),
        (error) => Deferred.unsafeDone(crashed, Exit.fail(KafkaError.of("hear", error)))
      )
      yield* Effect.addFinalizer((exit) =>
        Effect.suspend(() => {
          leaving = true
          const within = Exit.isInterrupted(exit) ? timing.stop : FAREWELL
          return Effect.ignore(KafkaClient.call("leave the group", within, () => consumer.disconnect()))
        })
      )

      yield* KafkaClient.call("connect", timing.request, () => consumer.connect())
      yield* KafkaClient.call("subscribe", timing.request, () =>
        consumer.subscribe({
          topics: member.topics.map((topic) => `${config.prefix}${topic}`),
          fromBeginning: true
        }))
      const hear = Effect.tryPromise({
        try: () =>
          consumer.run({
            autoCommit: false,
            eachBatchAutoResolve: false,
            partitionsConsumedConcurrently: CONCURRENTLY,
            eachBatch: async (payload) => {
              const exit = await run(Effect.exit(partitions.settle(payload)))
              if (Exit.isSuccess(exit)) return void run(exit.value).catch(() => {})
              const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
              throw failure === undefined ? new Abandoned({ cause: exit.cause }) : failure.thrown
            }
          }),
        catch: (thrown) => KafkaError.of("join the group", thrown)
      })
      const stop = Deferred.await(stopped).pipe(
        Effect.zipRight(Effect.sleep(REASON_WITHIN)),
        Effect.zipRight(new KafkaError.BrokerAway({ operation: "hear", detail: "the consumer has stopped" }))
      )
      return yield* Effect.zipRight(hear, Effect.never).pipe(
        Effect.raceFirst(Deferred.await(crashed)),
        Effect.raceFirst(stop),
        Effect.raceFirst(silence)
      )
    })

    const ended = (cause: Cause.Cause<KafkaError.KafkaError>) =>
      Effect.gen(function*() {
        const error = Cause.squash(cause)
        lastError = error instanceof Error ? error.message : String(error)
        // One that has lived for a while does not count among those that fail again and again.
        if (joinedAt !== undefined && time.now() - joinedAt > millis("silence")) {
          failures = 0
          isTold = false
        }
        phase = "away"
        joinedAt = undefined
        isRefused ||= KafkaError.isCritical(error)
        if (isNew()) yield* Effect.logDebug(`${agent} has not joined its group yet: ${lastError}`)
        else {
          watch.lost(`${agent} hears nothing: ${lastError}`)
          if (!isTold) yield* KafkaError.log(`${agent} hears nothing and tries on`, error)
          isTold = true
        }
        yield* watch.pause(++failures)
      })

    return {
      group,
      partitions,
      run: Effect.forever(
        Effect.suspend(() => {
          phase = "joining"
          seen()
          return Effect.catchAllCause(Effect.scoped(incarnation), ended)
        })
      ),
      isNew,
      fault: () => {
        if (phase === "away" || phase === "joining") return `${agent} hears nothing: ${lastError}`
        const silent = time.now() - seenAt
        return silent > millis("silence")
          ? `${agent} has heard nothing of the broker for ${Math.round(silent / 1_000)} s`
          : undefined
      }
    }
  })

import * as Deadline from "@holdfast/resilience/Deadline"
import type { DeadlineExceeded } from "@holdfast/resilience/Failure"
import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { EachBatchPayload } from "kafkajs"
import type { DependencyAway } from "../DeliveryError.ts"
import type { Lane, Member } from "../EventBus.ts"
import * as KafkaConfig from "../KafkaConfig.ts"
import * as KafkaRecord from "./KafkaRecord.ts"

/** At most this many messages are delivered at once. */
const BATCH = 256

/** Pauses of a partition whose deliveries fail: for ever, at most 5 s apart, one message at a time. */
const pauses: RetryPolicy.RetryPolicy = { ...RetryPolicy.background, cap: "5 seconds" }

/**
 * How far the agent has heard a partition. Offsets as numbers.
 *
 * @category models
 */
export interface Partition {
  readonly topic: string
  readonly partition: number
  /** The first message that is not settled; `undefined` until it is known. */
  position: number | undefined
  /** Behind the last message. */
  end: number | undefined
  /** Whether the position was read since the partition was given to this consumer. */
  isFresh: boolean
  failures: number
  paused: boolean
  lastError: string | undefined
}

/**
 * The library's own error, which it has to see again: by it, it knows whether to join the group anew.
 *
 * @category errors
 */
export class Interfered extends Data.TaggedError("Interfered")<{ readonly thrown: unknown }> {}

/**
 * The partitions that an agent hears.
 *
 * @category models
 */
export interface KafkaPartitions {
  /** The group has given these to this consumer, and no others. */
  readonly assign: (assignment: Readonly<Record<string, ReadonlyArray<number>>>) => void
  readonly all: () => Iterable<Partition>
  readonly lanes: () => ReadonlyArray<Lane>
  /**
   * Settles messages of one partition in their order: first the transactions, then the offset. Ends early when they are
   * not to be settled here any more. Where a dependency is away it holds the partition up, and answers what then has to be
   * done in the background.
   */
  readonly settle: (payload: EachBatchPayload) => Effect.Effect<Effect.Effect<void>, Interfered>
}

const messageOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

/** Keeps the membership while the work lasts, and gives the work up when the membership is lost. */
const whileMember = <E>(payload: EachBatchPayload, heartbeat: number, work: Effect.Effect<void, E>) =>
  Effect.raceFirst(
    work,
    Effect.forever(Effect.zipRight(
      // The library sees to it that they are not closer together than they should be.
      Effect.sleep(Duration.millis(heartbeat / 2)),
      Effect.tryPromise({ try: () => payload.heartbeat(), catch: (thrown) => new Interfered({ thrown }) })
    ))
  )

/**
 * @category constructors
 */
export const make = (config: KafkaConfig.KafkaConfig, member: Member): KafkaPartitions => {
  const { agent } = member.database
  const partitions = new Map<string, Partition>()
  const nameOf = ({ partition, topic }: Pick<Partition, "topic" | "partition">) => `${topic}/${partition}`
  const unprefixed = (topic: string) => topic.slice(config.prefix.length)

  const open = (topic: string, partition: number): Partition => {
    const name = nameOf({ topic, partition })
    const known = partitions.get(name)
    if (known !== undefined) return known
    const opened: Partition = {
      topic,
      partition,
      position: undefined,
      end: undefined,
      isFresh: false,
      failures: 0,
      paused: false,
      lastError: undefined
    }
    partitions.set(name, opened)
    return opened
  }

  const succeeded = (place: Partition) =>
    Effect.suspend(() => {
      const { paused } = place
      place.failures = 0
      place.paused = false
      place.lastError = undefined
      return paused ? Effect.logInfo(`${agent} hears ${nameOf(place)} again`) : Effect.void
    })

  /**
   * Nothing of the messages was resolved, so that the library asks for them again when the partition goes on. Until then
   * it goes on with other partitions and stays in the group.
   */
  const holdUp = (payload: EachBatchPayload, place: Partition, cause: Cause.Cause<DependencyAway | DeadlineExceeded>) =>
    Effect.gen(function*() {
      place.lastError = messageOf(cause)
      if (!place.paused) yield* Effect.logWarning(`${agent} pauses to hear ${nameOf(place)}: ${place.lastError}`)
      place.paused = true
      const resume = payload.pause()
      const wait = RetryPolicy.delay(pauses, ++place.failures, 0, yield* Random.next)
      return Effect.zipRight(Effect.sleep(Duration.millis(wait)), Effect.sync(resume))
    })

  const commit = (payload: EachBatchPayload, place: Partition, offset: string) =>
    Effect.suspend(() => {
      const { partition, topic } = payload.batch
      const next = String(BigInt(offset) + 1n)
      payload.resolveOffset(offset)
      place.position = Number(next)
      return Effect.tryPromise({
        try: () => payload.commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition, offset: next }] }] }),
        catch: (thrown) => new Interfered({ thrown })
      })
    })

  /** Answers whether the library may go on, or what holds the partition up. */
  const settleChunk = (
    payload: EachBatchPayload,
    place: Partition,
    messages: EachBatchPayload["batch"]["messages"]
  ) => {
    const envelopes = messages.map((message) => KafkaRecord.decode(place.topic, place.partition, message))
    const delivery = Deadline.within(config.timing.delivery, "delivery")(member.deliver(envelopes))
    return whileMember(payload, KafkaConfig.millis(config, "heartbeat"), delivery).pipe(
      Effect.as(undefined),
      Effect.catchAllCause((cause) => {
        const failure = Option.getOrUndefined(Cause.failureOption(cause))
        return failure?._tag === "Interfered"
          ? Effect.fail(failure)
          // A defect of a delivery must not end the consumer either: the next one would meet the same message.
          : holdUp(payload, place, failure === undefined ? Cause.die(Cause.squash(cause)) : Cause.fail(failure))
      })
    )
  }

  return {
    assign: (assignment) => {
      const names = new Set<string>()
      for (const [topic, numbers] of Object.entries(assignment)) {
        for (const number of numbers) {
          const place = open(unprefixed(topic), number)
          // Others may have gone on with it meanwhile.
          place.isFresh = false
          names.add(nameOf(place))
        }
      }
      for (const name of [...partitions.keys()]) if (!names.has(name)) partitions.delete(name)
    },
    all: () => partitions.values(),
    lanes: () =>
      [...partitions.values()].map((place) => ({
        consumer: agent,
        source: nameOf(place),
        position: place.position ?? 0,
        lag: place.position === undefined || place.end === undefined
          ? undefined
          : Math.max(0, place.end - place.position),
        paused: place.paused,
        lastError: place.lastError
      })),
    settle: (payload) =>
      Effect.gen(function*() {
        const { highWatermark, messages, partition, topic } = payload.batch
        const place = open(unprefixed(topic), partition)
        place.end = Math.max(place.end ?? 0, Number(highWatermark))
        for (let index = 0; index < messages.length;) {
          if (!payload.isRunning() || payload.isStale()) break
          const chunk = messages.slice(index, index + (place.failures === 0 ? BATCH : 1))
          const last = chunk.at(-1)
          if (last === undefined) break
          place.position = Number(chunk[0]?.offset)
          place.isFresh = true
          const background = yield* settleChunk(payload, place, chunk)
          if (background !== undefined) return background
          yield* succeeded(place)
          yield* commit(payload, place, last.offset)
          index += chunk.length
        }
        return Effect.void
      })
  }
}

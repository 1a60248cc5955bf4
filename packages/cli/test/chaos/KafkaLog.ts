import { Data, Effect, Schedule } from "effect"
import KafkaJS from "kafkajs"
import { randomUUID } from "node:crypto"

/** A message as it lies in the broker. */
export interface Record {
  readonly topic: string
  readonly key: string
  readonly partition: number
  readonly offset: number
  /** The id of the event. */
  readonly id: string
}

const clientOf = (brokers: ReadonlyArray<string>) =>
  new KafkaJS.Kafka({ brokers: [...brokers], clientId: "test", logLevel: KafkaJS.logLevel.NOTHING })

/** What the broker did not answer. */
class Unanswered extends Data.TaggedError("Unanswered")<{ readonly cause: unknown }> {
  override get message(): string {
    return String(this.cause)
  }
}

/** A broker on a busy machine elects its leaders anew now and then, and does not answer meanwhile. */
const asked = <A>(ask: () => Promise<A>): Effect.Effect<A> =>
  Effect.tryPromise({ try: ask, catch: (cause) => new Unanswered({ cause }) }).pipe(
    Effect.retry({ schedule: Schedule.spaced("300 millis"), times: 100 }),
    Effect.orDie
  )

const adminOf = (brokers: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    asked(async () => {
      const admin = clientOf(brokers).admin()
      await admin.connect()
      return admin
    }),
    (admin) => Effect.promise(() => admin.disconnect())
  )

/** How many messages the topic holds, those that came twice counted twice. */
export const depth = (brokers: ReadonlyArray<string>, topic: string): Effect.Effect<number> =>
  Effect.scoped(Effect.gen(function*() {
    const admin = yield* adminOf(brokers)
    const ends = yield* asked(() => admin.fetchTopicOffsets(topic))
    return ends.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
  }))

/** How many messages of the topic the group has not settled. */
export const lag = (brokers: ReadonlyArray<string>, group: string, topic: string): Effect.Effect<number> =>
  Effect.scoped(Effect.gen(function*() {
    const admin = yield* adminOf(brokers)
    const ends = yield* asked(() => admin.fetchTopicOffsets(topic))
    const [settled] = yield* asked(() => admin.fetchOffsets({ groupId: group, topics: [topic] }))
    return ends.reduce((sum, { high, low, partition }) => {
      const offset = Number(settled?.partitions.find((one) => one.partition === partition)?.offset ?? -1)
      return sum + Number(high) - (offset < 0 ? Number(low) : offset)
    }, 0)
  }))

/** Where the group goes on in each partition of the topic. */
const places = (brokers: ReadonlyArray<string>, group: string, topic: string) =>
  Effect.scoped(Effect.gen(function*() {
    const admin = yield* adminOf(brokers)
    const [settled] = yield* asked(() => admin.fetchOffsets({ groupId: group, topics: [topic] }))
    return new Map(
      (settled?.partitions ?? []).map(({ offset, partition }) => [partition, Math.max(0, Number(offset))] as const)
    )
  }))

/** The ids of the messages that the group would be given again, or for the first time. */
export const unsettled = (brokers: ReadonlyArray<string>, group: string, topic: string) =>
  Effect.gen(function*() {
    const from = yield* places(brokers, group, topic)
    const log = yield* read(brokers, [topic])
    return log.filter(({ offset, partition }) => offset >= (from.get(partition) ?? 0)).map(({ id }) => id)
  })

/** Behind the last message of each partition that holds any. */
const endsOf = (brokers: ReadonlyArray<string>, topics: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const admin = yield* adminOf(brokers)
    const ends = new Map<string, number>()
    for (const topic of topics) {
      for (const { high, low, partition } of yield* asked(() => admin.fetchTopicOffsets(topic))) {
        if (Number(high) > Number(low)) ends.set(`${topic}/${partition}`, Number(high))
      }
    }
    return ends
  }))

/** Reads until the ends are reached, as a group of its own; what comes again is the same message. */
const readTo = (ends: Map<string, number>, brokers: ReadonlyArray<string>, topics: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const records = new Map<string, Record>()
    const consumer = yield* Effect.acquireRelease(
      Effect.sync(() => clientOf(brokers).consumer({ groupId: `test-${randomUUID()}`, maxWaitTimeInMs: 100 })),
      (consumer) => Effect.promise(() => consumer.disconnect())
    )
    const reading = new Promise<void>((resolve, reject) => {
      const run = async () => {
        await consumer.connect()
        await consumer.subscribe({ topics: [...topics], fromBeginning: true })
        await consumer.run({
          eachBatch: ({ batch: { messages, partition, topic } }) => {
            const place = `${topic}/${partition}`
            for (const { headers, key, offset } of messages) {
              const id = headers?.["ce_id"]
              records.set(`${place}/${offset}`, {
                topic,
                partition,
                offset: Number(offset),
                key: key?.toString() ?? "",
                id: Array.isArray(id) ? String(id.at(-1)) : String(id)
              })
            }
            if (Number(messages.at(-1)?.offset ?? -1) + 1 >= (ends.get(place) ?? 0)) ends.delete(place)
            if (ends.size === 0) resolve()
            return Promise.resolve()
          }
        })
      }
      run().catch(reject)
    })
    yield* Effect.tryPromise({ try: () => reading, catch: (cause) => new Unanswered({ cause }) }).pipe(
      Effect.timeoutFail({ duration: "20 seconds", onTimeout: () => new Unanswered({ cause: "not read in time" }) })
    )
    return [...records.values()].sort((one, other) => one.partition - other.partition || one.offset - other.offset)
  }))

/** Every message of the topics, each partition in order. */
export const read = (
  brokers: ReadonlyArray<string>,
  topics: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Record>> =>
  Effect.gen(function*() {
    const ends = yield* endsOf(brokers, topics)
    return ends.size === 0 ? [] : yield* readTo(new Map(ends), brokers, topics)
  }).pipe(Effect.retry({ times: 3 }), Effect.orDie)

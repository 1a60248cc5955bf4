import * as Effect from "effect/Effect"
import type { Admin, RecordMetadata } from "kafkajs"
import type { KafkaConfig } from "../KafkaConfig.ts"
import type { KafkaError } from "../KafkaError.ts"
import * as Topics from "../Topics.ts"
import type { KafkaSession } from "./KafkaSession.ts"
import type { KafkaTopics } from "./KafkaTopics.ts"

/**
 * What the brokers have acknowledged of the messages that one process has sent, and whether they still have it.
 *
 * @category models
 */
export interface KafkaAcknowledged {
  /** Takes the answer to a send. An offset that was given before says that what had it is gone. */
  readonly add: (answer: ReadonlyArray<RecordMetadata>) => void
  /**
   * Compares with what the brokers have now; also the number of partitions, which the library would follow by itself. Fails
   * like `KafkaTopics.ensure`.
   */
  readonly compare: Effect.Effect<void, KafkaError>
  /** Topics that have lost something, until they are taken. */
  readonly hasLost: () => boolean
  readonly takeLost: () => ReadonlyArray<string>
  readonly putBack: (topics: ReadonlyArray<string>) => void
}

/**
 * Remembers one offset for each partition that something was sent to. It is gone with the process.
 *
 * @category constructors
 */
export const make = (
  { prefix, timing }: KafkaConfig,
  admin: KafkaSession<Admin>,
  topics: KafkaTopics
): KafkaAcknowledged => {
  /** The offset behind the last that was answered, by topic and partition. */
  const ends = new Map<string, Map<number, number>>()
  const lost = new Set<string>()

  const lose = (topic: string) => {
    lost.add(topic)
    ends.delete(topic)
  }

  const compareTopic = (topic: string) =>
    Effect.gen(function*() {
      const found = yield* admin.use(
        "compare",
        timing.request,
        (kafka) => kafka.fetchTopicOffsets(`${prefix}${topic}`)
      )
      const known = ends.get(topic)
      if (found.some(({ high, partition }) => Number(high) < (known?.get(partition) ?? 0))) lose(topic)
    })

  return {
    add: (answer) => {
      for (const { baseOffset, partition, topicName } of answer) {
        if (baseOffset === undefined) continue
        const topic = topicName.slice(prefix.length)
        const offset = Number(baseOffset)
        if (offset < (ends.get(topic)?.get(partition) ?? 0)) lose(topic)
        const known = ends.get(topic)
        if (known === undefined) ends.set(topic, new Map([[partition, offset + 1]]))
        else known.set(partition, offset + 1)
      }
    },
    compare: Effect.gen(function*() {
      const names = [...ends.keys()]
      if (names.length === 0) return
      yield* topics.ensure(names)
      // Asked of the brokers; what the library knows of partitions may be minutes old.
      const { topics: found } = yield* admin.use(
        "compare",
        timing.request,
        (kafka) => kafka.fetchTopicMetadata({ topics: names.map((name) => `${prefix}${name}`) })
      )
      const isAsDeclared = names.every((name) =>
        found.find((topic) => topic.name === `${prefix}${name}`)?.partitions.length === Topics.find(name)?.partitions
      )
      if (!isAsDeclared) {
        topics.forget()
        yield* topics.ensure(names)
      }
      yield* Effect.forEach(names, compareTopic, { discard: true })
    }),
    hasLost: () => lost.size > 0,
    takeLost: () => {
      const all = [...lost]
      lost.clear()
      return all
    },
    putBack: (all) => all.forEach((topic) => lost.add(topic))
  }
}

import * as Effect from "effect/Effect"
import type { Admin } from "kafkajs"
import type { KafkaConfig } from "../KafkaConfig.ts"
import type { KafkaError } from "../KafkaError.ts"
import type { KafkaConsumer } from "./KafkaConsumer.ts"
import type { KafkaSession } from "./KafkaSession.ts"

/**
 * Measures how far these consumers are behind the ends of their partitions, whether anything comes from those or not.
 *
 * @category measuring
 */
export const measure = (
  config: KafkaConfig,
  admin: KafkaSession<Admin>,
  consumers: ReadonlyArray<KafkaConsumer>
): Effect.Effect<void, KafkaError> =>
  Effect.gen(function*() {
    const { prefix, timing } = config
    const placesOf = (consumer: KafkaConsumer) => [...consumer.partitions.all()]
    const topics = new Set(consumers.flatMap(placesOf).map(({ topic }) => topic))
    const offsets = new Map<string, { readonly low: number; readonly high: number }>()
    for (const topic of topics) {
      const found = yield* admin.use("measure", timing.request, (kafka) => kafka.fetchTopicOffsets(`${prefix}${topic}`))
      for (const { high, low, partition } of found) {
        offsets.set(`${topic}/${partition}`, { low: Number(low), high: Number(high) })
      }
    }
    for (const place of consumers.flatMap(placesOf)) {
      const ends = offsets.get(`${place.topic}/${place.partition}`)
      // It was made anew, or has lost its end: what was known of it counts no more.
      if (ends !== undefined && ends.high < (place.position ?? 0)) place.isFresh = false
    }
    for (const consumer of consumers) {
      const unknown = placesOf(consumer).filter(({ isFresh }) => !isFresh)
      const committed = unknown.length === 0 ?
        [] :
        yield* admin.use("measure", timing.request, (kafka) =>
          kafka.fetchOffsets({
            groupId: consumer.group,
            topics: [...new Set(unknown.map(({ topic }) => `${prefix}${topic}`))]
          }))
      for (const place of placesOf(consumer)) {
        const ends = offsets.get(`${place.topic}/${place.partition}`)
        if (ends === undefined) continue
        place.end = ends.high
        // It may have begun to hear the partition while we asked.
        if (place.isFresh) continue
        const offset = committed.find(({ topic }) => topic === `${prefix}${place.topic}`)?.partitions
          .find(({ partition }) => partition === place.partition)?.offset
        if (offset === undefined) continue
        place.position = Number(offset) < 0 ? ends.low : Number(offset)
        place.isFresh = true
      }
    }
  })

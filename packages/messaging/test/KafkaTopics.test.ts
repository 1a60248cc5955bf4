import { assert, it } from "@effect/vitest"
import type * as Topics from "@holdfast/messaging/Topics"
import * as KafkaTopics from "../src/internal/KafkaTopics.ts"

const events: Topics.Topic = { name: "ecom.shop.events.v1", partitions: 6, cleanup: "delete", retentionMillis: 1_000 }
const state: Topics.Topic = {
  name: "ecom.product.state.v1",
  partitions: 6,
  cleanup: "compact",
  retentionMillis: undefined
}

const existing = (topic: Topics.Topic, brokers: number): KafkaTopics.Existing => {
  const { configEntries, numPartitions, replicationFactor } = KafkaTopics.creation(topic, topic.name, brokers)
  return {
    name: topic.name,
    partitions: numPartitions ?? 0,
    replicas: replicationFactor ?? 0,
    config: Object.fromEntries((configEntries ?? []).map(({ name, value }) => [name, value]))
  }
}

it("a topic has as many copies as there are brokers, at most three; only with three must two be in sync", () => {
  assert.deepStrictEqual(KafkaTopics.creation(events, "test.ecom.shop.events.v1", 1), {
    topic: "test.ecom.shop.events.v1",
    numPartitions: 6,
    replicationFactor: 1,
    configEntries: [{ name: "cleanup.policy", value: "delete" }, { name: "retention.ms", value: "1000" }]
  })
  for (const [brokers, replicas, inSync] of [[2, 2, undefined], [3, 3, "2"], [7, 3, "2"]] as const) {
    const { config, replicas: made } = existing(state, brokers)
    assert.deepStrictEqual([made, config["min.insync.replicas"], config["retention.ms"]], [replicas, inSync, "-1"])
  }
})

it("a topic as it is made has nothing wrong with it", () => {
  for (const topic of [events, state]) {
    for (const brokers of [1, 2, 3, 5]) {
      assert.deepStrictEqual(KafkaTopics.compare(topic, existing(topic, brokers)), { fatal: undefined, warnings: [] })
    }
  }
})

it("what loses messages or their order is refused; what an operator should know is said", () => {
  const differing = (
    topic: Topics.Topic,
    change: Partial<KafkaTopics.Existing>,
    config: Record<string, string> = {}
  ) => {
    const found = existing(topic, 3)
    return KafkaTopics.compare(topic, { ...found, ...change, config: { ...found.config, ...config } })
  }
  assert.include(differing(events, { partitions: 12 }).fatal, "has 12 partitions, 6 are declared")
  assert.include(differing(state, { partitions: 3 }).fatal, "has 3 partitions")
  for (const policy of ["compact", "compact,delete"]) {
    assert.include(differing(events, {}, { "cleanup.policy": policy }).fatal, `cleanup.policy=${policy}`)
  }
  for (
    const [topic, config, warning] of [
      [state, { "cleanup.policy": "delete" }, "states older than its retention are lost"],
      [events, { "retention.ms": "999" }, "keeps messages 999 ms"],
      [events, { "min.insync.replicas": "1" }, "min.insync.replicas=1"]
    ] as const
  ) {
    const { fatal, warnings } = differing(topic, {}, config)
    assert.isUndefined(fatal)
    assert.lengthOf(warnings, 1)
    assert.include(warnings[0], warning)
  }
  for (const retention of ["-1", "2000"]) {
    assert.deepStrictEqual(differing(events, {}, { "retention.ms": retention }).warnings, [])
  }
})

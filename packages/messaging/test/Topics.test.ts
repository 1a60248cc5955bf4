import { assert, it } from "@effect/vitest"
import { agents } from "@holdfast/contracts/Agents"
import * as Topics from "@holdfast/messaging/Topics"

const day = 24 * 60 * 60 * 1000

it("the fifteen agents have 49 topics, each once, with names that brokers and metrics accept", () => {
  const names = Topics.declared(agents).map((topic) => topic.name)
  assert.lengthOf(new Set(names), 15 * 3 + 3 + 1)
  for (const name of names) assert.match(name, /^ecom(\.[a-z0-9]+)+$/)
})

it("one agent has its own topics and the system's", () => {
  assert.deepStrictEqual(Topics.declared(["inventory"]), [
    { name: "ecom.inventory.events.v1", partitions: 6, cleanup: "delete", retentionMillis: 14 * day },
    { name: "ecom.inventory.commands.v1", partitions: 6, cleanup: "delete", retentionMillis: 3 * day },
    { name: "ecom.inventory.dlq.v1", partitions: 3, cleanup: "delete", retentionMillis: 30 * day },
    { name: "ecom.inventory.stock.v1", partitions: 6, cleanup: "compact", retentionMillis: undefined },
    { name: "ecom.system.events.v1", partitions: 3, cleanup: "delete", retentionMillis: 7 * day }
  ])
})

it("a topic is found by its name, whoever its agent is", () => {
  for (const topic of Topics.declared(["shop", ...agents])) assert.deepStrictEqual(Topics.find(topic.name), topic)
  for (const name of ["ecom.system.commands.v1", "ecom.shop.events.v2", "ecom.shop.state.v1", "shop", ""]) {
    assert.isUndefined(Topics.find(name), name)
  }
})

it("events have a producer; who sends commands, or tells of the system, is not said by the topic", () => {
  assert.strictEqual(Topics.producer("ecom.order.events.v1"), "order")
  for (const topic of ["ecom.order.commands.v1", "ecom.system.events.v1", "ecom.order.dlq.v1", ""]) {
    assert.isUndefined(Topics.producer(topic), topic)
  }
})

import { assert, describe, it } from "@effect/vitest"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect } from "effect"
import KafkaJS from "kafkajs"

const withAdmin = <A>(server: KafkaServer.KafkaServer, use: (admin: KafkaJS.Admin) => Promise<A>) =>
  Effect.promise(async () => {
    const client = new KafkaJS.Kafka({
      brokers: [...server.brokers],
      connectionTimeout: 500,
      requestTimeout: 1_000,
      enforceRequestTimeout: true,
      logLevel: KafkaJS.logLevel.NOTHING,
      retry: { retries: 0 }
    })
    const admin = client.admin()
    try {
      await admin.connect()
      return await use(admin)
    } catch (cause) {
      return cause
    } finally {
      await admin.disconnect()
    }
  })

const topics = (server: KafkaServer.KafkaServer) => withAdmin(server, (admin) => admin.listTopics())

describe.skipIf(TestServers.isMissing("kafka", { faults: true }))("KafkaServer", () => {
  it.scopedLive("is absent until it is started; is killed, keeps its topics, and stalls", () =>
    Effect.gen(function*() {
      const server = yield* KafkaServer.reserve({ settings: { "num.partitions": "5" } })
      assert.match(String(yield* topics(server)), /Connection/)
      yield* server.start
      assert.strictEqual(
        yield* withAdmin(server, (admin) => admin.createTopics({ topics: [{ topic: "orders" }] })),
        true
      )
      yield* server.kill
      assert.match(String(yield* topics(server)), /Connection/)
      yield* server.start
      assert.deepStrictEqual(yield* topics(server), ["orders"])
      yield* server.stall
      assert.match(String(yield* topics(server)), /timed out|Connection/i)
      yield* server.resume
      const metadata = yield* withAdmin(server, (admin) => admin.fetchTopicMetadata({ topics: ["orders"] }))
      assert.isNotTrue(metadata instanceof Error)
      assert.include(JSON.stringify(metadata), "\"partitionId\":4")
    }))
})

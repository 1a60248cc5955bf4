import { assert, describe, it } from "@effect/vitest"
import * as Message from "@holdfast/contracts/Message"
import { MAX_MESSAGE_BYTES } from "@holdfast/database/SqliteTransaction"
import * as Transaction from "@holdfast/database/Transaction"
import { EventBus, type Publishing } from "@holdfast/messaging/EventBus"
import * as KafkaBus from "@holdfast/messaging/KafkaBus"
import type { KafkaConfig } from "@holdfast/messaging/KafkaConfig"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TestServers from "@holdfast/testing/TestServers"
import type { Scope } from "effect"
import { Effect, Logger, LogLevel, Schema } from "effect"
import KafkaJS from "kafkajs"
import { brokerIs, configOf, inTime, type NotInTime } from "./Brokers.ts"
import { enter, good, tell, temporaryDirectory, Told, untilHeard, write } from "./Shop.ts"

/** The tests break things on purpose. */
const quiet = Logger.withMinimumLogLevel(LogLevel.None)

/** Of a size of the test's choice. */
const Bulk = Message.event("shop.bulk", {
  payload: Schema.Struct({ key: Schema.String, text: Schema.String }),
  key: ({ key }) => key
})

const bulk = (n: number, size: number) => Transaction.emit(Bulk, { key: `k${n}`, text: "x".repeat(size) })

/** Uses the broker without the bus. */
const withAdmin = <A>({ brokers }: KafkaConfig, use: (admin: KafkaJS.Admin) => Promise<A>) =>
  Effect.promise(async () => {
    const admin = new KafkaJS.Kafka({ brokers: [...brokers], logLevel: KafkaJS.logLevel.NOTHING }).admin()
    await admin.connect()
    try {
      return await use(admin)
    } finally {
      await admin.disconnect()
    }
  })

const publishing = (agent: string) =>
  Effect.map(EventBus, (bus) => bus.publishing().find((one) => one.agent === agent) ?? assert.fail(agent))

/** Ends when the agent's topics are there. */
const isSending = Effect.flatMap(EventBus, ({ standing }) =>
  inTime("it is sending")(
    Effect.repeat(Effect.zipRight(Effect.sleep("20 millis"), Effect.sync(() => standing("shop"))), {
      until: (shop) => shop?.isSending === true
    })
  ))

/** Ends when the agent's way to the broker is so. */
const publishes = (
  agent: string,
  holds: (is: Publishing) => boolean
): Effect.Effect<Publishing, NotInTime, EventBus> => {
  let last: Publishing | undefined
  const seen = (is: Publishing) => holds(last = is)
  return inTime(`${agent} publishes as it should`, () => last)(
    Effect.repeat(Effect.zipLeft(publishing(agent), Effect.sleep("20 millis")), { until: seen })
  )
}

describe.skipIf(TestServers.isMissing("kafka", { faults: true }))(
  "a broker that has less than it said, or takes less",
  () => {
    const server = SuiteResource.make(KafkaServer.start())

    const test = <A, E>(title: string, body: (config: KafkaConfig) => Effect.Effect<A, E, EventBus | Scope.Scope>) =>
      it.scopedLive(title, () =>
        Effect.suspend(() => {
          const config = configOf(server().brokers)
          return quiet(Effect.provide(body(config), KafkaBus.layer(config)))
        }))

    test("a topic that is made anew gets what was acknowledged and nobody had handled, in order", (config) =>
      Effect.gen(function*() {
        const directory = yield* temporaryDirectory
        const shop = yield* enter("shop", directory)
        const ledger = yield* enter("ledger", directory)
        yield* isSending
        const nth = (n: number) => good(`k${n % 5}:`, Math.floor(n / 5))
        yield* tell(shop.database, Array.from({ length: 10 }, (_, n) => nth(n)))
        assert.lengthOf(yield* inTime("the first are heard")(untilHeard(ledger.database, 10)), 10)
        ledger.faults.mode = "away"
        yield* tell(shop.database, Array.from({ length: 90 }, (_, n) => nth(10 + n)))
        yield* publishes("shop", ({ pending, position }) => pending === 0 && position === 100)
        const { broker } = yield* EventBus
        const deletedAt = Date.now()
        yield* withAdmin(config, (admin) => admin.deleteTopics({ topics: [`${config.prefix}${Told.topic}`] }))
        // It is noticed, and may be mended before anybody looks.
        const noticedAt = Effect.zipRight(
          Effect.sleep("20 millis"),
          Effect.sync(() => broker?.current().lastErrorAt ?? 0)
        )
        yield* inTime("it is noticed")(Effect.repeat(noticedAt, { until: (at) => at >= deletedAt }))
        ledger.faults.mode = "none"
        const heard = yield* inTime("all is heard")(untilHeard(ledger.database, 100))
        for (let key = 0; key < 5; key++) {
          assert.deepStrictEqual(
            heard.filter((one) => one.startsWith(`k${key}:`)),
            Array.from({ length: 20 }, (_, n) => `k${key}:${n}`)
          )
        }
        assert.lengthOf(heard, 100)
        // A partition that has as many again as a consumer had read shows its lag until there is one more.
        yield* tell(shop.database, Array.from({ length: 5 }, (_, n) => nth(100 + n)))
        yield* inTime("the bus goes on")(untilHeard(ledger.database, 105))
        yield* brokerIs("up")
        const { lanes } = yield* EventBus
        yield* inTime("nothing is left", lanes)(
          Effect.repeat(Effect.zipLeft(Effect.sync(lanes), Effect.sleep("50 millis")), {
            until: (all) => all.every(({ lag }) => lag === 0)
          })
        )
      }))

    test("a topic that grows is refused before messages go to the new partitions", (config) =>
      Effect.gen(function*() {
        const shop = yield* enter("shop", yield* temporaryDirectory)
        yield* isSending
        yield* tell(shop.database, [good("a", 0)])
        yield* publishes("shop", ({ pending, position }) => pending === 0 && position === 1)
        yield* withAdmin(
          config,
          (admin) => admin.createPartitions({ topicPartitions: [{ topic: `${config.prefix}${Told.topic}`, count: 9 }] })
        )
        const { lastError } = yield* publishes("shop", ({ lastError }) => lastError?.includes("partitions") === true)
        assert.match(lastError ?? "", /has 9 partitions, 6 are declared/)
        yield* brokerIs("away")
        yield* tell(shop.database, [good("a", 1)])
        yield* Effect.sleep("1 second")
        assert.deepInclude(yield* publishing("shop"), { pending: 1, position: 1 })
      }))

    test("where it takes less at once, it gets less; of a message that it never takes the size and the id are said", (config) =>
      Effect.gen(function*() {
        const shop = yield* enter("shop", yield* temporaryDirectory)
        yield* isSending
        const limit = (bytes: number) =>
          withAdmin(config, (admin) =>
            admin.alterConfigs({
              validateOnly: false,
              resources: [{
                type: KafkaJS.ConfigResourceTypes.TOPIC,
                name: `${config.prefix}${Bulk.topic}`,
                configEntries: [{ name: "max.message.bytes", value: String(bytes) }]
              }]
            }))
        yield* limit(10_000)
        yield* write(shop.database, Effect.forEach(Array.from({ length: 200 }), (_, n) => bulk(n, 1_000)))
        yield* publishes("shop", ({ lastError, pending }) => pending === 0 && lastError === undefined)
        const { value: id } = Object(yield* write(shop.database, bulk(0, 20_000)))
        yield* write(shop.database, bulk(0, 10))
        const { lastError } = yield* publishes("shop", ({ lastError }) => lastError?.includes("does not take") === true)
        assert.match(
          lastError ?? "",
          new RegExp(
            `^publish: ${config.prefix}ecom.shop.events.v1 does not take ecom.shop.bulk.v1 ${
              String(id)
            } of 20\\d\\d\\d bytes.*` +
              "max.message.bytes.*1048588.*\\(MESSAGE_TOO_LARGE\\)$"
          )
        )
        yield* Effect.sleep("500 millis")
        assert.deepInclude(yield* publishing("shop"), { pending: 2 })
        // The default takes the largest that can be said.
        yield* limit(1_048_588)
        yield* write(shop.database, bulk(0, MAX_MESSAGE_BYTES - 600))
        assert.strictEqual(
          (yield* Effect.flip(write(shop.database, bulk(0, MAX_MESSAGE_BYTES))))._tag,
          "MessageTooLarge"
        )
        yield* publishes("shop", ({ lastError, pending }) => pending === 0 && lastError === undefined)
        yield* brokerIs("up")
      }))
  }
)

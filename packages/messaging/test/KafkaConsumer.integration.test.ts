import { assert, describe, it } from "@effect/vitest"
import * as Message from "@holdfast/contracts/Message"
import * as Transaction from "@holdfast/database/Transaction"
import * as DeadLetters from "@holdfast/messaging/DeadLetters"
import { EventBus } from "@holdfast/messaging/EventBus"
import * as KafkaBus from "@holdfast/messaging/KafkaBus"
import type { KafkaConfig, Timing } from "@holdfast/messaging/KafkaConfig"
import * as Topics from "@holdfast/messaging/Topics"
import { freePort } from "@holdfast/testing/HoldfastProcess"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import type { Scope } from "effect"
import { Context, Effect, Layer, Logger, LogLevel, Schema, Stream } from "effect"
import KafkaJS from "kafkajs"
import { brokerIs, configOf, inTime, ownPrefix } from "./Brokers.ts"
import { enter, good, open, tell, temporaryDirectory, Told, until, untilHeard, write } from "./Shop.ts"

/** The tests break things on purpose. */
const quiet = Logger.withMinimumLogLevel(LogLevel.Error)

const clientOf = ({ brokers }: KafkaConfig) =>
  new KafkaJS.Kafka({ brokers: [...brokers], logLevel: KafkaJS.logLevel.NOTHING })

/** Uses the broker without the bus. */
const withAdmin = <A>(config: KafkaConfig, use: (admin: KafkaJS.Admin) => Promise<A>) =>
  Effect.promise(async () => {
    const admin = clientOf(config).admin()
    await admin.connect()
    try {
      return await use(admin)
    } finally {
      await admin.disconnect()
    }
  })

const send = (config: KafkaConfig, topic: string, message: KafkaJS.Message) =>
  Effect.promise(async () => {
    const producer = clientOf(config).producer({ createPartitioner: KafkaJS.Partitioners.DefaultPartitioner })
    await producer.connect()
    await producer.send({ topic: `${config.prefix}${topic}`, messages: [message] })
    await producer.disconnect()
  })

/** The first record of a topic, as the broker has it. */
const firstRecord = (config: KafkaConfig, topic: string) =>
  Effect.promise(async () => {
    const consumer = clientOf(config).consumer({ groupId: `${config.prefix}reader`, maxWaitTimeInMs: 50 })
    await consumer.connect()
    await consumer.subscribe({ topic: `${config.prefix}${topic}`, fromBeginning: true })
    const message = await new Promise<KafkaJS.KafkaMessage>((resolve) => {
      void consumer.run({ eachMessage: ({ message }) => Promise.resolve(resolve(message)) })
    })
    await consumer.disconnect()
    return {
      key: String(message.key),
      headers: Object.fromEntries(Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)])),
      value: JSON.parse(String(message.value)) as unknown
    }
  })

/** How far the group has committed, over all partitions of a topic; none is -1. */
const committed = (config: KafkaConfig, agent: string, topic: string) =>
  withAdmin(config, async (admin) => {
    const [offsets] = await admin.fetchOffsets({
      groupId: `${config.prefix}holdfast.${agent}`,
      topics: [`${config.prefix}${topic}`]
    })
    return offsets?.partitions.map(({ offset }) => Number(offset)) ?? []
  })

describe.skipIf(TestServers.isMissing("kafka", { faults: true }))("consumers on Kafka", () => {
  // The same broker by two ways: straight, and through a proxy.
  const broker = SuiteResource.make(Effect.gen(function*() {
    const [port, proxied, controller] = yield* Effect.all([freePort, freePort, freePort])
    const host = (of: number) => `127.0.0.1:${of}`
    const proxy = yield* TcpProxy.make({ host: "127.0.0.1", port: proxied })
    yield* KafkaServer.start({
      settings: {
        "controller.quorum.voters": `1@${host(controller)}`,
        "listeners": `PLAINTEXT://${host(port)},PROXIED://${host(proxied)},CONTROLLER://${host(controller)}`,
        "advertised.listeners": `PLAINTEXT://${host(port)},PROXIED://${host(proxy.port)}`,
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT"
      }
    })
    return { direct: [host(port)], proxy }
  }))

  const test = <A, E>(
    title: string,
    body: (config: KafkaConfig) => Effect.Effect<A, E, EventBus | Scope.Scope>,
    timing: Partial<Timing> = {}
  ) =>
    it.scopedLive(title, () =>
      Effect.suspend(() => {
        const config = configOf(broker().direct, ownPrefix(), timing)
        return quiet(Effect.provide(body(config), KafkaBus.layer(config)))
      }))

  test("a first start is no fault: the broker is up from its first answer on, and each is said to hear once it has joined", () =>
    Effect.gen(function*() {
      const { broker, standing } = yield* EventBus
      const seen: Array<string> = []
      if (broker === undefined) return assert.fail("no broker")
      yield* Effect.forkScoped(
        Stream.runForEach(broker.changes, ({ status }) => Effect.sync(() => seen.push(status)))
      )
      yield* brokerIs("up")
      assert.isUndefined(standing("ledger"))
      yield* enter("ledger", yield* temporaryDirectory)
      assert.deepStrictEqual(standing("ledger"), { isHearing: false, isSending: false })
      broker.unsafeProbe()
      yield* inTime("joined")(
        Effect.repeat(Effect.sleep("10 millis"), { until: () => standing("ledger")?.isHearing === true })
      )
      yield* inTime("sends")(
        Effect.repeat(Effect.sleep("10 millis"), { until: () => standing("ledger")?.isSending === true })
      )
      assert.deepStrictEqual(seen, ["away", "up"])
      assert.isUndefined(broker.current().lastError)
    }))

  test("what is no event is a dead letter with its place, on the dead-letter topic too, and the partition goes on", (config) =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const shop = yield* enter("shop", directory)
      const ledger = yield* enter("ledger", directory)
      yield* brokerIs("up")
      yield* send(config, Told.topic, { key: "a", value: "{", headers: { "content-type": "application/json" } })
      yield* send(config, Told.topic, { key: "a", value: "{\"key\":\"a\",\"n\":0}" })
      yield* tell(shop.database, [good("a", 1), { key: "a", n: 2, effect: "refused" }, good("a", 3)])
      assert.deepStrictEqual(yield* inTime("the rest")(untilHeard(ledger.database, 2)), ["a1", "a3"])
      const letters = yield* until(
        ledger.database,
        ledger.database.read(DeadLetters.list({ limit: 10 })),
        (all) => all.length === 3
      )
      assert.deepStrictEqual(letters.map((letter) => letter.errorCode).toSorted(), [
        "refused",
        "undecodable",
        "undecodable"
      ])
      const first = letters.find((letter) => letter.eventId.endsWith(":0"))
      const record = yield* inTime("the dead letter")(firstRecord(config, Topics.deadLetters("ledger")))
      assert.strictEqual(record.key, "a")
      assert.deepInclude(record.headers, {
        "content-type": "application/cloudevents+json; charset=UTF-8",
        "x-error-code": "undecodable",
        "x-error-message": first?.errorMessage,
        "x-original-topic": Told.topic,
        "x-original-partition": first?.eventId.split(":")[0],
        "x-original-offset": "0",
        "x-attempts": "1",
        "x-consumer": "ledger"
      })
      assert.deepInclude(record.value, {
        id: first?.eventId,
        source: `urn:ecom:topic:${Told.topic}`,
        partitionkey: "a"
      })
    }))

  test("while the store is away no offset moves and nothing becomes a letter; then all is heard, once", (config) =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const shop = yield* enter("shop", directory)
      const ledger = yield* enter("ledger", directory)
      yield* brokerIs("up")
      ledger.faults.mode = "away"
      yield* tell(shop.database, Array.from({ length: 200 }, (_, n) => good(`k${n % 20}:`, Math.floor(n / 20))))
      const { broker, lanes } = yield* EventBus
      const paused = Effect.sync(() => lanes().filter((lane) => lane.consumer === "ledger" && lane.paused))
      const all = yield* inTime("all partitions pause")(
        Effect.repeat(Effect.zipLeft(paused, Effect.sleep("20 millis")), { until: (found) => found.length === 6 })
      )
      assert.isTrue(all.every((lane) => lane.lastError?.includes("away")))
      // Longer than a session: who waits for its store stays in the group.
      yield* Effect.sleep("3500 millis")
      assert.strictEqual(broker?.current().status, "up")
      assert.deepStrictEqual(yield* committed(config, "ledger", Told.topic), [-1, -1, -1, -1, -1, -1])
      ledger.faults.mode = "none"
      const heard = yield* inTime("all is heard")(untilHeard(ledger.database, 200))
      for (let key = 0; key < 20; key++) {
        assert.deepStrictEqual(
          heard.filter((one) => one.startsWith(`k${key}:`)),
          Array.from({ length: 10 }, (_, n) => `k${key}:${n}`)
        )
      }
      assert.deepStrictEqual(yield* ledger.database.read(DeadLetters.list({ limit: 10 })), [])
      assert.strictEqual(ledger.consumer.stats.duplicates, 0)
    }))

  /** Lets a test see, and change, every consumer of the library that is made from now on. */
  const onConsumer = (change: (consumer: KafkaJS.Consumer) => void) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const real = KafkaJS.Kafka.prototype.consumer
        KafkaJS.Kafka.prototype.consumer = function(this: KafkaJS.Kafka, options) {
          const consumer = real.call(this, options)
          change(consumer)
          return consumer
        }
        return real
      }),
      (real) =>
        Effect.sync(() => {
          KafkaJS.Kafka.prototype.consumer = real
        })
    )

  /** A shop that hears nothing, and a ledger that is not on the bus yet. */
  const shopAndLedger = Effect.gen(function*() {
    const bus = yield* EventBus
    const directory = yield* temporaryDirectory
    const shop = yield* open("shop", directory)
    const ledger = yield* open("ledger", directory)
    yield* bus.join({ database: shop.database, topics: [], deliver: () => Effect.void })
    return { bus, shop, ledger }
  })

  test("a consumer that crashes for good, or stops, is replaced", () =>
    Effect.gen(function*() {
      const consumers: Array<KafkaJS.Consumer> = []
      const crashes: Array<boolean> = []
      let crash = false
      yield* onConsumer((consumer) => {
        const { run } = consumer
        consumers.push(consumer)
        consumer.on("consumer.crash", ({ payload }) => void crashes.push(payload.restart))
        consumer.run = (settings) =>
          run({
            ...settings,
            eachBatch: (payload) => {
              if (!crash) return settings?.eachBatch?.(payload) ?? Promise.resolve()
              crash = false
              return Promise.reject(new KafkaJS.KafkaJSNonRetriableError("broken for good"))
            }
          })
      })
      const { bus, ledger, shop } = yield* shopAndLedger
      yield* bus.join({ database: ledger.database, ...ledger.consumer })
      yield* tell(shop.database, [good("a", 0)])
      yield* inTime("the first")(untilHeard(ledger.database, 1))
      crash = true
      yield* tell(shop.database, [good("a", 1)])
      yield* inTime("after the crash")(untilHeard(ledger.database, 2))
      assert.deepStrictEqual(crashes, [false])
      yield* brokerIs("up")
      const before = consumers.length
      yield* Effect.promise(() => Promise.resolve(consumers.at(-1)?.stop()))
      yield* tell(shop.database, [good("a", 2)])
      assert.deepStrictEqual(yield* inTime("after the stop")(untilHeard(ledger.database, 3)), ["a0", "a1", "a2"])
      assert.isAbove(consumers.length, before)
    }))

  test("a consumer that says nothing at all is replaced", () =>
    Effect.gen(function*() {
      let runs = 0
      yield* onConsumer((consumer) => {
        const { run } = consumer
        consumer.run = (settings) => runs++ === 0 ? new Promise(() => {}) : run(settings)
      })
      const { bus, ledger, shop } = yield* shopAndLedger
      yield* bus.join({ database: ledger.database, ...ledger.consumer })
      yield* tell(shop.database, [good("a", 0)])
      yield* brokerIs("away")
      yield* inTime("a message")(untilHeard(ledger.database, 1))
      yield* brokerIs("up")
    }), { session: "1500 millis", rebalance: "1500 millis", request: "1 second" })

  test("a delivery longer than the session keeps its partition", (config) =>
    Effect.gen(function*() {
      const { bus, ledger, shop } = yield* shopAndLedger
      let delivered = 0
      yield* bus.join({
        database: ledger.database,
        topics: ledger.consumer.topics,
        deliver: (batch) =>
          Effect.suspend(() => {
            const wait = delivered === 0 ? "3 seconds" : 0
            delivered += batch.length
            return Effect.zipRight(Effect.sleep(wait), ledger.consumer.deliver(batch))
          })
      })
      yield* tell(shop.database, [good("a", 0)])
      yield* inTime("the slow one")(untilHeard(ledger.database, 1))
      yield* tell(shop.database, [good("a", 1)])
      yield* inTime("the quick one")(untilHeard(ledger.database, 2))
      assert.strictEqual(delivered, 2)
      yield* inTime("both are committed")(
        Effect.repeat(committed(config, "ledger", Told.topic), { until: (offsets) => offsets.includes(2) })
      )
    }), { session: "1500 millis" })

  test("a delivery that does not end is repeated", () =>
    Effect.gen(function*() {
      const { bus, ledger, shop } = yield* shopAndLedger
      let deliveries = 0
      yield* bus.join({
        database: ledger.database,
        topics: ledger.consumer.topics,
        deliver: (batch) => deliveries++ === 0 ? Effect.never : ledger.consumer.deliver(batch)
      })
      yield* tell(shop.database, [good("a", 0)])
      yield* inTime("the second attempt")(untilHeard(ledger.database, 1))
      assert.strictEqual(deliveries, 2)
    }), { delivery: "500 millis" })

  test("two processes of an agent share its partitions; one that is cut off with messages in hands loses them to the other, and does nothing twice", (config) =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const shop = yield* enter("shop", directory)
      const ledger = yield* open("ledger", directory)
      const { direct, proxy } = broker()
      const ways = yield* Effect.forEach(
        [direct, [`127.0.0.1:${proxy.port}`]],
        (brokers) => Effect.map(Layer.build(KafkaBus.layer({ ...config, brokers })), Context.get(EventBus))
      )
      const hands = yield* Effect.makeLatch(true)
      let inHands = 0
      const [near, far] = ways
      if (near === undefined || far === undefined) return assert.fail("no ways")
      yield* near.join({ database: ledger.database, ...ledger.consumer })
      yield* far.join({
        database: ledger.database,
        topics: ledger.consumer.topics,
        deliver: (batch) =>
          // As of a process that stands still and does not know it: nothing can call it back.
          Effect.uninterruptible(Effect.suspend(() => {
            inHands += batch.length
            return Effect.zipRight(hands.await, ledger.consumer.deliver(batch))
          }))
      })
      const shares = Effect.sync(() => ways.map((bus) => bus.lanes().length))
      const until6 = (split: (near: number, far: number) => boolean) =>
        inTime("partitions are shared", () => ways.map((bus) => bus.lanes()))(
          Effect.repeat(Effect.zipLeft(shares, Effect.sleep("20 millis")), {
            until: ([one = 0, other = 0]) => split(one, other)
          })
        )
      yield* until6((one, other) => one === 3 && other === 3)
      yield* Effect.sync(() => hands.unsafeClose())
      yield* tell(shop.database, Array.from({ length: 200 }, (_, n) => good(`k${n % 20}:`, Math.floor(n / 20))))
      yield* inTime("messages are in the hands of the far one")(
        Effect.repeat(Effect.zipRight(Effect.sleep("20 millis"), Effect.sync(() => inHands)), { until: (n) => n > 0 })
      )
      yield* proxy.stall()
      const heard = yield* inTime("the near one takes over")(untilHeard(ledger.database, 200))
      hands.unsafeOpen()
      yield* proxy.pass
      yield* until6((one, other) => one === 3 && other === 3)
      yield* tell(shop.database, [good("k0:", 10), good("k1:", 10), good("k2:", 10), good("k3:", 10)])
      yield* inTime("both go on")(untilHeard(ledger.database, 204))
      const all = yield* untilHeard(ledger.database, 204)
      assert.lengthOf(heard, 200)
      assert.lengthOf(all, 204)
      assert.isAbove(ledger.consumer.stats.duplicates, 0, "the zombie tried")
      for (let key = 0; key < 20; key++) {
        assert.deepStrictEqual(
          all.filter((one) => one.startsWith(`k${key}:`)),
          Array.from({ length: key < 4 ? 11 : 10 }, (_, n) => `k${key}:${n}`)
        )
      }
    }))

  test("topics are made as declared; one that would break the order of keys is refused, and says so", (config) =>
    Effect.gen(function*() {
      yield* withAdmin(
        config,
        (admin) =>
          admin.createTopics({ topics: [{ topic: `${config.prefix}ecom.ledger.commands.v1`, numPartitions: 7 }] })
      )
      const directory = yield* temporaryDirectory
      yield* enter("shop", directory)
      const { broker, standing } = yield* EventBus
      yield* inTime("topics are there")(
        Effect.repeat(Effect.zipRight(Effect.sleep("20 millis"), Effect.sync(() => standing("shop"))), {
          until: (shop) => shop?.isSending === true
        })
      )
      const topic = Topics.declared(["shop"])[0]
      assert.deepStrictEqual(
        yield* withAdmin(config, async (admin) => {
          const { topics } = await admin.fetchTopicMetadata({ topics: [`${config.prefix}${topic?.name}`] })
          const { resources } = await admin.describeConfigs({
            includeSynonyms: false,
            resources: [{
              type: KafkaJS.ConfigResourceTypes.TOPIC,
              name: `${config.prefix}${topic?.name}`,
              configNames: ["retention.ms"]
            }]
          })
          return [topics[0]?.partitions.length, resources[0]?.configEntries[0]?.configValue]
        }),
        [topic?.partitions, String(topic?.retentionMillis)]
      )
      yield* enter("ledger", directory)
      yield* brokerIs("away")
      const refused = Effect.sync(() => broker?.current().lastError ?? "")
      yield* inTime("the reason", broker?.current)(
        Effect.repeat(Effect.zipRight(Effect.sleep("20 millis"), refused), {
          until: (error) => error.includes("ecom.ledger.commands.v1 has 7 partitions, 6 are declared")
        })
      )
    }))

  test("the trace context of an operation reaches who hears its event", () =>
    Effect.gen(function*() {
      const Noted = Message.event("shop.noted", {
        payload: Schema.Struct({ key: Schema.String }),
        key: ({ key }) => key
      })
      const bus = yield* EventBus
      const directory = yield* temporaryDirectory
      const shop = yield* enter("shop", directory)
      const ledger = yield* open("ledger", directory)
      const heard = yield* Effect.makeLatch(false)
      let traceparent: string | undefined
      yield* bus.join({
        database: ledger.database,
        topics: [Noted.topic],
        deliver: (batch) =>
          Effect.sync(() => {
            traceparent = batch[0]?.traceparent
            heard.unsafeOpen()
          })
      })
      const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      yield* write(shop.database, Transaction.emit(Noted, { key: "a" }), { traceparent: trace })
      yield* inTime("it is heard")(heard.await)
      assert.strictEqual(traceparent, trace)
    }))
})

import { assert, describe, it } from "@effect/vitest"
import { EventBus } from "@holdfast/messaging/EventBus"
import * as KafkaBus from "@holdfast/messaging/KafkaBus"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TestServers from "@holdfast/testing/TestServers"
import type { Scope } from "effect"
import { Effect, Fiber, Logger, LogLevel } from "effect"
import { brokerIs, configOf, inTime } from "./Brokers.ts"
import { enter, good, tell, temporaryDirectory, untilHeard } from "./Shop.ts"

/** The tests break things on purpose. */
const quiet = Logger.withMinimumLogLevel(LogLevel.Error)

const KEYS = 20

/** The n-th message of all, in turn for each key. */
const nth = (n: number) => good(`k${n % KEYS}:`, Math.floor(n / KEYS))

describe.skipIf(TestServers.isMissing("kafka", { faults: true }))("a broker that is not there, dies, or stalls", () => {
  const server = SuiteResource.make(KafkaServer.reserve())

  const test = <A, E>(title: string, body: Effect.Effect<A, E, EventBus | Scope.Scope>) =>
    it.scopedLive(
      title,
      () => Effect.suspend(() => quiet(Effect.provide(body, KafkaBus.layer(configOf(server().brokers)))))
    )

  test(
    "agents start without it, and everything told meanwhile is heard when it comes",
    Effect.gen(function*() {
      const bus = yield* EventBus
      const directory = yield* temporaryDirectory
      const shop = yield* enter("shop", directory)
      const ledger = yield* enter("ledger", directory)
      yield* tell(shop.database, Array.from({ length: 100 }, (_, n) => nth(n)))
      yield* brokerIs("away")
      const failed = Effect.sync(() => bus.broker?.current().lastError)
      assert.match(String(yield* Effect.repeat(failed, { until: (error) => error !== undefined })), /ECONNREFUSED/)
      const waiting = yield* inTime("its oldest message is known")(Effect.repeat(
        Effect.zipRight(
          Effect.sleep("20 millis"),
          Effect.sync(() => bus.publishing().find(({ agent }) => agent === "shop"))
        ),
        { until: (shop) => shop?.oldestAt !== undefined }
      ))
      assert.strictEqual(waiting?.pending, 100)
      assert.isAtMost(waiting?.oldestAt ?? Infinity, Date.now())
      yield* server().start
      assert.lengthOf(yield* untilHeard(ledger.database, 100), 100)
      yield* brokerIs("up")
      assert.deepStrictEqual(bus.publishing().find(({ agent }) => agent === "shop"), {
        agent: "shop",
        position: 100,
        pending: 0,
        oldestAt: undefined,
        lastError: undefined
      })
    })
  )

  test(
    "2000 messages told while it is killed and stalled: none is missing, and each key is in order",
    Effect.gen(function*() {
      yield* server().start
      const bus = yield* EventBus
      const directory = yield* temporaryDirectory
      const shop = yield* enter("shop", directory)
      const ledger = yield* enter("ledger", directory)
      yield* brokerIs("up")
      const failures = new Set<string>()
      const watching = yield* Effect.fork(Effect.forever(Effect.zipRight(
        Effect.sync(() =>
          bus.publishing().forEach(({ lastError }) => lastError === undefined || failures.add(lastError))
        ),
        Effect.sleep("20 millis")
      )))
      let told = 0
      const telling = yield* Effect.fork(Effect.whileLoop({
        while: () => told < 2_000,
        body: () =>
          Effect.zipLeft(
            tell(shop.database, Array.from({ length: 5 }, (_, n) => nth(told + n))),
            Effect.sleep("20 millis")
          ),
        step: () => {
          told += 5
        }
      }))
      // Longer than a send may take.
      const stall = Effect.zipRight(server().stall, Effect.sleep("2500 millis"))
      const work = Effect.sleep("700 millis")
      yield* work
      yield* Effect.zipRight(stall, server().resume)
      yield* work
      yield* server().kill
      yield* brokerIs("away")
      yield* server().start
      yield* work
      yield* Effect.zipRight(stall, server().restart)
      yield* Fiber.join(telling)
      const heard = yield* inTime("all is heard")(untilHeard(ledger.database, 2_000))
      yield* Fiber.interrupt(watching)
      for (let key = 0; key < KEYS; key++) {
        assert.deepStrictEqual(
          heard.filter((one) => one.startsWith(`k${key}:`)),
          Array.from({ length: 2_000 / KEYS }, (_, n) => `k${key}:${n}`)
        )
      }
      assert.lengthOf(heard, 2_000)
      yield* brokerIs("up")
      // Otherwise the faults have met nothing.
      assert.isAbove(
        [...failures].filter((failure) => failure.includes("publish")).length,
        0,
        [...failures].join("; ")
      )
    })
  )
})

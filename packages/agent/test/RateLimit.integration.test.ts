import { assert, describe, it } from "@effect/vitest"
import * as RedisServer from "@holdfast/testing/RedisServer"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Option, Redacted } from "effect"
import type { AgentConfig } from "../src/AgentConfig.ts"
import { giftCardsIn } from "./GiftCards.ts"
import { type Reply, serve, type Serving } from "./Serving.ts"

const giftCards = giftCardsIn(Effect.succeed(1))

/** A process with a limit that Redis counts. */
const limited = (server: RedisServer.RedisServer, permits: number) =>
  serve([giftCards], {
    rateLimit: Option.some({ permits, interval: "1 hour" }),
    redis: Option.some<Option.Option.Value<AgentConfig["redis"]>>({
      url: Redacted.make(server.url),
      host: server.host,
      port: server.port,
      database: 0,
      user: undefined,
      password: undefined,
      tls: false
    })
  })

const redisIs = (process: Serving, state: string) =>
  Effect.repeat(Effect.delay(process.get("/giftcard/health/ready"), "10 millis"), {
    until: (reply) => reply.json["redis"] === state
  }).pipe(Effect.timeout("10 seconds"))

const statuses = (replies: ReadonlyArray<Reply>) => {
  const counts: Record<number, number> = {}
  for (const { status } of replies) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

const ask = (process: Serving, times: number, who: string) =>
  Effect.all(
    Array.from({ length: times }, () => process.get("/giftcard/cards", { authorization: who })),
    { concurrency: 10 }
  )

describe.skipIf(TestServers.isMissing("redis", { faults: true }))("rate limit of several processes", () => {
  it.scopedLive("is one; while Redis is stalled or gone each counts by itself, says so, and answers in time", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const [first, second] = yield* Effect.all([limited(server, 20), limited(server, 20)])
      yield* Effect.forEach([first, second], (process) => redisIs(process, "connected"))
      const both = yield* Effect.all([ask(first, 25, "a"), ask(second, 25, "a")], { concurrency: 2 })
      assert.deepStrictEqual(statuses(both.flat()), { 200: 20, 429: 30 })

      for (const [fault, begin] of [["stalled", server.stall], ["killed", server.kill]] as const) {
        yield* begin
        const begun = performance.now()
        assert.deepStrictEqual(statuses(yield* ask(first, 25, fault)), { 200: 20, 429: 5 })
        // One wait for Redis, not one for each.
        assert.isBelow(performance.now() - begun, 1_000)
        yield* redisIs(first, "memory")
        const ready = yield* first.get("/giftcard/health/ready")
        assert.deepStrictEqual([ready.status, ready.json["degradation_level"]], [200, 0])
        yield* fault === "stalled" ? server.resume : server.start
        yield* Effect.forEach([first, second], (process) => redisIs(process, "connected"))
      }
      const again = yield* Effect.all([ask(first, 25, "b"), ask(second, 25, "b")], { concurrency: 2 })
      assert.deepStrictEqual(statuses(again.flat()), { 200: 20, 429: 30 })
    }))
})

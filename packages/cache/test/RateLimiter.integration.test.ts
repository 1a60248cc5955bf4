import { assert, describe, it } from "@effect/vitest"
import * as RateLimiter from "@holdfast/cache/RateLimiter"
import * as Redis from "@holdfast/cache/Redis"
import * as RedisServer from "@holdfast/testing/RedisServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Context, Effect, Layer } from "effect"
import { type Address, becomes, onceUp, ownPrefix, stopwatch, tell } from "./LiveRedis.ts"
import { suite, taken } from "./RateLimiterSuite.ts"

const { RateLimiter: Limiter } = RateLimiter

/** A process that limits through this Redis, once it is up. */
const process = (address: Address, prefix: string) =>
  Effect.map(
    Layer.build(onceUp(Limiter.layerRedis(), address, prefix)),
    (context) => ({
      taken: (limit: RateLimiter.Limit, key: string, times: number) =>
        Effect.provide(taken(limit, key, times), context),
      becomes: (status: Parameters<typeof becomes>[0]) => Effect.provide(becomes(status), context),
      dependency: Context.get(context, Redis.Redis).dependency
    })
  )

describe.skipIf(TestServers.isMissing("redis"))("rate limiter in Redis", () => {
  const server = SuiteResource.make(RedisServer.start())

  suite("of one process", Layer.suspend(() => onceUp(Limiter.layerRedis(), server())), "real")

  suite(
    "while Redis is not there",
    Layer.suspend(() => Layer.provide(Limiter.layerRedis(), Redis.Redis.layer({ host: "127.0.0.1", port: 1 }))),
    "real"
  )

  it.scopedLive("processes share the permits, none is given twice", () =>
    Effect.gen(function*() {
      const prefix = ownPrefix()
      const processes = yield* Effect.all([
        process(server(), prefix),
        process(server(), prefix),
        process(server(), prefix)
      ])
      const limit = yield* RateLimiter.limit("orders", { permits: 50, interval: "1 hour" })
      const each = yield* Effect.forEach(processes, (process) => process.taken(limit, "a", 40), {
        concurrency: "unbounded"
      })
      assert.strictEqual(each.reduce((sum, count) => sum + count, 0), 50)
    }))

  it.scopedLive("a Redis that has forgotten the script is given it again", () =>
    Effect.gen(function*() {
      const { taken } = yield* process(server(), ownPrefix())
      const limit = yield* RateLimiter.limit("orders", { permits: 3, interval: "1 hour" })
      assert.strictEqual(yield* taken(limit, "a", 2), 2)
      yield* tell(server(), "script", "flush")
      assert.strictEqual(yield* taken(limit, "a", 2), 1)
    }))

  it.scopedLive("a limit that is made smaller counts at once", () =>
    Effect.gen(function*() {
      const { taken } = yield* process(server(), ownPrefix())
      const config = { permits: 100, interval: "1 hour" } as const
      assert.strictEqual(yield* taken(yield* RateLimiter.limit("orders", config), "a", 1), 1)
      assert.strictEqual(yield* taken(yield* RateLimiter.limit("orders", { ...config, burst: 2 }), "a", 10), 2)
    }))

  it.scopedLive("a full bucket takes no room in Redis", () =>
    Effect.gen(function*() {
      const prefix = ownPrefix()
      const { taken } = yield* process(server(), prefix)
      const limit = yield* RateLimiter.limit("orders", { permits: 10, interval: "1 second" })
      yield* taken(limit, "a", 2)
      const left = Number(yield* tell(server(), "pttl", `${prefix}limit:orders:a`))
      assert.isTrue(left > 0 && left <= 200, String(left))
    }))
})

describe.skipIf(TestServers.isMissing("redis", { faults: true }))("rate limiter in Redis, through outages", () => {
  it.scopedLive("while Redis is away each process limits by itself, and no call waits longer than 300 ms", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      const watch = yield* stopwatch
      const { becomes, taken } = yield* process(proxy, ownPrefix())
      const limit = yield* RateLimiter.limit("orders", { permits: 5, interval: "1 hour" })
      assert.strictEqual(yield* taken(limit, "a", 20), 5)
      for (
        const [key, begin, end] of [
          ["stalled", server.stall, server.resume],
          ["killed", server.kill, server.start],
          ["slow", proxy.latency(300), proxy.pass]
        ] as const
      ) {
        yield* begin
        assert.strictEqual(yield* watch.timed(taken(limit, key, 500)), 5)
        yield* end
        yield* becomes("up")
        assert.strictEqual(yield* taken(limit, `${key}, after`, 20), 5)
      }
      assert.isAtMost(watch.longest(), 300)
    }))

  it.scopedLive("a Redis that runs no scripts is away", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const { becomes, dependency, taken } = yield* process(server, ownPrefix())
      const limit = yield* RateLimiter.limit("orders", { permits: 5, interval: "1 hour" })
      yield* tell(server, "acl", "setuser", "default", "-@scripting")
      assert.strictEqual(yield* taken(limit, "a", 20), 5)
      yield* becomes("away")
      // It answers every PING.
      yield* Effect.sleep("300 millis")
      assert.notStrictEqual(dependency.current().status, "up")
      assert.match(dependency.current().lastError ?? "", /NOPERM/)
      yield* tell(server, "acl", "setuser", "default", "+@all")
      yield* becomes("up")
    }))
})

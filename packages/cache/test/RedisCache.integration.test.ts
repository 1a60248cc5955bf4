import { assert, describe, it } from "@effect/vitest"
import * as Cache from "@holdfast/cache/Cache"
import * as Redis from "@holdfast/cache/Redis"
import * as RedisCache from "@holdfast/cache/RedisCache"
import * as RedisServer from "@holdfast/testing/RedisServer"
import type { ServerUnavailable } from "@holdfast/testing/ServerControl"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Context, Effect, Fiber, Layer, Option, Schema } from "effect"
import { suite } from "./CacheSuite.ts"
import { type Address, becomes, onceUp, ownPrefix, stopwatch, tell } from "./LiveRedis.ts"

const Version = Cache.kind("version", { value: Schema.Int, ttl: "1 minute" })

/** A process that shares its cache through this Redis: once it is up, or without waiting for it. */
const process = (address: Address, prefix: string, begin: "up" | "at once" = "up") =>
  Layer.build(
    begin === "up"
      ? onceUp(RedisCache.layer(), address, prefix)
      : Layer.provideMerge(RedisCache.layer(), Redis.Redis.layer({ ...address, keyPrefix: prefix }))
  ).pipe(Effect.map((context) => ({
    ...Context.get(context, Cache.Cache),
    find: (key: string) => Effect.map(Context.get(context, Cache.Cache).get(Version, key), Option.getOrUndefined),
    redis: Context.get(context, Redis.Redis),
    becomes: (status: Parameters<typeof becomes>[0]) => Effect.provide(becomes(status), context)
  })))

/** Ends when a process says through this proxy that it begins a generation; Redis has not heard it if there is latency. */
const beginsGeneration = (proxy: TcpProxy.TcpProxy) =>
  Effect.gen(function*() {
    let begins = false
    yield* proxy.onUpstream((chunk) => {
      begins ||= /eval\r\n[^]*cache-generation/.test(String(chunk))
      return "pass"
    })
    yield* Effect.repeat(Effect.sleep("1 millis"), { until: () => begins }).pipe(Effect.timeout("5 seconds"))
  })

describe.skipIf(TestServers.isMissing("redis"))("cache in Redis", () => {
  const server = SuiteResource.make(RedisServer.start())

  suite(
    "of one process",
    Layer.suspend(() => onceUp(RedisCache.layer(), server())),
    "real"
  )

  suite(
    "while Redis is not there",
    Layer.suspend(() => Layer.provide(RedisCache.layer(), Redis.Redis.layer({ host: "127.0.0.1", port: 1 }))),
    "real"
  )

  it.scopedLive("is shared: what one process keeps or removes, another finds or misses", () =>
    Effect.gen(function*() {
      const prefix = ownPrefix()
      const [first, second] = [yield* process(server(), prefix), yield* process(server(), prefix)]
      yield* first.set(Version, "a", 1)
      assert.strictEqual(yield* first.find("a"), 1)
      assert.strictEqual(yield* second.find("a"), 1)
      yield* second.invalidate(Version, "a")
      assert.isUndefined(yield* first.find("a"))
    }))

  it.scopedLive("a process that comes later uses what is there, and takes it from nobody", () =>
    Effect.gen(function*() {
      const prefix = ownPrefix()
      const first = yield* process(server(), prefix)
      yield* first.set(Version, "a", 1)
      assert.strictEqual(yield* first.find("a"), 1)
      const second = yield* process(server(), prefix)
      assert.strictEqual(yield* second.find("a"), 1)
      assert.strictEqual(yield* first.find("a"), 1)
    }))

  it.scopedLive("what Redis keeps expires there", () =>
    Effect.gen(function*() {
      const prefix = ownPrefix()
      const cache = yield* process(server(), prefix)
      yield* cache.set(Version, "a", 1)
      assert.strictEqual(yield* cache.find("a"), 1)
      const left = Number(yield* tell(server(), "pttl", `${prefix}cache:version:a`))
      assert.isTrue(left > 50_000 && left <= 60_000, String(left))
    }))

  it.scopedLive("emptied under load, it is filled again by one load for each key", () =>
    Effect.gen(function*() {
      const cache = yield* process(server(), ownPrefix())
      const loads = new Map<string, number>()
      const load = (key: string) =>
        Effect.delay(
          Effect.sync(() => {
            const count = (loads.get(key) ?? 0) + 1
            loads.set(key, count)
            return count
          }),
          "5 millis"
        )
      const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`)
      const callers = (times: number) =>
        Effect.forEach(
          Array.from({ length: times }).flatMap(() => keys),
          (key) => cache.getOrLoad(Version, key, load(key)),
          { concurrency: 200, discard: true }
        )
      yield* callers(20)
      assert.deepStrictEqual([...loads.values()], keys.map(() => 1))
      const busy = yield* Effect.fork(callers(400))
      yield* Effect.sleep("20 millis")
      yield* tell(server(), "flushall")
      yield* Fiber.join(busy)
      yield* callers(20)
      assert.isTrue([...loads.values()].every((count) => count === 2), [...loads.values()].join(" "))
      assert.strictEqual(cache.redis.dependency.current().status, "up")
    }))
})

describe.skipIf(TestServers.isMissing("redis", { faults: true }))("cache in Redis, through outages", () => {
  it.scopedLive("what was removed or replaced while Redis was away stays so when it returns, for all processes", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      const prefix = ownPrefix()
      const cutOff = yield* process(proxy, prefix)
      const other = yield* process(server, prefix)
      for (const key of ["removed", "replaced", "untouched"]) yield* cutOff.set(Version, key, 1)
      for (const process of [cutOff, other]) assert.strictEqual(yield* process.find("untouched"), 1)
      yield* proxy.refuse
      yield* proxy.cut
      yield* cutOff.becomes("away")
      yield* cutOff.invalidate(Version, "removed")
      yield* cutOff.set(Version, "replaced", 2)
      assert.isUndefined(yield* cutOff.find("removed"))
      assert.strictEqual(yield* cutOff.find("replaced"), 2)
      yield* proxy.pass
      yield* cutOff.becomes("up")
      for (const process of [cutOff, other]) {
        for (const key of ["removed", "replaced"]) {
          assert.notStrictEqual(yield* process.find(key), 1, key)
        }
      }
      // Both go on together in the new generation.
      yield* other.set(Version, "replaced", 3)
      assert.strictEqual(yield* other.find("replaced"), 3)
      assert.strictEqual(yield* cutOff.find("replaced"), 3)
    }))

  it.scopedLive("what is removed while Redis is coming back stays removed, also when another process just kept it", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      const prefix = ownPrefix()
      const generation = tell(server, "get", `${prefix}cache-generation`)
      const returning = yield* process(proxy, prefix)
      const other = yield* process(server, prefix)
      yield* proxy.refuse
      yield* proxy.cut
      yield* returning.becomes("away")
      const before = yield* generation
      yield* proxy.pass
      // Redis is told of the new generation; the process does not hear yet that it was.
      yield* proxy.latency(30)
      yield* beginsGeneration(proxy)
      yield* proxy.stall("downstream")
      yield* Effect.repeat(Effect.delay(generation, "2 millis"), { until: (now) => now !== before }).pipe(
        Effect.timeout("5 seconds")
      )
      assert.isUndefined(yield* other.find("a"))
      yield* other.set(Version, "a", 1)
      assert.strictEqual(yield* other.find("a"), 1)
      assert.strictEqual(returning.redis.dependency.current().status, "recovering")
      const removing = yield* Effect.fork(returning.invalidate(Version, "a"))
      yield* Effect.yieldNow()
      yield* proxy.pass
      yield* Fiber.join(removing)
      yield* returning.becomes("up")
      assert.isUndefined(yield* returning.find("a"))
    }))

  it.scopedLive("Redis is not read before its generation is new, also when others take their time to prepare", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const slow = Layer.scopedDiscard(
        Effect.flatMap(Redis.Redis, ({ onReturn }) => onReturn(Effect.sleep("100 millis")))
      )
      yield* Effect.gen(function*() {
        const cache = yield* Cache.Cache
        yield* cache.set(Version, "a", 1)
        ;(yield* Redis.Redis).dependency.unsafeLost("a test says so")
        yield* cache.invalidate(Version, "a")
        yield* becomes("recovering")
        assert.isTrue(Option.isNone(yield* cache.get(Version, "a")))
      }).pipe(Effect.provide(onceUp(Layer.provideMerge(RedisCache.layer(), slow), server)))
    }))

  it.scopedLive("what memory held in one outage is not there in the next", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      const cache = yield* process(proxy, ownPrefix())
      const outage = <A>(during: Effect.Effect<A>) =>
        Effect.gen(function*() {
          yield* proxy.refuse
          yield* proxy.cut
          yield* cache.becomes("away")
          const result = yield* during
          yield* proxy.pass
          yield* cache.becomes("up")
          return result
        })
      yield* outage(cache.set(Version, "a", 1))
      yield* cache.set(Version, "a", 2)
      assert.isUndefined(yield* outage(cache.find("a")))
    }))

  it.scopedLive("what was changed before Redis was ever there counts when it comes", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      const prefix = ownPrefix()
      const before = yield* process(server, prefix)
      yield* before.set(Version, "a", 1)
      assert.strictEqual(yield* before.find("a"), 1)
      yield* proxy.refuse
      const starting = yield* process(proxy, prefix, "at once")
      yield* starting.invalidate(Version, "a")
      yield* proxy.pass
      yield* starting.becomes("up")
      assert.isUndefined(yield* starting.find("a"))
    }))

  it.scopedLive("a change that Redis is given late does not bring an old value back", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      const prefix = ownPrefix()
      const cache = yield* process(proxy, prefix)
      const straight = yield* process(server, prefix)
      yield* proxy.stall("upstream")
      yield* cache.set(Version, "a", 1)
      yield* cache.becomes("away")
      yield* cache.invalidate(Version, "a")
      yield* proxy.pass
      yield* cache.becomes("up")
      for (let look = 0; look < 20; look++) {
        assert.isUndefined(yield* cache.find("a"))
        assert.isUndefined(yield* straight.find("a"))
        yield* Effect.sleep("10 millis")
      }
      // It did arrive, or this test says nothing.
      assert.isNotNull(yield* tell(server, "get", `${prefix}cache:version:a`))
    }))

  it.scopedLive("nor does a whole return of this process that Redis is given late", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const detour = yield* TcpProxy.make(server)
      const front = yield* TcpProxy.make(detour)
      const prefix = ownPrefix()
      const cache = yield* process(front, prefix)
      yield* front.cut
      yield* cache.becomes("away")
      yield* detour.latency(60)
      // It is about to begin a generation, and writes in it; both are held up, and given up.
      yield* beginsGeneration(detour)
      yield* detour.stall("upstream")
      yield* cache.set(Version, "a", 1)
      yield* cache.becomes("away")
      yield* cache.invalidate(Version, "a")
      yield* front.setTarget(server)
      yield* cache.becomes("up")
      assert.isUndefined(yield* cache.find("a"))
      yield* detour.pass
      const text = tell(server, "get", `${prefix}cache:version:a`)
      yield* Effect.repeat(Effect.delay(text, "2 millis"), { until: (text) => text !== null }).pipe(
        Effect.timeout("5 seconds")
      )
      assert.isUndefined(yield* cache.find("a"))
    }))

  it.scopedLive("a Redis that comes back with older data, its own snapshot, is not believed", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const cache = yield* process(server, ownPrefix())
      yield* cache.set(Version, "a", 1)
      assert.strictEqual(yield* cache.find("a"), 1)
      yield* tell(server, "save")
      yield* cache.invalidate(Version, "a")
      yield* server.restart
      yield* cache.becomes("up")
      assert.isUndefined(yield* cache.find("a"))
    }))

  it.scopedLive("a Redis that takes no writes is away, says why, and is used again when it does", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start({ settings: { "maxmemory-policy": "noeviction" } })
      const cache = yield* process(server, ownPrefix())
      yield* cache.set(Version, "a", 1)
      yield* tell(server, "config", "set", "maxmemory", "1")
      yield* cache.set(Version, "a", 2)
      yield* cache.becomes("away")
      assert.notStrictEqual(yield* cache.find("a"), 1)
      yield* cache.set(Version, "a", 3)
      assert.strictEqual(yield* cache.find("a"), 3)
      yield* Effect.repeat(Effect.delay(cache.redis.dependency.state, "10 millis"), {
        until: ({ lastError = "" }) => lastError.includes("OOM")
      }).pipe(Effect.timeout("5 seconds"))
      yield* tell(server, "config", "set", "maxmemory", "0")
      yield* cache.becomes("up")
      assert.notStrictEqual(yield* cache.find("a"), 1)
    }))

  it.scopedLive(
    "stalled, killed, slow and emptied: no call waits longer than 300 ms, and no answer is wrong",
    () =>
      Effect.gen(function*() {
        const server = yield* RedisServer.start({ settings: { appendonly: "yes", appendfsync: "no" } })
        const proxy = yield* TcpProxy.make(server)
        const cache = yield* process(proxy, ownPrefix())
        const watch = yield* stopwatch
        const keys = Array.from({ length: 10 }, (_, index) => `key-${index}`)
        /** The truth, as a database would have it, and what each reader may expect at least. */
        const truth = new Map(keys.map((key) => [key, 1]))
        const announced = new Map(keys.map((key) => [key, 1]))
        const counts = { reads: 0, changes: 0, stale: 0 }

        const read = (key: string) =>
          Effect.gen(function*() {
            const atLeast = announced.get(key) ?? 0
            const load = Effect.suspend(() => {
              const version = truth.get(key) ?? 0
              return Effect.delay(Effect.succeed(version), "1 millis")
            })
            const found = yield* watch.timed(cache.getOrLoad(Version, key, load))
            counts.reads++
            if (found < atLeast) counts.stale++
          })
        const change = (key: string) =>
          Effect.gen(function*() {
            const next = (truth.get(key) ?? 0) + 1
            truth.set(key, next)
            yield* watch.timed(cache.invalidate(Version, key))
            counts.changes++
            announced.set(key, Math.max(next, announced.get(key) ?? 0))
          })
        const replace = (key: string) =>
          Effect.gen(function*() {
            const next = (truth.get(key) ?? 0) + 1
            truth.set(key, next)
            yield* watch.timed(cache.set(Version, key, next))
            counts.changes++
            announced.set(key, Math.max(next, announced.get(key) ?? 0))
          })
        let turn = 0
        const worker = Effect.forever(Effect.suspend(() => {
          const key = keys[turn++ % keys.length] ?? ""
          const work = turn % 10 === 0 ? change(key) : turn % 17 === 0 ? replace(key) : read(key)
          return Effect.zipRight(work, Effect.sleep("2 millis"))
        }))
        yield* Effect.forEach(Array.from({ length: 8 }), () => Effect.forkScoped(worker))

        const faults: Record<string, Effect.Effect<unknown, ServerUnavailable>> = {
          stalled: Effect.zipRight(server.stall, Effect.zipRight(Effect.sleep("900 millis"), server.resume)),
          killed: Effect.zipRight(server.kill, Effect.zipRight(Effect.sleep("300 millis"), server.start)),
          slow: Effect.zipRight(proxy.latency(300), Effect.zipRight(Effect.sleep("900 millis"), proxy.pass)),
          cut: proxy.cut,
          emptied: tell(server, "flushall")
        }
        for (const [fault, inject] of Object.entries(faults)) {
          yield* Effect.sleep("150 millis")
          assert.strictEqual(cache.redis.dependency.current().status, "up")
          const before = { ...counts, returns: cache.redis.returns() }
          yield* inject
          yield* Effect.sleep("150 millis")
          yield* cache.becomes("up")
          assert.isAbove(counts.reads, before.reads, fault)
          assert.isAbove(counts.changes, before.changes, fault)
          // The fault was felt.
          if (fault !== "emptied") assert.isAbove(cache.redis.returns(), before.returns, fault)
        }
        assert.strictEqual(counts.stale, 0, JSON.stringify(counts))
        assert.isAtMost(watch.longest(), 300)
        assert.isAbove(counts.reads, 500)
      }),
    60_000
  )
})

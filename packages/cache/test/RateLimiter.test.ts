import { assert, describe, it } from "@effect/vitest"
import * as RateLimiter from "@holdfast/cache/RateLimiter"
import { Effect, Either, TestClock } from "effect"

const { RateLimiter: Limiter } = RateLimiter

const limited = (limit: RateLimiter.Limit, key: string, times: number) =>
  Effect.gen(function*() {
    const limiter = yield* Limiter
    const ends = yield* Effect.forEach(Array.from({ length: times }), () => Effect.either(limiter.take(limit, key)))
    return ends.filter((end) => end._tag === "Right").length
  })

describe("memory rate limiter", () => {
  it.effect("each key has permits of its own, which come back evenly", () =>
    Effect.gen(function*() {
      const limit = yield* RateLimiter.limit("login", { permits: 5, interval: "1 second" })
      assert.strictEqual(yield* limited(limit, "a", 20), 5)
      assert.strictEqual(yield* limited(limit, "b", 20), 5)
      const refused = yield* Effect.flip((yield* Limiter).take(limit, "a"))
      assert.deepInclude(refused, { policy: "login", retryAfterMs: 200 })
      yield* TestClock.adjust("400 millis")
      assert.strictEqual(yield* limited(limit, "a", 20), 2)
    }).pipe(Effect.provide(Limiter.layerMemory())))

  it.effect("limits of different names do not share permits", () =>
    Effect.gen(function*() {
      const login = yield* RateLimiter.limit("login", { permits: 1, interval: "1 second" })
      const search = yield* RateLimiter.limit("search", { permits: 3, interval: "1 second" })
      assert.strictEqual(yield* limited(login, "a", 5), 1)
      assert.strictEqual(yield* limited(search, "a", 5), 3)
    }).pipe(Effect.provide(Limiter.layerMemory())))

  it.effect("a flood of keys costs no more memory than the bound, and forgets who was quiet the longest", () =>
    Effect.gen(function*() {
      const limit = yield* RateLimiter.limit("login", { permits: 1, interval: "1 hour" })
      yield* limited(limit, "quiet", 1)
      yield* limited(limit, "busy", 1)
      yield* limited(limit, "new", 1)
      assert.strictEqual(yield* limited(limit, "busy", 1), 0)
      yield* limited(limit, "newer", 1)
      assert.strictEqual(yield* limited(limit, "busy", 1), 0)
      assert.strictEqual(yield* limited(limit, "quiet", 1), 1)
    }).pipe(Effect.provide(Limiter.layerMemory({ maxKeys: 3 }))))

  it("numbers that make no sense are refused when the limit is made", () => {
    assert.isTrue(Either.isLeft(RateLimiter.limit("login", { permits: 0, interval: "1 second" })))
    assert.isTrue(Either.isLeft(RateLimiter.limit("login", { permits: 1, interval: "0 seconds" })))
  })
})

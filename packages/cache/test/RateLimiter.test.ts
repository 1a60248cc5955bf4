import { assert, describe, it } from "@effect/vitest"
import * as RateLimiter from "@holdfast/cache/RateLimiter"
import { Effect, Either } from "effect"
import { suite, taken } from "./RateLimiterSuite.ts"

const { RateLimiter: Limiter } = RateLimiter

suite("memory rate limiter", Limiter.layerMemory())

describe("memory rate limiter, bounded", () => {
  it.effect("a flood of keys costs no more memory than the bound, and forgets who was quiet the longest", () =>
    Effect.gen(function*() {
      const limit = yield* RateLimiter.limit("login", { permits: 1, interval: "1 hour" })
      yield* taken(limit, "quiet", 1)
      yield* taken(limit, "busy", 1)
      yield* taken(limit, "new", 1)
      assert.strictEqual(yield* taken(limit, "busy", 1), 0)
      yield* taken(limit, "newer", 1)
      assert.strictEqual(yield* taken(limit, "busy", 1), 0)
      assert.strictEqual(yield* taken(limit, "quiet", 1), 1)
    }).pipe(Effect.provide(Limiter.layerMemory({ maxKeys: 3 }))))

  it("numbers that make no sense are refused when the limit is made", () => {
    assert.isTrue(Either.isLeft(RateLimiter.limit("login", { permits: 0, interval: "1 second" })))
    assert.isTrue(Either.isLeft(RateLimiter.limit("login", { permits: 1, interval: "0 seconds" })))
  })
})

import { assert, describe, it } from "@effect/vitest"
import * as RateLimiter from "@holdfast/cache/RateLimiter"
import type { Duration, Layer } from "effect"
import { Effect, TestClock } from "effect"

const { RateLimiter: Limiter } = RateLimiter

/** How many permits of the key are left, of at most `times`; takes them. */
export const taken = (limit: RateLimiter.Limit, key: string, times: number) =>
  Effect.gen(function*() {
    const limiter = yield* Limiter
    const ends = yield* Effect.forEach(
      Array.from({ length: times }),
      () => Effect.either(limiter.take(limit, key)),
      { concurrency: "unbounded" }
    )
    return ends.filter((end) => end._tag === "Right").length
  })

/**
 * What every rate limiter promises. The layer is fresh for each test; one that keeps time by itself is tested in `real`
 * time, of which some passes in each step.
 */
export const suite = <E>(
  name: string,
  layer: Layer.Layer<RateLimiter.RateLimiter, E>,
  time: "simulated" | "real" = "simulated"
) =>
  describe(name, () => {
    const run = time === "real" ? it.live : it.effect
    const pass: (time: Duration.DurationInput) => Effect.Effect<void> = time === "real"
      ? Effect.sleep
      : TestClock.adjust

    run("each key has permits of its own, which come back evenly", () =>
      Effect.gen(function*() {
        const limit = yield* RateLimiter.limit("login", { permits: 5, interval: "10 seconds" })
        assert.strictEqual(yield* taken(limit, "a", 20), 5)
        assert.strictEqual(yield* taken(limit, "b", 20), 5)
        const refused = yield* Effect.flip((yield* Limiter).take(limit, "a"))
        assert.strictEqual(refused.policy, "login")
        assert.isTrue(refused.retryAfterMs > 1_000 && refused.retryAfterMs <= 2_000, String(refused.retryAfterMs))
        yield* pass(refused.retryAfterMs)
        assert.strictEqual(yield* taken(limit, "a", 20), 1)
      }).pipe(Effect.provide(layer)))

    run("a bucket holds no more than its burst, however long it fills", () =>
      Effect.gen(function*() {
        const limit = yield* RateLimiter.limit("search", { permits: 100, interval: "1 second", burst: 2 })
        assert.strictEqual(yield* taken(limit, "a", 2), 2)
        yield* pass("500 millis")
        assert.isAtMost(yield* taken(limit, "a", 4), 3)
      }).pipe(Effect.provide(layer)))

    run("a bucket that has filled up is full again", () =>
      Effect.gen(function*() {
        const limit = yield* RateLimiter.limit("search", { permits: 3, interval: "300 millis" })
        assert.strictEqual(yield* taken(limit, "a", 3), 3)
        yield* pass("350 millis")
        assert.strictEqual(yield* taken(limit, "a", 3), 3)
      }).pipe(Effect.provide(layer)))

    run("limits of different names do not share permits", () =>
      Effect.gen(function*() {
        const login = yield* RateLimiter.limit("login", { permits: 1, interval: "1 minute" })
        const search = yield* RateLimiter.limit("search", { permits: 3, interval: "1 minute" })
        assert.strictEqual(yield* taken(login, "a", 5), 1)
        assert.strictEqual(yield* taken(search, "a", 5), 3)
      }).pipe(Effect.provide(layer)))

    run("rates from one a day to a million a second are kept", () =>
      Effect.gen(function*() {
        const rare = yield* RateLimiter.limit("rare", { permits: 1, interval: "1 day" })
        assert.strictEqual(yield* taken(rare, "a", 3), 1)
        const refused = yield* Effect.flip((yield* Limiter).take(rare, "a"))
        assert.isTrue(refused.retryAfterMs > 86_000_000 && refused.retryAfterMs <= 86_400_000)
        const flood = yield* RateLimiter.limit("flood", { permits: 1_000_000, interval: "1 second" })
        assert.strictEqual(yield* taken(flood, "a", 50), 50)
      }).pipe(Effect.provide(layer)))
  })

import { assert, describe, it } from "@effect/vitest"
import * as Cache from "@holdfast/cache/Cache"
import { Data, Deferred, Duration, Effect, Exit, Fiber, type Layer, Option, Schema, TestClock } from "effect"

const Price = Cache.kind("price", {
  value: Schema.Struct({ sku: Schema.String, amount: Schema.Int, from: Schema.Date }),
  ttl: "1 second"
})
const price = (amount: number) => ({ sku: "A-1", amount, from: new Date(0) })

class Away extends Data.TaggedError("Away")<{ readonly n: number }> {}

/** A loader that counts its calls and ends when told to; `begun` and `abandoned` end when its first call is so far. */
const loader = Effect.gen(function*() {
  const state = { calls: 0, interrupted: 0 }
  const [gate, begun, abandoned] = yield* Effect.all([
    Deferred.make<void>(),
    Deferred.make<void>(),
    Deferred.make<void>()
  ])
  const load = Effect.suspend(() => {
    const n = ++state.calls
    return Effect.zipRight(Deferred.succeed(begun, undefined), Effect.as(Deferred.await(gate), price(n)))
  }).pipe(Effect.onInterrupt(() => {
    state.interrupted++
    return Deferred.succeed(abandoned, undefined)
  }))
  return {
    state,
    load,
    open: Deferred.succeed(gate, undefined),
    begun: Deferred.await(begun),
    abandoned: Deferred.await(abandoned)
  }
})

/** Chai takes a Some for equal to a None, but not what they hold. */
const found = <A>(cache: Cache.CacheShape, kind: Cache.Kind<A>, key: string) =>
  Effect.map(cache.get(kind, key), Option.getOrUndefined)

/** Lets the fibers run until each of them waits for something, as long as that needs no more turns than these. */
const settled = Effect.repeatN(Effect.yieldNow(), 50)

/**
 * What every cache promises. The layer is fresh for each test; a cache that keeps time by itself is tested in `real` time.
 */
export const suite = <E>(
  name: string,
  layer: Layer.Layer<Cache.Cache, E>,
  time: "simulated" | "real" = "simulated"
) =>
  describe(name, () => {
    const run = time === "real" ? it.live : it.effect
    const pass: (time: Duration.DurationInput) => Effect.Effect<void> = time === "real"
      ? Effect.sleep
      : TestClock.adjust
    const test = <A, E>(title: string, body: (cache: Cache.CacheShape) => Effect.Effect<A, E>) =>
      run(title, () => Effect.provide(Effect.flatMap(Cache.Cache, body), layer))

    test("what was set is found, typed, under its kind and key only", (cache) =>
      Effect.gen(function*() {
        const Other = Cache.kind("other", { value: Schema.Int, ttl: "1 second" })
        yield* cache.set(Price, "a", price(5))
        assert.deepStrictEqual(yield* found(cache, Price, "a"), price(5))
        assert.isUndefined(yield* found(cache, Price, "b"))
        assert.isUndefined(yield* found(cache, Other, "a"))
      }))

    test("a value lives for its kind's time and no longer, however often it is read", (cache) =>
      Effect.gen(function*() {
        yield* cache.set(Price, "a", price(5))
        yield* pass("800 millis")
        assert.isDefined(yield* found(cache, Price, "a"))
        yield* pass("300 millis")
        assert.isUndefined(yield* found(cache, Price, "a"))
      }))

    test("a kind may live for ever, or not at all", (cache) =>
      Effect.gen(function*() {
        const Constant = Cache.kind("constant", { value: Schema.Int, ttl: Duration.infinity })
        const Moment = Cache.kind("moment", { value: Schema.Int, ttl: 0 })
        yield* cache.set(Constant, "a", 1)
        yield* cache.set(Moment, "a", 2)
        yield* pass("20 millis")
        assert.strictEqual(yield* found(cache, Constant, "a"), 1)
        assert.isUndefined(yield* found(cache, Moment, "a"))
      }))

    test("what was invalidated is gone", (cache) =>
      Effect.gen(function*() {
        yield* cache.set(Price, "a", price(5))
        yield* cache.invalidate(Price, "a")
        assert.isUndefined(yield* found(cache, Price, "a"))
      }))

    test("what another version of the program stored is loaded again when it does not decode", (cache) =>
      Effect.gen(function*() {
        const Before = Cache.kind("price", { value: Schema.String, ttl: "1 second" })
        yield* cache.set(Before, "a", "5 EUR")
        assert.isUndefined(yield* found(cache, Price, "a"))
        assert.deepStrictEqual(yield* cache.getOrLoad(Price, "a", Effect.succeed(price(6))), price(6))
        assert.deepStrictEqual(yield* found(cache, Price, "a"), price(6))
      }))

    test("one load serves all who ask at once, on an empty, an expired and a flushed cache", (cache) =>
      Effect.gen(function*() {
        for (const lose of [Effect.void, pass("1100 millis"), cache.invalidate(Price, "a")]) {
          yield* lose
          const { load, open, state } = yield* loader
          const callers = yield* Effect.forkAll(Array.from({ length: 100 }, () => cache.getOrLoad(Price, "a", load)))
          yield* settled
          yield* open
          const values = yield* Fiber.join(callers)
          assert.strictEqual(state.calls, 1)
          assert.isTrue(values.every((value) => value.amount === 1))
          assert.deepStrictEqual(yield* cache.getOrLoad(Price, "a", load), price(1))
          assert.strictEqual(state.calls, 1)
        }
      }))

    test("loads of different keys do not wait for each other", (cache) =>
      Effect.gen(function*() {
        const { begun, load, open } = yield* loader
        const stuck = yield* Effect.fork(cache.getOrLoad(Price, "a", load))
        yield* begun
        assert.deepStrictEqual(yield* cache.getOrLoad(Price, "b", Effect.succeed(price(7))), price(7))
        yield* open
        yield* Fiber.join(stuck)
      }))

    test("a failure reaches all who waited for it and nobody after them", (cache) =>
      Effect.gen(function*() {
        let calls = 0
        const failing = Effect.zipRight(settled, Effect.suspend(() => new Away({ n: ++calls })))
        const ends = yield* Effect.all(
          Array.from({ length: 10 }, () => Effect.either(cache.getOrLoad(Price, "a", failing))),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(calls, 1)
        assert.isTrue(ends.every((end) => end._tag === "Left" && end.left.n === 1))
        assert.deepStrictEqual(yield* cache.getOrLoad(Price, "a", Effect.succeed(price(8))), price(8))
      }))

    test("who tries again after a failure has a new load, shared with the others who do", (cache) =>
      Effect.gen(function*() {
        let calls = 0
        const failingOnce = Effect.zipRight(
          settled,
          Effect.suspend(() => ++calls === 1 ? new Away({ n: calls }) : Effect.succeed(price(calls)))
        )
        const values = yield* Effect.all(
          Array.from({ length: 10 }, () => Effect.retry(cache.getOrLoad(Price, "a", failingOnce), { times: 1 })),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(calls, 2)
        assert.isTrue(values.every((value) => value.amount === 2))
      }))

    test("a caller that leaves does not take the load from the others, not even the one that began it", (cache) =>
      Effect.gen(function*() {
        const { begun, load, open, state } = yield* loader
        const first = yield* Effect.fork(cache.getOrLoad(Price, "a", load))
        yield* begun
        const second = yield* Effect.fork(cache.getOrLoad(Price, "a", load))
        yield* settled
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(first)))
        yield* open
        assert.deepStrictEqual(yield* Fiber.join(second), price(1))
        assert.deepStrictEqual(state, { calls: 1, interrupted: 0 })
      }))

    test("a load that nobody waits for any more is interrupted, and the next caller loads anew", (cache) =>
      Effect.gen(function*() {
        const { abandoned, begun, load, open, state } = yield* loader
        const callers = yield* Effect.all([1, 2].map(() => Effect.fork(cache.getOrLoad(Price, "a", load))))
        yield* begun
        yield* settled
        yield* Fiber.interruptAll(callers)
        yield* abandoned
        assert.deepStrictEqual(state, { calls: 1, interrupted: 1 })
        yield* open
        assert.deepStrictEqual(yield* cache.getOrLoad(Price, "a", load), price(2))
      }))

    test("a load that was overtaken by a change does not bring the old value back", (cache) =>
      Effect.gen(function*() {
        for (
          const [change, after] of [
            [cache.invalidate(Price, "a"), undefined],
            [cache.set(Price, "a", price(9)), price(9)]
          ] as const
        ) {
          const { begun, load, open } = yield* loader
          const caller = yield* Effect.fork(cache.getOrLoad(Price, "a", load))
          yield* begun
          yield* change
          yield* open
          assert.deepStrictEqual(yield* Fiber.join(caller), price(1))
          assert.deepStrictEqual(yield* found(cache, Price, "a"), after)
          yield* cache.invalidate(Price, "a")
        }
      }))
  })

import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Either, Fiber, TestClock } from "effect"
import * as Bulkhead from "../src/Bulkhead.ts"
import * as RateLimit from "../src/RateLimit.ts"
import * as TimeSource from "../src/TimeSource.ts"

const make = (config: Partial<Bulkhead.Config>) =>
  Effect.flatMap(TimeSource.current, (time) => Bulkhead.make({ ...Bulkhead.defaults, ...config }, time))

/** Work that ends when it is told to. */
const held = (bulkhead: Bulkhead.Bulkhead) =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    const fiber = yield* Effect.fork(Effect.either(Bulkhead.withPermit(bulkhead, "test")(Deferred.await(gate))))
    yield* TestClock.adjust(0)
    return { fiber, end: Effect.zipRight(Deferred.succeed(gate, undefined), TestClock.adjust(0)) }
  })

const numbers = (bulkhead: Bulkhead.Bulkhead) => [bulkhead.active(), bulkhead.queued()]

describe("a bulkhead", () => {
  it.effect("runs so many, queues so many, and refuses the rest at once", () =>
    Effect.gen(function*() {
      const bulkhead = yield* make({ limit: 2, queue: 1 })
      const first = yield* held(bulkhead)
      const second = yield* held(bulkhead)
      const third = yield* held(bulkhead)
      assert.deepStrictEqual(numbers(bulkhead), [2, 1])
      const refused = yield* Effect.flip(Bulkhead.withPermit(bulkhead, "test")(Effect.void))
      assert.deepInclude(refused, { _tag: "BulkheadFull", reason: "queue", limit: 2 })
      yield* first.end
      assert.deepStrictEqual(numbers(bulkhead), [2, 0])
      yield* second.end
      yield* third.end
      assert.deepStrictEqual(numbers(bulkhead), [0, 0])
    }))

  it.effect("refuses who has waited too long, and only those", () =>
    Effect.gen(function*() {
      const bulkhead = yield* make({ limit: 1, queue: 5, maxWait: 500 })
      yield* held(bulkhead)
      const early = yield* held(bulkhead)
      yield* TestClock.adjust(300)
      const late = yield* held(bulkhead)
      yield* TestClock.adjust(200)
      assert.strictEqual((yield* Fiber.join(early.fiber))._tag, "Left")
      assert.isNull(late.fiber.unsafePoll())
      yield* TestClock.adjust(300)
      assert.strictEqual((yield* Fiber.join(late.fiber))._tag, "Left")
      assert.deepStrictEqual(numbers(bulkhead), [1, 0])
    }))

  it.effect("an interrupted waiter leaves no hole, and those behind it keep their order", () =>
    Effect.gen(function*() {
      const bulkhead = yield* make({ limit: 1, queue: 3 })
      const running = yield* held(bulkhead)
      const gone = yield* held(bulkhead)
      const next = yield* held(bulkhead)
      yield* Fiber.interrupt(gone.fiber)
      assert.deepStrictEqual(numbers(bulkhead), [1, 1])
      yield* running.end
      assert.deepStrictEqual(numbers(bulkhead), [1, 0])
      yield* next.end
      assert.strictEqual((yield* Fiber.join(next.fiber))._tag, "Right")
      assert.deepStrictEqual(numbers(bulkhead), [0, 0])
    }))

  it.effect("keeps the permit of interrupted work until the work has ended", () =>
    Effect.gen(function*() {
      const bulkhead = yield* make({ limit: 1, queue: 0 })
      const gate = yield* Deferred.make<void>()
      const work = Effect.ensuring(Effect.never, Deferred.await(gate))
      const fiber = yield* Effect.fork(Effect.disconnect(Bulkhead.withPermit(bulkhead, "test")(work)))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(numbers(bulkhead), [1, 0])
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(numbers(bulkhead), [0, 0])
    }))

  it.effect("a crowd that comes and goes at random loses no permit", () =>
    Effect.gen(function*() {
      const bulkhead = yield* make({ limit: 3, queue: 50, maxWait: 40 })
      let running = 0
      const fibers = yield* Effect.forEach(Array.from({ length: 300 }, (_, index) => index), (index) => {
        const work = Effect.gen(function*() {
          running++
          assert.isAtMost(running, 3)
          yield* Effect.sleep(index % 13)
        }).pipe(Effect.ensuring(Effect.sync(() => running--)))
        const caller = Effect.delay(Bulkhead.withPermit(bulkhead, "test")(work), index % 29)
        return Effect.fork(index % 3 === 0 ? Effect.timeoutOption(caller, index % 11) : caller)
      })
      yield* TestClock.adjust(1000)
      yield* Fiber.awaitAll(fibers)
      assert.deepStrictEqual(numbers(bulkhead), [0, 0])
    }))

  it("work that ends at once passes the permit on without deepening the stack", () => {
    const bulkhead = Either.getOrThrow(Bulkhead.make({ limit: 1, queue: 100_000, maxWait: 1000 }, TimeSource.live))
    let done = 0
    bulkhead.enter()
    for (let waiter = 0; waiter < 100_000; waiter++) {
      bulkhead.wait({
        start: () => {
          done++
          bulkhead.leave()
        },
        refuse: () => {}
      })
    }
    bulkhead.leave()
    assert.deepStrictEqual([done, ...numbers(bulkhead)], [100_000, 0, 0])
  })

  for (
    const [field, wrong] of [
      ["limit", { limit: 0 }],
      ["queue", { queue: -1 }],
      ["maxWait", { maxWait: 0 }],
      ["maxWait", { maxWait: Infinity }]
    ] satisfies ReadonlyArray<[string, Partial<Bulkhead.Config>]>
  ) {
    it(`refuses ${JSON.stringify(wrong)}, naming ${field}`, () => {
      const refused = Bulkhead.validate({ ...Bulkhead.defaults, ...wrong })
      assert.strictEqual(Either.isLeft(refused) && refused.left.field, field)
    })
  }
})

describe("a rate limit", () => {
  it("admits the burst, then the rate, and says when the next one may come", () => {
    const limit = Either.getOrThrow(RateLimit.make({ permits: 10, interval: "1 second", burst: 3 }))
    assert.deepStrictEqual([0, 0, 0, 0].map((now) => limit.take(now)), [0, 0, 0, 100])
    assert.strictEqual(limit.take(99).toFixed(6), "1.000000")
    assert.deepStrictEqual([100, 100].map((now) => limit.take(now)), [0, 100])
    assert.deepStrictEqual([9000, 9000, 9000, 9000].map((now) => limit.take(now)), [0, 0, 0, 100])
  })

  it("over a long time admits exactly the rate", () => {
    const limit = Either.getOrThrow(RateLimit.make({ permits: 7, interval: "1 second", burst: 1 }))
    let admitted = 0
    for (let now = 0; now < 60_000; now++) if (limit.take(now) === 0) admitted++
    assert.isTrue(admitted >= 7 * 60 - 5 && admitted <= 7 * 60 + 1, String(admitted))
  })

  it.effect("as an effect fails with the time to wait", () =>
    Effect.gen(function*() {
      const limit = yield* RateLimit.make({ permits: 1, interval: "1 second" })
      yield* RateLimit.take(limit, "test")
      const limited = yield* Effect.flip(RateLimit.take(limit, "test"))
      assert.deepInclude(limited, { _tag: "RateLimited", retryAfterMs: 1000 })
    }))

  it("refuses a bucket that never admits", () => {
    assert.isTrue(Either.isLeft(RateLimit.make({ permits: 0.5, interval: "1 second" })))
    assert.isTrue(Either.isLeft(RateLimit.make({ permits: 1, interval: 0 })))
  })
})

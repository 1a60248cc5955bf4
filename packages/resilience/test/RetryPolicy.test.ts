import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Either, FastCheck as fc, Fiber, Ref, TestClock } from "effect"
import * as Deadline from "../src/Deadline.ts"
import * as RetryBudget from "../src/RetryBudget.ts"
import * as RetryPolicy from "../src/RetryPolicy.ts"

class Down extends Data.TaggedError("Down")<{ readonly retryAfterMs?: number }> {}
class Wrong extends Data.TaggedError("Wrong") {}
const recovery = (failure: Down | Wrong) => failure._tag === "Down" ? "retry" as const : "fail" as const

const steady: RetryPolicy.RetryPolicy = { ...RetryPolicy.request, jitter: "none" }
const anyPolicy: fc.Arbitrary<RetryPolicy.RetryPolicy> = fc.record({
  attempts: fc.integer({ min: 1, max: 10 }),
  base: fc.integer({ min: 1, max: 5000 }),
  factor: fc.constantFrom(1, 1.5, 2, 10),
  cap: fc.integer({ min: 5000, max: 60_000 }),
  jitter: fc.constantFrom("full", "equal", "decorrelated", "none"),
  maxElapsed: fc.constantFrom(1000, 100_000, Infinity)
})
const chance = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })

describe("the delay", () => {
  it("doubles from the base to the cap", () => {
    const delays = [1, 2, 3, 4, 5, 6, 7, 2000].map((attempt) => RetryPolicy.delay(steady, attempt, 0, 0))
    assert.deepStrictEqual(delays, [100, 200, 400, 800, 1600, 2000, 2000, 2000])
  })

  it.prop("lies within what its jitter promises", [anyPolicy, fc.integer({ min: 1, max: 2000 }), chance, chance], (
    [policy, attempt, random, before]
  ) => {
    const base = Number(policy.base)
    const cap = Number(policy.cap)
    const previous = before * cap
    const full = RetryPolicy.delay({ ...policy, jitter: "none" }, attempt, 0, 0)
    const delay = RetryPolicy.delay(policy, attempt, previous, random)
    const [low, high] = {
      none: [full, full],
      full: [0, full],
      equal: [full / 2, full],
      decorrelated: [base, Math.min(cap, Math.max(base, previous * 3))]
    }[policy.jitter] as [number, number] // the literal has every jitter
    return delay >= low && delay <= high && delay <= cap
  }, { fastCheck: { numRuns: 2000 } })

  it.prop("never reaches the deadline or the elapsed limit, and honours Retry-After before both", [
    anyPolicy,
    fc.record({
      attempt: fc.integer({ min: 1, max: 12 }),
      elapsed: fc.nat(200_000),
      remaining: fc.oneof(fc.nat(100_000), fc.constant(Infinity)),
      previous: fc.nat(60_000),
      random: chance,
      retryAfter: fc.option(fc.nat(200_000), { nil: undefined })
    })
  ], ([policy, moment]) => {
    const decision = RetryPolicy.decide(policy, moment)
    switch (decision) {
      case "attempts":
        return moment.attempt >= policy.attempts
      case "deadline":
        return moment.remaining < Infinity
      case "elapsed":
        return Number(policy.maxElapsed) < Infinity
      default:
        return decision < moment.remaining && decision >= (moment.retryAfter ?? 0) &&
          moment.elapsed + decision < Number(policy.maxElapsed)
    }
  }, { fastCheck: { numRuns: 2000 } })
})

describe("retry", () => {
  const failing = (times: number, failure: () => Down | Wrong) =>
    Effect.map(Ref.make(0), (attempts) => ({
      attempts,
      call: Effect.flatMap(
        Ref.updateAndGet(attempts, (count) => count + 1),
        (count): Effect.Effect<number, Down | Wrong> => count <= times ? Effect.fail(failure()) : Effect.succeed(count)
      )
    }))

  it.effect("repeats what may be repeated, at the policy's pace, and answers the success", () =>
    Effect.gen(function*() {
      const { attempts, call } = yield* failing(2, () => new Down({}))
      const fiber = yield* Effect.fork(RetryPolicy.retry(steady, { recovery })(call))
      const seen: Array<number> = []
      for (const step of [99, 1, 199, 1]) {
        yield* TestClock.adjust(step)
        seen.push(yield* attempts)
      }
      assert.deepStrictEqual(seen, [1, 2, 2, 3])
      assert.strictEqual(yield* Fiber.join(fiber), 3)
    }))

  it.effect("gives the last failure back after the last attempt", () =>
    Effect.gen(function*() {
      const { attempts, call } = yield* failing(Infinity, () => new Down({}))
      const fiber = yield* Effect.fork(Effect.flip(RetryPolicy.retry(steady, { recovery })(call)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Down")
      assert.strictEqual(yield* attempts, 3)
    }))

  it.effect("does not repeat what cannot help, nor defects", () =>
    Effect.gen(function*() {
      const { attempts, call } = yield* failing(Infinity, () => new Wrong())
      assert.strictEqual((yield* Effect.flip(RetryPolicy.retry(steady, { recovery })(call)))._tag, "Wrong")
      assert.strictEqual(yield* attempts, 1)
      const runs = yield* Ref.make(0)
      yield* Effect.exit(
        RetryPolicy.retry(steady, { recovery })(Effect.zipRight(Ref.update(runs, (n) => n + 1), Effect.die("bug")))
      )
      assert.strictEqual(yield* runs, 1)
    }))

  it.effect("waits as long as the failure asks, and not at all where the deadline comes first", () =>
    Effect.gen(function*() {
      const { attempts, call } = yield* failing(1, () => new Down({ retryAfterMs: 3000 }))
      const fiber = yield* Effect.fork(RetryPolicy.retry(steady, { recovery })(call))
      yield* TestClock.adjust(2999)
      assert.strictEqual(yield* attempts, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(fiber), 2)

      const other = yield* failing(1, () => new Down({ retryAfterMs: 3000 }))
      const failure = yield* Effect.flip(
        Deadline.within("2 seconds")(RetryPolicy.retry(steady, { recovery })(other.call))
      )
      assert.strictEqual(failure._tag, "Down", "at once: the clock has not moved")
    }))

  it.effect("stops at the elapsed limit and where the budget is used up", () =>
    Effect.gen(function*() {
      const elapsed = yield* failing(Infinity, () => new Down({}))
      const limited = { ...steady, attempts: Infinity, cap: 100, maxElapsed: 1000 }
      const fiber = yield* Effect.fork(Effect.flip(RetryPolicy.retry(limited, { recovery })(elapsed.call)))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* elapsed.attempts, 10)

      const spent = yield* failing(Infinity, () => new Down({}))
      const budget = yield* RetryBudget.make({ ratio: 0, perSecond: 0, window: "10 seconds" })
      yield* Effect.flip(RetryPolicy.retry(steady, { recovery, budget })(spent.call))
      assert.strictEqual(yield* spent.attempts, 1)
    }))

  it.effect("as a Schedule it has the same delays and stops after the same attempts", () =>
    Effect.gen(function*() {
      const { attempts, call } = yield* failing(Infinity, () => new Down({}))
      const fiber = yield* Effect.fork(
        Effect.flip(Effect.retry(call, RetryPolicy.schedule({ ...steady, attempts: 4 })))
      )
      const seen: Array<number> = []
      for (const step of [99, 1, 199, 1, 399, 1, 60_000]) {
        yield* TestClock.adjust(step)
        seen.push(yield* attempts)
      }
      assert.deepStrictEqual(seen, [1, 2, 2, 3, 3, 4, 4])
      yield* Fiber.join(fiber)
    }))
})

describe("validation", () => {
  for (
    const [field, wrong] of [
      ["attempts", { attempts: 0 }],
      ["attempts", { attempts: 1.5 }],
      ["base", { base: 0 }],
      ["base", { base: NaN }],
      ["factor", { factor: 0.9 }],
      ["cap", { base: "3 seconds" }],
      ["maxElapsed", { maxElapsed: 0 }]
    ] satisfies ReadonlyArray<[string, Partial<RetryPolicy.RetryPolicy>]>
  ) {
    it(`refuses ${JSON.stringify(wrong)}, naming ${field}`, () => {
      const refused = RetryPolicy.validate({ ...RetryPolicy.request, ...wrong })
      assert.strictEqual(Either.isLeft(refused) && refused.left.field, field)
    })
  }

  it("accepts the policies it offers", () => {
    assert.isTrue(Either.isRight(RetryPolicy.validate(RetryPolicy.request)))
    assert.isTrue(Either.isRight(RetryPolicy.validate(RetryPolicy.background)))
  })
})

describe("the retry budget", () => {
  const budget = (config: Partial<RetryBudget.Config>) =>
    Either.getOrThrow(RetryBudget.make({ ...RetryBudget.defaults, ...config }))

  it.prop(
    "in any window there are at most ratio × calls + floor retries",
    [fc.array(fc.tuple(fc.nat(800), fc.boolean()), { maxLength: 200, size: "max" })],
    ([steps]) => {
      const shared = budget({ perSecond: 0.5 })
      const calls: Array<number> = []
      const taken: Array<number> = []
      let now = 0
      for (const [wait, isCall] of steps) {
        now += wait
        if (isCall) {
          shared.call(now)
          calls.push(now)
        } else {
          const inWindow = (times: ReadonlyArray<number>) =>
            times.filter((at) => Math.floor(at / 1000) > Math.floor(now / 1000) - 10).length
          const allowed = Math.floor(0.2 * inWindow(calls) + 5) > inWindow(taken)
          if (shared.take(now) !== allowed) return false
          if (allowed) taken.push(now)
        }
      }
      return true
    },
    { fastCheck: { numRuns: 300 } }
  )

  it("a storm of failures is answered with a fifth more calls, not with three times as many", () => {
    const shared = budget({ perSecond: 0 })
    let attempts = 0
    for (let call = 0; call < 1000; call++) {
      shared.call(call)
      attempts++
      for (let retry = 0; retry < 2; retry++) if (shared.take(call)) attempts++
    }
    assert.strictEqual(attempts, 1200)
  })
})

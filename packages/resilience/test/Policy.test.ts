// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Effect, Exit, FastCheck as fc, Fiber, Random, Runtime, TestClock } from "effect"
import * as Deadline from "../src/Deadline.ts"
import * as Failure from "../src/Failure.ts"
import * as Policy from "../src/Policy.ts"
import * as RetryBudget from "../src/RetryBudget.ts"
import { ManualClock, turn } from "./ManualClock.ts"

class Down extends Data.TaggedError("Down")<{ readonly retryAfterMs?: number }> {}
class Wrong extends Data.TaggedError("Wrong") {}
type Broken = Down | Wrong

const failures = Failure.classifier<Broken>({
  Down: { severity: "high", recovery: "retry" },
  Wrong: { severity: "low", recovery: "fail" }
})
const classify = (thrown: unknown): Broken => thrown instanceof Wrong || thrown instanceof Down ? thrown : new Down({})

const make = (options: Partial<Policy.Options<Broken>> = {}) =>
  Policy.make<Broken>("store", {
    failures,
    classify,
    ...options,
    retry: options.retry === undefined ? { jitter: "none" } : options.retry,
    breaker: { openJitter: 0, ...options.breaker }
  })

/** A peer whose answers the test gives by hand. */
class Peer {
  readonly calls: Array<{ readonly answer: (value: number) => void; readonly fail: (error: unknown) => void }> = []
  /** How many are under way. */
  running = 0
  most = 0

  readonly call = (): Promise<number> => {
    this.running++
    this.most = Math.max(this.most, this.running)
    return new Promise<number>((answer, fail) => this.calls.push({ answer, fail })).finally(() => this.running--)
  }
}

/** The same call, once as the promise itself and once as an effect that, like a driver's, ends with its promise. */
interface Way {
  readonly name: string
  readonly guard: (policy: Policy.Policy<Broken>, call: () => Promise<number>) => Effect.Effect<
    number,
    Broken | Failure.PolicyFailure
  >
}
const ways: ReadonlyArray<Way> = [
  { name: "promise", guard: (policy, call) => policy.promise(call) },
  {
    name: "effect",
    guard: (policy, call) => policy.effect(Effect.uninterruptible(Effect.tryPromise({ try: call, catch: classify })))
  }
]

const settled = TestClock.adjust(0)
const start = <A, E>(effect: Effect.Effect<A, E>) => Effect.tap(Effect.fork(Effect.either(effect)), () => settled)
const left = <E>(fiber: Fiber.RuntimeFiber<{ readonly _tag: string; readonly left?: E }>) =>
  Effect.map(Fiber.join(fiber), (either) => {
    assert.strictEqual(either._tag, "Left")
    return either.left
  })

for (const { guard, name } of ways) {
  describe(`a guarded ${name}`, () => {
    it.effect("passes a success through", () =>
      Effect.gen(function*() {
        const policy = yield* make()
        assert.strictEqual(yield* guard(policy, () => Promise.resolve(42)), 42)
        assert.deepInclude(policy.stats(), { calls: 1, failures: 0, inflight: 0, queued: 0, orphaned: 0, retries: 0 })
      }))

    it.effect("retries what may be retried, at the policy's pace", () =>
      Effect.gen(function*() {
        const policy = yield* make()
        let attempts = 0
        const call = () => ++attempts < 3 ? Promise.reject(new Down({})) : Promise.resolve(attempts)
        const fiber = yield* start(guard(policy, call))
        const seen: Array<number> = []
        for (const step of [99, 1, 199, 1]) {
          yield* TestClock.adjust(step)
          seen.push(attempts)
        }
        assert.deepStrictEqual(seen, [1, 2, 2, 3])
        assert.deepInclude(yield* Fiber.join(fiber), { _tag: "Right", right: 3 })
        assert.deepInclude(policy.stats(), { calls: 1, failures: 0, retries: 2 })
      }))

    it.effect("gives the last failure back, and does not repeat what cannot help", () =>
      Effect.gen(function*() {
        const policy = yield* make()
        const down = yield* start(guard(policy, () => Promise.reject(new Down({}))))
        yield* TestClock.adjust("10 seconds")
        assert.deepInclude(yield* left(down), { _tag: "Down" })
        const wrong = yield* start(guard(policy, () => Promise.reject(new Wrong())))
        assert.deepInclude(yield* left(wrong), { _tag: "Wrong" })
        assert.deepInclude(policy.stats(), { calls: 2, failures: 2, retries: 2 })
      }))

    it.effect("waits as long as the failure asks, but never beyond the deadline", () =>
      Effect.gen(function*() {
        const policy = yield* make({ deadline: "10 seconds" })
        let attempts = 0
        const call = (retryAfterMs: number) => () =>
          ++attempts === 1 ? Promise.reject(new Down({ retryAfterMs })) : Promise.resolve(42)
        const fiber = yield* start(guard(policy, call(4000)))
        yield* TestClock.adjust(3999)
        assert.strictEqual(attempts, 1)
        yield* TestClock.adjust(1)
        assert.deepInclude(yield* Fiber.join(fiber), { _tag: "Right" })
        attempts = 0
        assert.deepInclude(yield* left(yield* start(guard(policy, call(10_000)))), { _tag: "Down" })
      }))

    it.effect("a retry needs the budget's leave, and several policies can share one", () =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ ratio: 0, perSecond: 0.1, window: "10 seconds" })
        const one = yield* make({ budget })
        const other = yield* make({ budget })
        const first = yield* start(guard(one, () => Promise.reject(new Down({}))))
        yield* TestClock.adjust("1 second")
        const second = yield* start(guard(other, () => Promise.reject(new Down({}))))
        yield* left(first)
        yield* left(second)
        assert.deepInclude(one.stats(), { retries: 1, budgetExhausted: 1, budget: 0 })
        assert.deepInclude(other.stats(), { retries: 0, budgetExhausted: 1 })
      }))

    it.effect("an attempt ends at its time-out although the peer is stalled; the permit stays with the work", () =>
      Effect.gen(function*() {
        const peer = new Peer()
        const policy = yield* make({ retry: false, bulkhead: { limit: 1, queue: 0 } })
        const fiber = yield* start(guard(policy, peer.call))
        yield* TestClock.adjust(1999)
        assert.isNull(fiber.unsafePoll())
        yield* TestClock.adjust(1)
        assert.deepInclude(yield* left(fiber), { _tag: "AttemptTimeout", timeoutMs: 2000 })
        assert.deepInclude(policy.stats(), { inflight: 0, orphaned: 1, timeouts: 1 })
        assert.deepInclude(yield* left(yield* start(guard(policy, peer.call))), { _tag: "BulkheadFull", limit: 1 })
        peer.calls[0]?.answer(1)
        yield* settled
        assert.deepInclude(policy.stats(), { inflight: 0, orphaned: 0 })
        assert.strictEqual(yield* guard(policy, () => Promise.resolve(42)), 42)
      }))

    it.effect("a timed-out attempt is retried, and a late answer to the first changes nothing", () =>
      Effect.gen(function*() {
        const peer = new Peer()
        const policy = yield* make()
        const fiber = yield* start(guard(policy, peer.call))
        yield* TestClock.adjust(2100)
        assert.strictEqual(peer.calls.length, 2)
        peer.calls[0]?.answer(1)
        yield* settled
        assert.isNull(fiber.unsafePoll())
        peer.calls[1]?.answer(2)
        assert.deepInclude(yield* Fiber.join(fiber), { _tag: "Right", right: 2 })
        assert.deepInclude(policy.stats(), { inflight: 0, orphaned: 0, retries: 1 })
      }))

    it.effect("an answer after the time-out does not make the time-out good", () =>
      Effect.gen(function*() {
        const peer = new Peer()
        const policy = yield* make({ retry: false })
        for (let call = 0; call < 5; call++) {
          assert.strictEqual(policy.breaker.status.current().state, "closed")
          yield* start(guard(policy, peer.call))
          yield* TestClock.adjust(2000)
          peer.calls.at(-1)?.answer(1)
          yield* settled
        }
        assert.strictEqual(policy.breaker.status.current().state, "open")
      }))

    it.effect("ends by the fiber's deadline, by its own over all attempts, and is not begun after it", () =>
      Effect.gen(function*() {
        const peer = new Peer()
        const policy = yield* make({ deadline: "6 seconds" })
        const ambient = yield* start(Deadline.within("700 millis")(guard(policy, peer.call)))
        yield* TestClock.adjust(699)
        assert.isNull(ambient.unsafePoll())
        yield* TestClock.adjust(1)
        assert.deepInclude(yield* left(ambient), { _tag: "DeadlineExceeded" })
        const own = yield* start(guard(policy, peer.call))
        yield* TestClock.adjust(5999)
        assert.isNull(own.unsafePoll())
        yield* TestClock.adjust(1)
        assert.deepInclude(yield* left(own), { _tag: "DeadlineExceeded" })
        const before = peer.calls.length
        const late = yield* start(Effect.locally(guard(policy, peer.call), Deadline.current, 1))
        assert.deepInclude(yield* left(late), { _tag: "DeadlineExceeded" })
        assert.strictEqual(peer.calls.length, before)
      }))

    it.effect("a caller's deadline counts against the dependency only after a fair chance", () =>
      Effect.gen(function*() {
        const peer = new Peer()
        const policy = yield* make({ retry: false, breaker: { consecutiveFailures: 1 } })
        const cut = (ms: number) =>
          Effect.gen(function*() {
            const fiber = yield* start(Effect.locally(guard(policy, peer.call), Deadline.current, ms))
            yield* TestClock.setTime(ms)
            yield* left(fiber)
            peer.calls.at(-1)?.answer(1)
            yield* settled
            return policy.breaker.status.current().state
          })
        assert.strictEqual(yield* cut(499), "closed")
        assert.strictEqual(yield* cut(499 + 500), "open")
      }))

    it.effect("opens the breaker after five failures, refuses without calling, and closes after three probes", () =>
      Effect.gen(function*() {
        const policy = yield* make({ retry: false })
        let calls = 0
        let answer = () => Promise.reject(new Down({}))
        const call = (): Promise<number> => {
          calls++
          return answer()
        }
        for (let failure = 0; failure < 5; failure++) yield* Effect.flip(guard(policy, call))
        const refused = yield* Effect.flip(guard(policy, call))
        assert.deepInclude(refused, { _tag: "BreakerOpen", policy: "store", retryAfterMs: 5000 })
        assert.strictEqual(calls, 5)
        yield* TestClock.adjust(4000)
        assert.deepInclude(yield* Effect.flip(guard(policy, call)), { _tag: "BreakerOpen", retryAfterMs: 1000 })
        assert.deepInclude(policy.stats(), { calls: 7, failures: 7, rejected: 2 })
        yield* TestClock.adjust(1000)
        answer = () => Promise.resolve(0) as Promise<never> // the peer is well again
        for (let probe = 0; probe < 3; probe++) {
          assert.notStrictEqual(policy.breaker.status.current().state, "closed")
          yield* guard(policy, call)
        }
        assert.strictEqual(policy.breaker.status.current().state, "closed")
      }))

    it.effect("half-open lets one probe through; an unanswered one fails at its time-out", () =>
      Effect.gen(function*() {
        const peer = new Peer()
        const policy = yield* make({ retry: false })
        policy.breaker.trip(0)
        yield* TestClock.adjust(5000)
        const crowd = yield* Effect.forEach(Array.from({ length: 20 }), () => start(guard(policy, peer.call)))
        assert.strictEqual(peer.calls.length, 1)
        yield* TestClock.adjust(2000)
        assert.deepInclude(policy.breaker.status.current(), { state: "open", reason: "probe_failed" })
        const tags = (yield* Effect.forEach(crowd, left)).map((failure) => failure?._tag)
        assert.deepStrictEqual([...new Set(tags)], ["AttemptTimeout", "BreakerOpen"])
      }))

    it.effect("an interrupted call counts neither for nor against, and frees the way for the next probe", () =>
      Effect.gen(function*() {
        const peer = new Peer()
        const policy = yield* make({ retry: false, breaker: { consecutiveFailures: 1, probes: 1 } })
        const fiber = yield* start(guard(policy, peer.call))
        yield* Fiber.interrupt(fiber)
        yield* settled
        assert.strictEqual(policy.breaker.status.current().state, "closed")
        assert.deepInclude(policy.stats(), { inflight: 0, orphaned: 1 })
        policy.breaker.trip(0)
        yield* TestClock.adjust(5000)
        const probe = yield* start(guard(policy, peer.call))
        assert.strictEqual(policy.breaker.status.current().state, "half_open")
        yield* Fiber.interrupt(probe)
        yield* settled
        assert.strictEqual(policy.breaker.status.current().state, "half_open")
        for (const call of peer.calls) call.answer(1)
        yield* settled
        if (policy.breaker.status.current().state === "half_open") yield* guard(policy, () => Promise.resolve(1))
        assert.strictEqual(policy.breaker.status.current().state, "closed")
        assert.deepInclude(policy.stats(), { inflight: 0, orphaned: 0 })
      }))

    it.effect("a failure that is no fault of the dependency does not count", () =>
      Effect.gen(function*() {
        const policy = yield* make({ retry: false })
        for (let call = 0; call < 30; call++) yield* Effect.flip(guard(policy, () => Promise.reject(new Wrong())))
        assert.strictEqual(policy.breaker.status.current().state, "closed")
        const other = yield* make({ retry: false, counts: (failure) => failure._tag === "Wrong" })
        for (let call = 0; call < 5; call++) yield* Effect.flip(guard(other, () => Promise.reject(new Wrong())))
        assert.strictEqual(other.breaker.status.current().state, "open")
      }))

    it.effect("queues for a permit, in order, and an interrupted waiter leaves no hole", () =>
      Effect.gen(function*() {
        const peer = new Peer()
        const policy = yield* make({ retry: false, bulkhead: { limit: 1, queue: 3 } })
        const running = yield* start(guard(policy, peer.call))
        const gone = yield* start(guard(policy, peer.call))
        const next = yield* start(guard(policy, peer.call))
        assert.deepInclude(policy.stats(), { inflight: 1, queued: 2 })
        yield* Fiber.interrupt(gone)
        assert.deepInclude(policy.stats(), { inflight: 1, queued: 1 })
        peer.calls[0]?.answer(1)
        yield* settled
        assert.strictEqual(peer.calls.length, 2)
        peer.calls[1]?.answer(2)
        assert.deepInclude(yield* Fiber.join(running), { right: 1 })
        assert.deepInclude(yield* Fiber.join(next), { right: 2 })
        assert.deepInclude(policy.stats(), { inflight: 0, queued: 0, orphaned: 0 })
        assert.strictEqual(peer.most, 1)
      }))

    it.effect("a waiter is refused after the longest wait, and the breaker hears nothing of it", () =>
      Effect.gen(function*() {
        const peer = new Peer()
        const policy = yield* make({
          retry: false,
          bulkhead: { limit: 1, queue: 3 },
          breaker: { consecutiveFailures: 1 }
        })
        yield* start(guard(policy, peer.call))
        const waiter = yield* start(guard(policy, peer.call))
        yield* TestClock.adjust(500)
        assert.deepInclude(yield* left(waiter), { _tag: "BulkheadFull", reason: "wait" })
        assert.strictEqual(peer.calls.length, 1)
        assert.strictEqual(policy.breaker.status.current().state, "closed")
      }))

    it.effect("over the rate it waits its turn by retrying, and without retry is refused", () =>
      Effect.gen(function*() {
        const rateLimit = { permits: 1, interval: "1 second" } as const
        const patient = yield* make({ rateLimit, deadline: "10 seconds" })
        yield* guard(patient, () => Promise.resolve(1))
        const fiber = yield* start(guard(patient, () => Promise.resolve(2)))
        yield* TestClock.adjust(1000)
        assert.deepInclude(yield* Fiber.join(fiber), { right: 2 })
        const strict = yield* make({ rateLimit, retry: false })
        yield* guard(strict, () => Promise.resolve(1))
        assert.deepInclude(yield* Effect.flip(guard(strict, () => Promise.resolve(1))), { _tag: "RateLimited" })
      }))

    it.effect("the fallback answers save where nothing else can help, inside the deadline", () =>
      Effect.gen(function*() {
        const policy = yield* make({ retry: false })
        const fallback = () => Effect.succeed("stale")
        const down = policy.withFallback(guard(policy, () => Promise.reject(new Down({}))), fallback)
        assert.strictEqual(yield* down, "stale")
        const wrong = policy.withFallback(guard(policy, () => Promise.reject(new Wrong())), fallback)
        assert.deepInclude(yield* Effect.flip(wrong), { _tag: "Wrong" })
        const stuck = yield* start(
          policy.withFallback(guard(policy, () => Promise.reject(new Down({}))), () => Effect.never)
        )
        yield* TestClock.adjust(2000)
        assert.deepInclude(yield* left(stuck), { _tag: "DeadlineExceeded" })
      }))

    it.effect("one guarded call, run many times at once, keeps the runs apart", () =>
      Effect.gen(function*() {
        const policy = yield* make({ breaker: { consecutiveFailures: Infinity, minCalls: Infinity } })
        let attempts = 0
        const guarded = guard(policy, () => ++attempts > 10 ? Promise.resolve(1) : Promise.reject(new Down({})))
        const fibers = yield* Effect.forEach(Array.from({ length: 10 }), () => start(guarded))
        yield* TestClock.adjust("10 seconds")
        for (const fiber of fibers) assert.deepInclude(yield* Fiber.join(fiber), { _tag: "Right" })
        assert.deepInclude(policy.stats(), { calls: 10, failures: 0, inflight: 0, orphaned: 0 })
      }))
  })
}

describe("a guarded promise", () => {
  it.effect("stays with its policy when its caller has gone, and ends its attempt in time all the same", () =>
    Effect.gen(function*() {
      const policy = yield* make({ breaker: { consecutiveFailures: 1 } })
      const fiber = yield* start(policy.promise(() => new Promise<number>(() => {})))
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust(1999)
      assert.strictEqual(policy.breaker.status.current().state, "closed")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(policy.breaker.status.current().state, "open")
      assert.deepInclude(policy.stats(), { inflight: 0, orphaned: 1, timeouts: 1, retries: 0 })
    }))

  it.effect("a call that throws at once is a failure like any other", () =>
    Effect.gen(function*() {
      const policy = yield* make({ retry: false })
      const call = () => {
        throw new Down({})
      }
      assert.deepInclude(yield* Effect.flip(policy.promise(call)), { _tag: "Down" })
      assert.deepInclude(policy.stats(), { inflight: 0 })
    }))

  it.effect("a rejection that nobody classifies is a defect; the permit comes back", () =>
    Effect.gen(function*() {
      const plain = yield* Policy.make<Broken>("plain", { failures })
      const bug = () => {
        throw new Error("classifier")
      }
      const broken = yield* Policy.make<Broken>("broken", { failures, classify: bug })
      const counting = yield* Policy.make<Broken>("counting", { failures, classify, counts: bug })
      for (const policy of [plain, broken, counting]) {
        const exit = yield* Effect.exit(policy.promise(() => Promise.reject(new Error("x"))))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        assert.deepInclude(policy.stats(), { inflight: 0, retries: 0, failures: 1 })
      }
    }))
})

describe("a guarded effect", () => {
  it.effect("is told to stop when nobody waits for it any more", () =>
    Effect.gen(function*() {
      const policy = yield* make({ retry: false })
      let stopped = 0
      const work = Effect.onInterrupt(Effect.never, () => Effect.sync(() => stopped++))
      const late = yield* start(policy.effect(work))
      yield* TestClock.adjust(2000)
      assert.deepInclude(yield* left(late), { _tag: "AttemptTimeout" })
      const interrupted = yield* start(policy.effect(work))
      yield* Fiber.interrupt(interrupted)
      yield* settled
      assert.strictEqual(stopped, 2)
      assert.deepInclude(policy.stats(), { inflight: 0, orphaned: 0 })
    }))

  it.effect("an interruption that is not the caller's is passed on and counts for nothing", () =>
    Effect.gen(function*() {
      const policy = yield* make({ breaker: { consecutiveFailures: 1 } })
      const exit = yield* Effect.exit(policy.effect(Effect.interrupt))
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      assert.strictEqual(policy.breaker.status.current().state, "closed")
    }))

  it.effect("a defect counts against the dependency and is not retried", () =>
    Effect.gen(function*() {
      const policy = yield* make({ breaker: { consecutiveFailures: 1 } })
      const exit = yield* Effect.exit(policy.effect(Effect.die("bug")))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      assert.strictEqual(policy.breaker.status.current().state, "open")
      assert.deepInclude(policy.stats(), { retries: 0, inflight: 0 })
    }))

  it.effect("sees what its attempt has left as its deadline, and the caller's services", () =>
    Effect.gen(function*() {
      const policy = yield* make()
      assert.strictEqual(yield* policy.effect(Deadline.remaining), 2000)
      assert.strictEqual(yield* Deadline.within("1 second")(policy.effect(Deadline.remaining)), 1000)
    }))
})

describe("a policy without sense is refused when it is built", () => {
  const wrong: ReadonlyArray<[string, Partial<Policy.Options<Broken>>]> = [
    ["deadline", { attemptTimeout: "2 seconds", deadline: "5 seconds" }],
    ["deadline", { deadline: 0 }],
    ["attemptTimeout", { attemptTimeout: 0 }],
    ["attemptTimeout", { attemptTimeout: Infinity }],
    ["retry.cap", { retry: { base: "1 second", cap: "500 millis" } }],
    ["retry.attempts", { retry: { attempts: Infinity } }],
    ["retry.attempts", { retry: { attempts: 0 } }],
    ["breaker.probes", { breaker: { probes: 0 } }],
    ["breaker.slowCall", { breaker: { slowCall: "3 seconds" } }],
    ["bulkhead.limit", { bulkhead: { limit: 0 } }],
    ["bulkhead.maxWait", { bulkhead: { maxWait: "3 seconds" } }],
    ["rateLimit.permits", { rateLimit: { permits: 0, interval: "1 second" } }],
    ["budget.ratio", { budget: { ratio: 2 } }]
  ]
  for (const [field, options] of wrong) {
    it.effect(`${field} of ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        const refused = yield* Effect.flip(make(options))
        assert.deepInclude(refused, { _tag: "PolicyInvalid", policy: "store", field })
        assert.include(refused.message, field)
      }))
  }

  it.effect("the defaults make sense, also for a short attempt time-out", () =>
    Effect.zipRight(make(), make({ attemptTimeout: "250 millis" })))
})

type Move =
  | { readonly _tag: "call" | "goodCall" | "badCall" }
  | { readonly _tag: "advance"; readonly ms: number }
  | { readonly _tag: "answer" | "fail" | "refuse" | "interrupt"; readonly which: number }
  | { readonly _tag: "answerAll" | "failAll" }

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ _tag: fc.constantFrom("call" as const, "goodCall" as const, "badCall" as const) })
  },
  {
    weight: 3,
    arbitrary: fc.record({
      _tag: fc.constant("advance" as const),
      ms: fc.oneof(fc.nat(100), fc.nat(3000), fc.nat(12_000))
    })
  },
  {
    weight: 6,
    arbitrary: fc.record({
      _tag: fc.constantFrom(
        "answer" as const,
        "fail" as const,
        "fail" as const,
        "refuse" as const,
        "interrupt" as const
      ),
      which: fc.nat(20)
    })
  },
  { weight: 3, arbitrary: fc.constant({ _tag: "answerAll" as const }) },
  { weight: 1, arbitrary: fc.constant({ _tag: "failAll" as const }) }
)

/** Lives through a trace and throws where a promise of the policy is broken. */
const live = async ({ guard }: Way, moves: ReadonlyArray<Move>, reached: Map<string, number>) => {
  const clock = new ManualClock()
  const reach = (place: string) => reached.set(place, (reached.get(place) ?? 0) + 1)
  const runtime = await Effect.runPromise(
    Effect.runtime<never>().pipe(Effect.withClock(clock), Effect.withRandom(Random.make("policy")))
  )
  const fork = Runtime.runFork(runtime)
  const policy = await Runtime.runPromise(runtime)(
    make({ bulkhead: { limit: 3, queue: 2, maxWait: 500 }, breaker: { probes: 2 } })
  )
  const peer = new Peer()
  const open = new Set<(typeof peer.calls)[number]>()
  const callers: Array<{ readonly fiber: Fiber.RuntimeFiber<number, unknown>; readonly until: number }> = []
  const probesOf = new Map<object, number>()

  const call = async (): Promise<number> => {
    const era = policy.breaker.status.current()
    const count = (by: number) => probesOf.set(era, (probesOf.get(era) ?? 0) + by)
    if (era.state === "half_open") {
      reach("probe")
      count(1)
      assert.strictEqual(probesOf.get(era), 1, "two probes at once")
    }
    const answer = peer.call()
    const mine = peer.calls.at(-1)
    if (mine !== undefined) open.add(mine)
    const ended = () => {
      if (mine !== undefined) open.delete(mine)
      count(-1)
    }
    return answer.then((value) => {
      ended()
      return value
    }, (error: unknown) => {
      ended()
      throw error
    })
  }
  const pick = (which: number) => [...open].reverse()[which % Math.max(1, open.size)]
  let status = policy.breaker.status.current()
  const check = () => {
    const now = policy.breaker.status.current()
    if (now !== status) {
      reach(now.reason)
      status = now
    }
    const stats = policy.stats()
    assert.isAtMost(peer.running, 3, "more at once than the limit")
    assert.strictEqual(stats.inflight + stats.orphaned, peer.running, "permits and work")
    for (const { fiber, until } of callers) {
      assert.isTrue(fiber.unsafePoll() !== null || clock.now <= until, "a call outlived its deadline")
    }
  }

  for (const step of moves) {
    switch (step._tag) {
      case "call":
      case "goodCall":
      case "badCall": {
        const before = peer.calls.length
        callers.push({ fiber: fork(guard(policy, call)), until: clock.now + 10_000 })
        await turn()
        const made = peer.calls[before]
        if (step._tag === "goodCall") made?.answer(1)
        if (step._tag === "badCall") made?.fail(new Down({}))
        break
      }
      case "advance":
        await clock.advance(step.ms)
        break
      case "answer":
        pick(step.which)?.answer(1)
        break
      case "fail":
        pick(step.which)?.fail(new Down({}))
        break
      case "refuse":
        pick(step.which)?.fail(new Wrong())
        break
      case "answerAll":
        for (const one of open) one.answer(1)
        break
      case "failAll":
        for (const one of open) one.fail(new Down({}))
        break
      case "interrupt": {
        const victims = callers.filter(({ fiber }) => fiber.unsafePoll() === null)
        const victim = victims[step.which % Math.max(1, victims.length)]
        if (victim === undefined) break
        if (policy.breaker.status.current().state === "half_open") reach("interrupted while half-open")
        victim.fiber.unsafeInterruptAsFork(victim.fiber.id())
        break
      }
    }
    await turn()
    check()
  }

  // Whatever has happened: every caller gets its answer, and a peer that is well again is used again.
  await clock.advance(20_000)
  for (const { fiber } of callers) assert.isNotNull(fiber.unsafePoll(), "a call without an answer")
  const orphans = policy.stats().orphaned
  if (orphans > 0) reach("orphans")
  for (const one of open) one.answer(1)
  await turn()
  assert.deepInclude(policy.stats(), { inflight: 0, queued: 0, orphaned: 0 }, "something is left")
  await clock.advance(60_000)
  for (let probe = 0; probe < 3; probe++) {
    const fiber = fork(guard(policy, () => Promise.resolve(1)))
    await turn()
    assert.strictEqual(fiber.unsafePoll()?._tag, "Success", "a healthy peer is refused")
  }
  assert.strictEqual(policy.breaker.status.current().state, "closed")
}

const traces = Number(process.env["POLICY_TRACES"] ?? 500)

describe("under random traces of calls, answers, failures, interruptions and time", () => {
  for (const way of ways) {
    it(`a guarded ${way.name} never exceeds its limits, never hangs, is never stuck (${traces} traces)`, async () => {
      const reached = new Map<string, number>()
      await fc.assert(
        fc.asyncProperty(
          fc.array(move, { minLength: 20, maxLength: 100, size: "max" }),
          (moves) => live(way, moves, reached)
        ),
        { numRuns: traces }
      )
      const everywhere = [
        "consecutive_failures",
        "probe",
        "probe_failed",
        "probes_succeeded",
        "interrupted while half-open",
        "orphans"
      ]
      for (const place of everywhere) assert.isAbove(reached.get(place) ?? 0, 0, `never reached: ${place}`)
    }, 120_000)
  }
})

import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Fiber, Random, Ref, Stream, TestClock } from "effect"
import * as Dependency from "../src/Dependency.ts"

class Refused extends Data.TaggedError("Refused") {
  override get message() {
    return "connection refused"
  }
}

const steady: Dependency.Options<never, never, never, never>["pace"] = {
  attempts: Infinity,
  base: 100,
  factor: 2,
  cap: 800,
  jitter: "none",
  maxElapsed: Infinity
}

/** A dependency whose health the test decides; it notes when it was probed. */
const watched = <E = never>(options: Partial<Dependency.Options<Refused, never, E, never>> = {}) =>
  Effect.gen(function*() {
    const answers = yield* Ref.make(true)
    const probes: Array<number> = []
    const probe = Effect.gen(function*() {
      probes.push(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
      if (!(yield* answers)) return yield* new Refused()
    })
    const dependency = yield* Dependency.make<Refused, never, E, never>({
      name: "store",
      probe,
      pace: steady,
      ...options
    })
    return { dependency, answers, probes, status: () => dependency.current().status }
  })

describe("a watched dependency", () => {
  it.scoped("is up after two good probes in a row, not after one", () =>
    Effect.gen(function*() {
      const { status } = yield* watched()
      yield* TestClock.adjust(19)
      assert.strictEqual(status(), "away")
      yield* TestClock.adjust(1)
      assert.strictEqual(status(), "up")
    }))

  it.scoped("is away with the first bad probe, and says why and since when", () =>
    Effect.gen(function*() {
      const { answers, dependency, status } = yield* watched()
      yield* TestClock.adjust(20)
      yield* Ref.set(answers, false)
      yield* TestClock.adjust(5000)
      assert.strictEqual(status(), "away")
      assert.deepInclude(dependency.current(), {
        since: 5020,
        cause: "connection refused",
        lastError: "connection refused",
        nextProbeAt: 5120
      })
    }))

  it.scoped("says when it last answered, and how long that took", () =>
    Effect.gen(function*() {
      const { answers, dependency } = yield* watched({ interval: "1 minute" })
      assert.deepInclude(dependency.current(), { answeredAt: undefined, roundTripMillis: undefined })
      yield* TestClock.adjust(20)
      assert.deepInclude(dependency.current(), { answeredAt: 20, roundTripMillis: 0 })
      yield* Ref.set(answers, false)
      yield* TestClock.adjust("2 minutes")
      assert.deepInclude(dependency.current(), { status: "away", answeredAt: 20 })
    }))

  it.scoped("is probed at the policy's pace while away", () =>
    Effect.gen(function*() {
      const { answers, probes } = yield* watched()
      yield* Ref.set(answers, false)
      yield* TestClock.adjust(4000)
      assert.deepStrictEqual(probes.slice(0, 7), [0, 100, 300, 700, 1500, 2300, 3100])
    }))

  it.scoped("good probes with a bad one between them do not make it up", () =>
    Effect.gen(function*() {
      const { answers, probes, status } = yield* watched()
      yield* Ref.set(answers, false)
      yield* TestClock.adjust(100)
      yield* Ref.set(answers, true)
      yield* TestClock.adjust(205)
      yield* Ref.set(answers, false)
      yield* TestClock.adjust(95)
      yield* Ref.set(answers, true)
      yield* TestClock.adjust(30)
      assert.deepStrictEqual(probes, [0, 100, 300, 320, 420], "bad, bad, good, bad, good")
      assert.strictEqual(status(), "away")
      yield* TestClock.adjust(10)
      assert.strictEqual(status(), "up")
    }))

  it.scoped("evidence counts at once and brings a probe at once; more of it brings no more probes", () =>
    Effect.gen(function*() {
      const { answers, dependency, probes, status } = yield* watched()
      yield* TestClock.adjust(1000)
      yield* Ref.set(answers, false)
      dependency.unsafeLost("socket closed")
      assert.strictEqual(status(), "away")
      assert.strictEqual(dependency.current().cause, "socket closed")
      for (let again = 0; again < 50; again++) {
        dependency.unsafeLost("socket closed")
        yield* TestClock.adjust(1)
      }
      assert.deepStrictEqual(probes, [0, 20, 1000])
    }))

  it.scoped("a probe that began before the evidence proves nothing", () =>
    Effect.gen(function*() {
      const { dependency, status } = yield* watched({ probe: Effect.sleep(50), interval: 1000 })
      yield* TestClock.adjust(1000)
      assert.strictEqual(status(), "up")
      yield* TestClock.adjust(140)
      dependency.unsafeLost("socket closed")
      yield* TestClock.adjust(110)
      assert.strictEqual(status(), "away", "one probe since")
      yield* TestClock.adjust(50)
      assert.strictEqual(status(), "up")
    }))

  it.scoped("a stalled probe is a bad one after its time-out, also where it cannot be interrupted", () =>
    Effect.gen(function*() {
      const { dependency, status } = yield* watched({
        probe: Effect.uninterruptible(Effect.never),
        initial: "up",
        timeout: 1000
      })
      yield* TestClock.adjust(999)
      assert.strictEqual(status(), "up")
      yield* TestClock.adjust(1)
      assert.strictEqual(status(), "away")
      assert.include(dependency.current().lastError, "deadline")
    }))

  it.scoped("is recovering until what must be done is done", () =>
    Effect.gen(function*() {
      const { status } = yield* watched({ recover: Effect.sleep(300) })
      yield* TestClock.adjust(20)
      assert.strictEqual(status(), "recovering")
      yield* TestClock.adjust(299)
      assert.strictEqual(status(), "recovering")
      yield* TestClock.adjust(1)
      assert.strictEqual(status(), "up")
    }))

  it.scoped("lost again while recovering, it stops that, and starts over later", () =>
    Effect.gen(function*() {
      const runs = yield* Ref.make({ begun: 0, stopped: 0 })
      const recover = Effect.zipRight(
        Ref.update(runs, (now) => ({ ...now, begun: now.begun + 1 })),
        Effect.onInterrupt(Effect.sleep(300), () => Ref.update(runs, (now) => ({ ...now, stopped: now.stopped + 1 })))
      )
      const { dependency, status } = yield* watched({ recover })
      yield* TestClock.adjust(200)
      dependency.unsafeLost("socket closed")
      assert.strictEqual(status(), "away")
      yield* TestClock.adjust(200)
      assert.strictEqual(status(), "recovering")
      assert.deepStrictEqual(yield* runs, { begun: 2, stopped: 1 })
      yield* TestClock.adjust(300)
      assert.strictEqual(status(), "up")
    }))

  it.scoped("a failed recovery is away, and is tried again", () =>
    Effect.gen(function*() {
      const runs = yield* Ref.make(0)
      const recover = Effect.flatMap(
        Ref.updateAndGet(runs, (count) => count + 1),
        (count) => count === 1 ? new Refused() : Effect.void
      )
      const { dependency, status } = yield* watched<Refused>({ recover })
      yield* TestClock.adjust(20)
      assert.strictEqual(status(), "away")
      assert.strictEqual(dependency.current().cause, "connection refused")
      assert.strictEqual(dependency.current().recoveryError, "connection refused")
      yield* TestClock.adjust(1000)
      assert.strictEqual(status(), "up")
      assert.isUndefined(dependency.current().recoveryError)
    }))

  it.scoped("what answers and cannot be used is asked less and less often", () =>
    Effect.gen(function*() {
      let returns = 0
      const recover = Effect.zipRight(Effect.sync(() => returns++), new Refused())
      yield* watched<Refused>({ recover })
      yield* TestClock.adjust("10 seconds")
      assert.isAtLeast(returns, 5)
      const before = returns
      yield* TestClock.adjust("1 minute")
      assert.isAtMost(returns - before, 12)
      assert.isAtLeast(returns - before, 10)
    }))

  it.scoped("while it is tried again, the failure of the last recovery is still said", () =>
    Effect.gen(function*() {
      const recover = Effect.zipRight(Effect.sleep(300), new Refused())
      const { dependency } = yield* watched<Refused>({ recover })
      assert.isUndefined(dependency.current().recoveryError)
      yield* TestClock.adjust(320)
      assert.deepInclude(dependency.current(), { status: "away", recoveryError: "connection refused" })
      yield* TestClock.adjust(200)
      assert.deepInclude(dependency.current(), { status: "recovering", recoveryError: "connection refused" })
    }))

  it.scoped("while it is being asked, nothing is said of when it is asked next", () =>
    Effect.gen(function*() {
      const { dependency } = yield* watched({ probe: Effect.never, timeout: 1000 })
      yield* TestClock.adjust(500)
      assert.isUndefined(dependency.current().nextProbeAt)
      yield* TestClock.adjust(500)
      assert.strictEqual(dependency.current().nextProbeAt, 1100)
      yield* TestClock.adjust(100)
      assert.isUndefined(dependency.current().nextProbeAt)
      yield* TestClock.adjust(1000)
      assert.strictEqual(dependency.current().nextProbeAt, 2300)
      dependency.unsafeProbe()
      assert.isUndefined(dependency.current().nextProbeAt)
    }))

  it.scoped("tells its followers each change of status and nothing else", () =>
    Effect.gen(function*() {
      const { answers, dependency } = yield* watched()
      const seen: Array<string> = []
      const follower = yield* Effect.fork(
        Stream.runForEach(dependency.changes, (state) => Effect.sync(() => seen.push(state.status)))
      )
      yield* TestClock.adjust("1 minute")
      yield* Ref.set(answers, false)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.interrupt(follower)
      assert.deepStrictEqual(seen, ["away", "up", "away"])
    }))

  it.scoped("a probe that breaks (a bug) is a bad probe, and the watch goes on", () =>
    Effect.gen(function*() {
      const broken = yield* Ref.make(true)
      const probe = Effect.flatMap(Ref.get(broken), (now) => now ? Effect.die("bug") : Effect.void)
      const { status } = yield* watched({ probe, initial: "up" })
      yield* TestClock.adjust(0)
      assert.strictEqual(status(), "away")
      yield* Ref.set(broken, false)
      yield* TestClock.adjust(1000)
      assert.strictEqual(status(), "up")
    }))

  it.effect("is no longer probed when its scope has closed", () =>
    Effect.gen(function*() {
      const { probes } = yield* Effect.scoped(Effect.tap(watched(), () => TestClock.adjust(1000)))
      const before = probes.length
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(probes.length, before)
    }).pipe(Effect.withRandom(Random.make("seed"))))
})

import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Either, FastCheck as fc, Fiber, Stream, TestClock } from "effect"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import type * as TimeSource from "../src/TimeSource.ts"
import * as Model from "./CircuitBreakerModel.ts"

const stopped: TimeSource.TimeSource = { now: () => 0, wall: () => 0, after: () => () => {} }

const breakerOf = (config: Partial<CircuitBreaker.Config> = {}, random = () => 0.5) =>
  Effect.runSync(CircuitBreaker.make({ ...CircuitBreaker.defaults, ...config }, stopped, random))

/** The same numbers for the breaker and for its model. */
const sequence = (seed: number) => {
  let value = seed
  return () => (value = (value * 16807 + 11) % 2147483647) / 2147483647
}

type Command =
  | { readonly _tag: "advance"; readonly ms: number }
  | { readonly _tag: "call" }
  | { readonly _tag: "end"; readonly which: number; readonly how: "ok" | "failed" | "slow" | "interrupted" }
  | { readonly _tag: "failTogether" }
  | { readonly _tag: "isolate" | "release" | "trip" | "reset" }

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      _tag: fc.constant("advance" as const),
      ms: fc.oneof(fc.nat(50), fc.nat(1500), fc.nat(8000))
    })
  },
  { weight: 8, arbitrary: fc.constant({ _tag: "call" as const }) },
  {
    weight: 8,
    arbitrary: fc.record({
      _tag: fc.constant("end" as const),
      which: fc.nat(20),
      how: fc.oneof(
        { weight: 4, arbitrary: fc.constant("failed" as const) },
        { weight: 4, arbitrary: fc.constant("ok" as const) },
        fc.constant("slow" as const),
        fc.constant("interrupted" as const)
      )
    })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("failTogether" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      _tag: fc.constantFrom("isolate" as const, "release" as const, "trip" as const, "reset" as const)
    })
  }
)

const config: fc.Arbitrary<CircuitBreaker.Config> = fc.record({
  window: fc.oneof(
    fc.record({ kind: fc.constant("time" as const), duration: fc.constantFrom(1000, 10_000) }),
    fc.record({ kind: fc.constant("count" as const), size: fc.integer({ min: 6, max: 12 }) })
  ),
  minCalls: fc.integer({ min: 1, max: 6 }),
  failureRate: fc.constantFrom(0.3, 0.5, 1),
  consecutiveFailures: fc.constantFrom(1, 3, 5, Infinity),
  slowCall: fc.constant(100),
  slowRate: fc.constantFrom(0.5, 0.8, 1),
  open: fc.constantFrom(1000, 5000),
  openFactor: fc.constantFrom(1, 2),
  openCap: fc.constantFrom(5000, 20_000),
  openJitter: fc.constantFrom(0, 0.2),
  probes: fc.integer({ min: 1, max: 3 }),
  halfOpen: fc.constantFrom(1000, 10_000)
})

/** Runs a trace on the breaker and on its model and throws where they differ; counts what it has reached. */
const conforms = (config: CircuitBreaker.Config, commands: ReadonlyArray<Command>, reached: Map<string, number>) => {
  const random = sequence(42)
  const modelRandom = sequence(42)
  const breaker = breakerOf(config, random)
  let model = Model.initial
  let now = 0
  const running: Array<{ ticket: number; era: number; begun: number; probe: boolean }> = []
  const isolations: Array<() => void> = []

  const call = () => {
    const ticket = breaker.admit(now)
    const [after, era] = Model.admit(config, model, now, modelRandom)
    model = after
    assert.strictEqual(ticket !== CircuitBreaker.refused, era !== undefined, "admission")
    if (era === undefined) return false
    const probe = breaker.status.current().state === "half_open"
    if (probe) {
      // Of the probes of this half-open, one at most is under way.
      assert.isFalse(running.some((one) => one.probe && one.era === era), "two probes at once")
    }
    running.push({ ticket, era, begun: now, probe })
    return true
  }
  const end = (index: number, how: "ok" | "failed" | "slow" | "interrupted") => {
    const [one] = running.splice(index, 1)
    if (one === undefined) return
    const took = how === "slow" ? 100 : Math.min(99, now - one.begun)
    if (how === "interrupted") breaker.forget(one.ticket)
    else if (how === "failed") breaker.fail(one.ticket, now, took)
    else breaker.succeed(one.ticket, now, took)
    const outcome = how === "interrupted" ? undefined : { at: now, failed: how === "failed", slow: took >= 100 }
    const before = model
    model = Model.hear(config, model, one.era, outcome, modelRandom)
    if (one.era !== before.era) reached.set("late outcome", (reached.get("late outcome") ?? 0) + 1)
    if (one.probe && how === "interrupted") {
      reached.set("interrupted probe", (reached.get("interrupted probe") ?? 0) + 1)
    }
  }
  const same = (what: string) => {
    const status = breaker.status.current()
    reached.set(status.reason, (reached.get(status.reason) ?? 0) + 1)
    assert.strictEqual(status.state, model.state, what)
    if (model.state === "open") {
      assert.strictEqual(breaker.retryAfter(now), Math.max(0, model.openUntil - now), `${what}: open time`)
    }
  }

  for (const command of commands) {
    switch (command._tag) {
      case "advance":
        now += command.ms
        break
      case "call":
        call()
        break
      case "end":
        end(command.which % Math.max(1, running.length), command.how)
        break
      case "failTogether":
        while (running.length > 0) end(0, "failed")
        break
      case "isolate":
        isolations.push(breaker.isolate())
        model = Model.isolate(model)
        break
      case "release": {
        const release = isolations.pop()
        if (release === undefined) break
        release()
        release() // once more than it should
        model = Model.release(model)
        break
      }
      case "trip":
        breaker.trip(now)
        model = Model.trip(config, model, now, modelRandom)
        break
      case "reset":
        breaker.reset()
        model = Model.reset(model)
        break
    }
    same(command._tag)
  }

  // Whatever has happened, a dependency that answers is back in use when the longest open time is over.
  while (isolations.length > 0) isolations.pop()?.()
  while (running.length > 0) {
    const one = running.pop()
    if (one !== undefined) breaker.forget(one.ticket)
  }
  now += 20_000
  for (let probe = 0; probe < config.probes && breaker.status.current().state !== "closed"; probe++) {
    const ticket = breaker.admit(now)
    assert.notStrictEqual(ticket, CircuitBreaker.refused, "stuck")
    breaker.succeed(ticket, now, 0)
  }
  assert.strictEqual(breaker.status.current().state, "closed", "stuck")
}

const traces = Number(process.env["BREAKER_TRACES"] ?? 2000)

describe("against the reference model", () => {
  it(`behaves as the model in ${traces} random traces with late, simultaneous, slow and interrupted calls`, () => {
    const reached = new Map<string, number>()
    fc.assert(
      fc.property(
        config,
        fc.array(command, { minLength: 20, maxLength: 120, size: "max" }),
        (config, commands) => conforms(config, commands, reached)
      ),
      { numRuns: traces }
    )
    // The traces must have been where it matters.
    const everywhere = [
      "consecutive_failures",
      "failure_rate",
      "slow_rate",
      "tripped",
      "open_time_over",
      "probe_failed",
      "probe_unanswered",
      "probes_succeeded",
      "isolated",
      "released",
      "reset",
      "late outcome",
      "interrupted probe"
    ]
    for (const place of everywhere) assert.isAbove(reached.get(place) ?? 0, 0, `never reached: ${place}`)
  }, 120_000)
})

describe("a circuit breaker", () => {
  const openedAt0 = () => {
    const breaker = breakerOf()
    breaker.trip(0)
    return breaker
  }

  it("half-open lets one caller of a crowd through (no flood)", () => {
    const breaker = openedAt0()
    const admitted = Array.from({ length: 100 }, () => breaker.admit(5000)).filter((ticket) => ticket >= 0)
    assert.strictEqual(admitted.length, 1)
  })

  it("calls that fail together open it once, and it closes again (never open for ever)", () => {
    const breaker = breakerOf()
    const tickets = Array.from({ length: 50 }, () => breaker.admit(0))
    for (const ticket of tickets) breaker.fail(ticket, 0, 1)
    assert.strictEqual(breaker.retryAfter(0), 5000, "the 45 late failures did not open it again")
    for (let probe = 0; probe < 3; probe++) breaker.succeed(breaker.admit(5000), 5000, 1)
    assert.strictEqual(breaker.status.current().state, "closed")
  })

  it("one failure as the very first call does not open it (no warm-up trip)", () => {
    const breaker = breakerOf()
    breaker.fail(breaker.admit(0), 0, 1)
    assert.strictEqual(breaker.status.current().state, "closed")
  })

  it("failures spread over a long time with successes between them do not open it", () => {
    const breaker = breakerOf()
    for (let day = 0; day < 30; day++) {
      breaker.fail(breaker.admit(day * 86_400_000), day * 86_400_000, 1)
      breaker.succeed(breaker.admit(day * 86_400_000), day * 86_400_000, 1)
    }
    assert.strictEqual(breaker.status.current().state, "closed")
  })

  it("an answer from before the outage closes nothing", () => {
    const breaker = breakerOf()
    const old = breaker.admit(0)
    breaker.trip(0)
    assert.isAtLeast(breaker.admit(5000), 0)
    breaker.succeed(old, 5000, 5000)
    breaker.fail(old, 5000, 5000)
    assert.strictEqual(breaker.status.current().state, "half_open")
  })

  it("stays open longer each time, up to the cap, jitter included", () => {
    const times: Array<number> = []
    const breaker = breakerOf({}, () => 0.999)
    let now = 0
    breaker.trip(now)
    for (let opening = 0; opening < 6; opening++) {
      times.push(Math.round(breaker.retryAfter(now) / 100) / 10)
      now += breaker.retryAfter(now)
      breaker.fail(breaker.admit(now), now, 1)
    }
    assert.deepStrictEqual(times, [6, 12, 24, 48, 60, 60])
  })

  it("slow calls open it although they succeed", () => {
    const breaker = breakerOf()
    for (let call = 0; call < 20; call++) breaker.succeed(breaker.admit(0), 0, call < 16 ? 1000 : 10)
    assert.deepInclude(breaker.status.current(), { state: "open", reason: "slow_rate" })
  })

  it("a time window forgets what is older than it", () => {
    const breaker = breakerOf({ consecutiveFailures: Infinity })
    for (let call = 0; call < 19; call++) breaker.fail(breaker.admit(0), 0, 1)
    breaker.fail(breaker.admit(10_000), 10_000, 1)
    assert.strictEqual(breaker.status.current().state, "closed")
  })

  it.effect("publishes changes of state and nothing else", () =>
    Effect.gen(function*() {
      const breaker = breakerOf()
      const seen = yield* Effect.fork(Stream.runCollect(Stream.take(breaker.status.changes, 6)))
      yield* TestClock.adjust(0)
      const ticket = breaker.admit(0)
      for (let call = 0; call < 100; call++) breaker.succeed(ticket, 0, 1)
      breaker.trip(0)
      breaker.trip(0)
      breaker.admit(4999)
      const probe = breaker.admit(5000)
      breaker.fail(probe, 5000, 1)
      breaker.fail(probe, 5000, 1)
      breaker.reset()
      breaker.reset()
      breaker.trip(5000)
      const states = Chunk.toReadonlyArray(yield* Fiber.join(seen)).map(({ reason, state }) => `${state}: ${reason}`)
      assert.deepStrictEqual(states, [
        "closed: initial",
        "open: tripped",
        "half_open: open_time_over",
        "open: probe_failed",
        "closed: reset",
        "open: tripped"
      ])
    }))

  for (
    const [field, wrong] of [
      ["probes", { probes: 0 }],
      ["failureRate", { failureRate: 0 }],
      ["failureRate", { failureRate: NaN }],
      ["slowRate", { slowRate: 1.1 }],
      ["openCap", { open: "10 seconds", openCap: "5 seconds" }],
      ["openFactor", { openFactor: 0.5 }],
      ["openJitter", { openJitter: 1 }],
      ["minCalls", { window: { kind: "count", size: 10 }, minCalls: 20 }],
      ["window.size", { window: { kind: "count", size: 0 } }],
      ["window.duration", { window: { kind: "time", duration: 0 } }],
      ["halfOpen", { halfOpen: Infinity }],
      ["consecutiveFailures", { consecutiveFailures: 0 }]
    ] satisfies ReadonlyArray<[string, Partial<CircuitBreaker.Config>]>
  ) {
    it(`refuses ${JSON.stringify(wrong)}, naming ${field}`, () => {
      const refused = CircuitBreaker.validate({ ...CircuitBreaker.defaults, ...wrong })
      assert.strictEqual(Either.isLeft(refused) && refused.left.field, field)
    })
  }
})

import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, FastCheck as fc, Fiber, Stream, TestClock } from "effect"
import * as Degradation from "../src/Degradation.ts"

const allUp: Degradation.Facts = {
  primary: "up",
  standby: "ok",
  bus: "up",
  cache: "up",
  backlogFull: false,
  memoryAnswers: true
}
const allowed: Degradation.LevelPolicy = { fallback: "allowed" }
const forbidden: Degradation.LevelPolicy = { fallback: "forbidden" }

const presence = fc.constantFrom<Degradation.Presence>("up", "recovering", "away", "absent")
const anyFacts: fc.Arbitrary<Degradation.Facts> = fc.record({
  primary: presence,
  standby: fc.constantFrom("ok", "unwritable", "unreadable"),
  bus: presence,
  cache: presence,
  backlogFull: fc.boolean(),
  memoryAnswers: fc.boolean()
})
const anyPolicy = fc.constantFrom(allowed, forbidden)

describe("the level function", () => {
  const table: ReadonlyArray<[string, Partial<Degradation.Facts>, Degradation.LevelPolicy, Degradation.Level]> = [
    ["all as configured", {}, allowed, 0],
    ["no primary and no bus configured", { primary: "absent", bus: "absent", cache: "absent" }, allowed, 0],
    ["no primary configured, fallback forbidden: it is no fallback", { primary: "absent" }, forbidden, 0],
    ["the cache away", { cache: "away" }, allowed, 0],
    ["the standby broken while the primary is up", { standby: "unreadable" }, allowed, 0],
    ["the primary away", { primary: "away" }, allowed, 1],
    ["the primary away, no bus configured", { primary: "away", bus: "absent" }, allowed, 1],
    ["the primary back but still merging", { primary: "recovering" }, allowed, 1],
    ["the bus away", { bus: "away" }, allowed, 2],
    ["the bus away, no primary configured", { primary: "absent", bus: "away" }, allowed, 2],
    ["the bus away while merging", { primary: "recovering", bus: "away" }, allowed, 2],
    ["the bus not joined yet", { bus: "recovering" }, allowed, 2],
    [
      "the bus not joined yet, the primary away: writes need no bus",
      { primary: "away", bus: "recovering" },
      allowed,
      2
    ],
    ["primary and bus away", { primary: "away", bus: "away" }, allowed, 3],
    ["another process holds the standby's lock", { primary: "away", standby: "unwritable" }, allowed, 3],
    ["the only store cannot be written", { primary: "absent", standby: "unwritable" }, allowed, 3],
    ["the backlog bound reached", { backlogFull: true }, allowed, 3],
    ["no store answers, memory does", { primary: "away", standby: "unreadable" }, allowed, 3],
    ["no store configured answers, memory does", { primary: "absent", standby: "unreadable" }, allowed, 3],
    ["nothing answers", { primary: "away", standby: "unreadable", memoryAnswers: false }, allowed, 4],
    [
      "nothing answers, none configured",
      { primary: "absent", standby: "unreadable", memoryAnswers: false },
      allowed,
      4
    ],
    ["the primary away, fallback forbidden", { primary: "away" }, forbidden, 4]
  ]
  for (const [what, facts, policy, level] of table) {
    it(`${level}: ${what}`, () => assert.strictEqual(Degradation.assess({ ...allUp, ...facts }, policy).level, level))
  }

  it("a cache that memory stands in for is said, and lowers nothing", () => {
    assert.deepStrictEqual(Degradation.assess({ ...allUp, cache: "away" }, allowed), {
      level: 0,
      reasons: [],
      memoryCache: true
    })
  })

  it.prop("making any dependency worse never makes the level better", [anyFacts, anyPolicy], ([facts, policy]) => {
    const worse: ReadonlyArray<Partial<Degradation.Facts>> = [
      ...(facts.primary === "up" ? [{ primary: "recovering" as const }] : []),
      ...(facts.primary === "recovering" ? [{ primary: "away" as const }] : []),
      ...(facts.standby === "ok" ? [{ standby: "unwritable" as const }] : []),
      ...(facts.standby === "unwritable" ? [{ standby: "unreadable" as const }] : []),
      ...(facts.bus === "up" ? [{ bus: "recovering" as const }] : []),
      ...(facts.bus === "recovering" ? [{ bus: "away" as const }] : []),
      ...(facts.cache === "up" ? [{ cache: "away" as const }] : []),
      { backlogFull: true },
      { memoryAnswers: false }
    ]
    const level = Degradation.assess(facts, policy).level
    return worse.every((change) => Degradation.assess({ ...facts, ...change }, policy).level >= level) &&
      Degradation.assess(facts, allowed).level <= Degradation.assess(facts, forbidden).level
  }, { fastCheck: { numRuns: 2000 } })

  it.prop("every level but 0 has its reason", [anyFacts, anyPolicy], ([facts, policy]) => {
    const { level, reasons } = Degradation.assess(facts, policy)
    return (level === 0) === (reasons.length === 0)
  }, { fastCheck: { numRuns: 2000 } })
})

describe("hysteresis", () => {
  const moves = fc.array(
    fc.tuple(fc.integer({ min: 0, max: 20_000 }), fc.constantFrom<Degradation.Level>(0, 1, 2, 3, 4))
  )

  it.prop("is never better than assessed, and worse at once", [moves], ([moves]) => {
    let now = 0
    let state = Degradation.settled(0)
    for (const [wait, assessed] of moves) {
      now += wait
      const before = state.level
      state = Degradation.step(state, assessed, now)
      if (state.level < assessed) return false
      if (assessed > before && state.level !== assessed) return false
      if (state.hold > 10_000) return false
    }
    // It is never stuck: what lasts is taken after the longest hold.
    const last = moves.at(-1)?.[1] ?? 0
    state = Degradation.step(state, last, now)
    return Degradation.step(state, last, now + 10_000).level === last
  }, { fastCheck: { numRuns: 2000 } })

  it("the first return is taken at once; each relapse within a minute doubles the hold from 1 s to 10 s", () => {
    let now = 0
    let state = Degradation.step(Degradation.settled(0), 1, now)
    state = Degradation.step(state, 0, now)
    assert.strictEqual(state.level, 0)
    const holds: Array<number> = []
    for (let relapse = 0; relapse < 6; relapse++) {
      state = Degradation.step(state, 1, now += 100)
      const from = now
      while (state.level !== 0) state = Degradation.step(state, 0, now += 100)
      holds.push(now - from - 100)
    }
    assert.deepStrictEqual(holds, [1000, 2000, 4000, 8000, 10_000, 10_000])
    state = Degradation.step(state, 1, now += 60_000)
    state = Degradation.step(state, 0, now += 1)
    assert.strictEqual(state.level, 0, "a relapse after a quiet minute is a first one again")
  })

  it("a better assessment that does not last starts its hold again", () => {
    let state: Degradation.Hysteresis = { level: 1, improvedAt: 0, hold: 1000, betterSince: undefined, isLost: true }
    state = Degradation.step(state, 0, 500)
    state = Degradation.step(state, 1, 900)
    state = Degradation.step(state, 0, 1000)
    assert.strictEqual(Degradation.step(state, 0, 1999).level, 1)
    assert.strictEqual(Degradation.step(state, 0, 2000).level, 0)
  })

  it("neither what was not reached yet nor what was expected makes the next loss a relapse", () => {
    for (const isExpected of [false, true]) {
      let state = Degradation.settled(isExpected ? 0 : 2)
      if (isExpected) state = Degradation.step(state, 2, 0, true)
      for (const assessed of [1, 0, 2, 1, 0]) state = Degradation.step(state, assessed, 10)
      assert.strictEqual(state.level, 0, "the first loss is over at once")
      state = Degradation.step(Degradation.step(state, 2, 20), 0, 30)
      assert.strictEqual(state.level, 2, "the second one is held")
    }
  })

  it("a return that fails before it is complete is no relapse", () => {
    let state = Degradation.settled(0)
    for (const assessed of [2, 1, 2, 1, 2, 1, 0]) state = Degradation.step(state, assessed, 10)
    assert.strictEqual(state.level, 0)
  })

  const level = fc.constantFrom<Degradation.Level>(0, 1, 2, 3, 4)
  it.prop(
    "what stands is never better than deserved, and no worse than deserved or before",
    [level, level, level],
    ([before, deserved, more]) => {
      const trusted = more > deserved ? more : deserved
      const level = Degradation.taken(before, deserved, trusted)
      return level >= deserved && level <= Math.max(before, deserved) && level <= trusted
    }
  )
})

describe("the level's state", () => {
  it.scoped("follows reports before they return, tells subscribers only what changed, and takes a held level by itself", () =>
    Effect.gen(function*() {
      const degradation = yield* Degradation.Degradation.make(allowed, allUp)
      const seen = yield* Effect.fork(Stream.runCollect(Stream.take(degradation.changes, 8)))
      yield* TestClock.adjust(0)
      degradation.unsafeReport({ primary: "away" })
      assert.deepInclude(degradation.current(), { level: 1, reasons: ["standby_serves"], since: 0 })
      degradation.unsafeReport({ primary: "away" })
      yield* TestClock.adjust("3 seconds")
      degradation.unsafeReport({ primary: "up" })
      assert.deepInclude(degradation.current(), { level: 0, reasons: [], since: 3000 })
      degradation.unsafeReport({ bus: "away" })
      degradation.unsafeReport({ bus: "up" })
      assert.deepInclude(
        degradation.current(),
        { level: 0, held: undefined },
        "another dependency's loss is no relapse"
      )
      degradation.unsafeReport({ primary: "away" })
      degradation.unsafeReport({ primary: "up" })
      const held = degradation.current()
      assert.deepInclude(held, { level: 1, reasons: [], held: { until: 4000, reasons: ["standby_serves"] } })
      assert.deepStrictEqual(Degradation.causes(held), ["standby_serves"])
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(degradation.current().level, 1)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(degradation.current(), { level: 0, reasons: [], since: 4000, held: undefined })
      const levels = Chunk.toReadonlyArray(yield* Fiber.join(seen)).map((state) => [state.level, state.held?.until])
      assert.deepStrictEqual(levels, [
        [0, undefined],
        [1, undefined],
        [0, undefined],
        [2, undefined],
        [0, undefined],
        [1, undefined],
        [1, 4000],
        [0, undefined]
      ])
    }))

  it.scoped("one that is really away is named as away; one that is back and held is named as past", () =>
    Effect.gen(function*() {
      const degradation = yield* Degradation.Degradation.make(allowed, allUp)
      for (const primary of ["away", "up", "away"] as const) degradation.unsafeReport({ primary })
      degradation.unsafeReport({ bus: "away" })
      assert.strictEqual(degradation.current().level, 3)
      degradation.unsafeReport({ primary: "up" })
      assert.deepInclude(degradation.current(), {
        level: 3,
        reasons: ["bus_away"],
        held: { until: 1000, reasons: ["primary_and_bus_away", "standby_serves"] }
      })
      yield* TestClock.adjust("1 second")
      assert.deepInclude(degradation.current(), { level: 2, reasons: ["bus_away"], held: undefined })
    }))

  it.scoped("writes are refused no longer than deserved, unless the same dependency has relapsed", () =>
    Effect.gen(function*() {
      const degradation = yield* Degradation.Degradation.make(allowed, { ...allUp, primary: "away", bus: "away" })
      const report = degradation.unsafeReport
      assert.strictEqual(degradation.current().level, 3)
      report({ bus: "up" })
      report({ primary: "recovering" })
      report({ primary: "up" })
      report({ bus: "away" })
      assert.strictEqual(degradation.current().level, 2, "the first loss since the start")
      report({ primary: "away" }, "expected")
      assert.strictEqual(degradation.current().level, 3)
      report({ primary: "recovering" })
      assert.strictEqual(degradation.current().level, 2, "a drill is no relapse")
      report({ primary: "up" })
      report({ primary: "away" })
      report({ primary: "up" })
      assert.deepInclude(degradation.current(), { level: 2, held: undefined }, "nor is the loss after it")
    }))

  it.scoped("what is back and only held does not make another loss worse", () =>
    Effect.gen(function*() {
      const degradation = yield* Degradation.Degradation.make(allowed, allUp)
      for (const bus of ["away", "up", "away", "up"] as const) degradation.unsafeReport({ bus })
      assert.deepInclude(degradation.current(), { level: 2, reasons: [] })
      degradation.unsafeReport({ primary: "away" })
      assert.deepInclude(degradation.current(), {
        level: 2,
        reasons: ["standby_serves"],
        held: { until: 1000, reasons: ["bus_away"] }
      })
      yield* TestClock.adjust("1 second")
      assert.deepInclude(degradation.current(), { level: 1, reasons: ["standby_serves"], held: undefined })
    }))

  const report = fc.record({
    wait: fc.integer({ min: 0, max: 15_000 }),
    changed: fc.record({
      primary: presence,
      standby: fc.constantFrom<Degradation.Facts["standby"]>("ok", "unwritable", "unreadable"),
      bus: presence,
      backlogFull: fc.boolean()
    }, { requiredKeys: [] }),
    how: fc.constantFrom(undefined, "expected" as const)
  })
  it.scoped.prop(
    "is never better than deserved, never worse than deserved or before, says what is wrong now, and comes to rest",
    [anyPolicy, fc.array(report, { maxLength: 10 })],
    ([policy, reports]) =>
      Effect.gen(function*() {
        const degradation = yield* Degradation.Degradation.make(policy, allUp)
        for (const { changed, how, wait } of reports) {
          yield* TestClock.adjust(wait)
          const before = degradation.current().level
          degradation.unsafeReport(changed, how)
          const state = degradation.current()
          const deserved = Degradation.assess(degradation.facts(), policy)
          assert.deepStrictEqual(state.reasons, deserved.reasons)
          assert.isAtLeast(state.level, deserved.level)
          assert.isAtMost(state.level, Math.max(before, deserved.level))
          assert.strictEqual(state.held === undefined, state.level === deserved.level)
          assert.strictEqual(state.level === 0, Degradation.causes(state).length === 0)
        }
        yield* TestClock.adjust("10 seconds")
        const { held, level } = degradation.current()
        assert.deepStrictEqual([level, held], [Degradation.assess(degradation.facts(), policy).level, undefined])
      }),
    { fastCheck: { numRuns: 60 } }
  )
})

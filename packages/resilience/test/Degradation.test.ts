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
    let state: Degradation.Hysteresis = { level: 1, improvedAt: 0, hold: 1000, betterSince: undefined }
    state = Degradation.step(state, 0, 500)
    state = Degradation.step(state, 1, 900)
    state = Degradation.step(state, 0, 1000)
    assert.strictEqual(Degradation.step(state, 0, 1999).level, 1)
    assert.strictEqual(Degradation.step(state, 0, 2000).level, 0)
  })
})

describe("the level's state", () => {
  it.scoped("follows reports before they return, tells subscribers only what changed, and takes a held level by itself", () =>
    Effect.gen(function*() {
      const degradation = yield* Degradation.Degradation.make(allowed, allUp)
      const seen = yield* Effect.fork(Stream.runCollect(Stream.take(degradation.changes, 6)))
      yield* TestClock.adjust(0)
      degradation.unsafeReport({ primary: "away" })
      assert.deepInclude(degradation.current(), { level: 1, reasons: ["standby_serves"], since: 0 })
      degradation.unsafeReport({ primary: "away" })
      yield* TestClock.adjust("3 seconds")
      degradation.unsafeReport({ primary: "up" })
      assert.deepInclude(degradation.current(), { level: 0, reasons: [], since: 3000 })
      degradation.unsafeReport({ bus: "away" })
      degradation.unsafeReport({ bus: "up" })
      assert.deepInclude(degradation.current(), { level: 2, reasons: ["bus_away"], heldUntil: 4000 })
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(degradation.current().level, 2)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(degradation.current(), { level: 0, reasons: [], since: 4000, heldUntil: undefined })
      const levels = Chunk.toReadonlyArray(yield* Fiber.join(seen)).map((state) => [state.level, state.heldUntil])
      assert.deepStrictEqual(levels, [[0, undefined], [1, undefined], [0, undefined], [2, undefined], [2, 4000], [
        0,
        undefined
      ]])
    }))
})

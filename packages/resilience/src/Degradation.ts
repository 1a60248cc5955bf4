import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type * as Dependency from "./Dependency.ts"
import * as Signal from "./Signal.ts"
import * as TimeSource from "./TimeSource.ts"

/**
 * How much works: 0 full, 1 fallback (the standby store serves), 2 isolated (the bus is away), 3 minimal (reads
 * only), 4 failed (nothing can be served).
 *
 * @category models
 */
export type Level = 0 | 1 | 2 | 3 | 4

/**
 * The levels' names.
 *
 * @category constants
 */
export const names: Readonly<Record<Level, string>> = {
  0: "full",
  1: "fallback",
  2: "isolated",
  3: "minimal",
  4: "failed"
}

/**
 * A dependency as the level sees it; `absent` is one that is not configured, by choice.
 *
 * @category models
 */
export type Presence = Dependency.Status | "absent"

/**
 * All that the level depends on.
 *
 * @category models
 */
export interface Facts {
  /** The store of record; while it is `recovering`, what the standby took is still being merged into it. */
  readonly primary: Presence
  /** The local store that serves while the primary is away, or in its place where the primary is `absent`. */
  readonly standby: "ok" | "unwritable" | "unreadable"
  /** How other processes are heard and told. */
  readonly bus: Presence
  /** Never the truth: memory stands in for it. */
  readonly cache: Presence
  /** The standby holds as much unmerged work as it may. */
  readonly backlogFull: boolean
  /** Memory can answer reads when no store can. */
  readonly memoryAnswers: boolean
}

/**
 * What its operator decided for an agent: `forbidden` means that without the primary nothing is written at all.
 *
 * @category models
 */
export interface LevelPolicy {
  readonly fallback: "allowed" | "forbidden"
}

/**
 * Why the level is what it is; stable words for logs and metrics.
 *
 * @category models
 */
export type Reason =
  | "primary_away_fallback_forbidden"
  | "nothing_can_be_served"
  | "no_store_answers"
  | "standby_unwritable"
  | "primary_and_bus_away"
  | "backlog_full"
  | "bus_away"
  | "standby_serves"
  | "merging"

interface Row {
  readonly level: Level
  readonly reason: Reason
  readonly holds: (facts: Facts, policy: LevelPolicy) => boolean
}

const away = (presence: Presence): boolean => presence === "away"
const notBack = (presence: Presence): boolean => presence === "away" || presence === "recovering"
const standbyServes = (facts: Facts): boolean => facts.primary !== "up"
// While the primary recovers it can be read, so a lost standby then costs the writes only.
const standbyAlone = (facts: Facts): boolean => facts.primary === "away" || facts.primary === "absent"

/**
 * The level function as a table: the worst row that holds decides. Each row's condition stays true when any
 * dependency gets worse, which makes the whole monotone.
 */
const rows: ReadonlyArray<Row> = [
  {
    level: 4,
    reason: "primary_away_fallback_forbidden",
    holds: (facts, policy) => policy.fallback === "forbidden" && notBack(facts.primary)
  },
  {
    level: 4,
    reason: "nothing_can_be_served",
    holds: (facts) => standbyAlone(facts) && facts.standby === "unreadable" && !facts.memoryAnswers
  },
  {
    level: 3,
    reason: "no_store_answers",
    holds: (facts) => standbyAlone(facts) && facts.standby === "unreadable"
  },
  { level: 3, reason: "standby_unwritable", holds: (facts) => standbyServes(facts) && facts.standby !== "ok" },
  { level: 3, reason: "primary_and_bus_away", holds: (facts) => away(facts.primary) && away(facts.bus) },
  { level: 3, reason: "backlog_full", holds: (facts) => facts.backlogFull },
  { level: 2, reason: "bus_away", holds: (facts) => away(facts.bus) },
  { level: 1, reason: "standby_serves", holds: (facts) => away(facts.primary) },
  { level: 1, reason: "merging", holds: (facts) => facts.primary === "recovering" }
]

/**
 * A level and everything that is wrong, worst first. `memoryCache`: memory stands in for the cache, which lowers
 * nothing but is said.
 *
 * @category models
 */
export interface Assessment {
  readonly level: Level
  readonly reasons: ReadonlyArray<Reason>
  readonly memoryCache: boolean
}

/**
 * The level that the facts deserve. Pure and total; making any dependency worse never makes the level better.
 *
 * @category arithmetic
 */
export const assess = (facts: Facts, policy: LevelPolicy): Assessment => {
  const holding = rows.filter((row) => row.holds(facts, policy))
  return {
    level: holding[0]?.level ?? 0,
    reasons: holding.map((row) => row.reason),
    memoryCache: away(facts.cache)
  }
}

/**
 * A level as it was assessed, when it came (milliseconds since 1970), and what holds it back: while a dependency
 * flaps, `heldUntil` says when a better level may be taken.
 *
 * @category models
 */
export interface State extends Assessment {
  readonly since: number
  readonly heldUntil: number | undefined
}

/**
 * The memory of the hysteresis. Times in milliseconds of a monotonic clock.
 *
 * @category models
 */
export interface Hysteresis {
  readonly level: Level
  /** When the level last got better. */
  readonly improvedAt: number
  /** How long a better assessment must last before it is taken. */
  readonly hold: number
  /** Since when the assessment has been better than the level. */
  readonly betterSince: number | undefined
}

/** A relapse this soon after an improvement is flapping. */
const flapWithinMs = 60_000
const firstHoldMs = 1_000
const longestHoldMs = 10_000

/**
 * A level with nothing to remember.
 *
 * @category constructors
 */
export const settled = (level: Level): Hysteresis => ({
  level,
  improvedAt: -Infinity,
  hold: 0,
  betterSince: undefined
})

/**
 * The next level for what is assessed now. Worse at once. Better at once too (the dependency has already answered
 * two probes in a row) unless it flaps: after a relapse within a minute of an improvement the better assessment must
 * last 1 s, then 2 s, doubling to 10 s. Pure.
 *
 * @category arithmetic
 */
export const step = (before: Hysteresis, assessed: Level, now: number): Hysteresis => {
  if (assessed > before.level) {
    const flaps = now - before.improvedAt < flapWithinMs
    const hold = flaps ? Math.min(longestHoldMs, Math.max(firstHoldMs, before.hold * 2)) : 0
    return { ...before, level: assessed, hold, betterSince: undefined }
  }
  if (assessed === before.level) {
    return before.betterSince === undefined
      ? before
      : { ...before, betterSince: undefined }
  }
  const betterSince = before.betterSince ?? now
  return now - betterSince >= before.hold
    ? { ...before, level: assessed, improvedAt: now, betterSince: undefined }
    : { ...before, betterSince }
}

const same = (before: State, after: State): boolean =>
  before.level === after.level &&
  before.memoryCache === after.memoryCache &&
  before.heldUntil === after.heldUntil &&
  before.reasons.length === after.reasons.length &&
  before.reasons.every((reason, index) => reason === after.reasons[index])

/**
 * The level of one agent, which health, headers, logs, metrics and route guards all read.
 *
 * @category services
 */
export class Degradation extends Context.Tag("@holdfast/resilience/Degradation")<Degradation, {
  /** The state of this moment, for plain code. */
  readonly current: () => State
  /** The state, as an Effect. */
  readonly state: Effect.Effect<State>
  /** The state, then each change of it. */
  readonly changes: Stream.Stream<State>
  /** The facts of this moment. */
  readonly facts: () => Facts
  /** Reports what has changed; the level follows before this returns (unless it is held). Callable from anywhere. */
  readonly unsafeReport: (changed: Partial<Facts>) => void
  /** The same as an Effect. */
  readonly report: (changed: Partial<Facts>) => Effect.Effect<void>
}>() {
  /** A level that starts at what `initial` deserves and follows what is reported. */
  static readonly make = (policy: LevelPolicy, initial: Facts) =>
    Effect.gen(function*() {
      const time = yield* TimeSource.current
      let facts = initial
      const first = assess(facts, policy)
      let memory = settled(first.level)
      let cancelHold = () => {}
      const signal = yield* Signal.make<State>({ ...first, since: time.wall(), heldUntil: undefined }, same)

      const follow = () => {
        const now = time.now()
        const assessed = assess(facts, policy)
        memory = step(memory, assessed.level, now)
        cancelHold()
        const held = memory.betterSince === undefined ? undefined : memory.betterSince + memory.hold - now
        if (held !== undefined) cancelHold = time.after(held, follow, true)
        const last = signal.current()
        signal.unsafeSet({
          level: memory.level,
          // While a better level is held back, the reasons are those of the level that still stands.
          reasons: held !== undefined ? last.reasons : assessed.reasons,
          memoryCache: assessed.memoryCache,
          since: memory.level === last.level ? last.since : time.wall(),
          heldUntil: held === undefined ? undefined : last.heldUntil ?? time.wall() + held
        })
      }
      const unsafeReport = (changed: Partial<Facts>) => {
        facts = { ...facts, ...changed }
        follow()
      }
      yield* Effect.addFinalizer(() => Effect.sync(() => cancelHold()))
      return Degradation.of({
        current: signal.current,
        state: signal.get,
        changes: signal.changes,
        facts: () => facts,
        unsafeReport,
        report: (changed) => Effect.sync(() => unsafeReport(changed))
      })
    })

  /** `make` as a layer. */
  static readonly layer = (policy: LevelPolicy, initial: Facts): Layer.Layer<Degradation> =>
    Layer.scoped(this, this.make(policy, initial))
}

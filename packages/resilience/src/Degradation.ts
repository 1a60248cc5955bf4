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
  /** How other processes are heard and told; `recovering` while it is there and was not joined yet. */
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
  | "bus_joining"
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
  { level: 2, reason: "bus_joining", holds: (facts) => facts.bus === "recovering" },
  { level: 1, reason: "standby_serves", holds: (facts) => away(facts.primary) },
  { level: 1, reason: "merging", holds: (facts) => facts.primary === "recovering" }
]

const levelOf = (reason: Reason): Level => rows.find((row) => row.reason === reason)?.level ?? 0

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
 * What keeps the level worse than the facts deserve, and until when at the soonest it gets better, in milliseconds since
 * 1970. `reasons` held until lately; those that still hold are the state's own.
 *
 * @category models
 */
export interface Held {
  readonly until: number
  readonly reasons: ReadonlyArray<Reason>
}

/**
 * The level that stands, what is wrong now, and when the level came (milliseconds since 1970). While a dependency that has
 * relapsed is back and not trusted yet, the level is worse than what is wrong now deserves, and `held` says why.
 *
 * @category models
 */
export interface State extends Assessment {
  readonly since: number
  readonly held: Held | undefined
}

/**
 * All that the level stands for: what is wrong, and what was until lately and still counts.
 *
 * @category accessors
 */
export const causes = ({ held, reasons }: State): ReadonlyArray<Reason> =>
  held === undefined ? reasons : [...held.reasons, ...reasons]

/**
 * The memory of the hysteresis of one dependency. Times in milliseconds of a monotonic clock.
 *
 * @category models
 */
export interface Hysteresis {
  /** How bad the dependency is taken to be; 0 is as it should be. */
  readonly level: number
  /** When it was last back after a loss. */
  readonly improvedAt: number
  /** How long it must be better before it is taken for better. */
  readonly hold: number
  /** Since when it has been better than it is taken for. */
  readonly betterSince: number | undefined
  /** It was lost, neither as expected nor just not reached yet since the start: after its return another loss is a relapse. */
  readonly isLost: boolean
}

/** A relapse this soon after an improvement is flapping. */
const flapWithinMs = 60_000
const firstHoldMs = 1_000
const longestHoldMs = 10_000

/**
 * A dependency with nothing to remember.
 *
 * @category constructors
 */
export const settled = (level: number): Hysteresis => ({
  level,
  improvedAt: -Infinity,
  hold: 0,
  betterSince: undefined,
  isLost: false
})

/**
 * What a dependency is taken for next. Worse at once. Better at once too (it has already answered two probes in a row)
 * unless it flaps: when it was lost, came back and is lost again within a minute, the better must last 1 s, then 2 s,
 * doubling to 10 s. What was expected, or was so from the start, is no loss. Pure.
 *
 * @category arithmetic
 */
export const step = (before: Hysteresis, assessed: number, now: number, isExpected = false): Hysteresis => {
  if (assessed > before.level) {
    const flaps = !isExpected && now - before.improvedAt < flapWithinMs
    const hold = flaps ? Math.min(longestHoldMs, Math.max(firstHoldMs, before.hold * 2)) : 0
    return { ...before, level: assessed, hold, betterSince: undefined, isLost: !isExpected }
  }
  if (assessed === before.level) {
    return before.betterSince === undefined
      ? before
      : { ...before, betterSince: undefined }
  }
  const betterSince = before.betterSince ?? now
  const isBack = assessed === 0 && before.isLost
  return now - betterSince >= before.hold
    ? { ...before, level: assessed, improvedAt: isBack ? now : before.improvedAt, betterSince: undefined }
    : { ...before, betterSince }
}

const presenceRanks: Readonly<Record<Presence, number>> = { absent: 0, up: 0, recovering: 1, away: 2 }
const standbyRanks: Readonly<Record<Facts["standby"], number>> = { ok: 0, unwritable: 1, unreadable: 2 }

/** What may flap, and how bad it is. */
const ranks = {
  primary: ({ primary }: Facts) => presenceRanks[primary],
  standby: ({ standby }: Facts) => standbyRanks[standby],
  bus: ({ bus }: Facts) => presenceRanks[bus],
  backlogFull: ({ backlogFull }: Facts) => Number(backlogFull)
}

type Flapping = keyof typeof ranks

const flapping: ReadonlyArray<Flapping> = ["primary", "standby", "bus", "backlogFull"]

/**
 * The level that stands where one stood before: what the trusted facts deserve, though never worse than both the level
 * before and what the facts themselves deserve. What is only not trusted yet never makes a level worse.
 *
 * @category arithmetic
 */
export const taken = (before: Level, deserved: Level, trusted: Level): Level => {
  const most = before > deserved ? before : deserved
  return trusted < most ? trusted : most
}

const sameReasons = (before: ReadonlyArray<Reason>, after: ReadonlyArray<Reason>): boolean =>
  before.length === after.length && before.every((reason, index) => reason === after[index])

const same = (before: State, after: State): boolean =>
  before.level === after.level &&
  before.memoryCache === after.memoryCache &&
  (before.held === undefined) === (after.held === undefined) &&
  sameReasons(before.reasons, after.reasons) &&
  sameReasons(before.held?.reasons ?? [], after.held?.reasons ?? [])

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
  /**
   * Reports what has changed; the level follows before this returns (unless it is held). What gets worse as `expected` (in
   * a drill, or before it was reached for the first time) does not count as a loss. Callable from anywhere.
   */
  readonly unsafeReport: (changed: Partial<Facts>, how?: "expected") => void
  /** The same as an Effect. */
  readonly report: (changed: Partial<Facts>, how?: "expected") => Effect.Effect<void>
}>() {
  /** A level that starts at what `initial` deserves and follows what is reported. */
  static readonly make = (policy: LevelPolicy, initial: Facts) =>
    Effect.gen(function*() {
      const time = yield* TimeSource.current
      let facts = initial
      /** As bad as it is taken for: what is back and held is still what it was. */
      let trusted = initial
      const memories: Record<Flapping, Hysteresis> = {
        primary: settled(ranks.primary(initial)),
        standby: settled(ranks.standby(initial)),
        bus: settled(ranks.bus(initial)),
        backlogFull: settled(ranks.backlogFull(initial))
      }
      let cancelHold = () => {}
      const signal = yield* Signal.make<State>(
        { ...assess(facts, policy), since: time.wall(), held: undefined },
        same
      )

      /** How long it takes until enough of what is held is trusted again for the level to get better. */
      const heldFor = (level: Level, deserved: Level, now: number): number => {
        const holds = flapping.flatMap((name) => {
          const { betterSince, hold } = memories[name]
          return betterSince === undefined ? [] : [{ name, ms: betterSince + hold - now }]
        }).sort((one, other) => one.ms - other.ms)
        let after = trusted
        for (const { ms, name } of holds) {
          after = { ...after, [name]: facts[name] }
          if (taken(level, deserved, assess(after, policy).level) < level) return ms
        }
        return 0
      }

      const follow = (isExpected: boolean) => {
        const now = time.now()
        const wall = time.wall()
        const last = signal.current()
        cancelHold()
        const before = trusted
        trusted = facts
        let next = Infinity
        for (const name of flapping) {
          const { betterSince, hold } = memories[name] = step(memories[name], ranks[name](facts), now, isExpected)
          if (betterSince === undefined) continue
          trusted = { ...trusted, [name]: before[name] }
          next = Math.min(next, betterSince + hold - now)
        }
        if (next < Infinity) cancelHold = time.after(next, () => follow(false), true)
        const deserved = assess(facts, policy)
        const standing = assess(trusted, policy)
        const level = taken(last.level, deserved.level, standing.level)
        signal.unsafeSet({
          ...deserved,
          level,
          since: level === last.level ? last.since : wall,
          held: level === deserved.level ? undefined : {
            until: Math.round(wall + heldFor(level, deserved.level, now)),
            reasons: standing.reasons.filter((reason) => levelOf(reason) <= level && !deserved.reasons.includes(reason))
          }
        })
      }
      const unsafeReport = (changed: Partial<Facts>, how?: "expected") => {
        facts = { ...facts, ...changed }
        follow(how === "expected")
      }
      yield* Effect.addFinalizer(() => Effect.sync(() => cancelHold()))
      return Degradation.of({
        current: signal.current,
        state: signal.get,
        changes: signal.changes,
        facts: () => facts,
        unsafeReport,
        report: (changed, how) => Effect.sync(() => unsafeReport(changed, how))
      })
    })

  /** `make` as a layer. */
  static readonly layer = (policy: LevelPolicy, initial: Facts): Layer.Layer<Degradation> =>
    Layer.scoped(this, this.make(policy, initial))
}

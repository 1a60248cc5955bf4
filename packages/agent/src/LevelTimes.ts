import * as Degradation from "@holdfast/resilience/Degradation"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * How often the level went from one to another, for its worst reason.
 *
 * @category models
 */
export interface Transition {
  readonly from: Degradation.Level
  readonly to: Degradation.Level
  readonly reason: string
  count: number
}

/**
 * How long an agent has been at each level since it was started, and how it came there.
 *
 * @category models
 */
export interface LevelTimes {
  /** Seconds at each level, by the level's number, until now. */
  readonly seconds: () => ReadonlyArray<number>
  readonly transitions: () => ReadonlyArray<Transition>
}

/**
 * Follows the level for as long as the scope lives.
 *
 * @category constructors
 */
export const follow = (
  degradation: Context.Tag.Service<Degradation.Degradation>
): Effect.Effect<LevelTimes, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const now = () => Number(clock.unsafeCurrentTimeNanos()) / 1e9
    const spent = [0, 0, 0, 0, 0]
    const transitions = new Map<string, Transition>()
    let last: Degradation.Level = degradation.current().level
    let since = now()
    const count = (state: Degradation.State) => {
      const { level } = state
      if (level === last) return
      const at = now()
      spent[last] = (spent[last] ?? 0) + at - since
      const reason = Degradation.causes(state)[0] ?? "recovered"
      const name = `${last} ${level} ${reason}`
      const known = transitions.get(name)
      if (known === undefined) transitions.set(name, { from: last, to: level, reason, count: 1 })
      else known.count++
      last = level
      since = at
    }
    yield* Effect.forkScoped(Stream.runForEach(degradation.changes, (state) => Effect.sync(() => count(state))))
    return {
      seconds: () => spent.map((seconds, level) => level === last ? seconds + now() - since : seconds),
      transitions: () => [...transitions.values()]
    }
  })

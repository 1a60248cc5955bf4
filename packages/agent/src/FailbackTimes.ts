import type { PrimaryStatus } from "@holdfast/database/Database"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as HttpMetrics from "./HttpMetrics.ts"

/**
 * How long the returns to the primary took that had something to merge, by whether all of it could.
 *
 * @category models
 */
export interface FailbackTimes {
  readonly merged: HttpMetrics.Histogram
  readonly withheld: HttpMetrics.Histogram
}

/** No return yet. */
export const none = (): FailbackTimes => ({ merged: HttpMetrics.histogram(), withheld: HttpMetrics.histogram() })

/**
 * Counts the returns for as long as the scope lives.
 *
 * @category programs
 */
export const follow = (into: FailbackTimes, primary: PrimaryStatus): Effect.Effect<void, never, Scope.Scope> => {
  let seen = primary.stats.lastFailback
  return Effect.asVoid(Effect.forkScoped(
    Stream.runForEach(primary.dependency.changes, ({ status }) =>
      Effect.sync(() => {
        const { lastFailback } = primary.stats
        if (status !== "up" || lastFailback === undefined || lastFailback === seen) return
        seen = lastFailback
        if (lastFailback.merged + lastFailback.withheld === 0) return
        HttpMetrics.observe(lastFailback.withheld > 0 ? into.withheld : into.merged, lastFailback.millis / 1000)
      }))
  ))
}

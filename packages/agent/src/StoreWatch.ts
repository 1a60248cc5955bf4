import type { DatabaseShape } from "@holdfast/database/Database"
import { StoreUnavailable } from "@holdfast/database/StoreError"
import { Cursors } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import type { Degradation } from "@holdfast/resilience/Degradation"
import * as Dependency from "@holdfast/resilience/Dependency"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as LevelFacts from "./LevelFacts.ts"

const PROBE = "probe:store"

/** A real write: a full disk still reads, and begins transactions. */
const write = Effect.gen(function*() {
  const now = yield* Transaction.now
  const before = yield* Transaction.get(Cursors, { source: PROBE })
  if (Option.isNone(before)) yield* Transaction.insert(Cursors, { source: PROBE, seq: now })
  else yield* Transaction.update(Cursors, { source: PROBE }, () => ({ source: PROBE, seq: now }))
})

/**
 * The store, watched: the first write or read that finds it unavailable lowers the level to 3 before its caller hears of
 * it; probing writes raise the level again. That the backlog is full is told before the command that filled it is answered.
 *
 * @category constructors
 */
export const make = (
  database: DatabaseShape,
  degradation: Context.Tag.Service<Degradation>
): Effect.Effect<
  { readonly database: DatabaseShape; readonly dependency: Dependency.Dependency },
  never,
  Scope.Scope
> =>
  Effect.gen(function*() {
    let lost = false
    const standby = () => lost || database.primary?.persistence === "memory" ? "unwritable" : "ok"
    const dependency = yield* Dependency.make({
      name: `${database.agent} store`,
      initial: "up",
      // While all is well the operations themselves are the probes.
      probe: Effect.suspend(() => lost ? Effect.asVoid(database.housekeep("probe", write)) : Effect.void)
    })
    yield* Effect.forkScoped(Stream.runForEach(dependency.changes, (state) =>
      Effect.sync(() => {
        lost = state.status !== "up"
        degradation.unsafeReport({ standby: standby() })
      })))

    /** What the primary has refused, or has not answered, is told by its own dependency. */
    const isOfPrimary = ({ reason }: StoreUnavailable) =>
      database.primary !== undefined && (reason === "lost" || reason === "locked")

    const observe = (error: unknown) =>
      Effect.sync(() => {
        if (!(error instanceof StoreUnavailable) || error.reason === "closed" || isOfPrimary(error)) return
        lost = true
        dependency.unsafeLost(error.detail)
        degradation.unsafeReport({ standby: standby() })
      })

    const watched: DatabaseShape = {
      ...database,
      stats: database.stats,
      execute: (operation) =>
        Effect.ensuring(
          Effect.tapError(database.execute(operation), observe),
          Effect.sync(() => LevelFacts.reportBacklog(degradation, database.primary))
        ),
      housekeep: (name, handler) => Effect.tapError(database.housekeep(name, handler), observe),
      read: (effect) => Effect.tapError(database.read(effect), observe)
    }
    return { database: watched, dependency }
  })

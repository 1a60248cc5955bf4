import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Failback from "./Failback.ts"
import type { Followers } from "./Followers.ts"
import type { Migration } from "./Migration.ts"
import type { PostgresConfig } from "./PostgresConnection.ts"
import { PostgresMisconfigured, PostgresStatementInvalid, PostgresUnavailable } from "./PostgresError.ts"
import * as PostgresSchema from "./PostgresSchema.ts"
import { emptyReport, type ReplicaState } from "./ReplicaState.ts"
import * as Shadow from "./Shadow.ts"
import type { RowName } from "./Shadow.ts"
import * as SqliteReader from "./SqliteReader.ts"
import type { StoreUnavailable } from "./StoreError.ts"

/** Operations in one transaction of the merge. */
const ROUND = 200

/** Writers wait no longer than about this for a turn of the merge; what comes in between is less than a turn merges. */
const TURN_MILLIS = 120

/** Rows of each table that are counted on the way back, which is not to wait for millions; a drill counts all. */
const COUNTED = 100_000

const file = <A>(run: () => A): Effect.Effect<A, StoreUnavailable> =>
  Effect.suspend(() => SqliteReader.attemptRead("shadow", run))

/**
 * The way back to a primary that answers, also the first one: its schema is made or brought up to date, what the file has
 * taken alone is merged, both sides are compared, and from then on transactions count there. Operations go on running on
 * the file meanwhile. Ends where the primary is in use; fails where it was lost again, and is then begun anew: what was
 * merged is known by its ids.
 *
 * @category constructors
 */
export const make = (options: {
  readonly postgres: PostgresConfig
  readonly migrations: ReadonlyArray<Migration>
  readonly sides: Failback.Sides
  readonly state: ReplicaState
  readonly followers: Followers
}): Effect.Effect<void, Failback.StepError> => {
  const { followers, sides, state } = options
  const { agent, core, primary, shadow, taken } = sides
  let isPrepared = false
  let touched = new Set<RowName>()

  const prepare = Effect.gen(function*() {
    if (isPrepared) return
    const isChanged = yield* PostgresSchema.prepare(options.postgres, agent, options.migrations)
    yield* file(() => {
      if (!shadow.isOutgrown()) return
      // While it was older, the file has left out what younger processes wrote into columns that it did not have.
      if (isChanged) shadow.grow()
      else shadow.forsake()
    })
    isPrepared = true
  })

  /** The file has met this primary before, or meets it now for the first time. Answers whether it must be copied. */
  const meet: Effect.Effect<boolean, Failback.StepError> = Effect.gen(function*() {
    const head = yield* primary.begin
    const standing = yield* file(shadow.standing)
    const isUnmet = standing?.incarnation === Shadow.unmet.incarnation
    const between = standing === undefined || isUnmet ? "none" : yield* Failback.gap(sides, standing, head)
    const missing = standing !== undefined && !isUnmet && between !== "another" && (yield* Failback.hasForgotten(sides))
      ? "another"
      : between
    yield* primary.rollback
    // A store of its own; or the shadow of one that is gone, with all that there is left of it.
    if (missing === "another") followers.forget()
    if (standing === undefined || (missing === "another" && head.head === 0)) {
      yield* Effect.logInfo(`the ${agent} agent takes its file into Postgres`)
      return yield* Failback.adopt(sides)
    }
    if (isUnmet) {
      if (head.head === 0) yield* file(() => shadow.join(head, state.sharers()))
      return head.head > 0
    }
    if (missing === "none") return false
    if (missing === "another") {
      const isSame = standing.incarnation === head.incarnation
      const { beyond, reopened } = yield* Failback.rescue(sides, isSame)
      yield* file(() => {
        for (const { changes, n } of shadow.pending(Number.MAX_SAFE_INTEGER)) if (reopened.has(n)) taken.take(changes)
        state.count(core, shadow)
      })
      if (isSame || reopened.size > 0) {
        yield* Effect.logError(
          `Postgres has lost commits of the ${agent} agent; ${reopened.size} operations of its file are merged again`
        )
      }
      if (beyond > 0) {
        const kept = yield* core.keepCopy("forgotten")
        yield* Effect.logError(
          `Postgres has lost ${beyond} operations of the ${agent} agent whose rows its file has, and not what they changed: ` +
            `where no other process of the agent brings them back, they are in ${kept}, as the file was`
        )
      }
    }
    yield* Effect.logWarning(
      `the ${agent} agent's file ${
        missing === "another" ? "followed another history" : "was away too long"
      } and is copied anew`
    )
    yield* file(shadow.forsake)
    return true
  })

  type Report = ReturnType<typeof emptyReport>

  /** Merges until nothing is left, or the writers have waited long enough; answers whether nothing is left. */
  const mergeSome = (report: Report, isFirst: boolean) =>
    Effect.gen(function*() {
      const until = performance.now() + TURN_MILLIS
      for (let raises = isFirst;; raises = false) {
        const round = yield* Failback.merge(sides, ROUND, raises)
        report.merged += round.merged
        report.withheld += round.withheld
        report.conflicts += round.conflicts
        state.stats.merged += round.merged
        state.stats.withheld += round.withheld
        for (const name of round.touched) touched.add(name)
        state.count(core, shadow)
        if (round.left === 0) return true
        if (performance.now() > until) return false
      }
    })

  /** Both sides are shown to be equal, or made so. */
  const prove = (report: Report) =>
    Effect.gen(function*() {
      if (!state.isCopyNeeded) {
        const proof = yield* Failback.prove(sides, touched, COUNTED)
        report.compared += proof.rows
        report.repaired += proof.repaired
        state.isCopyNeeded = proof.isCopyNeeded
        if (state.isCopyNeeded) yield* file(shadow.forsake)
        if (proof.repaired > 0 || state.isCopyNeeded) {
          yield* Effect.logError(`the ${agent} agent's file differed from Postgres and is set right`)
        }
      }
      if (state.isCopyNeeded) {
        report.copied += yield* Failback.copy(sides)
        state.isCopyNeeded = false
      }
    })

  /** One turn of the writer on the way back; answers whether it has arrived. */
  const turn = (report: Report, begun: number, isFirst: boolean): Effect.Effect<boolean, Failback.StepError> =>
    Effect.gen(function*() {
      if (!(yield* mergeSome(report, isFirst))) return false
      yield* prove(report)
      if (state.generation !== begun) {
        return yield* new PostgresUnavailable({ reason: "lost", detail: "lost again on the way back" })
      }
      state.mode = "primary"
      state.asOf = yield* Clock.currentTimeMillis
      return true
    })

  return Effect.gen(function*() {
    const begun = state.generation
    const started = performance.now()
    yield* prepare
    yield* followers.introduce
    const isNew = yield* core.exclusive(meet)
    state.isCopyNeeded ||= isNew
    yield* followers.introduce
    const report = emptyReport()
    for (let isFirst = true; !(yield* core.exclusive(turn(report, begun, isFirst))); isFirst = false) {
      yield* Effect.yieldNow()
    }
    touched = new Set()
    report.at = yield* Clock.currentTimeMillis
    report.millis = performance.now() - started
    state.stats.lastFailback = report
    if (report.merged + report.withheld > 0) {
      state.stats.failbacks++
      const { at: _, ...figures } = report
      yield* Effect.annotateLogs(Effect.logInfo(`the ${agent} agent is back on Postgres`), figures)
    }
  }).pipe(
    // The schema may have gone since it was made.
    Effect.tapError((error) =>
      Effect.sync(() => {
        isPrepared &&= !(error instanceof PostgresStatementInvalid || error instanceof PostgresMisconfigured)
      })
    )
  )
}

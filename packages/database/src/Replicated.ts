import * as Dependency from "@holdfast/resilience/Dependency"
import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as BatchReplication from "./BatchReplication.ts"
import type { DatabaseShape, FailbackReport, PrimaryStatus } from "./Database.ts"
import { Database } from "./Database.ts"
import * as Failback from "./Failback.ts"
import * as Followers from "./Followers.ts"
import * as MemoryFolder from "./MemoryFolder.ts"
import type { PostgresConfig } from "./PostgresConnection.ts"
import { type PostgresError, PostgresUnavailable } from "./PostgresError.ts"
import * as PostgresHousekeeping from "./PostgresHousekeeping.ts"
import type { PostgresWatch } from "./PostgresWatch.ts"
import * as Primary from "./Primary.ts"
import * as Rejoin from "./Rejoin.ts"
import { emptyReport, ReplicaState } from "./ReplicaState.ts"
import * as ReplicatedRelay from "./ReplicatedRelay.ts"
import * as Settlement from "./Settlement.ts"
import * as Shadow from "./Shadow.ts"
import * as Sqlite from "./Sqlite.ts"
import * as SqliteReader from "./SqliteReader.ts"
import { PrimaryAway, type StoreUnavailable } from "./StoreError.ts"
import * as SystemTables from "./SystemTables.ts"
import type { Table } from "./Table.ts"
import { TakenRows } from "./TakenRows.ts"

/**
 * An agent's store with Postgres as its primary and a file as the shadow.
 *
 * @category models
 */
export interface Options extends Sqlite.Options {
  readonly postgres: PostgresConfig
  /** Shared by the agents of a process. */
  readonly watch: PostgresWatch
  readonly tables: ReadonlyArray<Table>
  /** Names this process among those that run the agent. */
  readonly instance: string
  readonly fallback: "allowed" | "forbidden"
  /** Beyond these the file takes nothing more until it is merged. */
  readonly maxBacklog?: number
  readonly maxBacklogAge?: Duration.DurationInput
}

/** How old the note may be of the moment at which the file had everything. */
const AS_OF_NOTED_MILLIS = 1_000

/** A return that fails again for the same reason is told of again after so long. */
const REPEATED_MILLIS = 60_000

/**
 * The file in the data folder. Where that cannot be used, or another process uses it, a file in memory does as long as the
 * primary is there: it is filled from there, and vanishes with the process.
 */
const openFile = (
  options: Options
): Effect.Effect<
  { readonly core: Sqlite.Core; readonly persistence: PrimaryStatus["persistence"]; readonly fault?: string },
  StoreUnavailable,
  Scope.Scope
> =>
  Effect.catchAll(
    Effect.map(Sqlite.open(options), (core) => ({ core, persistence: "file" as const })),
    (error) =>
      Effect.gen(function*() {
        yield* Effect.logError(
          `the ${options.agent} agent cannot use its file (${error.detail}); memory does as long as Postgres is there, ` +
            "and nothing is written while it is not"
        )
        const directory = yield* MemoryFolder.make
        const core = yield* Sqlite.open({ ...options, directory })
        return { core, persistence: "memory" as const, fault: error.detail }
      })
  )

const file = <A>(run: () => A): Effect.Effect<A, StoreUnavailable> =>
  Effect.suspend(() => SqliteReader.attemptRead("shadow", run))

const make = (options: Options): Effect.Effect<DatabaseShape, StoreUnavailable, Scope.Scope> =>
  Effect.gen(function*() {
    const { agent, instance, watch } = options
    const tables: ReadonlyMap<string, Table> = new Map(
      [...options.tables, ...SystemTables.replicated].map((table) => [table.name, table])
    )
    // Closed after the file, which ends its queue first.
    const primary = yield* Effect.acquireRelease(
      Effect.sync(() => Primary.make(options.postgres, agent, tables)),
      (made) => Effect.sync(() => made.destroy("closed"))
    )
    const { core, fault, persistence } = yield* openFile(options)
    const clock = yield* Effect.clock
    const now = () => clock.unsafeCurrentTimeMillis()
    const shadow = Shadow.make(core.state.connection, core.state.statements, tables)
    const taken = new TakenRows()
    const state = new ReplicaState()
    const sides: Failback.Sides = { agent, primary, shadow, core, taken, sharers: () => state.sharers() }
    const limits: BatchReplication.Limits = {
      fallback: options.fallback,
      isDurable: persistence === "file",
      maxBacklog: options.maxBacklog ?? 100_000,
      maxBacklogAge: Duration.decode(options.maxBacklogAge ?? "1 day")
    }

    const isWarm = yield* file(() => {
      const standing = shadow.standing()
      // A file without anything in it may become a shadow; one with rows is a store of its own until it is adopted.
      if (standing === undefined && shadow.isEmpty()) shadow.follow(Shadow.unmet, 1)
      // The process that found out that it may differ has ended before it had looked.
      if (shadow.isSuspected()) shadow.forsake()
      state.others = Math.max(0, (standing?.replicas ?? 1) - 1)
      // What an earlier process has taken alone is still to be merged.
      for (const { changes } of shadow.pending(Number.MAX_SAFE_INTEGER)) taken.take(changes)
      state.count(core, shadow)
      state.asOf = shadow.asOf()
      return standing !== undefined && standing.incarnation !== Shadow.unmet.incarnation
    })

    const lose = (why: string) => {
      state.generation++
      if (state.mode === "primary") state.stats.failovers++
      state.mode = "alone"
      primary.destroy(why)
      dependency.unsafeLost(why)
    }
    const identity = yield* file(() => persistence === "file" ? shadow.identity() : undefined)
    core.state.replication = BatchReplication.make({
      sides,
      state,
      identity,
      limits,
      now,
      isServerUp: watch.isUp,
      lose,
      lastError: () => dependency.current().lastError ?? "not reached yet"
    })

    // Noted with a transaction that comes along, and at the end.
    let notedAsOf = state.asOf
    const noteAsOf = () => {
      if (state.asOf < notedAsOf + AS_OF_NOTED_MILLIS) return
      shadow.isAsOf(notedAsOf = state.asOf)
      core.state.written.add(SystemTables.Cursors.name)
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => core.state.riders.add(noteAsOf)),
      () =>
        // Unnoted, the file only says that it is older than it is.
        Effect.ignore(file(() => {
          core.state.riders.delete(noteAsOf)
          if (state.asOf > notedAsOf) shadow.isAsOf(state.asOf)
        }))
    )
    const followers = Followers.make({ instance, identity, watch, sides, state })
    const relay = yield* ReplicatedRelay.make({ instance, sides, watch, state })
    const rejoin = Effect.zipRight(
      Rejoin.make({ postgres: options.postgres, migrations: options.migrations, sides, state, followers }),
      Effect.sync(relay.rejoined)
    )
    // Probes ask for it, and must not wait for a disk.
    let isInPlace = true
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(
      Effect.sleep("1 second"),
      Effect.sync(() => {
        isInPlace = core.isInPlace()
      })
    )))
    let drillUntil = -Infinity
    let lastFailure = { said: "", at: -Infinity }
    const dependency = yield* Dependency.make({
      name: `${agent} postgres`,
      probe: Effect.suspend((): Effect.Effect<void, PostgresError> =>
        now() < drillUntil ? new PostgresUnavailable({ reason: "lost", detail: "a drill" }) : watch.probe
      ),
      recover: Effect.tapErrorCause(rejoin, (cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.void
          : Effect.suspend(() => {
            primary.destroy("the return failed")
            const why = Cause.squash(cause)
            const said = why instanceof Error ? why.message : String(why)
            const isKnown = said === lastFailure.said && now() < lastFailure.at + REPEATED_MILLIS
            if (isKnown) return Effect.void
            lastFailure = { said, at: now() }
            return Effect.logWarning(`the ${agent} agent cannot return to Postgres yet: ${said}`)
          })),
      timeout: "2500 millis",
      // A refused connection costs next to nothing, and every attempt between the return and the next one is time lost.
      pace: { ...RetryPolicy.background, base: "50 millis", cap: "250 millis" }
    })
    yield* Effect.acquireRelease(Effect.sync(() => watch.onLost(lose)), (stop) => Effect.sync(stop))
    // Another process may have decided what waits for a person.
    const recount = (written: ReadonlySet<string>) => {
      if (written.has(SystemTables.Withheld.name)) state.countWithheld(core)
    }
    yield* Effect.acquireRelease(Effect.sync(() => core.database.onCommit(recount)), (stop) => Effect.sync(stop))
    yield* followers.start(relay.beat)

    const whileUp = <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E | PrimaryAway> =>
      Effect.suspend((): Effect.Effect<A, E | PrimaryAway> =>
        state.mode === "primary"
          ? work
          : new PrimaryAway({ detail: `Postgres is away: ${dependency.current().lastError ?? "not reached yet"}` })
      )

    /** In an exclusive turn of the writer, so that nothing unmerged can come between. */
    const compareAll = Effect.gen(function*() {
      // What the file has taken alone since is no difference, and must not be overwritten.
      if (state.mode !== "primary") {
        return yield* new PrimaryAway({ detail: "Postgres was lost again before the comparison" })
      }
      const proof = yield* Failback.prove(sides, new Set(yield* file(shadow.allRows)), Number.MAX_SAFE_INTEGER)
      return { proof, copied: proof.isCopyNeeded ? yield* Failback.copy(sides) : 0 }
    })
    const drill = (alone: Duration.Duration) =>
      whileUp(Effect.gen(function*() {
        drillUntil = now() + Duration.toMillis(alone)
        lose("a drill")
        yield* Effect.sleep(alone)
        drillUntil = -Infinity
        dependency.unsafeProbe()
        while (dependency.current().status !== "up") yield* Effect.sleep("20 millis")
        const { copied, proof } = yield* Effect.mapError(
          core.exclusive(compareAll),
          (error) => error._tag === "PrimaryAway" ? error : new PrimaryAway({ detail: error.message })
        )
        const last = state.stats.lastFailback ?? emptyReport()
        const report: FailbackReport = { ...last, compared: proof.rows, repaired: proof.repaired, copied }
        return report
      }))

    const status: PrimaryStatus = {
      dependency,
      isWarm,
      get persistence() {
        return isInPlace ? persistence : "memory"
      },
      get inMemoryBecause() {
        return fault ?? (core.isInPlace() ? undefined : "its file was removed or replaced; restart the agent")
      },
      mode: () => state.mode,
      asOf: () => state.asOf,
      backlog: () => ({
        pending: state.pending,
        oldestAt: state.oldestPendingAt,
        isFull: BatchReplication.isFull(state, limits, now()),
        withheld: state.withheld
      }),
      replicas: () => state.replicas(),
      epoch: () => state.epoch,
      roundTripMillis: watch.roundTripMillis,
      connections: () => Number(primary.isOpen()) + Number(watch.isUp()),
      stats: state.stats,
      withheld: Settlement.list(core.database),
      settle: (operationId, keep, by) =>
        whileUp(Effect.tap(
          core.exclusive(Settlement.settle(sides, operationId, keep, by)),
          () => Effect.sync(() => state.countWithheld(core))
        )),
      drill,
      purge: (what) =>
        whileUp(Effect.mapError(
          PostgresHousekeeping.purge(options.postgres, agent, what),
          (error) => new PrimaryAway({ detail: error.message })
        ))
    }

    return {
      ...core.database,
      stats: core.database.stats,
      relay,
      fresh: followers.fresh,
      primary: status
    }
  })

/**
 * The store on Postgres with its shadow in a file. Opens with the file alone; whether Postgres is there shows afterwards,
 * in `primary.dependency`.
 *
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<Database, StoreUnavailable> =>
  Layer.scoped(Database, make(options))

/** A primary that gives no sign for this long is away for a start. */
const SIGN_WITHIN_MILLIS = 1_500

/**
 * Waits until the store may be used: the primary serves, or is away. A file that is not warm has to wait for the whole way
 * to a primary that answers; a warm one serves meanwhile.
 *
 * @category programs
 */
export const settled = (status: PrimaryStatus): Effect.Effect<void> =>
  Effect.gen(function*() {
    const until = (yield* Clock.currentTimeMillis) + SIGN_WITHIN_MILLIS
    for (;;) {
      const { lastError, status: now } = status.dependency.current()
      if (now === "up" || (now === "away" && lastError !== undefined)) return
      const isLate = (yield* Clock.currentTimeMillis) > until
      if (isLate && (now === "away" || status.isWarm)) return
      yield* Effect.sleep("5 millis")
    }
  })

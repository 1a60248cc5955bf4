import * as Deadline from "@holdfast/resilience/Deadline"
import * as Dependency from "@holdfast/resilience/Dependency"
import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { DatabaseShape, FailbackReport, PrimaryStatus } from "./Database.ts"
import { Database } from "./Database.ts"
import * as Failback from "./Failback.ts"
import type { CommitUnknown } from "./GroupCommit.ts"
import * as MemoryFolder from "./MemoryFolder.ts"
import { type PostgresConfig, quote, type Statement } from "./PostgresConnection.ts"
import * as PostgresError from "./PostgresError.ts"
import * as PostgresHousekeeping from "./PostgresHousekeeping.ts"
import * as PostgresSchema from "./PostgresSchema.ts"
import type { PostgresWatch } from "./PostgresWatch.ts"
import * as Primary from "./Primary.ts"
import type { Head, LoggedChange } from "./Primary.ts"
import * as ReplicatedRelay from "./ReplicatedRelay.ts"
import type { Replication } from "./Replication.ts"
import * as Settlement from "./Settlement.ts"
import * as Shadow from "./Shadow.ts"
import type { RowName } from "./Shadow.ts"
import * as Sqlite from "./Sqlite.ts"
import * as SqliteReader from "./SqliteReader.ts"
import { PrimaryAway, StoreUnavailable, WriteRefused } from "./StoreError.ts"
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

/** Operations in one transaction of the merge. */
const ROUND = 200

/** Writers wait no longer than about this for a turn of the merge; what comes in between is less than a turn merges. */
const TURN_MILLIS = 120

/** Of what was there at the start of an outage so much stays untouched (spec §8): what other processes did just before. */
const GUARD = 0.2

/** Between two signs of life, in milliseconds. */
const BEAT_MILLIS = 1_000

/** A newcomer writes only after the others have heard of it; so does who has been silent for longer than they remember. */
const INTRODUCTION = Duration.millis(1.5 * BEAT_MILLIS)
const REMEMBERED_SECONDS = 10

/** How long a read waits to hear of what others have committed. */
const FRESH_WITHIN = Duration.millis(500)

const describe = (error: PostgresError.PostgresError | CommitUnknown): string =>
  error._tag === "CommitUnknown" ? "the answer to a commit was lost" : PostgresSchema.describe(error)

const asStoreError = (error: PostgresError.PostgresError): StoreUnavailable =>
  new StoreUnavailable({
    reason: error._tag === "PostgresContended" ? "locked" : "lost",
    detail: PostgresSchema.describe(error),
    cause: error
  })

/**
 * The file in the data folder. Where that cannot be used, or another process uses it, a file in memory does as long as the
 * primary is there: it is filled from there, and vanishes with the process.
 */
const openFile = (
  options: Options
): Effect.Effect<
  { readonly core: Sqlite.Core; readonly persistence: PrimaryStatus["persistence"] },
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
        return { core, persistence: "memory" as const }
      })
  )

const isOfSchema = (error: unknown): boolean =>
  error instanceof PostgresError.PostgresStatementInvalid || error instanceof PostgresError.PostgresMisconfigured

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
    const { core, persistence } = yield* openFile(options)
    const clock = yield* Effect.clock
    const now = () => clock.unsafeCurrentTimeMillis()
    const shadow = Shadow.make(core.state.connection, core.state.statements, tables)
    const taken = new TakenRows()
    const maxBacklog = options.maxBacklog ?? 100_000
    const maxBacklogAge = Duration.toMillis(options.maxBacklogAge ?? "1 day")

    let mode: "primary" | "alone" = "alone"
    /** Where the open transaction counts; undefined until an operation has entered it. */
    let plan: "primary" | "alone" | undefined
    /** What the open transaction has met in the primary. */
    let failure: PostgresError.PostgresError | CommitUnknown | undefined
    let attempts = 0
    /** Grows with each loss, so that a return that began before it does not end after it. */
    let generation = 0
    let isPrepared = false
    let isCopyNeeded = false
    let others = 0
    let epoch = 0
    let marks = { change: 0, message: 0 }
    let entered:
      | { readonly operationIds: ReadonlyArray<string>; readonly changes: ReadonlyArray<LoggedChange> }
      | undefined
    let withheld = 0
    let drillUntil: number | undefined
    /** When this process last gave a sign of life. */
    let beatenAt = -Infinity
    const stats: { -readonly [K in keyof PrimaryStatus["stats"]]: PrimaryStatus["stats"][K] } = {
      failovers: 0,
      failbacks: 0,
      unknownCommits: 0,
      lastFailback: undefined,
      pulled: 0,
      merged: 0,
      withheld: 0
    }

    const file = <A>(run: () => A): Effect.Effect<A, StoreUnavailable> =>
      Effect.suspend(() => SqliteReader.attemptRead("shadow", run))
    const countWithheld = () => {
      withheld = Number(
        Object.values(Object(
          core.state.statements.ofText("select count(*) from withheld_operation where status = 'open'").get()
        ))[0]
      )
    }
    const backlog = { pending: 0, oldestAt: undefined as number | undefined }
    const countBacklog = () => {
      backlog.pending = shadow.pendingCount()
      backlog.oldestAt = shadow.oldestPending()
    }
    const isWarm = yield* file(() => {
      const standing = shadow.standing()
      // A file without anything in it may become a shadow; one with rows is a store of its own until it is adopted.
      if (standing === undefined && shadow.isEmpty()) shadow.follow(Shadow.unmet, 1)
      return standing !== undefined && standing.incarnation !== Shadow.unmet.incarnation
    })
    yield* file(() => {
      others = Math.max(0, (shadow.standing()?.replicas ?? 1) - 1)
      // What an earlier process has taken alone is still to be merged.
      for (const { changes } of shadow.pending(Number.MAX_SAFE_INTEGER)) taken.take(changes)
      countBacklog()
      countWithheld()
    })
    const replicas = () => 1 + others
    const isFull = () =>
      backlog.pending >= maxBacklog || (backlog.oldestAt !== undefined && now() - backlog.oldestAt > maxBacklogAge)
    const sides: Failback.Sides = { agent, primary, shadow, core, taken, replicas }

    const lose = (why: string) => {
      generation++
      if (mode === "primary") stats.failovers++
      mode = "alone"
      primary.destroy(why)
      dependency.unsafeLost(why)
    }

    const report = { merged: 0, withheld: 0, conflicts: 0, compared: 0, repaired: 0, copied: 0 }
    let touched = new Set<RowName>()

    /** The file has met this primary before, or meets it now for the first time. Answers whether it must be copied. */
    const meet: Effect.Effect<boolean, Failback.StepError> = Effect.gen(function*() {
      const head = yield* primary.begin
      const standing = yield* file(shadow.standing)
      const isUnmet = standing?.incarnation === Shadow.unmet.incarnation
      const missing = standing === undefined || isUnmet ? "none" : yield* Failback.gap(sides, standing, head)
      yield* primary.rollback
      // A store of its own; or the shadow of one that is gone, with all that there is left of it.
      if (standing === undefined || (missing === "another" && head.head === 0)) {
        yield* Effect.logInfo(`the ${agent} agent takes its file into Postgres`)
        return yield* Failback.adopt(sides)
      }
      if (isUnmet) {
        if (head.head === 0) yield* file(() => shadow.join(head, replicas()))
        return head.head > 0
      }
      if (missing === "none") return false
      if (missing === "another") {
        const isSame = standing.incarnation === head.incarnation
        const rescued = yield* Failback.rescue(sides, isSame)
        yield* file(() => {
          for (const { changes, n } of shadow.pending(Number.MAX_SAFE_INTEGER)) if (rescued.has(n)) taken.take(changes)
          countBacklog()
        })
        if (isSame || rescued.size > 0) {
          yield* Effect.logError(
            `Postgres has lost commits of the ${agent} agent; ${rescued.size} operations of its file are merged again`
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

    /** One turn of the writer on the way back; answers whether it has arrived. */
    const turn = (begun: number, isFirst: boolean): Effect.Effect<boolean, Failback.StepError> =>
      Effect.gen(function*() {
        const until = performance.now() + TURN_MILLIS
        for (let raises = isFirst;; raises = false) {
          const round = yield* Failback.merge(sides, ROUND, raises)
          report.merged += round.merged
          report.withheld += round.withheld
          report.conflicts += round.conflicts
          stats.merged += round.merged
          stats.withheld += round.withheld
          for (const name of round.touched) touched.add(name)
          countBacklog()
          countWithheld()
          if (round.left === 0) break
          if (performance.now() > until) return false
        }
        if (!isCopyNeeded) {
          const proof = yield* Failback.prove(sides, touched)
          report.compared += proof.rows
          report.repaired += proof.repaired
          isCopyNeeded = proof.isCopyNeeded
          if (isCopyNeeded) yield* file(shadow.forsake)
          if (proof.repaired > 0 || isCopyNeeded) {
            yield* Effect.logError(`the ${agent} agent's file differed from Postgres and is set right`)
          }
        }
        if (isCopyNeeded) {
          report.copied += yield* Failback.copy(sides)
          isCopyNeeded = false
        }
        if (generation !== begun) {
          return yield* new PostgresError.PostgresUnavailable({ reason: "lost", detail: "lost again on the way back" })
        }
        mode = "primary"
        attempts = 0
        return true
      })

    const rejoin: Effect.Effect<void, Failback.StepError> = Effect.gen(function*() {
      const begun = generation
      const started = performance.now()
      if (!isPrepared) {
        yield* PostgresSchema.prepare(options.postgres, agent, options.migrations)
        isPrepared = true
      }
      yield* introduce
      const isNew = yield* core.exclusive(meet)
      isCopyNeeded ||= isNew
      // Another history has not heard of this process, whatever was said to the one before.
      if (isNew) {
        beatenAt = -Infinity
        yield* introduce
      }
      Object.assign(report, { merged: 0, withheld: 0, conflicts: 0, compared: 0, repaired: 0, copied: 0 })
      for (let isFirst = true; !(yield* core.exclusive(turn(begun, isFirst))); isFirst = false) {
        yield* Effect.yieldNow()
      }
      touched = new Set()
      const millis = performance.now() - started
      stats.lastFailback = { ...report, at: now(), millis }
      if (report.merged + report.withheld > 0) {
        stats.failbacks++
        yield* Effect.annotateLogs(Effect.logInfo(`the ${agent} agent is back on Postgres`), { ...report, millis })
      }
      relay.rejoined()
    })

    const dependency = yield* Dependency.make({
      name: `${agent} postgres`,
      probe: Effect.suspend((): Effect.Effect<void, PostgresError.PostgresError> =>
        drillUntil !== undefined && now() < drillUntil
          ? Effect.fail(new PostgresError.PostgresUnavailable({ reason: "lost", detail: "a drill" }))
          : watch.probe
      ),
      recover: Effect.tapErrorCause(rejoin, (cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.void
          : Effect.zipRight(
            Effect.sync(() => {
              primary.destroy("the return failed")
              // The schema may have gone since it was made.
              isPrepared &&= !isOfSchema(Cause.squash(cause))
            }),
            Effect.logWarning(`the ${agent} agent cannot return to Postgres yet`, Cause.squash(cause))
          )),
      timeout: "2500 millis",
      // A refused connection costs next to nothing, and every attempt between the return and the next one is time lost.
      pace: { ...RetryPolicy.background, base: "50 millis", cap: "250 millis" }
    })
    yield* Effect.acquireRelease(Effect.sync(() => watch.onLost(lose)), (stop) => Effect.sync(stop))
    // Another process may have decided them.
    const recount = (tables: ReadonlySet<string>) => {
      if (tables.has(SystemTables.Withheld.name)) countWithheld()
    }
    yield* Effect.acquireRelease(Effect.sync(() => core.database.onCommit(recount)), (stop) => Effect.sync(stop))

    const pullInto = (head: Head): Effect.Effect<void, PostgresError.PostgresError | StoreUnavailable> =>
      Effect.gen(function*() {
        const standing = yield* file(shadow.standing)
        if (standing?.incarnation === head.incarnation && standing.head === head.head) return
        const missing = standing === undefined ? "another" : yield* Failback.gap(sides, standing, head)
        if (standing === undefined || missing !== "none") {
          return yield* new PostgresError.PostgresUnavailable({
            reason: "lost",
            detail: missing === "gone" ? "the log does not go back so far" : "another store answers"
          })
        }
        const pulled = yield* primary.pull(standing)
        yield* file(() => {
          core.state.connection.pragma("defer_foreign_keys = ON")
          const { deferred, lastSeq, wrote } = shadow.apply(pulled, () => false)
          isCopyNeeded ||= deferred.length > 0
          for (const table of wrote) core.state.written.add(table)
          if (lastSeq > 0) core.state.lastSeq = lastSeq
          shadow.follow(head, replicas())
          // The log as a whole breaks no reference; what the operations do is looked at when they do it.
          core.state.connection.pragma("defer_foreign_keys = OFF")
        })
        if (isCopyNeeded) {
          return yield* new PostgresError.PostgresUnavailable({
            reason: "lost",
            detail: "the file must be copied anew"
          })
        }
        stats.pulled += pulled.operations.length
      })

    const enterPrimary = Effect.gen(function*() {
      const head = yield* primary.begin
      epoch = head.epoch
      yield* pullInto(head)
    }).pipe(
      Effect.tapError((error) =>
        Effect.sync(() => {
          if (error._tag !== "StoreUnavailable") failure = error
        })
      ),
      Effect.mapError((error) => error._tag === "StoreUnavailable" ? error : asStoreError(error))
    )

    const enterAlone = Effect.suspend((): Effect.Effect<void, StoreUnavailable> => {
      if (options.fallback === "forbidden") {
        return Effect.fail(
          new StoreUnavailable({
            reason: "lost",
            detail: `Postgres is away and the ${agent} agent may not work without it: ${
              dependency.current().lastError ?? "not reached yet"
            }`
          })
        )
      }
      return file(() => {
        marks = shadow.marks()
      })
    })

    const commitPrimary = Effect.suspend((): Effect.Effect<void, StoreUnavailable | CommitUnknown> => {
      const { changes, messages, operations } = core.state.log
      if (operations.length === 0) return primary.rollback
      return Effect.flatMap(
        Effect.mapError(
          Effect.tapError(
            primary.commit({
              operations,
              messages: messages.map((envelope) => ({ envelope, publishedAt: null })),
              changes: changes.map(({ table, ...change }) => ({ ...change, table: table.name }))
            }),
            (error) =>
              Effect.sync(() => {
                failure = error
                if (error._tag === "CommitUnknown") stats.unknownCommits++
              })
          ),
          (error) => error._tag === "CommitUnknown" ? error : asStoreError(error)
        ),
        (head) =>
          Effect.mapError(
            file(() => shadow.follow(head, replicas())),
            // The primary has committed, whatever becomes of the file.
            (cause): CommitUnknown => ({ _tag: "CommitUnknown", cause })
          )
      )
    })

    const commitAlone = file(() => {
      const { changes, ends, operations } = core.state.log
      let from = { changes: 0, messages: 0 }
      operations.forEach((operation, index) => {
        const to = ends[index] ?? from
        shadow.appendBacklog({
          operationId: operation.id,
          acceptedAt: operation.receivedAt,
          firstChange: marks.change + from.changes + 1,
          lastChange: marks.change + to.changes,
          firstMessage: marks.message + from.messages + 1,
          lastMessage: marks.message + to.messages
        })
        from = to
      })
      entered = {
        operationIds: operations.map(({ id }) => id),
        changes: changes.map(({ table, ...change }) => ({ ...change, table: table.name }))
      }
    })

    const replication: Replication = {
      enter: Effect.suspend(() => {
        if (plan !== undefined) return Effect.void
        plan = mode
        return plan === "primary" ? enterPrimary : enterAlone
      }),
      isAlone: () => plan !== "primary",
      refusal: ({ id, writeClass }) =>
        plan === "alone" &&
          (writeClass === "provisional" || writeClass === "refused" || isFull() || persistence === "memory")
          ? new WriteRefused({ operationId: id, writeClass })
          : undefined,
      bound: () =>
        plan !== "alone" ? undefined : {
          share: (1 - GUARD) / replicas(),
          atStart: (table, row) => {
            const image = taken.atStart(Shadow.rowName(table.name, keyOf(table, row)))
            // The kernel recorded it as a row of this table.
            return image === undefined ? row : image === null ? undefined : image as typeof row
          }
        },
      commit: Effect.suspend(() => plan === undefined ? Effect.void : plan === "primary" ? commitPrimary : commitAlone),
      rollback: Effect.suspend(() => plan === "primary" ? primary.rollback : Effect.void),
      committed: () => {
        if (plan === "primary") attempts = 0
        if (plan === "alone" && entered !== undefined) {
          const byOperation = new Map<string, Array<LoggedChange>>()
          for (const change of entered.changes) {
            const own = byOperation.get(change.operationId) ?? []
            own.push(change)
            byOperation.set(change.operationId, own)
          }
          for (const changes of byOperation.values()) taken.take(changes)
          backlog.pending += entered.operationIds.length
          if (entered.operationIds.length > 0) backlog.oldestAt ??= now()
        }
        plan = undefined
        entered = undefined
      },
      again: () => {
        const was = plan
        const met = failure
        plan = undefined
        failure = undefined
        entered = undefined
        if (was !== "primary") return false
        // The file cannot be written: without it nothing can be done here, whatever Postgres says.
        if (met === undefined) {
          lose("the shadow cannot be written")
          return false
        }
        attempts++
        // A session that broke while the server is well, or somebody else's lock: once more.
        const mayPass = met._tag === "PostgresContended" ? attempts < 4 : attempts < 2
        const isPassing = met._tag === "CommitUnknown" || met._tag === "PostgresContended" ||
          met._tag === "PostgresUnavailable"
        if (mode === "primary" && isPassing && mayPass && watch.isUp()) return true
        if (met._tag === "PostgresContended") {
          attempts = 0
          return false
        }
        if (!isPassing) isCopyNeeded = true
        // Its watch may have noticed first, and may be on the way back already.
        if (mode === "primary") lose(describe(met))
        return options.fallback === "allowed"
      }
    }
    core.state.replication = replication

    const qualified = (table: string) => `${quote(PostgresSchema.nameOf(agent))}.${table}`
    const beatStatement = (): Statement => ({
      name: `beat ${agent}`,
      text: `with beat as (
        insert into ${qualified("replica")} (instance, seen_at, change_n) values ($1, now(), $2)
        on conflict (instance) do update set seen_at = now(), change_n = excluded.change_n)
        select head, (select count(*) from ${qualified("replica")}
          where seen_at > now() - interval '${REMEMBERED_SECONDS} seconds' and instance <> $1) as others
        from ${qualified("replication")} where id = 1`,
      values: [instance, shadow.standing()?.changeN ?? 0]
    })
    let knownHead = 0
    const beat: Effect.Effect<void, PostgresError.PostgresError> = Effect.flatMap(
      Effect.suspend(() => watch.run([beatStatement()])),
      ([result]) =>
        Effect.sync(() => {
          beatenAt = performance.now()
          others = Number(result?.rows[0]?.["others"] ?? 0)
          knownHead = Number(result?.rows[0]?.["head"] ?? 0)
        })
    )
    /** What others read must not miss what this process is about to write: they ask as soon as they know of it. */
    const introduce = Effect.suspend(() =>
      performance.now() - beatenAt < (REMEMBERED_SECONDS - 2) * 1_000
        ? Effect.void
        : Effect.zipRight(beat, Effect.suspend(() => others > 0 ? Effect.sleep(INTRODUCTION) : Effect.void))
    )
    const isBehind = file(() => knownHead > (shadow.standing()?.head ?? 0))
    const catchUp = core.exclusive(
      Effect.suspend(() => mode === "primary" ? Failback.catchUp(sides) : Effect.void)
    )
    const beating = Effect.gen(function*() {
      yield* Effect.sleep(Duration.millis(BEAT_MILLIS))
      if (mode !== "primary" || !watch.isUp()) return
      yield* beat
      if (yield* isBehind) yield* catchUp
      yield* relay.beat
    })
    yield* Effect.forkScoped(
      Effect.forever(
        Effect.catchAllCause(
          beating,
          (cause) => Effect.logDebug(`the ${agent} agent could not give a sign of life`, cause)
        )
      )
    )

    let asking: Promise<void> | undefined
    /** Asks once for all who ask at the same time; who comes later asks anew. */
    const askHead = Effect.async<void>((resume) => {
      asking ??= new Promise((resolve) => {
        queueMicrotask(() => {
          asking = undefined
          Effect.runFork(Effect.ignore(
            Effect.gen(function*() {
              const [result] = yield* watch.run([{
                name: `head ${agent}`,
                text: `select head from ${qualified("replication")} where id = 1`
              }])
              knownHead = Number(result?.rows[0]?.["head"] ?? 0)
              if (yield* isBehind) yield* catchUp
            })
          )).addObserver(() => resolve())
        })
      })
      void asking.then(() => resume(Effect.void))
    })
    const fresh = Effect.suspend(() =>
      mode !== "primary" || others === 0
        ? Effect.void
        : Effect.ignore(Deadline.within(FRESH_WITHIN, "asking for what others have committed")(askHead))
    )

    const relay = ReplicatedRelay.make({
      agent,
      instance,
      core,
      watch,
      isPrimary: () => mode === "primary",
      qualified
    })

    const whileUp = <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E | PrimaryAway> =>
      Effect.suspend((): Effect.Effect<A, E | PrimaryAway> =>
        mode === "primary"
          ? work
          : new PrimaryAway({ detail: `Postgres is away: ${dependency.current().lastError ?? "not reached yet"}` })
      )

    /** In an exclusive turn of the writer, so that nothing unmerged can come between. */
    const compareAll = Effect.gen(function*() {
      // What the file has taken alone since is no difference, and must not be overwritten.
      if (mode !== "primary") return yield* new PrimaryAway({ detail: "Postgres was lost again before the comparison" })
      const proof = yield* Failback.prove(sides, yield* file(() => everyRow(shadow)))
      return { proof, copied: proof.isCopyNeeded ? yield* Failback.copy(sides) : 0 }
    })
    const drill = (alone: Duration.Duration) =>
      whileUp(Effect.gen(function*() {
        drillUntil = now() + Duration.toMillis(alone)
        lose("a drill")
        yield* Effect.sleep(alone)
        drillUntil = undefined
        dependency.unsafeProbe()
        while (dependency.current().status !== "up") yield* Effect.sleep("20 millis")
        const { copied, proof } = yield* Effect.mapError(
          core.exclusive(compareAll),
          (error) => error._tag === "PrimaryAway" ? error : new PrimaryAway({ detail: error.message })
        )
        const last = stats.lastFailback ?? { ...report, at: now(), millis: 0 }
        const result: FailbackReport = { ...last, compared: proof.rows, repaired: proof.repaired, copied }
        return result
      }))

    const status: PrimaryStatus = {
      dependency,
      isWarm,
      persistence,
      mode: () => mode,
      backlog: () => ({ ...backlog, isFull: isFull(), withheld }),
      replicas,
      epoch: () => epoch,
      roundTripMillis: watch.roundTripMillis,
      connections: () => Number(primary.isOpen()) + Number(watch.isUp()),
      stats,
      withheld: Settlement.list(core.database),
      settle: (operationId, keep, by) =>
        whileUp(Effect.tap(
          core.exclusive(Settlement.settle(sides, operationId, keep, by)),
          () => Effect.sync(countWithheld)
        )),
      drill,
      purge: (what) =>
        whileUp(Effect.mapError(
          PostgresHousekeeping.purge(options.postgres, agent, what),
          (error) => new PrimaryAway({ detail: PostgresSchema.describe(error) })
        ))
    }

    return {
      ...core.database,
      stats: core.database.stats,
      relay,
      fresh,
      primary: status
    }
  })

const keyOf = (table: Table, row: Readonly<Record<string, unknown>>): string =>
  JSON.stringify(Object.fromEntries(table.key.map((field) => [field, row[field]])))

/** The names of all rows in the file. */
const everyRow = (shadow: Shadow.Shadow): ReadonlySet<RowName> => new Set(shadow.allRows())

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

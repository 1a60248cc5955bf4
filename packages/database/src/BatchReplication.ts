import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Failback from "./Failback.ts"
import type { CommitUnknown } from "./GroupCommit.ts"
import { PostgresUnavailable } from "./PostgresError.ts"
import type { PostgresError } from "./PostgresError.ts"
import type { Head, LoggedChange } from "./Primary.ts"
import type { ReplicaState } from "./ReplicaState.ts"
import type { Replication } from "./Replication.ts"
import { rowName } from "./Shadow.ts"
import * as SqliteReader from "./SqliteReader.ts"
import type { RowChange } from "./SqliteTransaction.ts"
import { StoreUnavailable, WriteRefused } from "./StoreError.ts"
import type { Table } from "./Table.ts"
import type { Bound } from "./Transaction.ts"

/**
 * What a process may do while the primary is away.
 *
 * @category models
 */
export interface Limits {
  readonly fallback: "allowed" | "forbidden"
  /** False where the file vanishes with the process. */
  readonly isDurable: boolean
  /** Unmerged operations, and the age of the oldest of them, beyond which nothing more is taken. */
  readonly maxBacklog: number
  readonly maxBacklogAge: Duration.Duration
}

/** Of what was there at the start of an outage so much stays untouched (spec §8): what other processes did just before. */
const GUARD = 0.2

/**
 * How often a transaction is tried on the primary: after a session that broke or behind a lock that is held, each for as long
 * as a lock is waited for; and with others that are in each other's way.
 */
const ATTEMPTS = 2
const ATTEMPTS_AMONG_OTHERS = 4

/** Others that go on, after which there is room; a lock that somebody holds may be held for long. */
const isAmongOthers = (met: PostgresError | CommitUnknown): boolean =>
  met._tag === "PostgresContended" && (met.reason === "serialization" || met.reason === "deadlock")

const asStoreError = (error: PostgresError): StoreUnavailable =>
  new StoreUnavailable({
    reason: error._tag === "PostgresContended" ? "locked" : "lost",
    detail: error.message,
    cause: error
  })

const describe = (error: PostgresError | CommitUnknown): string =>
  error._tag === "CommitUnknown" ? "the answer to a commit was lost" : error.message

/** What the server, as it is, may do at another attempt. */
const mayPass = ({ _tag }: PostgresError | CommitUnknown): boolean =>
  _tag === "CommitUnknown" || _tag === "PostgresContended" || _tag === "PostgresUnavailable"

const keyOf = (table: Table, row: Readonly<Record<string, unknown>>): string =>
  JSON.stringify(Object.fromEntries(table.key.map((field) => [field, row[field]])))

const logged = (changes: ReadonlyArray<RowChange>): ReadonlyArray<LoggedChange> =>
  changes.map(({ after, before, key, operationId, table }) => ({ operationId, table: table.name, key, before, after }))

const file = <A>(run: () => A): Effect.Effect<A, StoreUnavailable> =>
  Effect.suspend(() => SqliteReader.attemptRead("shadow", run))

/**
 * Whether nothing more may be taken without the primary.
 *
 * @category accessors
 */
export const isFull = (state: ReplicaState, limits: Limits, now: number): boolean =>
  state.pending >= limits.maxBacklog ||
  (state.oldestPendingAt !== undefined && now - state.oldestPendingAt > Duration.toMillis(limits.maxBacklogAge))

/**
 * Lets each transaction of the file count in the primary, or, while that is away, here alone and in the backlog. A
 * transaction that meets a primary that is lost runs again alone.
 *
 * @category constructors
 */
export const make = (options: {
  readonly sides: Failback.Sides
  readonly state: ReplicaState
  /** The file's own name. */
  readonly identity: string | undefined
  readonly limits: Limits
  readonly now: () => number
  /** Whether the server answers, whatever a single session of it does. */
  readonly isServerUp: () => boolean
  /** The primary is away from now on. */
  readonly lose: (why: string) => void
  readonly lastError: () => string
}): Replication => {
  const { identity, isServerUp, lastError, limits, lose, now, sides, state } = options
  const { agent, core, primary, shadow, taken } = sides

  /** Where the open transaction counts; undefined until an operation has entered it. */
  let plan: "primary" | "alone" | undefined
  /** What the open transaction has met in the primary. */
  let failure: PostgresError | CommitUnknown | undefined
  let attempts = 0
  /** What the open transaction has put into the backlog. */
  let added: { readonly operations: number; readonly changes: ReadonlyArray<LoggedChange> } | undefined

  const pullInto = (head: Head): Effect.Effect<void, PostgresError | StoreUnavailable> =>
    Effect.gen(function*() {
      const standing = yield* file(shadow.standing)
      if (standing?.incarnation === head.incarnation && standing.head === head.head) return
      const missing = standing === undefined ? "another" : yield* Failback.gap(sides, standing, head)
      if (standing === undefined || missing !== "none") {
        return yield* new PostgresUnavailable({
          reason: "lost",
          detail: missing === "gone" ? "the log does not go back so far" : "another store answers"
        })
      }
      const pulled = yield* primary.pull(standing)
      yield* file(() => {
        core.state.connection.pragma("defer_foreign_keys = ON")
        const { deferred, lastSeq, wrote } = shadow.apply(pulled, () => false)
        state.isCopyNeeded ||= deferred.length > 0
        for (const table of wrote) core.state.written.add(table)
        if (lastSeq > 0) core.state.lastSeq = lastSeq
        shadow.follow(head, state.sharers())
        // The log as a whole breaks no reference; what the operations do is looked at when they do it.
        core.state.connection.pragma("defer_foreign_keys = OFF")
      })
      if (state.isCopyNeeded) {
        return yield* new PostgresUnavailable({ reason: "lost", detail: "the file must be copied anew" })
      }
      state.stats.pulled += pulled.operations.length
    })

  const enterPrimary = Effect.gen(function*() {
    const head = yield* primary.begin
    state.epoch = head.epoch
    yield* pullInto(head)
  }).pipe(
    Effect.tapError((error) =>
      Effect.sync(() => {
        if (error._tag !== "StoreUnavailable") failure = error
      })
    ),
    Effect.mapError((error) => error._tag === "StoreUnavailable" ? error : asStoreError(error))
  )

  const enterAlone = Effect.suspend((): Effect.Effect<void, StoreUnavailable> =>
    limits.fallback === "forbidden"
      ? Effect.fail(
        new StoreUnavailable({
          reason: "lost",
          detail: `Postgres is away and the ${agent} agent may not work without it: ${lastError()}`
        })
      )
      : Effect.void
  )

  const commitPrimary = Effect.suspend((): Effect.Effect<void, StoreUnavailable | CommitUnknown> => {
    const { changes, messages, operations } = core.state.log
    if (operations.length === 0) return primary.rollback
    const committed = primary.commit({
      operations,
      messages: messages.map(({ envelope }) => ({ envelope, publishedAt: null })),
      changes: logged(changes)
    }).pipe(
      Effect.tapError((error) =>
        Effect.sync(() => {
          failure = error
          if (error._tag === "CommitUnknown") state.stats.unknownCommits++
        })
      ),
      Effect.mapError((error) => error._tag === "CommitUnknown" ? error : asStoreError(error))
    )
    return Effect.flatMap(committed, (head) =>
      Effect.mapError(
        file(() => {
          shadow.follow(head, state.sharers())
          state.asOf = now()
        }),
        // The primary has committed, whatever becomes of the file.
        (cause): CommitUnknown => ({ _tag: "CommitUnknown", cause })
      ))
  })

  const commitAlone = file(() => {
    const { changes, ends, messages, operations } = core.state.log
    let from = { changes: 0, messages: 0 }
    operations.forEach((operation, index) => {
      const to = ends[index] ?? from
      const changed = changes.slice(from.changes, to.changes)
      const told = messages.slice(from.messages, to.messages)
      shadow.appendBacklog({
        operationId: operation.id,
        acceptedAt: operation.receivedAt,
        firstChange: changed[0]?.n ?? 1,
        lastChange: changed.at(-1)?.n ?? 0,
        firstMessage: told[0]?.seq ?? core.state.lastSeq + 1,
        lastMessage: told.at(-1)?.seq ?? core.state.lastSeq
      })
      from = to
    })
    added = { operations: operations.length, changes: logged(changes) }
  })

  /** The backlog has grown by what was just committed alone. */
  const grow = (operations: number, changes: ReadonlyArray<LoggedChange>) => {
    const byOperation = new Map<string, Array<LoggedChange>>()
    for (const change of changes) {
      const own = byOperation.get(change.operationId) ?? []
      own.push(change)
      byOperation.set(change.operationId, own)
    }
    for (const own of byOperation.values()) taken.take(own)
    state.pending += operations
    if (operations > 0) state.oldestPendingAt ??= now()
  }

  const bound: Bound["atStart"] = (table, row) => {
    const image = taken.atStart(rowName(table.name, keyOf(table, row)))
    // The kernel recorded it as a row of this table.
    return image === undefined ? row : image === null ? undefined : image as typeof row
  }

  return {
    enter: Effect.suspend(() => {
      if (plan !== undefined) return Effect.void
      plan = state.mode
      return plan === "primary" ? enterPrimary : enterAlone
    }),
    isAlone: () => plan !== "primary",
    aloneAs: () => plan === "alone" ? identity : undefined,
    refusal: ({ id, writeClass }) => {
      const isRefused = writeClass === "provisional" || writeClass === "refused" || !limits.isDurable ||
        isFull(state, limits, now())
      return plan === "alone" && isRefused ? new WriteRefused({ operationId: id, writeClass }) : undefined
    },
    bound: () => plan === "alone" ? { share: (1 - GUARD) / state.sharers(), atStart: bound } : undefined,
    commit: Effect.suspend(() => plan === undefined ? Effect.void : plan === "primary" ? commitPrimary : commitAlone),
    rollback: Effect.suspend(() => plan === "primary" ? primary.rollback : Effect.void),
    committed: () => {
      if (plan === "primary") attempts = 0
      if (added !== undefined) grow(added.operations, added.changes)
      plan = undefined
      added = undefined
    },
    again: () => {
      const was = plan
      const met = failure
      plan = undefined
      failure = undefined
      added = undefined
      if (was !== "primary") return false
      // The file cannot be written: without it nothing can be done here, whatever Postgres says.
      if (met === undefined) return false
      attempts++
      const isWithin = attempts < (isAmongOthers(met) ? ATTEMPTS_AMONG_OTHERS : ATTEMPTS)
      if (state.mode === "primary" && mayPass(met) && isWithin && isServerUp()) return true
      attempts = 0
      if (isAmongOthers(met)) return false
      // What the file has taken and the primary refuses may show that they differ; a value that is none there does not.
      if (met._tag === "PostgresConstraint") {
        state.isCopyNeeded = true
        // A file that cannot be written is found out by whoever writes next.
        Effect.runFork(Effect.ignore(file(shadow.suspect)))
      }
      // Its watch may have noticed first, and may be on the way back already.
      if (state.mode === "primary") lose(describe(met))
      return limits.fallback === "allowed"
    }
  }
}

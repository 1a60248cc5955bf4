import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Envelope } from "@holdfast/contracts/Envelope"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { DatabaseShape, OutboxLog, OutboxMessage } from "./Database.ts"
import { Database } from "./Database.ts"
import * as GroupCommit from "./GroupCommit.ts"
import * as Migration from "./Migration.ts"
import type { Operation, Outcome } from "./Operation.ts"
import * as SqliteCheckpoint from "./SqliteCheckpoint.ts"
import type { Connection } from "./SqliteConnection.ts"
import { openLock, openReader, openWriter } from "./SqliteConnection.ts"
import * as SqliteReader from "./SqliteReader.ts"
import * as SqliteRelay from "./SqliteRelay.ts"
import type { WriterState } from "./SqliteTransaction.ts"
import { makeWriterState, SqliteTransaction } from "./SqliteTransaction.ts"
import type { ExecuteError } from "./StoreError.ts"
import { OperationIdReused, OutcomeUnknown, StoreUnavailable, type WriteRefused } from "./StoreError.ts"
import * as StoreFolder from "./StoreFolder.ts"
import * as StoreReader from "./StoreReader.ts"
import * as SystemTables from "./SystemTables.ts"
import { Reader, Transaction } from "./Transaction.ts"

/**
 * Where an agent's SQLite store lives and what it holds.
 *
 * @category models
 */
export interface Options {
  readonly agent: string
  /** The folder of the files; `<agent>.sqlite` is made in it. */
  readonly directory: string
  readonly migrations: ReadonlyArray<Migration.Migration>
  /** Operations in one transaction at most; 1 shows what group commit is worth. */
  readonly maxBatch?: number
}

/** How a driver call outside an operation fails: only as unavailable; what else it throws is a bug. */
const guard = <A>(run: () => A): Effect.Effect<A, StoreUnavailable> =>
  Effect.suspend(() => SqliteReader.attemptRead("store", run))

const migrate = (path: string, options: Options): Effect.Effect<void, StoreUnavailable> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const run = (table: string, migrations: ReadonlyArray<Migration.Migration>) =>
      Migrator.make({})({
        table,
        loader: Migrator.fromRecord(
          Object.fromEntries(migrations.map((migration) => [
            migration.id,
            Effect.forEach(
              Migration.statements(migration, "sqlite"),
              (statement) => sql.unsafe(statement),
              { discard: true }
            )
          ]))
        )
      })
    yield* run("kernel_migrations", SystemTables.migrations)
    yield* run("migrations", options.migrations)
  }).pipe(
    Effect.provide(SqliteClient.layer({ filename: path })),
    // The migrator and the client report a file that cannot be opened, or a failing statement, as defects.
    Effect.catchAllCause((cause) =>
      Effect.fail(
        new StoreUnavailable({
          reason: "other",
          detail: `the store of ${options.agent} at ${path} cannot be opened or migrated`,
          cause
        })
      )
    )
  )

/**
 * Holds the file for this process: a second process on the same file would break the single writer. The lock is SQLite's
 * own on a file beside it, so that it vanishes with the process, however the process ends.
 */
const lock = (options: Options): Effect.Effect<void, StoreUnavailable, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.mapError(guard(() => openLock(join(options.directory, `${options.agent}.lock`))), (error) =>
      error.reason === "locked"
        ? new StoreUnavailable({
          reason: "locked",
          detail: `another process runs the ${options.agent} agent on ${options.directory}; stop it, or set ` +
            "HOLDFAST_DATA_DIR to another folder"
        })
        : error),
    (connection) =>
      Effect.sync(() =>
        connection.close()
      )
  )

/** Calls them all, also when one throws: each belongs to somebody else. The last thing thrown is thrown at the end. */
const callAll = (calls: Iterable<() => void>): void => {
  let thrown: { readonly error: unknown } | undefined
  for (const call of calls) {
    try {
      call()
    } catch (error) {
      thrown = { error }
    }
  }
  if (thrown !== undefined) throw thrown.error
}

const outboxLog = (reader: Connection, state: WriterState): OutboxLog & { readonly appended: () => void } => {
  const listeners = new Set<() => void>()
  const statements = new SqliteReader.Statements(reader)
  return {
    lastSeq: () => state.committedSeq,
    onAppend: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    appended: () => callAll(listeners),
    readAfter: (seq, topics, limit) =>
      guard(() =>
        statements
          .ofText(
            `select seq, envelope from outbox where seq > ? and topic in (${topics.map(() => "?").join(", ")}) ` +
              "order by seq limit ?"
          )
          .raw()
          .all(seq, ...topics, limit)
          .map((row): OutboxMessage => {
            const [at, text] = Array.isArray(row) ? row : []
            // Written as an Envelope by the transaction that emitted it.
            return { seq: Number(at), envelope: JSON.parse(String(text)) as Envelope }
          })
      )
  }
}

const clear = (state: WriterState): void => {
  state.written.clear()
  state.broken = undefined
  state.log.operations.length = 0
  state.log.ends.length = 0
  state.log.changes.length = 0
  state.log.messages.length = 0
}

/** Whether the path still leads to the file that it leads to now: one that was removed lives on as long as it is open. */
const inPlace = (path: string): () => boolean => {
  const opened = statSync(path)
  return () => {
    try {
      const now = statSync(path)
      // Shared folders of virtual machines may number their files anew.
      return now.ino === opened.ino || now.birthtimeMs === opened.birthtimeMs
    } catch {
      // Not there, or in a folder that nobody may look into any more.
      return false
    }
  }
}

const writerOf = (
  state: WriterState,
  path: string,
  isInPlace: () => boolean,
  announce: () => void
): GroupCommit.Writer => {
  /** What the file alone has must be there for the next process. */
  const checkPlace = Effect.suspend(() =>
    isInPlace() ? Effect.void : new StoreUnavailable({
      reason: "other",
      detail: `${path} was removed or replaced while it was in use, and what is written now would end with this ` +
        "process: restart the agent"
    })
  )
  const commitFile = Effect.suspend(() => {
    const exit = SqliteReader.attemptRead("commit", () => void state.commit.run())
    return Effect.mapError(
      exit,
      (error): StoreUnavailable | GroupCommit.CommitUnknown =>
        // An I/O error while the log was being flushed says nothing about what is on the disk; and what the primary has
        // committed stays committed, whatever becomes of the file.
        error.detail.startsWith("SQLITE_IOERR") || state.replication?.isAlone() === false
          ? { _tag: "CommitUnknown", cause: error }
          : error
    )
  })
  return {
    begin: guard(() => {
      clear(state)
      state.begin.run()
      for (const ride of state.riders) ride()
    }),
    commit: Effect.suspend(() => {
      const { replication } = state
      const counts = replication === undefined || replication.isAlone()
        ? Effect.zipRight(checkPlace, commitFile)
        : commitFile
      return replication === undefined ? counts : Effect.zipRight(replication.commit, counts)
    }),
    rollback: Effect.suspend(() => {
      if (state.connection.inTransaction) state.connection.exec("rollback")
      state.lastSeq = state.committedSeq
      return state.replication?.rollback ?? Effect.void
    }),
    committed: () => {
      state.replication?.committed()
      announce()
    },
    again: (error) => state.replication?.again(error) ?? false
  }
}

/** An index of Postgres takes no more than 2704 bytes. */
const MAX_ID_BYTES = 2_000

/** No text for Postgres. */
const unstorable = /[\uD800-\uDFFF]|\0/u

interface Known {
  readonly fingerprint: string
  readonly answer: string
}

/**
 * A store in a file with the insides that a {@link Replication} works with.
 *
 * @category models
 */
export interface Core {
  readonly database: DatabaseShape & { readonly relay: SqliteRelay.SqliteRelay }
  readonly state: WriterState
  /** Runs work that needs the writer for itself, in its turn. It opens and ends its own transactions. */
  readonly exclusive: <A, E>(work: Effect.Effect<A, E>) => Effect.Effect<A, E | StoreUnavailable>
  /** Tells listeners of what such work has committed: `state.written` and `state.lastSeq`. */
  readonly announce: () => void
  /** Copies the file, as it is committed, to one beside it; answers its path. */
  readonly keepCopy: (why: string) => Effect.Effect<string, StoreUnavailable>
  /** Whether the file is where it was opened, so that another process will find what is in it. */
  readonly isInPlace: () => boolean
}

/**
 * Opens, locks and migrates the file.
 *
 * @category constructors
 */
export const open = (options: Options): Effect.Effect<Core, StoreUnavailable, Scope.Scope> =>
  Effect.gen(function*() {
    const path = join(options.directory, `${options.agent}.sqlite`)
    yield* Effect.try({
      try: () => StoreFolder.make(options.directory),
      catch: (cause) => {
        const why = cause instanceof Error && "code" in cause ? ` (${String(cause.code)})` : ""
        return new StoreUnavailable({
          reason: "other",
          detail: `the folder ${options.directory} cannot be made${why}`,
          cause
        })
      }
    })
    yield* lock(options)
    yield* migrate(path, options)
    const connect = (how: (path: string) => Connection) =>
      Effect.acquireRelease(guard(() => how(path)), (connection) => Effect.sync(() => connection.close()))
    const connection = yield* connect(openWriter)
    const readConnection = yield* connect(openReader)

    const checkpoint = yield* SqliteCheckpoint.make(path)

    const slice = new GroupCommit.Slice()
    const state = makeWriterState(options.agent, connection, slice)
    const log = outboxLog(readConnection, state)
    const commitListeners = new Set<(tables: ReadonlySet<string>) => void>()
    const reader = SqliteReader.make(new SqliteReader.Statements(readConnection))
    const counters = { operations: 0, replayed: 0, refused: 0 }

    const announce = () => {
      state.committedSeq = state.lastSeq
      if (state.written.size === 0) return
      const written = new Set(state.written)
      callAll([
        ...(written.has("outbox") ? [log.appended] : []),
        ...Array.from(commitListeners, (listener) => () => listener(written)),
        checkpoint
      ])
    }
    const isInPlace = yield* guard(() => inPlace(path))
    const writer = writerOf(state, path, isInPlace, announce)
    const { stats, submit } = yield* GroupCommit.make(writer, slice, options.maxBatch)

    const selectOperation = connection.prepare<[string], Known>(
      "select fingerprint, answer from operation where id = ?"
    )
    const insertOperation = connection.prepare(
      "insert into operation (id, command, write_class, fingerprint, answer, outcome, received_at, expires_at) " +
        "values (?, ?, ?, ?, ?, ?, ?, ?)"
    )

    const record = <A, E, R>(
      { command, fingerprint, id, keepMillis, writeClass }: Operation<A, E, R>,
      receivedAt: number,
      outcome: "done" | "refused",
      answer: string
    ) => {
      const expiresAt = receivedAt + keepMillis
      if ([id, fingerprint, answer].some((text) => unstorable.test(text))) {
        throw new TypeError(`the id or the answer of ${command} holds NUL or half of a character`)
      }
      if (Buffer.byteLength(id) > MAX_ID_BYTES) throw new TypeError(`the id of ${command} is too long for an index`)
      insertOperation.run(id, command, writeClass, fingerprint, answer, outcome, receivedAt, expiresAt)
      state.log.operations.push({ id, command, writeClass, fingerprint, answer, outcome, receivedAt, expiresAt })
      state.log.ends.push({ changes: state.log.changes.length, messages: state.log.messages.length })
    }

    /** Runs a handler in the open transaction and keeps or undoes what it wrote; a broken store breaks the batch. */
    const transact = <A, E, R>(
      tx: SqliteTransaction,
      handler: Effect.Effect<A, E, R>,
      context: Context.Context<Exclude<R, Transaction | Reader>>,
      ended: (exit: Exit.Exit<A, E>) => void
    ): Effect.Effect<Exit.Exit<A, E>, StoreUnavailable> => {
      const provided = Effect.mapInputContext(
        handler,
        // Adds the two services that the caller's context lacks; the type system cannot see Exclude undone.
        (_: Context.Context<never>) =>
          Context.add(Context.add(context, Transaction, tx), Reader, tx) as Context.Context<R>
      )
      return Effect.flatMap(Effect.exit(provided), (exit) => {
        // Also when the handler made something else of it.
        if (state.broken !== undefined) return state.broken
        const concluded = SqliteReader.attemptRead("operation", () => {
          if (Exit.isSuccess(exit)) {
            ended(exit)
            tx.keep()
            return exit
          }
          if (exit.cause._tag === "Fail" && exit.cause.error instanceof StoreUnavailable) throw exit.cause.error
          tx.undo()
          ended(exit)
          return exit
        })
        if (Exit.isSuccess(concluded) || !Cause.isDie(concluded.cause)) return concluded
        // The answer cannot be written down: a bug of this operation, which its neighbours must not feel.
        const { cause } = concluded
        return Exit.map(SqliteReader.attemptRead("operation", () => tx.undo()), () => Exit.die(Cause.squash(cause)))
      })
    }

    /**
     * Operations that ran in a transaction of which nobody knows whether it has committed in the primary. Until that has
     * been looked at, no failure of theirs is proof that nothing happened: not of this attempt, nor of the next.
     */
    const suspects = new Set<string>()

    /** Queues work for the next transaction; answers after its commit. */
    const enqueue = <A, E>(
      id: string,
      run: Effect.Effect<Exit.Exit<A, E>, StoreUnavailable>,
      isRecorded: boolean
    ): Effect.Effect<A, E | StoreUnavailable | OutcomeUnknown> =>
      Effect.async((resume) => {
        const job: GroupCommit.Job = {
          _tag: "Job",
          withdrawn: false,
          doubt: () => void (isRecorded && suspects.add(id)),
          run: Effect.map(run, (exit) => () => resume(exit)),
          abandon: (error) =>
            resume(Effect.fail(
              error._tag === "CommitUnknown" || suspects.has(id)
                ? new OutcomeUnknown({ operationId: id, cause: error.cause })
                : error
            ))
        }
        submit(job)
        return Effect.sync(() => {
          job.withdrawn = true
        })
      })

    /** Runs the operation in the open transaction, or answers what is known of it. */
    const runOnce = <A, E, R>(
      operation: Operation<A, E, R>,
      now: number,
      context: Context.Context<Exclude<R, Transaction | Reader>>
    ): Effect.Effect<
      Exit.Exit<Outcome<A>, E | OperationIdReused | WriteRefused | OutcomeUnknown>,
      StoreUnavailable
    > => {
      // The file has just been brought up to the primary: what is not in it now, never happened.
      if (suspects.size > 0 && state.replication?.isAlone() !== true) suspects.clear()
      const known = SqliteReader.attemptRead("operation", () => selectOperation.get(operation.id))
      if (Exit.isFailure(known)) return Effect.failCause(known.cause)
      if (known.value !== undefined) {
        counters.replayed++
        return Effect.succeed(
          known.value.fingerprint === operation.fingerprint
            ? Exit.succeed<Outcome<A>>({ _tag: "Known", answer: known.value.answer })
            : Exit.fail(new OperationIdReused({ operationId: operation.id }))
        )
      }
      const isUnproven = suspects.has(operation.id)
      const unknown = () => Exit.fail(new OutcomeUnknown({ operationId: operation.id }))
      const refusedNow = state.replication?.refusal(operation)
      if (refusedNow !== undefined) return Effect.succeed(isUnproven ? unknown() : Exit.fail(refusedNow))
      const tx = new SqliteTransaction(state, operation, now, true)
      const running = transact(tx, operation.handler, context, (exit) => {
        if (Exit.isSuccess(exit)) {
          counters.operations++
          record(operation, now, "done", operation.answer(exit.value))
          return
        }
        const refusal = exit.cause._tag === "Fail" && !isUnproven ? operation.refusal(exit.cause.error) : undefined
        if (refusal === undefined) return
        counters.refused++
        record(operation, now, "refused", refusal)
      })
      return Effect.map(running, (exit) =>
        Exit.isFailure(exit) && isUnproven
          ? unknown()
          : Exit.map(exit, (value): Outcome<A> => ({ _tag: "Done", value })))
    }

    const execute = <A, E, R>(
      operation: Operation<A, E, R>
    ): Effect.Effect<Outcome<A>, E | ExecuteError, Exclude<R, Transaction | Reader>> =>
      Effect.contextWithEffect((context: Context.Context<Exclude<R, Transaction | Reader>>) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          enqueue<Outcome<A>, E | OperationIdReused | WriteRefused | OutcomeUnknown>(
            operation.id,
            Effect.suspend(() => {
              const run = Effect.suspend(() =>
                runOnce(operation, now, context)
              )
              return state.replication === undefined ? run : Effect.zipRight(state.replication.enter, run)
            }),
            true
          ))
      )

    const housekeep = <A, E, R>(
      name: string,
      handler: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E | ExecuteError, Exclude<R, Transaction | Reader>> =>
      Effect.contextWithEffect((context: Context.Context<Exclude<R, Transaction | Reader>>) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const id = `housekeeping:${name}`
          const tx = () =>
            new SqliteTransaction(state, { id, cause: { correlationId: id, causationId: id } }, now, false)
          return enqueue(id, Effect.suspend(() => transact(tx(), handler, context, () => {})), false)
        })
      )

    const exclusive = <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E | StoreUnavailable> =>
      Effect.async((resume) => {
        submit({
          _tag: "Exclusive",
          run: Effect.map(
            Effect.exit(Effect.zipRight(Effect.sync(() => clear(state)), work)),
            (exit) => resume(exit)
          ),
          abandon: (error) => resume(Effect.fail(error))
        })
      })

    const relay = yield* SqliteRelay.make(state, new SqliteReader.Statements(readConnection), log.lastSeq, housekeep)
    const database: Core["database"] = {
      agent: options.agent,
      fresh: Effect.void,
      primary: undefined,
      execute,
      housekeep,
      read: (effect) => Effect.provideService(effect, Reader, reader),
      outbox: log,
      relay,
      onCommit: (listener) => {
        commitListeners.add(listener)
        return () => void commitListeners.delete(listener)
      },
      stats: {
        get operations() {
          return counters.operations
        },
        get replayed() {
          return counters.replayed
        },
        get refused() {
          return counters.refused
        },
        get transactions() {
          return stats.transactions
        },
        get queued() {
          return stats.queued
        },
        get lastBatch() {
          return stats.lastBatch
        },
        get lastCommitMillis() {
          return stats.lastCommitMillis
        }
      }
    }
    const keepCopy: Core["keepCopy"] = (why) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const at = new Date(now).toISOString().replaceAll(/[-:.]/g, "")
        const to = join(options.directory, `${options.agent}-${why}-${at}.sqlite`)
        return guard(() => {
          connection.prepare("vacuum into ?").run(to)
          return to
        })
      })

    return { database, state, exclusive, announce, isInPlace, keepCopy }
  })

/** What a shadow took without its primary knowing of it would be lost when it follows that again. */
const asOwn = ({ database, state }: Core, options: Options): Effect.Effect<DatabaseShape, StoreUnavailable> =>
  Effect.filterOrFail(
    guard(() => state.connection.prepare("select count(*) from shadow").pluck().get() === 0 ? database : undefined),
    (own) => own !== undefined,
    () =>
      new StoreUnavailable({
        reason: "other",
        detail:
          `the ${options.agent} agent's file in ${options.directory} follows a Postgres and is no store of its own: ` +
          "set DATABASE_URL as before, or HOLDFAST_DATA_DIR to another folder"
      })
  )

const make = (options: Options): Effect.Effect<DatabaseShape, StoreUnavailable, Scope.Scope> =>
  Effect.flatMap(open(options), (core) => asOwn(core, options))

/**
 * The store in a SQLite file of its own: durable through `kill -9` and power cuts, one writer, one process. Opens, locks
 * and migrates when built; fails with `StoreUnavailable` when that is not possible, or when the file is a Postgres's shadow.
 *
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<Database, StoreUnavailable> =>
  Layer.scoped(Database, make(options))

/**
 * The same store in a temporary folder that vanishes with the scope: for tests.
 *
 * @category layers
 */
export const layerTemporary = (options: Omit<Options, "directory">): Layer.Layer<Database, StoreUnavailable> =>
  Layer.scoped(
    Database,
    Effect.flatMap(
      Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-"))),
        (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
      ),
      (directory) => make({ ...options, directory })
    )
  )

/**
 * Reads an agent's store without running the agent, also while another process runs it: for verification and reports.
 *
 * @category constructors
 */
export const reader = (
  options: Pick<Options, "agent" | "directory">
): Effect.Effect<StoreReader.StoreReader, StoreUnavailable, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      guard(() => openReader(join(options.directory, `${options.agent}.sqlite`))),
      (connection) => Effect.sync(() => connection.close())
    ),
    (connection) => {
      const made = SqliteReader.make(new SqliteReader.Statements(connection))
      return { ...made, walk: StoreReader.byKey(made) }
    }
  )

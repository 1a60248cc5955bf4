import type { Envelope } from "@holdfast/contracts/Envelope"
import * as Effect from "effect/Effect"
import type { CommitUnknown } from "./GroupCommit.ts"
import * as PostgresConnection from "./PostgresConnection.ts"
import type { Result, Statement } from "./PostgresConnection.ts"
import {
  PostgresContended,
  type PostgresError,
  PostgresStatementInvalid,
  PostgresUnavailable
} from "./PostgresError.ts"
import * as PostgresSchema from "./PostgresSchema.ts"
import * as PostgresTable from "./PostgresTable.ts"
import type { OperationRecord } from "./SqliteTransaction.ts"
import type { Table } from "./Table.ts"

type Image = Readonly<Record<string, unknown>>

/**
 * How far the log of the primary goes: `head` counts its commits, the others are the last numbers of its tables.
 *
 * @category models
 */
export interface Head {
  readonly incarnation: string
  readonly epoch: number
  readonly head: number
  readonly operationN: number
  readonly outboxSeq: number
  readonly changeN: number
}

/**
 * A row change as the log has it; `table` by name, `before` and `after` as row images.
 *
 * @category models
 */
export interface LoggedChange {
  readonly operationId: string
  readonly table: string
  readonly key: string
  readonly before: Image | null
  readonly after: Image | null
}

/**
 * A message with the time at which a broker has acknowledged it, if one has.
 *
 * @category models
 */
export interface LoggedMessage {
  readonly envelope: Envelope
  readonly publishedAt: number | null
}

/**
 * What one transaction writes.
 *
 * @category models
 */
export interface Writes {
  readonly operations: ReadonlyArray<OperationRecord>
  readonly messages: ReadonlyArray<LoggedMessage>
  readonly changes: ReadonlyArray<LoggedChange>
  /** Raises the epoch: an outage has been merged. */
  readonly raisesEpoch?: boolean
}

/**
 * What others have committed behind a place in the log, in the order of their commits.
 *
 * @category models
 */
export interface Pulled {
  readonly operations: ReadonlyArray<OperationRecord>
  readonly messages: ReadonlyArray<LoggedMessage>
  readonly changes: ReadonlyArray<LoggedChange>
}

/**
 * The primary as one process writes it: one session, one transaction at a time, each under the lock of the schema's one
 * `replication` row. Whoever holds the lock knows all that was committed before and commits next, so that the log has no
 * gaps, and a transaction that comes late finds the row locked or its operations known.
 *
 * @category models
 */
export interface Primary {
  /** Opens a transaction, takes the lock and tells how far the log goes. Opens the session first, if there is none. */
  readonly begin: Effect.Effect<Head, PostgresError>
  /** In the open transaction: what was committed behind this place. */
  readonly pull: (behind: Head) => Effect.Effect<Pulled, PostgresError>
  /** Runs reads in the open transaction. */
  readonly run: (statements: ReadonlyArray<Statement>) => Effect.Effect<ReadonlyArray<Result>, PostgresError>
  /** Writes in the open transaction, without its end. */
  readonly write: (writes: Writes) => Effect.Effect<void, PostgresError>
  /** Writes and commits. After a failure that is not `CommitUnknown` nothing of it is there. */
  readonly commit: (writes: Writes) => Effect.Effect<Head, PostgresError | CommitUnknown>
  readonly rollback: Effect.Effect<void>
  readonly isOpen: () => boolean
  /** Gives up whatever is under way: the server is known to be away. */
  readonly destroy: (why: string) => void
}

/** Steps of a transaction must be answered within these times, in milliseconds, of which 1.5 s may be the wait for a lock. */
const BEGIN_MILLIS = 2_500
const STEP_MILLIS = 2_000
const READ_MILLIS = 5_000

/** Rows of the log that are read at once. */
const PAGE = 5_000

const headColumns = "incarnation, epoch, head, operation_n, outbox_seq, change_n"

const headOf = (row: Image | undefined): Head => ({
  incarnation: String(row?.["incarnation"]),
  epoch: Number(row?.["epoch"]),
  head: Number(row?.["head"]),
  operationN: Number(row?.["operation_n"]),
  outboxSeq: Number(row?.["outbox_seq"]),
  changeN: Number(row?.["change_n"])
})

/** Reads the head without the lock. */
export const readHead: Statement = { text: `select ${headColumns} from replication where id = 1` }

export const parseHead = (result: Result | undefined): Head | undefined =>
  result?.rows[0] === undefined ? undefined : headOf(result.rows[0])

const begin: ReadonlyArray<Statement> = [
  { text: "begin" },
  { name: "lock", text: `select ${headColumns} from replication where id = 1 for no key update` }
]

/** The rows of the log and its head, in one statement for all: with few operations the number of statements is the cost. */
const logStatement = (
  { changes, messages, operations }: Writes,
  grows: { readonly head: 0 | 1; readonly epoch: 0 | 1 }
): Statement => ({
  name: "log",
  values: [
    JSON.stringify(operations.map(operationImage)),
    JSON.stringify(messages.map(messageImage)),
    JSON.stringify(changes.map(changeImage)),
    grows.head,
    grows.epoch
  ],
  text: `with
    o as (insert into operation (id, command, write_class, fingerprint, answer, outcome, received_at, expires_at)
      select id, command, write_class, fingerprint, answer, outcome, received_at, expires_at
      from json_populate_recordset(null::operation, $1::json) returning n),
    m as (insert into outbox (event_id, type, topic, key, envelope, created_at, published_at)
      select event_id, type, topic, key, envelope, created_at, published_at
      from json_populate_recordset(null::outbox, $2::json) returning seq),
    c as (insert into change (operation_id, table_name, row_key, before, after)
      select operation_id, table_name, row_key, before, after
      from json_populate_recordset(null::change, $3::json) returning n)
    update replication set head = head + $4::bigint, epoch = epoch + $5::bigint,
      operation_n = greatest(operation_n, (select max(n) from o)),
      outbox_seq = greatest(outbox_seq, (select max(seq) from m)),
      change_n = greatest(change_n, (select max(n) from c))
      where id = 1 returning ${headColumns}`
})

/** The rows as they are after all changes: per table what is to be written and what is to go, each in order of appearance. */
const finalRows = (changes: ReadonlyArray<LoggedChange>) => {
  const tables = new Map<string, Map<string, Image | null>>()
  for (const { after, key, table } of changes) {
    const rows = tables.get(table) ?? new Map<string, Image | null>()
    rows.set(key, after)
    tables.set(table, rows)
  }
  return tables
}

const rowStatements = (
  changes: ReadonlyArray<LoggedChange>,
  tableOf: (name: string) => PostgresTable.PostgresTable
): ReadonlyArray<Statement> => {
  const removals: Array<Statement> = []
  const upserts: Array<Statement> = []
  for (const [name, rows] of finalRows(changes)) {
    const table = tableOf(name)
    const gone = [...rows].flatMap(([key, after]) => after === null ? [table.keyImage(key)] : [])
    const kept = [...rows.values()].filter((after) => after !== null)
    if (gone.length > 0) removals.push(table.remove(gone))
    if (kept.length > 0) upserts.push(table.upsert(kept))
  }
  // What goes makes room under unique indexes for what comes.
  return [...removals, ...upserts]
}

/** One statement for each change, in order: always possible, as it was possible where the changes were made. */
const changeByChange = (
  changes: ReadonlyArray<LoggedChange>,
  tableOf: (name: string) => PostgresTable.PostgresTable
): ReadonlyArray<Statement> =>
  changes.map(({ after, key, table }) => {
    const target = tableOf(table)
    return after === null ? target.remove([target.keyImage(key)]) : target.upsert([after])
  })

const operationImage = (operation: OperationRecord): Image => ({
  id: operation.id,
  command: operation.command,
  write_class: operation.writeClass,
  fingerprint: operation.fingerprint,
  answer: operation.answer,
  outcome: operation.outcome,
  received_at: operation.receivedAt,
  expires_at: operation.expiresAt
})

const messageImage = ({ envelope, publishedAt }: LoggedMessage): Image => ({
  event_id: envelope.id,
  type: envelope.type,
  topic: envelope.topic,
  key: envelope.key,
  envelope,
  created_at: Date.parse(envelope.time),
  published_at: publishedAt
})

const changeImage = (change: LoggedChange): Image => ({
  operation_id: change.operationId,
  table_name: change.table,
  row_key: JSON.parse(change.key) as unknown,
  before: change.before,
  after: change.after
})

export const operationOf = (row: Image): OperationRecord => ({
  id: String(row["id"]),
  command: String(row["command"]),
  writeClass: String(row["write_class"]),
  fingerprint: String(row["fingerprint"]),
  answer: String(row["answer"]),
  outcome: row["outcome"] === "refused" ? "refused" : "done",
  receivedAt: Number(row["received_at"]),
  expiresAt: Number(row["expires_at"])
})

export const messageOf = (row: Image): LoggedMessage => ({
  // Written as an Envelope by the transaction that emitted it.
  envelope: JSON.parse(String(row["envelope"])) as Envelope,
  publishedAt: row["published_at"] === null ? null : Number(row["published_at"])
})

const parsed = (json: unknown): Image | null => json === null ? null : JSON.parse(String(json)) as Image

const changeOf = (row: Image): LoggedChange => ({
  operationId: String(row["operation_id"]),
  table: String(row["table_name"]),
  key: String(row["row_key"]),
  before: parsed(row["before"]),
  after: parsed(row["after"])
})

/** Whether a failure leaves open what became of a commit that was sent. */
const leavesOpen = (error: PostgresError): boolean =>
  error instanceof PostgresUnavailable && error.reason !== "full" && error.reason !== "read_only" &&
  error.reason !== "refused"

/**
 * The primary of an agent; `connect` opens sessions in its schema.
 *
 * @category constructors
 */
export const make = (
  config: PostgresConnection.PostgresConfig,
  agent: string,
  tables: ReadonlyMap<string, Table>
): Primary => {
  let session: PostgresConnection.PostgresConnection | undefined
  /** How far the log went when the open transaction took the lock. */
  let held: Head | undefined
  const schema = PostgresSchema.nameOf(agent)
  const tableOf = (name: string): PostgresTable.PostgresTable => {
    const table = tables.get(name)
    if (table === undefined) throw new TypeError(`the ${agent} agent does not declare its table ${name}`)
    return PostgresTable.of(table)
  }
  const opened = Effect.suspend(() =>
    session?.isOpen() === true
      ? Effect.succeed(session)
      : Effect.tap(PostgresConnection.connect(config, `holdfast ${agent} writer`, schema), (made) =>
        Effect.sync(() => {
          session = made
        }))
  )
  const run = (statements: ReadonlyArray<Statement>, withinMillis: number) =>
    Effect.suspend(() =>
      session === undefined
        ? Effect.fail(new PostgresUnavailable({ reason: "lost", detail: "no session" }))
        : session.run(statements, withinMillis)
    )

  const pullPages = <A>(
    table: string,
    number: string,
    columns: string,
    after: number,
    decode: (row: Image) => A
  ): Effect.Effect<ReadonlyArray<A>, PostgresError> =>
    Effect.gen(function*() {
      const found: Array<A> = []
      let place = after
      for (;;) {
        const [page] = yield* run([{
          name: `pull ${table}`,
          text: `select ${number}, ${columns} from ${table} where ${number} > $1 order by ${number} limit ${PAGE}`,
          values: [place]
        }], READ_MILLIS)
        const rows = page?.rows ?? []
        for (const row of rows) found.push(decode(row))
        place = Number(rows.at(-1)?.[number] ?? place)
        if (rows.length < PAGE) return found
      }
    })

  const write = (writes: Writes, rows: ReadonlyArray<Statement>): Effect.Effect<Head, PostgresError | CommitUnknown> =>
    Effect.flatMap(
      Effect.mapError(
        run([
          logStatement(writes, { head: 1, epoch: writes.raisesEpoch === true ? 1 : 0 }),
          ...rows,
          { text: "commit" }
        ], STEP_MILLIS + writes.changes.length),
        (error): PostgresError | CommitUnknown => leavesOpen(error) ? { _tag: "CommitUnknown", cause: error } : error
      ),
      (results) => {
        const head = parseHead(results[0])
        const committed = results.at(-1)
        // A transaction that failed answers COMMIT with ROLLBACK, and no error.
        return committed?.command === "COMMIT" && head !== undefined
          ? Effect.succeed(head)
          : Effect.fail(new PostgresStatementInvalid({ detail: `COMMIT answered ${String(committed?.command)}` }))
      }
    )

  const locked = Effect.flatMap(run(begin, BEGIN_MILLIS), ([, row]) => {
    const head = parseHead(row)
    return head === undefined
      ? Effect.fail(new PostgresStatementInvalid({ detail: `the schema ${schema} has no replication row` }))
      : Effect.succeed(head)
  })

  /** Ends the transaction; a session that does not answer even this is of no use. */
  const rollback = Effect.suspend(() =>
    session?.isOpen() === true
      ? Effect.catchAll(run([{ text: "rollback" }], STEP_MILLIS), (error) =>
        Effect.sync(() => session?.destroy(error.message)))
      : Effect.void
  )

  return {
    isOpen: () => session?.isOpen() === true,
    destroy: (why) => session?.destroy(why),
    rollback: Effect.asVoid(rollback),
    begin: Effect.tap(Effect.zipRight(opened, locked), (head) =>
      Effect.sync(() => {
        held = head
      })),
    run: (some) => run(some, READ_MILLIS),
    write: (writes) =>
      Effect.suspend(() =>
        Effect.asVoid(
          run(
            [logStatement(writes, { head: 0, epoch: 0 }), ...rowStatements(writes.changes, tableOf)],
            READ_MILLIS
          )
        )
      ),
    pull: (behind) =>
      Effect.all({
        operations: pullPages(
          "operation",
          "n",
          "id, command, write_class, fingerprint, answer, outcome, received_at, expires_at",
          behind.operationN,
          operationOf
        ),
        messages: pullPages(
          "outbox",
          "seq",
          "envelope, published_at",
          behind.outboxSeq,
          messageOf
        ),
        changes: pullPages(
          "change",
          "n",
          "operation_id, table_name, row_key, before, after",
          behind.changeN,
          changeOf
        )
      }),
    commit: (writes) =>
      Effect.suspend(() => {
        const whole = write(writes, rowStatements(writes.changes, tableOf))
        // Rows that hand a unique value on to each other cannot always be written together.
        return Effect.catchIf(
          whole,
          (error) => error._tag === "PostgresConstraint" && error.kind === "unique" && error.table !== "operation",
          () =>
            Effect.flatMap(Effect.zipRight(rollback, locked), (head) =>
              // Without the lock for a moment: whoever was faster has to be heard first.
              head.incarnation === held?.incarnation && head.head === held.head
                ? write(writes, changeByChange(writes.changes, tableOf))
                : Effect.fail(
                  new PostgresContended({ reason: "serialization", detail: "another process was faster" })
                ))
        )
      })
  }
}

import type { Envelope } from "@holdfast/contracts/Envelope"
import { sourceOf } from "@holdfast/contracts/Envelope"
import type * as Message from "@holdfast/contracts/Message"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Slice } from "./GroupCommit.ts"
import * as OperationIds from "./OperationIds.ts"
import type { Query } from "./Query.ts"
import type { Replication } from "./Replication.ts"
import type { Connection, Statement } from "./SqliteConnection.ts"
import { attempt, attemptRead, getRow, queryRows, selectRows, Statements } from "./SqliteReader.ts"
import type { ReadError, WriteError } from "./StoreError.ts"
import { ConstraintViolated, MessageTooLarge, RowMissing, StoreUnavailable } from "./StoreError.ts"
import type { Columns, Key, NewRow, Row, Table } from "./Table.ts"
import type { Bound, Cause, EmitOptions, TransactionShape } from "./Transaction.ts"

/**
 * A row as one operation of the batch changed it.
 *
 * @category models
 */
export interface RowChange {
  /** Its place among the changes of the file. */
  readonly n: number
  readonly operationId: string
  readonly table: Table
  /** The key as it is recorded: JSON of the key's columns in order. */
  readonly key: string
  readonly before: Readonly<Record<string, unknown>> | null
  readonly after: Readonly<Record<string, unknown>> | null
}

/**
 * The record of an operation of the batch.
 *
 * @category models
 */
export interface OperationRecord {
  readonly id: string
  readonly command: string
  readonly writeClass: string
  readonly fingerprint: string
  readonly answer: string
  readonly outcome: "done" | "refused"
  readonly receivedAt: number
  readonly expiresAt: number
}

/**
 * What a transaction has recorded so far, in order, for whoever takes it elsewhere.
 *
 * @category models
 */
export interface BatchLog {
  readonly operations: Array<OperationRecord>
  /** For each operation, where its changes and its messages end in the arrays below. */
  readonly ends: Array<{ readonly changes: number; readonly messages: number }>
  readonly changes: Array<RowChange>
  readonly messages: Array<{ readonly seq: number; readonly envelope: Envelope }>
}

/**
 * What all operations of one writer share.
 *
 * @category models
 */
export interface WriterState {
  readonly agent: string
  readonly connection: Connection
  readonly statements: Statements
  readonly slice: Slice
  readonly begin: Statement
  readonly commit: Statement
  readonly savepoint: Statement
  readonly release: Statement
  readonly rollbackTo: Statement
  readonly insertOutbox: Statement
  readonly insertChange: Statement
  readonly log: BatchLog
  /** Write what is in no hurry, at the beginning of whatever transaction comes next. */
  readonly riders: Set<() => void>
  /** Names of the tables that the open transaction has written so far. */
  readonly written: Set<string>
  /** The last message's place, counting the open transaction's; and not counting them. */
  lastSeq: number
  committedSeq: number
  /**
   * What broke the open transaction. SQLite may have undone all of it by itself: whatever is written after would stand
   * alone, so that nothing more is, and nothing of it counts.
   */
  broken: StoreUnavailable | undefined
  /** Set once, before the first transaction. */
  replication: Replication | undefined
}

/** Prepares the writer's own statements. */
export const makeWriterState = (agent: string, connection: Connection, slice: Slice): WriterState => {
  const lastSeq = Number(connection.prepare("select coalesce(max(seq), 0) from outbox").pluck().get())
  return {
    agent,
    connection,
    statements: new Statements(connection),
    slice,
    begin: connection.prepare("begin immediate"),
    commit: connection.prepare("commit"),
    savepoint: connection.prepare("savepoint operation"),
    release: connection.prepare("release operation"),
    rollbackTo: connection.prepare("rollback to operation"),
    insertOutbox: connection.prepare(
      "insert into outbox (event_id, type, topic, key, envelope, created_at, operation_id) values (?, ?, ?, ?, ?, ?, ?)"
    ),
    insertChange: connection.prepare(
      "insert into change (operation_id, table_name, row_key, before, after) values (?, ?, ?, ?, ?)"
    ),
    log: { operations: [], ends: [], changes: [], messages: [] },
    riders: new Set(),
    written: new Set(),
    lastSeq,
    committedSeq: lastSeq,
    broken: undefined,
    replication: undefined
  }
}

type StepError = StoreUnavailable | ConstraintViolated

/**
 * The largest message, as JSON with all it says of itself. Kafka takes 1,048,588 bytes by default (`max.message.bytes`),
 * headers and framing included, which say most of the attributes a second time.
 *
 * @category constants
 */
export const MAX_MESSAGE_BYTES = 960 * 1024

/** No character takes more than three bytes for each unit that counts in a string's length. */
const isTooLarge = (text: string): boolean =>
  text.length > MAX_MESSAGE_BYTES / 3 && Buffer.byteLength(text) > MAX_MESSAGE_BYTES

const tooLarge = (type: string, text: string): MessageTooLarge =>
  new MessageTooLarge({ type, bytes: Buffer.byteLength(text), limitBytes: MAX_MESSAGE_BYTES })

/** NUL, or half of a character, as JSON has it: an escape whose backslash is not escaped itself. */
const escaped = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/

/**
 * Whether JSON, as `JSON.stringify` writes it, holds what is no text for Postgres: it would be taken here, and never there.
 *
 * @category refinements
 */
export const isUnstorable = (json: string): boolean => json.includes("\\u") && escaped.test(json)

const storable = (table: string, json: string): string => {
  if (!isUnstorable(json)) return json
  throw new ConstraintViolated({ kind: "check", table, detail: "a text holds NUL or half of a character" })
}

/** A row as changes record it; before it is written, so that what is refused leaves nothing. */
const imageText = (table: Table, image: Readonly<Record<string, unknown>>): string =>
  storable(table.name, JSON.stringify(image))

const encoders = new WeakMap<object, (payload: unknown) => unknown>()

const encoderOf = <Name extends string, A, I>(message: Message.Message<Name, A, I>): (payload: A) => unknown => {
  const known = encoders.get(message)
  if (known !== undefined) return known
  const encode = Schema.encodeUnknownSync(message.payload)
  encoders.set(message, encode)
  return encode
}

/**
 * The transaction of one operation among others in the same commit: its savepoint opens with its first write, so that
 * undoing it leaves its neighbours alone and reading costs nothing.
 *
 * @category constructors
 */
export class SqliteTransaction implements TransactionShape {
  readonly operationId: string
  readonly now: number
  readonly cause: Cause
  readonly nextId: (prefix: string) => string
  private readonly nextEventId: (prefix: string) => string
  private readonly writer: WriterState
  private readonly recorded: boolean
  private savepoint = false
  private seqBefore = 0
  private changesBefore = 0
  private messagesBefore = 0
  private readonly grown = new Set<string>()

  constructor(
    writer: WriterState,
    operation: { readonly id: string; readonly cause: Cause; readonly isLocal?: boolean | undefined },
    now: number,
    recorded: boolean
  ) {
    this.writer = writer
    this.operationId = operation.id
    this.now = now
    this.cause = operation.cause
    this.recorded = recorded
    this.nextId = OperationIds.make(operation.id)
    const place = operation.isLocal === true ? writer.replication?.aloneAs() : undefined
    this.nextEventId = place === undefined ? this.nextId : OperationIds.make(`${operation.id}@${place}`)
  }

  get bound(): Bound | undefined {
    return this.writer.replication?.bound()
  }

  get<C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    key: Key<Table<C, K>>
  ): Effect.Effect<Option.Option<Row<Table<C, K>>>, ReadError> {
    return this.step(() =>
      attemptRead(table.name, () => Option.fromNullable(getRow(this.writer.statements, table, key)))
    )
  }

  select<C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    query: Query<C>
  ): Effect.Effect<ReadonlyArray<Row<Table<C, K>>>, ReadError> {
    return this.step(() => attemptRead(table.name, () => selectRows(this.writer.statements, table, query)))
  }

  query(
    sql: string,
    parameters: ReadonlyArray<unknown> = []
  ): Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>, ReadError> {
    return this.step(() => attemptRead("query", () => queryRows(this.writer.statements, sql, parameters)))
  }

  insert<C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    row: NewRow<Table<C, K>>
  ): Effect.Effect<Row<Table<C, K>>, WriteError> {
    return this.step(() =>
      attempt(table.name, () => {
        this.begin()
        const { codec, insert } = this.writer.statements.ofTable(table)
        // `version` is the one column that NewRow leaves out.
        const full = (table.versioned ? { ...row, version: 1 } : row) as Row<Table<C, K>>
        const text = imageText(table, full)
        insert.run(...codec.encode(full))
        if (table.versioned) this.grown.add(this.identity(table, codec.keyOf(full)))
        this.record(table, codec.keyOf(full), null, full, text)
        return full
      })
    )
  }

  update<C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    key: Key<Table<C, K>>,
    change: (row: Row<Table<C, K>>) => NewRow<Table<C, K>>
  ): Effect.Effect<Row<Table<C, K>>, WriteError> {
    return Effect.flatMap(
      this.step(() =>
        attempt(table.name, () => {
          const before = getRow(this.writer.statements, table, key)
          if (before === undefined) return undefined
          this.begin()
          const { codec, update } = this.writer.statements.ofTable(table)
          // `version` is the one column that NewRow leaves out.
          const after = {
            ...change(before),
            ...(table.versioned ? { version: this.nextVersion(table, before, codec.keyOf(before)) } : {})
          } as Row<Table<C, K>>
          const text = imageText(table, after)
          update.run(...codec.encode(after), ...codec.encodeKey(key))
          this.record(table, codec.keyOf(before), before, after, text)
          return after
        })
      ),
      (row) => row === undefined ? missing(table, key) : Effect.succeed(row)
    )
  }

  remove<C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    key: Key<Table<C, K>>
  ): Effect.Effect<void, WriteError> {
    return Effect.flatMap(
      this.step(() =>
        attempt(table.name, () => {
          const before = getRow(this.writer.statements, table, key)
          if (before === undefined) return false
          this.begin()
          const { codec, remove } = this.writer.statements.ofTable(table)
          remove.run(...codec.encodeKey(key))
          this.record(table, codec.keyOf(before), before, null, null)
          return true
        })
      ),
      (found) => found ? Effect.void : missing(table, key)
    )
  }

  emit<Name extends string, A, I>(
    message: Message.Message<Name, A, I>,
    payload: A,
    options?: EmitOptions
  ): Effect.Effect<string, WriteError> {
    return Effect.flatMap(
      this.step(() =>
        attempt("outbox", () => {
          this.begin()
          const envelope: Envelope = {
            id: options?.eventId ?? this.nextEventId("evt"),
            source: sourceOf(this.writer.agent),
            type: message.type,
            topic: message.topic,
            key: message.key(payload),
            subject: message.subject(payload),
            time: new Date(this.now).toISOString(),
            correlationId: options?.correlationId ?? this.cause.correlationId,
            causationId: options?.causationId ?? this.cause.causationId,
            ...(this.cause.traceparent === undefined ? {} : { traceparent: this.cause.traceparent }),
            ...(options?.deadline === undefined ? {} : { deadline: options.deadline }),
            data: encoderOf(message)(payload)
          }
          const text = storable("outbox", JSON.stringify(envelope))
          if (isTooLarge(text)) return tooLarge(message.type, text)
          const written = this.writer.insertOutbox.run(
            envelope.id,
            envelope.type,
            envelope.topic,
            envelope.key,
            text,
            this.now,
            this.operationId
          )
          this.writer.lastSeq = Number(written.lastInsertRowid)
          if (this.recorded) this.writer.log.messages.push({ seq: this.writer.lastSeq, envelope })
          this.writer.written.add("outbox")
          return envelope.id
        })
      ),
      (id) => id instanceof MessageTooLarge ? Effect.fail(id) : Effect.succeed(id)
    )
  }

  /** Keeps what the operation wrote. */
  keep(): void {
    if (this.savepoint) this.writer.release.run()
    this.savepoint = false
  }

  /** Undoes what the operation wrote, and nothing else. */
  undo(): void {
    if (this.savepoint) {
      this.writer.rollbackTo.run()
      this.writer.release.run()
      // The next message gets the place of the one that is gone: who listens must not believe to have heard it.
      this.writer.lastSeq = this.seqBefore
      this.writer.log.changes.length = this.changesBefore
      this.writer.log.messages.length = this.messagesBefore
    }
    this.savepoint = false
  }

  private begin(): void {
    if (this.savepoint) return
    this.writer.savepoint.run()
    this.savepoint = true
    this.seqBefore = this.writer.lastSeq
    this.changesBefore = this.writer.log.changes.length
    this.messagesBefore = this.writer.log.messages.length
  }

  private record(
    table: Table,
    of: unknown,
    before: RowChange["before"],
    after: RowChange["after"],
    text: string | null
  ): void {
    this.writer.written.add(table.name)
    if (!this.recorded) return
    const key = JSON.stringify(of)
    const { lastInsertRowid } = this.writer.insertChange.run(
      this.operationId,
      table.name,
      key,
      before === null ? null : JSON.stringify(before),
      text
    )
    this.writer.log.changes.push({
      n: Number(lastInsertRowid),
      operationId: this.operationId,
      table,
      key,
      before,
      after
    })
  }

  /** The version grows once per operation, however often the operation touches the row. */
  private nextVersion(table: Table, before: Readonly<Record<string, unknown>>, key: unknown): number {
    const identity = this.identity(table, key)
    const current = Number(before["version"])
    if (this.grown.has(identity)) return current
    this.grown.add(identity)
    return current + 1
  }

  private identity(table: Table, key: unknown): string {
    return `${table.name} ${JSON.stringify(key)}`
  }

  /** A large operation lets the event loop turn between its statements; the transaction stays open meanwhile. */
  private step<A, E extends StepError>(run: () => Exit.Exit<A, E>): Effect.Effect<A, E | StoreUnavailable> {
    const { writer } = this
    const unlessBroken = (): Exit.Exit<A, E | StoreUnavailable> => {
      if (writer.broken !== undefined) return Exit.fail(writer.broken)
      const exit = run()
      if (exit._tag === "Failure" && exit.cause._tag === "Fail" && exit.cause.error instanceof StoreUnavailable) {
        writer.broken = exit.cause.error
      }
      return exit
    }
    return Effect.suspend(() =>
      writer.slice.spent()
        ? Effect.zipRight(writer.slice.breathe, Effect.suspend(unlessBroken))
        : unlessBroken()
    )
  }
}

const missing = (table: Table, key: unknown) =>
  Effect.fail(new RowMissing({ table: table.name, key: JSON.stringify(key) }))

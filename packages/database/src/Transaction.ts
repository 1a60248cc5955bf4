import type * as Message from "@holdfast/contracts/Message"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { Query } from "./Query.ts"
import type { ReadError, WriteError } from "./StoreError.ts"
import type { Columns, Key, NewRow, Row, Table } from "./Table.ts"

/**
 * Reads of one agent's store: inside an operation its own writes included, outside of it the last committed state.
 *
 * @category models
 */
export interface ReaderShape {
  readonly get: <C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    key: Key<Table<C, K>>
  ) => Effect.Effect<Option.Option<Row<Table<C, K>>>, ReadError>
  readonly select: <C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    query: Query<C>
  ) => Effect.Effect<ReadonlyArray<Row<Table<C, K>>>, ReadError>
  /** Portable SQL with `?` placeholders for what `select` cannot say (sums, joins); decode the rows with a Schema. */
  readonly query: (
    sql: string,
    parameters?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>, ReadError>
}

/**
 * The store of the agent at hand, for reading.
 *
 * @category services
 */
export class Reader extends Context.Tag("@holdfast/database/Transaction/Reader")<Reader, ReaderShape>() {}

/**
 * What caused an operation; its messages carry it on.
 *
 * @category models
 */
export interface Cause {
  readonly correlationId: string
  readonly causationId: string
  readonly actor?: string
  /** The W3C trace context of what began it all. */
  readonly traceparent?: string
}

/**
 * What a message says of itself where that does not follow from its operation.
 *
 * @category models
 */
export interface EmitOptions {
  readonly correlationId?: string
  readonly causationId?: string
  readonly eventId?: string
  /** A command that has not been begun by then (milliseconds since the epoch) is not wanted any more. */
  readonly deadline?: number
}

/**
 * What one process may use of scarce quantities while the primary is away and others may use them too: `share` of what
 * there was when the outage began.
 *
 * @category models
 */
export interface Bound {
  /** Above 0, at most 1; the shares of all processes together stay below 1. */
  readonly share: number
  /** The row as it was when the outage began, undefined if it was not there; the row itself where nothing has touched it. */
  readonly atStart: <C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    row: Row<Table<C, K>>
  ) => Row<Table<C, K>> | undefined
}

/**
 * The one transaction of an operation: rows, events and the record of the operation commit together or not at all.
 *
 * @category models
 */
export interface TransactionShape extends ReaderShape {
  readonly operationId: string
  /** When the operation was accepted, in milliseconds since the epoch: the only clock inside an operation. */
  readonly now: number
  readonly cause: Cause
  /** Set while the primary is away: a bounded operation stays within it. */
  readonly bound: Bound | undefined
  /** A new id of the prefix; the same operation run again makes the same ids in the same order. */
  readonly nextId: (prefix: string) => string
  readonly insert: <C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    row: NewRow<Table<C, K>>
  ) => Effect.Effect<Row<Table<C, K>>, WriteError>
  /** Reads the row, applies the function and writes what differs; fails with `RowMissing`. */
  readonly update: <C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    key: Key<Table<C, K>>,
    change: (row: Row<Table<C, K>>) => NewRow<Table<C, K>>
  ) => Effect.Effect<Row<Table<C, K>>, WriteError>
  readonly remove: <C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    key: Key<Table<C, K>>
  ) => Effect.Effect<void, WriteError>
  /**
   * Writes the message to the outbox; it is published after the commit, in order per key. Returns its id. Fails with
   * `MessageTooLarge` above 960 KiB.
   */
  readonly emit: <Name extends string, A, I>(
    message: Message.Message<Name, A, I>,
    payload: A,
    options?: EmitOptions
  ) => Effect.Effect<string, WriteError>
}

/**
 * The transaction of the operation at hand. A port to an outside party asserts its absence: nothing outside is called
 * inside a transaction.
 *
 * @category services
 */
export class Transaction extends Context.Tag("@holdfast/database/Transaction")<Transaction, TransactionShape>() {}

/** Reads a row by its key. */
export const get = <C extends Columns, K extends keyof C & string>(table: Table<C, K>, key: Key<Table<C, K>>) =>
  Effect.flatMap(Reader, (reader) => reader.get(table, key))

/** Reads rows by a query. */
export const select = <C extends Columns, K extends keyof C & string>(table: Table<C, K>, query: Query<C>) =>
  Effect.flatMap(Reader, (reader) => reader.select(table, query))

/** Reads by portable SQL. */
export const query = (sql: string, parameters?: ReadonlyArray<unknown>) =>
  Effect.flatMap(Reader, (reader) => reader.query(sql, parameters))

/** Inserts a row; `version` becomes 1. */
export const insert = <C extends Columns, K extends keyof C & string>(table: Table<C, K>, row: NewRow<Table<C, K>>) =>
  Effect.flatMap(Transaction, (tx) => tx.insert(table, row))

/** Changes a row by a pure function; `version` grows by 1 per operation. */
export const update = <C extends Columns, K extends keyof C & string>(
  table: Table<C, K>,
  key: Key<Table<C, K>>,
  change: (row: Row<Table<C, K>>) => NewRow<Table<C, K>>
) => Effect.flatMap(Transaction, (tx) => tx.update(table, key, change))

/** Deletes a row. */
export const remove = <C extends Columns, K extends keyof C & string>(table: Table<C, K>, key: Key<Table<C, K>>) =>
  Effect.flatMap(Transaction, (tx) => tx.remove(table, key))

/** Writes a message to the outbox. */
export const emit = <Name extends string, A, I>(
  message: Message.Message<Name, A, I>,
  payload: A,
  options?: EmitOptions
) => Effect.flatMap(Transaction, (tx) => tx.emit(message, payload, options))

/** A new id derived from the operation. */
export const nextId = (prefix: string) => Effect.map(Transaction, (tx) => tx.nextId(prefix))

/** When the operation at hand was accepted (milliseconds since the epoch). */
export const now = Effect.map(Transaction, (tx) => tx.now)

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Query } from "./Query.ts"
import { render } from "./Query.ts"
import * as RowCodec from "./RowCodec.ts"
import type { Connection, Statement } from "./SqliteConnection.ts"
import { classify } from "./SqliteConnection.ts"
import { ConstraintViolated, type StoreUnavailable } from "./StoreError.ts"
import type { Columns, Key, Row, Table } from "./Table.ts"
import type { ReaderShape } from "./Transaction.ts"

/**
 * The prepared statements of one table on one connection.
 *
 * @category models
 */
export interface TableStatements<C extends Columns, K extends keyof C & string> {
  readonly codec: RowCodec.RowCodec<C, K>
  readonly get: Statement
  readonly insert: Statement
  readonly update: Statement
  readonly remove: Statement
}

const statementCacheLimit = 500

/**
 * Statements of a connection, prepared once. Statements for writing are prepared on first use, so that a read-only
 * connection can hold the same object.
 *
 * @category constructors
 */
export class Statements {
  private readonly tables = new Map<string, unknown>()
  private readonly texts = new Map<string, Statement>()
  readonly connection: Connection

  constructor(connection: Connection) {
    this.connection = connection
  }

  ofTable<C extends Columns, K extends keyof C & string>(table: Table<C, K>): TableStatements<C, K> {
    const known = this.tables.get(table.name)
    // Cached under the table's own name by the line below.
    if (known !== undefined) return known as TableStatements<C, K>
    const prepare = (sql: string) => this.connection.prepare<Array<unknown>>(sql)
    const name = `"${table.name}"`
    const column = (field: string) => `"${table.sqlNames[field]}"`
    const fields = table.fields.map(column)
    const byKey = table.key.map((field) => `${column(field)} = ?`).join(" and ")
    const made: TableStatements<C, K> = {
      codec: RowCodec.make(table),
      get: prepare(`select ${fields.join(", ")} from ${name} where ${byKey}`).raw(),
      insert: prepare(`insert into ${name} (${fields.join(", ")}) values (${fields.map(() => "?").join(", ")})`),
      update: prepare(`update ${name} set ${fields.map((field) => `${field} = ?`).join(", ")} where ${byKey}`),
      remove: prepare(`delete from ${name} where ${byKey}`)
    }
    this.tables.set(table.name, made)
    return made
  }

  ofText(sql: string): Statement {
    const known = this.texts.get(sql)
    if (known !== undefined) return known
    if (this.texts.size >= statementCacheLimit) this.texts.clear()
    const statement = this.connection.prepare<Array<unknown>>(sql)
    this.texts.set(sql, statement)
    return statement
  }
}

/**
 * Runs driver code as an effect: what it throws becomes a typed failure, anything else a defect.
 *
 * @category running
 */
export const attempt = <A>(table: string, run: () => A): Exit.Exit<A, StoreUnavailable | ConstraintViolated> => {
  try {
    return Exit.succeed(run())
  } catch (thrown) {
    const failure = classify(thrown, table)
    return failure === undefined ? Exit.die(thrown) : Exit.fail(failure)
  }
}

/** As {@link attempt}, for reads: a constraint cannot break there. */
export const attemptRead = <A>(table: string, run: () => A): Exit.Exit<A, StoreUnavailable> => {
  const exit = attempt(table, run)
  if (Exit.isSuccess(exit)) return Exit.succeed(exit.value)
  return Exit.failCause(
    Cause.flatMap(exit.cause, (error) => error instanceof ConstraintViolated ? Cause.die(error) : Cause.fail(error))
  )
}

/** Reads one row. */
export const getRow = <C extends Columns, K extends keyof C & string>(
  statements: Statements,
  table: Table<C, K>,
  key: Key<Table<C, K>>
): Row<Table<C, K>> | undefined => {
  const { codec, get } = statements.ofTable(table)
  const values = get.get(...codec.encodeKey(key))
  return Array.isArray(values) ? codec.decode(values) : undefined
}

/** Reads the rows of a query. */
export const selectRows = <C extends Columns, K extends keyof C & string>(
  statements: Statements,
  table: Table<C, K>,
  query: Query<C>
): ReadonlyArray<Row<Table<C, K>>> => {
  const { codec } = statements.ofTable(table)
  const rendered = render(table, query, codec.encodeValue)
  const columns = table.fields.map((field) => `"${table.sqlNames[field]}"`).join(", ")
  const statement = statements.ofText(`select ${columns} from "${table.name}"${rendered.sql}`).raw()
  return statement.all(...rendered.parameters).map((values) => codec.decode(Array.isArray(values) ? values : []))
}

/** Runs portable SQL; rows are objects by column name. */
export const queryRows = (
  statements: Statements,
  sql: string,
  parameters: ReadonlyArray<unknown>
): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  // The driver returns plain objects by column name when a statement is not raw.
  statements.ofText(sql).all(...parameters) as ReadonlyArray<Readonly<Record<string, unknown>>>

/**
 * Reads of the committed state over their own connection.
 *
 * @category constructors
 */
export const make = (statements: Statements): ReaderShape => ({
  get: (table, key) =>
    Effect.suspend(() => attemptRead(table.name, () => Option.fromNullable(getRow(statements, table, key)))),
  select: (table, query) => Effect.suspend(() => attemptRead(table.name, () => selectRows(statements, table, query))),
  query: (sql, parameters = []) =>
    Effect.suspend(() => attemptRead("query", () => queryRows(statements, sql, parameters)))
})

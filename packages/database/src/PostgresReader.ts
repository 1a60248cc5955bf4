import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { connect, type PostgresConfig, type PostgresConnection, quote, type Statement } from "./PostgresConnection.ts"
import type { PostgresError } from "./PostgresError.ts"
import * as PostgresSchema from "./PostgresSchema.ts"
import * as PostgresTable from "./PostgresTable.ts"
import { render } from "./Query.ts"
import { StoreUnavailable } from "./StoreError.ts"
import { PAGE, type StoreReader } from "./StoreReader.ts"
import type { Table } from "./Table.ts"

/** A question must be answered within this time, in milliseconds: sums over a large ledger take theirs. */
const ANSWER_MILLIS = 60_000

/** Between two questions whoever asks may work on others for as long. */
const IDLE_MILLIS = 600_000

/** The order of bytes, which is SQLite's, whatever the order of the database. */
const COLLATION = " collate \"C\""

const unavailable = (agent: string) => (error: PostgresError): StoreUnavailable =>
  new StoreUnavailable({
    reason: "lost",
    detail: `the store of the ${agent} agent in Postgres cannot be read: ${error.message}`,
    cause: error
  })

/** `?` outside of literals and names becomes `$1`, `$2`, … */
const numbered = (sql: string): string => {
  let n = 0
  return sql.replace(/'[^']*'|"[^"]*"|\?/g, (found) => found === "?" ? `$${++n}` : found)
}

/** Booleans as SQLite has them, so that portable SQL has one answer. */
const portable = (row: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
  const entries = Object.entries(row)
  return entries.some(([, value]) => typeof value === "boolean")
    ? Object.fromEntries(entries.map(([name, value]) => [name, typeof value === "boolean" ? Number(value) : value]))
    : row
}

const make = (agent: string, session: PostgresConnection): StoreReader => {
  const ask = (statement: Statement) =>
    Effect.catchAll(
      Effect.map(session.run([statement], ANSWER_MILLIS), ([result]) => result?.rows ?? []),
      // As a faulty statement is in a file: a bug, unless somebody has dropped what it reads.
      (error) =>
        error._tag === "PostgresStatementInvalid" && error.code !== "42P01" && error.code !== "42703"
          ? Effect.die(error)
          : Effect.fail(unavailable(agent)(error))
    )
  const encodeIn = (table: Table) => (field: string, value: unknown) =>
    table.columns[field]?.storage === "json" ? JSON.stringify(value) : value
  let walks = 0
  return {
    get: (table, key) => {
      const of = PostgresTable.of(table)
      return Effect.map(
        ask(of.byKeys([key])),
        ([row]) => Option.map(Option.fromNullable(row), (found) => PostgresTable.typed(table, of.decode(found)))
      )
    },
    select: (table, query) => {
      const of = PostgresTable.of(table)
      const { parameters, sql } = render(table, query, encodeIn(table), COLLATION)
      return Effect.map(
        ask({ text: `select ${of.columns} from ${quote(table.name)}${numbered(sql)}`, values: parameters }),
        (rows) => rows.map((row) => PostgresTable.typed(table, of.decode(row)))
      )
    },
    query: (sql, parameters = []) =>
      Effect.map(ask({ text: numbered(sql), values: parameters }), (rows) => rows.map(portable)),
    // Sorted once: an index of a database with another order of text would lead to no page.
    walk: (table, { order, where = [] }) => {
      const of = PostgresTable.of(table)
      const cursor = quote(`walk ${++walks}`)
      const orderBy = order.map((field) => [field, "asc"] as const)
      const { parameters, sql } = render(table, { where, orderBy }, encodeIn(table), COLLATION)
      const declare = {
        text: `declare ${cursor} no scroll cursor for select ${of.columns} from ${quote(table.name)}${numbered(sql)}`,
        values: parameters
      }
      let isDeclared = false
      return Effect.gen(function*() {
        if (!isDeclared) yield* ask(declare)
        isDeclared = true
        const rows = yield* ask({ text: `fetch ${PAGE} from ${cursor}` })
        return rows.map((row) => PostgresTable.typed(table, of.decode(row)))
      })
    }
  }
}

/**
 * Reads an agent's store in Postgres without running the agent, also while others run it, as of one moment: for
 * verification and reports. Portable SQL is answered as a file would answer it; only its `order by` on text follows the
 * database's own order.
 *
 * @category constructors
 */
export const reader = (
  config: PostgresConfig,
  agent: string
): Effect.Effect<StoreReader, StoreUnavailable, Scope.Scope> =>
  Effect.gen(function*() {
    const session = yield* Effect.acquireRelease(
      Effect.mapError(connect(config, `holdfast ${agent} reader`, PostgresSchema.nameOf(agent)), unavailable(agent)),
      (opened) => Effect.sync(() => opened.destroy("it has been read"))
    )
    // The first question fixes the moment.
    const results = yield* Effect.mapError(
      session.run([
        { text: `set statement_timeout = ${ANSWER_MILLIS}` },
        { text: `set idle_in_transaction_session_timeout = ${IDLE_MILLIS}` },
        { text: "begin transaction isolation level repeatable read read only" },
        { text: "select to_regclass('operation') as found" }
      ], ANSWER_MILLIS),
      unavailable(agent)
    )
    if (results.at(-1)?.rows[0]?.["found"] === null) {
      return yield* new StoreUnavailable({
        reason: "other",
        detail: `Postgres has no store of the ${agent} agent: start the agent once with this DATABASE_URL`
      })
    }
    return make(agent, session)
  })

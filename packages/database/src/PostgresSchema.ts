import * as PgClient from "@effect/sql-pg/PgClient"
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Deadline from "@holdfast/resilience/Deadline"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { createHash, randomUUID } from "node:crypto"
import pg from "pg"
import * as Migration from "./Migration.ts"
import { type PostgresConfig, quote } from "./PostgresConnection.ts"
import { classify, type PostgresError, PostgresUnavailable } from "./PostgresError.ts"
import * as SystemTables from "./SystemTables.ts"

/** Migrations of a large store take their time; other processes wait for them. */
const MIGRATE = "5 minutes"

/** The name of an agent's schema. */
export const nameOf = (agent: string): string => agent

/** A number of 63 bits for the schema's advisory lock. */
const lockOf = (schema: string): string =>
  (createHash("sha256").update(`holdfast ${schema}`).digest().readBigInt64BE() >> 1n).toString()

/**
 * One connection for the migrator, in the schema. The migrator reports what fails as a defect, a connection that is lost
 * among it: here it becomes a typed failure again.
 */
const withSql = <A>(
  config: PostgresConfig,
  schema: string,
  use: Effect.Effect<A, SqlError | Migrator.MigrationError, SqlClient.SqlClient>
): Effect.Effect<A, PostgresError> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const pool = new pg.Pool({
        connectionString: Redacted.value(config.url),
        ...(config.tls === undefined ? {} : { ssl: config.tls }),
        max: 1,
        application_name: `holdfast ${schema} migrations`,
        connectionTimeoutMillis: 2_000,
        lock_timeout: 60_000,
        // Awaited before the connection is given away; the driver's types do not know it yet.
        onConnect: (client: pg.ClientBase) => client.query(`set search_path = ${quote(schema)}`)
      } as pg.PoolConfig)
      // A pool without a listener ends the process when an idle connection breaks.
      pool.on("error", () => {})
      return pool
    }),
    (pool) => Effect.provide(use, PgClient.layerFromPool({ acquire: Effect.succeed(pool) })),
    (pool) => Effect.promise(() => pool.end().catch(() => {}))
  ).pipe(
    Effect.catchAllCause((cause) => Effect.fail(ofCause(cause))),
    Deadline.within(MIGRATE, "migrations"),
    Effect.catchTag(
      "DeadlineExceeded",
      (error) => new PostgresUnavailable({ reason: "timeout", detail: error.message })
    )
  )

/** The driver's own error is at the bottom of what the migrator and the client wrapped around it. */
const ofCause = (cause: Cause.Cause<unknown>): PostgresError => {
  let error: unknown = Cause.squash(cause)
  while (typeof error === "object" && error !== null && "cause" in error && error.cause instanceof Error) {
    error = error.cause
  }
  return classify(error)
}

/** Says of each store which one it is: a shadow of one is none of another. */
const introduce = (sql: SqlClient.SqlClient) =>
  sql`insert into replication (id, incarnation, epoch, head, operation_n, outbox_seq, change_n)
      values (1, ${randomUUID()}, 0, 0, 0, 0, 0) on conflict (id) do nothing`

/**
 * Makes the agent's schema and brings it up to date, one process at a time: under an advisory lock of the schema, which
 * vanishes with the connection. Answers whether the agent's tables are others than before.
 *
 * @category programs
 */
export const prepare = (
  config: PostgresConfig,
  agent: string,
  migrations: ReadonlyArray<Migration.Migration>
): Effect.Effect<boolean, PostgresError> => {
  const schema = nameOf(agent)
  return withSql(
    config,
    schema,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const locked = sql.unsafe(`select pg_advisory_lock(${lockOf(schema)})`)
      const unlock = sql.unsafe(`select pg_advisory_unlock(${lockOf(schema)})`)
      const run = (table: string, some: ReadonlyArray<Migration.Migration>) =>
        Migrator.make({})({
          table,
          loader: Migrator.fromRecord(Object.fromEntries(some.map((migration) => [
            migration.id,
            Effect.forEach(Migration.statements(migration, "postgres"), (statement) => sql.unsafe(statement), {
              discard: true
            })
          ])))
        })
      return yield* Effect.acquireUseRelease(
        locked,
        () =>
          Effect.gen(function*() {
            const known = yield* sql`select 1 from information_schema.schemata where schema_name = ${schema}`
            if (known.length === 0) yield* sql.unsafe(`create schema ${quote(schema)}`)
            yield* run("kernel_migrations", SystemTables.migrations)
            const made = yield* run("migrations", migrations)
            yield* introduce(sql)
            return made.length > 0
          }),
        // A connection that broke has given the lock back already.
        () => Effect.ignore(unlock)
      )
    })
  )
}

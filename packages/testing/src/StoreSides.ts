import type { DatabaseShape } from "@holdfast/database/Database"
import * as PostgresConnection from "@holdfast/database/PostgresConnection"
import type { PostgresError } from "@holdfast/database/PostgresError"
import * as PostgresTable from "@holdfast/database/PostgresTable"
import type { ReadError } from "@holdfast/database/StoreError"
import * as SystemTables from "@holdfast/database/SystemTables"
import type { Table } from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"

type Image = Readonly<Record<string, unknown>>

/** As one text, whatever the order of an object's names. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
      : inner) ?? "undefined"

const differencesOf = (
  name: string,
  here: ReadonlyMap<string, string>,
  there: ReadonlyMap<string, string>
): ReadonlyArray<string> =>
  [...new Set([...here.keys(), ...there.keys()])]
    .filter((key) => here.get(key) !== there.get(key))
    .map((key) => `${name} ${key}: the file has ${here.get(key) ?? "nothing"}, Postgres ${there.get(key) ?? "nothing"}`)

const byKey = (rows: ReadonlyArray<Image>, keyOf: (row: Image) => string): ReadonlyMap<string, string> =>
  new Map(rows.map((row) => [keyOf(row), canonical(row)]))

/**
 * Every difference between a store's file and its schema in Postgres: all rows of the tables given and of those that are
 * replicated, every operation with its answer, every message with its time. Read one after the other: nobody may write meanwhile.
 *
 * @category checks
 */
export const differences = (
  database: DatabaseShape,
  config: PostgresConnection.PostgresConfig,
  tables: ReadonlyArray<Table>
): Effect.Effect<ReadonlyArray<string>, PostgresError | ReadError> =>
  Effect.scoped(Effect.gen(function*() {
    const session = yield* Effect.acquireRelease(
      PostgresConnection.connect(config, "comparison", database.agent),
      (made) => Effect.sync(() => made.destroy("done"))
    )
    const there = (text: string) => Effect.map(session.run([{ text }], 20_000), ([result]) => result?.rows ?? [])
    const here = (text: string) => database.read(Transaction.query(text))
    const found: Array<string> = []
    for (const table of [...tables, ...SystemTables.replicated]) {
      const of = PostgresTable.of(table)
      const ours = yield* database.read(Transaction.select(table, {}))
      const theirs = yield* there(`select ${of.columns} from "${table.name}"`)
      found.push(...differencesOf(table.name, byKey(ours, of.keyOf), byKey(theirs.map(of.decode), of.keyOf)))
    }
    const idOf = (row: Image) => String(row["id"])
    const operations =
      "select id, command, write_class, fingerprint, answer, outcome, received_at, expires_at from operation"
    found.push(
      ...differencesOf("operation", byKey(yield* here(operations), idOf), byKey(yield* there(operations), idOf))
    )
    // A saga says again under the same id.
    const nameOf = (row: Image) => `${String(row["event_id"])} ${String(row["created_at"])}`
    const messages = "select event_id, type, topic, key, created_at, count(*) as n from outbox group by 1, 2, 3, 4, 5"
    found.push(...differencesOf("message", byKey(yield* here(messages), nameOf), byKey(yield* there(messages), nameOf)))
    return found
  }))

import { Database } from "@holdfast/database/Database"
import type { ReadError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"

/** What of a declared table the migrations must agree with. */
interface Declared {
  readonly name: string
  readonly fields: ReadonlyArray<string>
  readonly sqlNames: Readonly<Record<string, string>>
  readonly key: ReadonlyArray<string>
  readonly columns: Readonly<Record<string, { readonly storage: string; readonly nullable: boolean }>>
}

const sqlTypes: Readonly<Record<string, string>> = {
  text: "text",
  integer: "bigint",
  real: "real",
  boolean: "boolean",
  json: "json"
}

/**
 * Where the declared tables and the migrated SQLite schema differ, one sentence each: missing tables, columns declared or
 * made only on one side, other types, other keys, other nullability. Empty when both agree.
 *
 * @category checks
 */
export const differences = (
  tables: ReadonlyArray<Declared>
): Effect.Effect<ReadonlyArray<string>, ReadError, Database> =>
  Effect.flatMap(
    Database,
    (database) =>
      database.read(Effect.forEach(tables, (table) =>
        Effect.map(Transaction.query(`select * from pragma_table_info('${table.name}')`), (rows) => {
          if (rows.length === 0) {
            return [`${table.name} is not migrated`]
          }
          const made = new Map(rows.map((row) => [String(row["name"]), row]))
          const found: Array<string> = []
          for (const field of table.fields) {
            const name = table.sqlNames[field] ?? field
            const column = table.columns[field]
            const row = made.get(name)
            made.delete(name)
            if (column === undefined || row === undefined) {
              found.push(`${table.name}.${name} is declared and not migrated`)
              continue
            }
            const type = sqlTypes[column.storage] ?? column.storage
            if (String(row["type"]).toLowerCase() !== type) {
              found.push(`${table.name}.${name} is declared as ${type} and migrated as ${String(row["type"])}`)
            }
            const nullable = row["notnull"] === 0 && row["pk"] === 0
            if (nullable !== column.nullable) {
              found.push(`${table.name}.${name} is nullable on one side only`)
            }
          }
          for (const name of made.keys()) {
            found.push(`${table.name}.${name} is migrated and not declared`)
          }
          const key = rows.filter((row) =>
            Number(row["pk"]) > 0
          )
            .sort((a, b) => Number(a["pk"]) - Number(b["pk"])).map((row) => String(row["name"]))
          const declaredKey = table.key.map((field) => table.sqlNames[field] ?? field)
          if (key.join() !== declaredKey.join()) {
            found.push(`${table.name} is keyed by (${key.join(", ")}), declared as (${declaredKey.join(", ")})`)
          }
          return found
        })))
  )
    .pipe(Effect.map((found) =>
      found.flat()
    ))

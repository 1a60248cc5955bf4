import type { Columns, Key, Row, Table } from "./Table.ts"

/**
 * How rows of one table travel to and from SQLite: arrays in the order of the declared fields.
 *
 * @category models
 */
export interface RowCodec<C extends Columns, K extends keyof C & string> {
  readonly encode: (row: Readonly<Record<string, unknown>>) => Array<unknown>
  readonly encodeValue: (field: string, value: unknown) => unknown
  readonly encodeKey: (key: Key<Table<C, K>>) => Array<unknown>
  readonly decode: (values: ReadonlyArray<unknown>) => Row<Table<C, K>>
  readonly keyOf: (row: Readonly<Record<string, unknown>>) => Record<string, unknown>
}

type Storage = Columns[string]["storage"]

const toSqlite = (storage: Storage, value: unknown): unknown => {
  if (value === null || value === undefined) return null
  if (storage === "boolean") return value === true ? 1 : 0
  return storage === "json" ? JSON.stringify(value) : value
}

const fromSqlite = (storage: Storage, value: unknown): unknown => {
  if (value === null) return null
  if (storage === "boolean") return value === 1
  return storage === "json" && typeof value === "string" ? JSON.parse(value) : value
}

/**
 * Compiles the codec of a table.
 *
 * @category constructors
 */
export const make = <C extends Columns, K extends keyof C & string>(table: Table<C, K>): RowCodec<C, K> => {
  const fields = table.fields
  const storages = fields.map((field) => table.columns[field]?.storage ?? "text")
  const storageOf = new Map(fields.map((field, index) => [field, storages[index] ?? "text"]))
  return {
    encode: (row) => fields.map((field, index) => toSqlite(storages[index] ?? "text", row[field])),
    encodeValue: (field, value) => toSqlite(storageOf.get(field) ?? "text", value),
    encodeKey: (key) => table.key.map((field) => toSqlite(storageOf.get(field) ?? "text", key[field])),
    decode: (values) => {
      const row: Record<string, unknown> = {}
      for (let i = 0; i < fields.length; i++) row[fields[i] ?? ""] = fromSqlite(storages[i] ?? "text", values[i])
      // The border to the driver: the columns were declared with these types and written through them.
      return row as Row<Table<C, K>>
    },
    keyOf: (row) => {
      const key: Record<string, unknown> = {}
      for (const field of table.key) key[field] = row[field]
      return key
    }
  }
}

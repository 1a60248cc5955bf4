import { quote, type Statement } from "./PostgresConnection.ts"
import type { Columns, Row, Table } from "./Table.ts"

type Image = Readonly<Record<string, unknown>>

/**
 * A table in Postgres: many rows travel in one parameter, as JSON, in one statement for any number of rows.
 *
 * @category models
 */
export interface PostgresTable {
  readonly table: Table
  /** Writes the rows, whether they were there or not. */
  readonly upsert: (rows: ReadonlyArray<Image>) => Statement
  /** Deletes the rows of these keys; a key is any object with the key's columns. */
  readonly remove: (keys: ReadonlyArray<Image>) => Statement
  /** Reads the rows of these keys; `decode` each. */
  readonly byKeys: (keys: ReadonlyArray<Image>) => Statement
  /** The columns of a select list, in the table's order. */
  readonly columns: string
  readonly decode: (row: Image) => Image
  /** The key as changes record it. */
  readonly keyOf: (row: Image) => string
  readonly keyImage: (key: string) => Image
}

const toPostgres = (table: Table, image: Image): Image =>
  Object.fromEntries(table.fields.flatMap((field) => {
    const value = image[field]
    return value === undefined ? [] : [[table.sqlNames[field] ?? field, value]]
  }))

const decodeColumn = (storage: string, value: unknown): unknown =>
  value !== null && storage === "json" ? JSON.parse(String(value)) : value

const known = new WeakMap<Table, PostgresTable>()

/**
 * The statements of a table, made once.
 *
 * @category constructors
 */
export const of = (table: Table): PostgresTable => {
  const made = known.get(table) ?? make(table)
  known.set(table, made)
  return made
}

const make = (table: Table): PostgresTable => {
  const name = quote(table.name)
  const column = (field: string) => quote(table.sqlNames[field] ?? field)
  const fields = table.fields.map(column)
  const key = table.key.map(column)
  const rest = table.fields.filter((field) => !table.key.includes(field)).map(column)
  const given = `json_populate_recordset(null::${name}, $1::json)`
  const sameKey = key.map((one) => `t.${one} = k.${one}`).join(" and ")
  const conflict = rest.length === 0
    ? "do nothing"
    : `do update set ${rest.map((one) => `${one} = excluded.${one}`).join(", ")}`
  const upsert = `insert into ${name} (${fields.join(", ")}) select ${fields.join(", ")} from ${given} ` +
    `on conflict (${key.join(", ")}) ${conflict}`
  const remove = `delete from ${name} t using ${given} k where ${sameKey}`
  const byKeys = `select ${fields.map((one) => `t.${one}`).join(", ")} from ${name} t join ${given} k on ${sameKey}`
  const statement = (what: string, text: string) => (images: ReadonlyArray<Image>): Statement => ({
    name: `${what} ${table.name}`,
    text,
    values: [JSON.stringify(images.map((image) => toPostgres(table, image)))]
  })
  return {
    table,
    upsert: statement("upsert", upsert),
    remove: statement("remove", remove),
    byKeys: statement("read", byKeys),
    columns: fields.join(", "),
    decode: (row) =>
      Object.fromEntries(table.fields.map((field) => {
        const storage = table.columns[field]?.storage ?? "text"
        return [field, decodeColumn(storage, row[table.sqlNames[field] ?? field])]
      })),
    keyOf: (row) => JSON.stringify(Object.fromEntries(table.key.map((field) => [field, row[field]]))),
    keyImage: (text) => JSON.parse(text) as Image
  }
}

/** A row image with the type its table declares; the kernel wrote it through that declaration. */
export const typed = <C extends Columns, K extends keyof C & string>(_table: Table<C, K>, image: Image) =>
  image as Row<Table<C, K>>

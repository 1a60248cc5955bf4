import type * as Schema from "effect/Schema"

/**
 * One column of a table: how it is stored and what it means in TypeScript. Portable over Postgres and SQLite: `boolean`
 * is 0/1 in SQLite, `json` is text there and `jsonb` in Postgres; integers are safe integers on both.
 *
 * @category models
 */
export interface Column<A> {
  readonly storage: "text" | "integer" | "real" | "boolean" | "json"
  readonly nullable: boolean
  /** Never present: carries the TypeScript type. */
  readonly _A?: (_: never) => A
}

const column = <A>(storage: Column<A>["storage"]): Column<A> => ({ storage, nullable: false })

/** Text. */
export const text: Column<string> = column("text")
/** A safe integer: counts, minor units of money, milliseconds since the epoch. */
export const integer: Column<number> = column("integer")
/** A double, for statistics; never for money or quantities. */
export const real: Column<number> = column("real")
/** True or false. */
export const boolean: Column<boolean> = column("boolean")
/** Text of a narrower type, e.g. an id or a state; its schema guards the border where it enters. */
export const textOf = <A extends string, I>(_schema: Schema.Schema<A, I>): Column<A> => column("text")
/** A JSON document; the schema names its type and must not transform. */
export const json = <A, I>(_schema: Schema.Schema<A, I>): Column<A> => column("json")
/** The column, or null. */
export const nullable = <A>(of: Column<A>): Column<A | null> => ({ storage: of.storage, nullable: true })

/** The columns of a table, by their TypeScript name; in SQL they are snake_case. */
// The variance of Column makes `any` the only type that stands for every column.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Columns = Readonly<Record<string, Column<any>>>

/**
 * How a table's rows of an outage merge into Postgres (spec §2.2):
 *
 * - `ledger`: append-only; a row with the same key is the same fact and stays as it is
 * - `versioned`: the row changes only if Postgres still has the version the operation started from, else conflict
 * - `delta`: the difference of the named counters is added, the row's other columns are compared as versioned
 *
 * A table whose rows are part of another's aggregate names it as `aggregate`: they follow its version.
 *
 * @category models
 */
export type MergePolicy<Name extends string = string> =
  | { readonly _tag: "ledger" }
  | { readonly _tag: "versioned"; readonly aggregate?: string }
  | { readonly _tag: "delta"; readonly counters: ReadonlyArray<Name> }

/**
 * A declared table. Its rows are read and written only through the kernel, which keeps `version` (1 at insert, +1 per
 * operation that changes the row) where the table has one, and records every change.
 *
 * @category models
 */
export interface Table<C extends Columns = Columns, K extends keyof C & string = keyof C & string> {
  readonly name: string
  readonly columns: C
  readonly key: ReadonlyArray<K>
  readonly merge: MergePolicy
  /** Column names in order of declaration, in TypeScript and in SQL. */
  readonly fields: ReadonlyArray<string>
  readonly sqlNames: Readonly<Record<string, string>>
  readonly versioned: boolean
}

/** A row of a table. */
export type Row<T extends { readonly columns: Columns }> = {
  readonly [N in keyof T["columns"]]: T["columns"][N] extends Column<infer A> ? A : never
}

/** What a caller gives to insert: the row without `version`, which is the kernel's. */
export type NewRow<T extends { readonly columns: Columns }> = Omit<Row<T>, "version">

/** The key of a row. */
export type Key<T> = T extends Table<infer C, infer K> ? { readonly [N in K]: Row<{ columns: C }>[N] } : never

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/**
 * Declares a table: `Table.make("stock_level", { columns, key: ["sku", "locationId"], merge: Table.delta("onHand") })`.
 * The migrations create it; a test of the service checks that both agree.
 *
 * @category constructors
 */
export const make = <C extends Columns, K extends keyof C & string>(name: string, options: {
  readonly columns: C
  readonly key: ReadonlyArray<K>
  readonly merge: MergePolicy<keyof C & string>
}): Table<C, K> => {
  const fields = Object.keys(options.columns)
  return {
    name,
    columns: options.columns,
    key: options.key,
    merge: options.merge,
    fields,
    sqlNames: Object.fromEntries(fields.map((field) => [field, snakeCase(field)])),
    versioned: "version" in options.columns
  }
}

/** Append-only rows. */
export const ledger: MergePolicy<never> = { _tag: "ledger" }
/** Aggregates compared by version. */
export const versioned: MergePolicy<never> = { _tag: "versioned" }
/** Rows that belong to the aggregate stored in the named table. */
export const partOf = (aggregate: string): MergePolicy<never> => ({ _tag: "versioned", aggregate })
/** Counters that add up. */
export const delta = <Name extends string>(...counters: ReadonlyArray<Name>): MergePolicy<Name> => ({
  _tag: "delta",
  counters
})

import type { Columns, Row, Table } from "./Table.ts"

/** A comparison of one column with a value, as data: `["state", "=", "held"]`; `in` takes an array. */
export type Comparison<C extends Columns> = {
  [N in keyof C & string]:
    | readonly [N, "=" | "<>" | "<" | "<=" | ">" | ">=", Row<{ columns: C }>[N]]
    | readonly [N, "in", ReadonlyArray<Row<{ columns: C }>[N]>]
    | readonly [N, "is null" | "is not null"]
}[keyof C & string]

/**
 * A selection of rows of one table: all comparisons hold; `after` continues a list ordered by the same columns behind the
 * given values (keyset paging).
 *
 * @category models
 */
export interface Query<C extends Columns> {
  readonly where?: ReadonlyArray<Comparison<C>>
  readonly orderBy?: ReadonlyArray<readonly [keyof C & string, "asc" | "desc"]>
  readonly after?: ReadonlyArray<string | number>
  readonly limit?: number
}

/** A query as SQL text with `?` placeholders and its parameters in order. */
export interface Rendered {
  readonly sql: string
  readonly parameters: ReadonlyArray<unknown>
}

/**
 * Renders the part of a SELECT after `FROM <table>`; portable over Postgres and SQLite. `collation` is put behind columns
 * of text where they are put in order, for a store whose own order is not that of the bytes.
 *
 * @category rendering
 */
export const render = <C extends Columns, K extends keyof C & string>(
  table: Table<C, K>,
  query: Query<C>,
  encode: (column: string, value: unknown) => unknown,
  collation = ""
): Rendered => {
  const sqlName = (field: string) => `"${table.sqlNames[field]}"`
  const ordered = (field: string) =>
    table.columns[field]?.storage === "text" ? `${sqlName(field)}${collation}` : sqlName(field)
  const parameters: Array<unknown> = []
  const value = (field: string, one: unknown) => {
    parameters.push(encode(field, one))
    return "?"
  }
  const further = (direction: "asc" | "desc") => direction === "asc" ? ">" : "<"
  const behind = (order: NonNullable<Query<C>["orderBy"]>, after: ReadonlyArray<string | number>): string => {
    const [[, direction] = ["", "asc"] as const] = order
    // As one value of several columns, to which an index leads at once.
    if (order.every((one) => one[1] === direction)) {
      const columns = order.map(([field]) => ordered(field))
      const values = order.map(([field], i) => value(field, after[i]))
      return `(${columns.join(", ")}) ${further(direction)} (${values.join(", ")})`
    }
    // Behind (a, b) means: a further, or a equal and b further.
    const alternatives = order.map(([field, direction], index) => {
      const equal = order.slice(0, index).map(([before], i) => `${sqlName(before)} = ${value(before, after[i])}`)
      return `(${[...equal, `${ordered(field)} ${further(direction)} ${value(field, after[index])}`].join(" and ")})`
    })
    return `(${alternatives.join(" or ")})`
  }
  const conditions = (query.where ?? []).map((comparison) => {
    const [field, operator, than] = comparison
    if (operator === "is null" || operator === "is not null") return `${sqlName(field)} ${operator}`
    if (operator === "in") {
      const values: ReadonlyArray<unknown> = Array.isArray(than) ? than : []
      return values.length === 0
        ? "1 = 0"
        : `${sqlName(field)} in (${values.map((one) => value(field, one)).join(", ")})`
    }
    return `${operator === "=" || operator === "<>" ? sqlName(field) : ordered(field)} ${operator} ${
      value(field, than)
    }`
  })
  const orderBy = query.orderBy ?? []
  if (query.after !== undefined) conditions.push(behind(orderBy, query.after))
  const where = conditions.length === 0 ? "" : ` where ${conditions.join(" and ")}`
  const order = orderBy.length === 0
    ? ""
    : ` order by ${orderBy.map(([field, direction]) => `${ordered(field)} ${direction}`).join(", ")}`
  if (query.limit !== undefined) parameters.push(query.limit)
  return { sql: `${where}${order}${query.limit === undefined ? "" : " limit ?"}`, parameters }
}

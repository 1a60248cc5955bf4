import * as Effect from "effect/Effect"
import type { Query } from "./Query.ts"
import type { ReadError } from "./StoreError.ts"
import type { Columns, Row, Table } from "./Table.ts"
import type { ReaderShape } from "./Transaction.ts"

/** Rows of a table, all that hold, in an order that tells any two of them apart. */
export interface Walk<C extends Columns> {
  readonly where?: NonNullable<Query<C>["where"]>
  /** Columns of text or numbers, ascending; text in the order of its bytes. */
  readonly order: ReadonlyArray<keyof C & string>
}

/**
 * The next rows each time it is run; none is the end.
 *
 * @category models
 */
export type Pages<A> = Effect.Effect<ReadonlyArray<A>, ReadError>

/**
 * An agent's store that is read without the agent, for verification and reports.
 *
 * @category models
 */
export interface StoreReader extends ReaderShape {
  /** Reads a table page by page, in a time that grows with its rows. One walk at a time. */
  readonly walk: <C extends Columns, K extends keyof C & string>(
    table: Table<C, K>,
    walk: Walk<C>
  ) => Pages<Row<Table<C, K>>>
}

/** Rows that are read at once. */
export const PAGE = 1_000

/**
 * Walks by the key of the last row: for a store that has an index in that order, or begins with it.
 *
 * @category constructors
 */
export const byKey = (reader: ReaderShape): StoreReader["walk"] => (table, { order, where = [] }) => {
  let after: ReadonlyArray<string | number> | undefined
  return Effect.suspend(() =>
    Effect.tap(
      reader.select(table, {
        where,
        orderBy: order.map((field) => [field, "asc"] as const),
        limit: PAGE,
        ...(after === undefined ? {} : { after })
      }),
      (page) =>
        Effect.sync(() => {
          const last = page.at(-1)
          // Said of the columns by whoever walks.
          if (last !== undefined) after = order.map((field) => last[field] as string | number)
        })
    )
  )
}

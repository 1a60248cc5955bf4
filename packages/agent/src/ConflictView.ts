import { NotFound } from "@holdfast/contracts/Errors"
import * as Settlement from "@holdfast/database/Settlement"
import { Conflicts, Withheld } from "@holdfast/database/SystemTables"
import type { Row } from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/** What has become of a withheld operation. */
export const ConflictStatus = Schema.Literal("open", "applied", "discarded")

/** A row that a withheld operation changes. Only a row in conflict has `id`, `policy`, `reason` and `primary`. */
const ChangedRow = Schema.Struct({
  table: Schema.String,
  key: Schema.Unknown,
  id: Schema.optional(Schema.String).annotations({ description: "The id of the conflict" }),
  policy: Schema.optional(Schema.String).annotations({ description: "How rows of the table merge" }),
  reason: Schema.optional(Schema.String).annotations({
    description: "Why the row is in conflict; absent where it is not"
  }),
  before: Schema.Unknown.annotations({ description: "The row as the operation found it; null where there was none" }),
  primary: Schema.optional(Schema.Unknown).annotations({
    description: "The row as Postgres had it when the conflict was found; null where it had none"
  }),
  outage: Schema.Unknown.annotations({ description: "The row as the outage wanted it; null where it was deleted" })
})

/**
 * An operation of an outage that could not merge, as operators see it: as a whole it waits, with every row that it
 * changes. Those that are in conflict come first, as both sides have them.
 *
 * @category schemas
 */
export const ConflictView = Schema.Struct({
  id: Schema.String.annotations({ description: "The id of the operation" }),
  status: ConflictStatus,
  command: Schema.String,
  at: Schema.String,
  behind: Schema.optional(Schema.String).annotations({ description: "The operation that must be settled before it" }),
  settledBy: Schema.optional(Schema.String),
  rows: Schema.Array(ChangedRow)
}).annotations({ identifier: "Conflict" })
export type ConflictView = typeof ConflictView.Type

const iso = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(millis))

type Operation = Row<typeof Withheld>
type Conflict = Row<typeof Conflicts>

/** The name of a row, however its key is ordered. */
const nameOf = (table: string, key: unknown): string =>
  `${table} ${JSON.stringify(Predicate.isRecord(key) ? Object.entries(key).sort() : key)}`

/** Every row that the operation changes, those in conflict first. */
const rowsOf = (operation: Operation, conflicts: ReadonlyArray<Conflict>): ConflictView["rows"] => {
  const changes = Settlement.changesOf(operation).map((change) => {
    const key: unknown = JSON.parse(change.key)
    return { ...change, key, name: nameOf(change.table, key) }
  })
  const befores = new Map(changes.toReversed().map(({ before, name }) => [name, before]))
  const disputed = new Set(conflicts.map(({ rowKey, tableName }) => nameOf(tableName, rowKey)))
  return [
    ...conflicts.map((conflict) => ({
      table: conflict.tableName,
      key: conflict.rowKey,
      id: conflict.id,
      policy: conflict.policy,
      reason: conflict.reason,
      before: befores.get(nameOf(conflict.tableName, conflict.rowKey)) ?? null,
      primary: conflict.primaryRow,
      outage: conflict.outageRow
    })),
    ...changes.filter(({ name }) => !disputed.has(name)).map(({ after, before, key, table }) => ({
      table,
      key,
      before,
      outage: after
    }))
  ]
}

const shown = (operation: Operation, conflicts: ReadonlyArray<Conflict>): ConflictView => ({
  id: operation.operationId,
  status: operation.status,
  command: operation.command,
  at: iso(operation.at),
  ...(operation.behind === null ? {} : { behind: operation.behind }),
  ...(operation.settledBy === null ? {} : { settledBy: operation.settledBy }),
  rows: rowsOf(operation, conflicts.filter(({ operationId }) => operationId === operation.operationId))
})

const withRows = (operations: ReadonlyArray<Operation>) =>
  Effect.map(
    operations.length === 0
      ? Effect.succeed([])
      : Transaction.select(Conflicts, {
        where: [["operationId", "in", operations.map(({ operationId }) => operationId)]],
        orderBy: [["id", "asc"]]
      }),
    (conflicts) => operations.map((operation) => shown(operation, conflicts))
  )

/** The place of an operation in the list. */
export const positionOf = ({ at, id }: ConflictView): readonly [number, string] => [Date.parse(at), id]

/**
 * Withheld operations, the oldest merge first, those of one round by their ids.
 *
 * @category queries
 */
export const list = (filter: {
  readonly status?: typeof ConflictStatus.Type
  readonly after?: ReadonlyArray<string | number>
  readonly limit: number
}) =>
  Effect.flatMap(
    Transaction.select(Withheld, {
      where: filter.status === undefined ? [] : [["status", "=", filter.status]],
      orderBy: [["at", "asc"], ["operationId", "asc"]],
      ...(filter.after === undefined ? {} : { after: filter.after }),
      limit: filter.limit
    }),
    withRows
  )

/**
 * One withheld operation; fails with `NotFound`.
 *
 * @category queries
 */
export const read = (id: string) =>
  Effect.flatMap(
    Effect.flatMap(Transaction.get(Withheld, { operationId: id }), (found) => withRows(Option.toArray(found))),
    ([view]) => view === undefined ? new NotFound({ resource: "conflict", id }) : Effect.succeed(view)
  )

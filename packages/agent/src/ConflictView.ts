import { NotFound } from "@holdfast/contracts/Errors"
import { Conflicts, Withheld } from "@holdfast/database/SystemTables"
import type { Row } from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** What has become of a withheld operation. */
export const ConflictStatus = Schema.Literal("open", "applied", "discarded")

/**
 * An operation of an outage that could not merge, as operators see it: as a whole it waits, with each row that is in
 * conflict as both sides have it.
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
  rows: Schema.Array(Schema.Struct({
    id: Schema.String,
    table: Schema.String,
    key: Schema.Unknown,
    policy: Schema.String.annotations({ description: "How rows of the table merge" }),
    reason: Schema.String,
    primary: Schema.Unknown.annotations({ description: "The row as Postgres has it; null where it has none" }),
    outage: Schema.Unknown.annotations({ description: "The row as the outage wanted it; null where it was deleted" })
  }))
}).annotations({ identifier: "Conflict" })
export type ConflictView = typeof ConflictView.Type

const iso = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(millis))

type Operation = Row<typeof Withheld>
type Conflict = Row<typeof Conflicts>

const shown = (operation: Operation, conflicts: ReadonlyArray<Conflict>): ConflictView => ({
  id: operation.operationId,
  status: operation.status,
  command: operation.command,
  at: iso(operation.at),
  ...(operation.behind === null ? {} : { behind: operation.behind }),
  ...(operation.settledBy === null ? {} : { settledBy: operation.settledBy }),
  rows: conflicts.filter(({ operationId }) => operationId === operation.operationId).map((conflict) => ({
    id: conflict.id,
    table: conflict.tableName,
    key: conflict.rowKey,
    policy: conflict.policy,
    reason: conflict.reason,
    primary: conflict.primaryRow,
    outage: conflict.outageRow
  }))
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

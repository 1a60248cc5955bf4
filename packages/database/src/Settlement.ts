import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { DatabaseShape, SettleError, WithheldOperation } from "./Database.ts"
import * as Failback from "./Failback.ts"
import * as Merge from "./Merge.ts"
import * as OperationIds from "./OperationIds.ts"
import type { LoggedChange } from "./Primary.ts"
import { type RowName, rowName } from "./Shadow.ts"
import type { ReadError } from "./StoreError.ts"
import { NothingWithheld, PrimaryAway, SettleRefused } from "./StoreError.ts"
import * as SystemTables from "./SystemTables.ts"
import type { Row, Table } from "./Table.ts"
import * as Transaction from "./Transaction.ts"

const DAY = 24 * 60 * 60 * 1000

type Withheld = Row<typeof SystemTables.Withheld>
type Conflict = Row<typeof SystemTables.Conflicts>

/** The changes as the merge stored them. */
const changesOf = (withheld: Withheld): ReadonlyArray<LoggedChange> => withheld.changes as ReadonlyArray<LoggedChange>

/** Every operation that was ever withheld, the oldest first. */
export const list = (database: DatabaseShape): Effect.Effect<ReadonlyArray<WithheldOperation>, ReadError> =>
  database.read(Effect.gen(function*() {
    const operations = yield* Transaction.select(SystemTables.Withheld, {
      orderBy: [["at", "asc"], ["operationId", "asc"]]
    })
    const conflicts = yield* Transaction.select(SystemTables.Conflicts, { orderBy: [["id", "asc"]] })
    return operations.map(({ at, behind, command, operationId, settledBy, status }) => ({
      operationId,
      command,
      at,
      behind,
      status,
      settledBy,
      conflicts: conflicts.filter((conflict) => conflict.operationId === operationId).map((conflict) => ({
        id: conflict.id,
        table: conflict.tableName,
        rowKey: conflict.rowKey,
        policy: conflict.policy,
        reason: conflict.reason,
        primaryRow: conflict.primaryRow,
        outageRow: conflict.outageRow
      }))
    }))
  }))

/** The row as the outage wanted it, over whatever the primary has: counters are added, everything else is replaced. */
const forced = (table: Table, change: LoggedChange, current: Merge.Image | undefined): Merge.Image | null => {
  const { after, before } = change
  if (after === null) return null
  if (current === undefined) return after
  const counters: ReadonlyArray<string> = table.merge._tag === "delta" ? table.merge.counters : []
  const row: Record<string, unknown> = { ...after }
  for (const counter of counters) {
    row[counter] = Number(current[counter]) + Number(after[counter]) - Number(before?.[counter] ?? 0)
  }
  if (table.versioned) row["version"] = Number(current["version"]) + 1
  return row
}

/**
 * Settles a withheld operation in an exclusive turn of the writer, and tries those that wait behind it again.
 *
 * @category steps
 */
export const settle = (
  sides: Failback.Sides,
  operationId: string,
  keep: "outage" | "primary",
  by: string
): Effect.Effect<void, SettleError> =>
  Failback.both(sides, (head) =>
    Effect.gen(function*() {
      const { core, primary, shadow } = sides
      yield* Failback.pull(sides, head)
      const read = <A>(table: Table, text: string, ...parameters: ReadonlyArray<unknown>) =>
        Failback.file(() =>
          core.state.statements.ofText(text).all(...parameters).flatMap((found) => {
            const row = shadow.getRow(table, JSON.stringify(found))
            // Read by the declaration of its own table.
            return row === undefined ? [] : [row as A]
          })
        )
      const [chosen] = yield* read<Withheld>(
        SystemTables.Withheld,
        "select operation_id as operationId from withheld_operation where operation_id = ?",
        operationId
      )
      if (chosen === undefined || chosen.status !== "open") return yield* new NothingWithheld({ operationId })
      const open = yield* read<Withheld>(
        SystemTables.Withheld,
        "select operation_id as operationId from withheld_operation where status = 'open' order by at, operation_id"
      )
      if (chosen.behind !== null && open.some((other) => other.operationId === chosen.behind)) {
        return yield* new SettleRefused({
          operationId,
          detail: `settle ${chosen.behind} first: this one waits behind it`
        })
      }
      const followers = open.filter((other) => other.behind === operationId)
      const names = [chosen, ...followers].flatMap((one) => changesOf(one).map(({ key, table }) => rowName(table, key)))
      const rows = new Map<RowName, Merge.Image | null>(yield* Failback.readRows(sides, new Set(names)))
      const now = yield* Clock.currentTimeMillis
      const id = `settle:${operationId}`
      const nextId = OperationIds.make(id)
      const changes: Array<LoggedChange> = []
      const put = (table: Table, key: string, before: Merge.Image | null, after: Merge.Image | null) =>
        changes.push({ operationId: id, table: table.name, key, before, after })
      const system = (table: Table, before: Merge.Image | null, after: Merge.Image) =>
        put(table, JSON.stringify(Object.fromEntries(table.key.map((field) => [field, after[field]]))), before, after)

      const conclude = (one: Withheld, status: "applied" | "discarded") =>
        Effect.gen(function*() {
          system(SystemTables.Withheld, one, { ...one, status, settledBy: by })
          const conflicts = yield* read<Conflict>(
            SystemTables.Conflicts,
            "select id from conflict where operation_id = ? and status = 'open'",
            one.operationId
          )
          for (const conflict of conflicts) {
            system(SystemTables.Conflicts, conflict, { ...conflict, status: "resolved", settledBy: by })
          }
        })

      if (keep === "outage") {
        for (const change of changesOf(chosen)) {
          const table = shadow.tables.get(change.table)
          if (table === undefined) continue
          const name = rowName(change.table, change.key)
          const current = rows.get(name) ?? undefined
          const after = forced(table, change, current)
          put(table, change.key, current ?? null, after)
          rows.set(name, after)
        }
      }
      yield* conclude(chosen, keep === "outage" ? "applied" : "discarded")

      const blocked = new Set<RowName>()
      for (const follower of followers) {
        const own = new Map<RowName, Merge.Image | null>()
        const made: Array<readonly [Table, string, Merge.Image | null, Merge.Image | null]> = []
        const conflicts: Array<readonly [LoggedChange, Merge.Reason, Merge.Image | undefined]> = []
        for (const change of changesOf(follower)) {
          const table = shadow.tables.get(change.table)
          if (table === undefined) continue
          const name = rowName(change.table, change.key)
          const current = (own.has(name) ? own.get(name) : rows.get(name)) ?? undefined
          const decision = blocked.has(name)
            ? { _tag: "Conflict", reason: "row_changed" } as const
            : Merge.decide(table, change.before, change.after, current)
          if (decision._tag === "Conflict") conflicts.push([change, decision.reason, current])
          if (decision._tag !== "Apply") continue
          own.set(name, decision.row)
          made.push([table, change.key, current ?? null, decision.row])
        }
        if (conflicts.length === 0) {
          for (const [table, key, before, after] of made) put(table, key, before, after)
          for (const [name, row] of own) rows.set(name, row)
          yield* conclude(follower, "applied")
          continue
        }
        for (const change of changesOf(follower)) blocked.add(rowName(change.table, change.key))
        system(SystemTables.Withheld, follower, { ...follower, behind: null })
        for (const [change, reason, current] of conflicts) {
          system(SystemTables.Conflicts, null, {
            id: nextId("cnf"),
            operationId: follower.operationId,
            tableName: change.table,
            rowKey: JSON.parse(change.key) as unknown,
            policy: shadow.tables.get(change.table)?.merge._tag ?? "unknown",
            primaryRow: current ?? null,
            outageRow: change.after,
            reason,
            status: "open",
            settledBy: null
          })
        }
      }
      const after = yield* primary.commit({
        operations: [{
          id,
          command: `${sides.agent}.settle`,
          writeClass: "refused",
          fingerprint: keep,
          answer: "",
          outcome: "done",
          receivedAt: now,
          expiresAt: now + 30 * DAY
        }],
        messages: [],
        changes
      })
      yield* Failback.file(() => {
        for (const { after: image, key, table } of changes) {
          const target = shadow.tables.get(table)
          if (target !== undefined) shadow.setRow(target, key, image)
          core.state.written.add(table)
        }
        shadow.follow(after, sides.replicas())
      })
    })).pipe(
      Effect.catchTags({
        PostgresConstraint: (error) =>
          new SettleRefused({ operationId, detail: `${error.detail}; the primary's rows stand` }),
        PostgresUnavailable: (error) => new PrimaryAway({ detail: error.detail }),
        PostgresMisconfigured: (error) => new PrimaryAway({ detail: error.message }),
        PostgresContended: (error) => new PrimaryAway({ detail: error.detail }),
        PostgresStatementInvalid: (error) => new PrimaryAway({ detail: error.detail })
      })
    )

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { DatabaseShape, SettleError, WithheldOperation } from "./Database.ts"
import * as Failback from "./Failback.ts"
import * as Merge from "./Merge.ts"
import * as OperationIds from "./OperationIds.ts"
import type { LoggedChange } from "./Primary.ts"
import { type RowName, rowName } from "./Shadow.ts"
import type { OperationRecord } from "./SqliteTransaction.ts"
import type { ReadError } from "./StoreError.ts"
import { NothingWithheld, PrimaryAway, SettleRefused } from "./StoreError.ts"
import * as SystemTables from "./SystemTables.ts"
import type { Row, Table } from "./Table.ts"
import * as Transaction from "./Transaction.ts"

const DAY = 24 * 60 * 60 * 1000

type Withheld = Row<typeof SystemTables.Withheld>
type Conflict = Row<typeof SystemTables.Conflicts>

/**
 * The changes of a withheld operation, in its order.
 *
 * @category reading
 */
export const changesOf = (withheld: Withheld): ReadonlyArray<LoggedChange> =>
  // As the merge stored them.
  withheld.changes as ReadonlyArray<LoggedChange>

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
 * Decides a change of an operation that waited. Versions prove nothing any more: both sides have counted on by themselves.
 * So the row must be as the operation found it in every other column.
 */
const decideBehind = (
  table: Table,
  { after, before }: LoggedChange,
  current: Merge.Image | undefined
): Merge.Decision => {
  if (!table.versioned || table.merge._tag === "delta" || before === null || current === undefined) {
    return Merge.decide(table, before, after, current)
  }
  if (!Merge.sameRow(table, current, before, ["version"])) {
    return after !== null && Merge.sameRow(table, current, after, ["version"])
      ? { _tag: "Skip" }
      : { _tag: "Conflict", reason: "row_changed" }
  }
  if (after === null) return { _tag: "Apply", row: null }
  const version = Number(current["version"]) + Number(after["version"]) - Number(before["version"])
  return { _tag: "Apply", row: { ...after, version } }
}

/** All that wait behind the operation, directly or behind one that does. */
const waitingBehind = (operationId: string, open: ReadonlyArray<Withheld>): ReadonlySet<string> => {
  const found = new Set<string>()
  // Whoever waits comes after the one that it waits for.
  for (const one of open) {
    if (one.behind !== null && (one.behind === operationId || found.has(one.behind))) found.add(one.operationId)
  }
  return found
}

/** Settles the operation; unless it `releases` them, those that wait behind it become decisions of their own. */
const attempt = (
  sides: Failback.Sides,
  operationId: string,
  keep: "outage" | "primary",
  by: string,
  releases: boolean
) =>
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
        `select w.operation_id as operationId ${Failback.openWithheld}`
      )
      if (chosen.behind !== null && open.some((other) => other.operationId === chosen.behind)) {
        return yield* new SettleRefused({
          operationId,
          detail: `settle ${chosen.behind} first: this one waits behind it`
        })
      }
      const followers = waitingBehind(operationId, open)
      const namesOf = (one: Withheld) => changesOf(one).map(({ key, table }) => rowName(table, key))
      const names = open.filter((one) => one.operationId === operationId || followers.has(one.operationId)).flatMap(
        namesOf
      )
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

      /** Rows of those that go on waiting, each with the operation that holds it. */
      const held = new Map<RowName, string>()
      const waits = (one: Withheld) => {
        for (const name of namesOf(one)) held.set(name, one.operationId)
      }
      const waiting = new Set<string>()
      for (const follower of open) {
        if (follower.operationId === operationId) continue
        if (!followers.has(follower.operationId)) {
          waits(follower)
          continue
        }
        // What waits behind one that now waits for a person itself goes on waiting; so does what another one holds.
        const blocker = follower.behind !== null && waiting.has(follower.behind)
          ? follower.behind
          : namesOf(follower).map((name) => held.get(name)).find((holder) => holder !== undefined)
        if (blocker !== undefined) {
          if (blocker !== follower.behind) system(SystemTables.Withheld, follower, { ...follower, behind: blocker })
          waiting.add(follower.operationId)
          waits(follower)
          continue
        }
        const own = new Map<RowName, Merge.Image | null>()
        const made: Array<readonly [Table, string, Merge.Image | null, Merge.Image | null]> = []
        const conflicts: Array<readonly [LoggedChange, Merge.Reason, Merge.Image | undefined]> = []
        for (const change of changesOf(follower)) {
          const table = shadow.tables.get(change.table)
          if (table === undefined) continue
          const name = rowName(change.table, change.key)
          const current = (own.has(name) ? own.get(name) : rows.get(name)) ?? undefined
          const decision: Merge.Decision = releases
            ? decideBehind(table, change, current)
            : { _tag: "Conflict", reason: "constraint" }
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
        waits(follower)
        waiting.add(follower.operationId)
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
      const record: OperationRecord = {
        id,
        command: `${sides.agent}.settle`,
        writeClass: "refused",
        fingerprint: keep,
        answer: "",
        outcome: "done",
        receivedAt: now,
        expiresAt: now + 30 * DAY
      }
      const after = yield* primary.commit({
        operations: [record],
        messages: [],
        changes
      })
      yield* Failback.file(() => {
        shadow.insertOperation(record)
        for (const { after: image, key, table } of changes) {
          const target = shadow.tables.get(table)
          if (target !== undefined) shadow.setRow(target, key, image)
          core.state.written.add(table)
        }
        shadow.follow(after, sides.sharers())
      })
    }))

/**
 * Settles a withheld operation in an exclusive turn of the writer, and tries those that wait behind it again. Should one of
 * them break a constraint, none is released: each waits for its own decision.
 *
 * @category steps
 */
export const settle = (
  sides: Failback.Sides,
  operationId: string,
  keep: "outage" | "primary",
  by: string
): Effect.Effect<void, SettleError> =>
  Effect.catchTag(
    attempt(sides, operationId, keep, by, true),
    "PostgresConstraint",
    () => attempt(sides, operationId, keep, by, false)
  ).pipe(
    Effect.catchTags({
      PostgresConstraint: (error) =>
        new SettleRefused({ operationId, detail: `${error.detail}; the primary's rows stand` }),
      PostgresUnavailable: (error) => new PrimaryAway({ detail: error.detail }),
      PostgresMisconfigured: (error) => new PrimaryAway({ detail: error.message }),
      PostgresContended: (error) => new PrimaryAway({ detail: error.detail }),
      PostgresStatementInvalid: (error) => new PrimaryAway({ detail: error.detail })
    })
  )

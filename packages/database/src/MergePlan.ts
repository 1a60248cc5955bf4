import { type Envelope, sourceOf } from "@holdfast/contracts/Envelope"
import { ConflictDetected } from "@holdfast/contracts/SystemEvents"
import * as Merge from "./Merge.ts"
import * as OperationIds from "./OperationIds.ts"
import type { LoggedChange, LoggedMessage } from "./Primary.ts"
import type { BacklogEntry, RowName } from "./Shadow.ts"
import { rowName } from "./Shadow.ts"
import type { OperationRecord } from "./SqliteTransaction.ts"
import * as SystemTables from "./SystemTables.ts"
import type { Table } from "./Table.ts"

/** What names a message on both sides: its id, and when it was said. A saga says again under the same id. */
export const messageName = (eventId: string, at: number): string => `${eventId} ${at}`

/**
 * What a round of the merge knows before it decides.
 *
 * @category models
 */
export interface Facts {
  readonly agent: string
  readonly now: number
  readonly tables: ReadonlyMap<string, Table>
  /** Operations of the outage in the order in which they were accepted. */
  readonly entries: ReadonlyArray<BacklogEntry>
  /** Operations that the primary knows, by their ids, as it has them. */
  readonly known: ReadonlyMap<string, Pick<OperationRecord, "fingerprint" | "outcome">>
  /** Names of messages that the primary has, of the entries that it knows. */
  readonly told: ReadonlySet<string>
  /** Rows of the primary among those that the entries touch. */
  readonly current: ReadonlyMap<RowName, Merge.Image>
  /** Rows of operations that wait for a person, each with the operation's id. */
  readonly withheld: ReadonlyMap<RowName, string>
  /** Operations that the primary has refused for breaking a constraint, with its words. */
  readonly condemned: ReadonlyMap<string, string>
}

/**
 * What the round writes to the primary, and what becomes of each entry.
 *
 * @category models
 */
export interface MergePlan {
  readonly operations: ReadonlyArray<OperationRecord>
  readonly messages: ReadonlyArray<LoggedMessage>
  readonly changes: ReadonlyArray<LoggedChange>
  readonly merged: ReadonlyArray<BacklogEntry>
  readonly withheld: ReadonlyArray<BacklogEntry>
  /** The rows that the entries touch as the primary has them after the round; null where there is none. */
  readonly rows: ReadonlyMap<RowName, Merge.Image | null>
  readonly conflicts: number
}

interface Conflict {
  readonly change: LoggedChange
  readonly current: Merge.Image | undefined
  readonly reason: Merge.Reason
}

const policyOf = (table: Table | undefined): string => table?.merge._tag ?? "unknown"

const inserted = (
  operationId: string,
  table: { readonly name: string; readonly key: ReadonlyArray<string> },
  row: Merge.Image
): LoggedChange => ({
  operationId,
  table: table.name,
  key: JSON.stringify(Object.fromEntries(table.key.map((field) => [field, row[field]]))),
  before: null,
  after: row
})

/** Under what id it is withheld: its own, unless that is another operation's in the primary. */
const withheldAs = ({ known }: Facts, { operation: { fingerprint, id } }: BacklogEntry): string =>
  (known.get(id) ?? fingerprint) === fingerprint ? id : `${id}~${fingerprint}`

/** An operation of the outage and its conflicts, as rows and messages that everybody can see. */
const withholding = (
  facts: Facts,
  entry: BacklogEntry,
  conflicts: ReadonlyArray<Conflict>,
  behind: string | null
): { readonly changes: ReadonlyArray<LoggedChange>; readonly messages: ReadonlyArray<LoggedMessage> } => {
  const { operation } = entry
  const operationId = withheldAs(facts, entry)
  const by = `conflict:${operationId}`
  const nextId = OperationIds.make(by)
  const time = new Date(facts.now).toISOString()
  const changes: Array<LoggedChange> = [
    inserted(by, SystemTables.Withheld, {
      operationId,
      command: operation.command,
      changes: entry.changes,
      behind,
      at: facts.now,
      status: "open",
      settledBy: null
    })
  ]
  const messages: Array<LoggedMessage> = []
  for (const { change, current, reason } of conflicts) {
    const id = nextId("cnf")
    const policy = policyOf(facts.tables.get(change.table))
    changes.push(inserted(by, SystemTables.Conflicts, {
      id,
      operationId,
      tableName: change.table,
      rowKey: JSON.parse(change.key) as unknown,
      policy,
      primaryRow: current ?? null,
      outageRow: change.after,
      reason: facts.condemned.get(operation.id) ?? reason,
      status: "open",
      settledBy: null
    }))
    const payload = {
      agent: facts.agent,
      conflictId: id,
      operationId,
      table: change.table,
      rowKey: change.key,
      policy,
      reason
    }
    const envelope: Envelope = {
      id: nextId("evt"),
      source: sourceOf(facts.agent),
      type: ConflictDetected.type,
      topic: ConflictDetected.topic,
      key: ConflictDetected.key(payload),
      subject: ConflictDetected.subject(payload),
      time,
      correlationId: operation.id,
      causationId: operation.id,
      data: payload
    }
    messages.push({ envelope, publishedAt: null })
  }
  return { changes, messages }
}

/**
 * Decides a round of the merge. Pure: an operation merges as a whole or is withheld as a whole, with its record and its
 * messages either way; one that touches a row of a withheld operation waits with that.
 *
 * @category arithmetic
 */
export const make = (facts: Facts): MergePlan => {
  const rows = new Map<RowName, Merge.Image | null>(facts.current)
  const withheldRows = new Map(facts.withheld)
  const operations: Array<OperationRecord> = []
  const messages: Array<LoggedMessage> = []
  const changes: Array<LoggedChange> = []
  const merged: Array<BacklogEntry> = []
  const withheld: Array<BacklogEntry> = []
  let conflicts = 0

  const nameOf = ({ key, table }: LoggedChange): RowName => rowName(table, key)
  /** What was said was said: others may have heard it. */
  const untold = ({ messages }: BacklogEntry) =>
    messages.filter(({ envelope }) => !facts.told.has(messageName(envelope.id, Date.parse(envelope.time))))

  const withhold = (entry: BacklogEntry, found: ReadonlyArray<Conflict>, behind: string | null) => {
    const made = withholding(facts, entry, found, behind)
    changes.push(...made.changes)
    messages.push(...made.messages)
    messages.push(...untold(entry))
    if (!facts.known.has(entry.operation.id)) operations.push(entry.operation)
    withheld.push(entry)
    conflicts += found.length
    for (const change of entry.changes) withheldRows.set(nameOf(change), withheldAs(facts, entry))
  }

  for (const entry of facts.entries) {
    const blocker = entry.changes.map((change) => withheldRows.get(nameOf(change))).find((id) => id !== undefined)
    const known = facts.known.get(entry.operation.id)
    // Known and withheld: a round that ended before this file could note it.
    if (known !== undefined && blocker === withheldAs(facts, entry)) {
      withheld.push(entry)
      continue
    }
    const isEmpty = entry.changes.length + entry.messages.length === 0
    if (known !== undefined) {
      const isSameRequest = known.fingerprint === entry.operation.fingerprint
      // Refused there, and done here after the answer to that was lost: somebody was told that it is done.
      const isUndone = known.outcome === "refused" && entry.operation.outcome === "done"
      if (isEmpty || (isSameRequest && !isUndone)) {
        messages.push(...untold(entry))
        merged.push(entry)
        continue
      }
      // Else two stores that could not hear of each other have each taken another request under this id.
      const reason = isSameRequest ? "row_changed" : "id_reused"
      withhold(
        entry,
        entry.changes.map((change) => ({ change, current: rows.get(nameOf(change)) ?? undefined, reason })),
        null
      )
      continue
    }
    if (blocker !== undefined) {
      withhold(entry, [], blocker)
      continue
    }
    const own = new Map<RowName, Merge.Image | null>()
    const ownChanges: Array<LoggedChange> = []
    const found: Array<Conflict> = []
    /** A row of its own is there already: what it did was done before, under an id that is forgotten. */
    let fact: Conflict | undefined
    let isCounted = false
    for (const change of entry.changes) {
      const name = nameOf(change)
      const current = (own.has(name) ? own.get(name) : rows.get(name)) ?? undefined
      const table = facts.tables.get(change.table)
      const decision: Merge.Decision = table === undefined || facts.condemned.has(entry.operation.id)
        ? { _tag: "Conflict", reason: "constraint" }
        : Merge.decide(table, change.before, change.after, current)
      if (decision._tag === "Conflict") found.push({ change, current, reason: decision.reason })
      if (decision._tag === "Skip" && change.before === null && current !== undefined) {
        fact ??= { change, current, reason: "row_exists" }
      }
      if (decision._tag !== "Apply") continue
      isCounted ||= table?.merge._tag === "delta"
      own.set(name, decision.row)
      ownChanges.push({ ...change, before: current ?? null, after: decision.row })
    }
    // Counters would be counted twice.
    if (fact !== undefined && isCounted) found.push(fact)
    if (found.length > 0) {
      withhold(entry, found, null)
      continue
    }
    for (const [name, row] of own) rows.set(name, row)
    changes.push(...ownChanges)
    messages.push(...entry.messages)
    operations.push(entry.operation)
    merged.push(entry)
  }
  for (const entry of facts.entries) {
    for (const change of entry.changes) if (!rows.has(nameOf(change))) rows.set(nameOf(change), null)
  }
  return { operations, messages, changes, merged, withheld, rows, conflicts }
}

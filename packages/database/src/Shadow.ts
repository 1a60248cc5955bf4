import type { Envelope } from "@holdfast/contracts/Envelope"
import { randomInt } from "node:crypto"
import { type Head, type LoggedChange, type LoggedMessage, messageOf, type Pulled } from "./Primary.ts"
import type { Connection } from "./SqliteConnection.ts"
import type { Statements } from "./SqliteReader.ts"
import type { OperationRecord } from "./SqliteTransaction.ts"
import type { Table } from "./Table.ts"

type Image = Readonly<Record<string, unknown>>

/** A row by table and key, as one text. */
export type RowName = string

/** The name of a row. */
export const rowName = (table: string, key: string): RowName => `${table} ${key}`

/**
 * Where the file stands: how far it has followed the primary, and how many processes shared it when it last looked.
 * Undefined for a file that has never met a primary.
 *
 * @category models
 */
export interface Standing extends Head {
  readonly replicas: number
}

/** Where the file keeps its name; that it may differ; with how many migrations its rows were written. */
const IDENTITY = "identity"
const SUSPECTED = "suspected"
const WRITTEN_WITH = "written-with"
const AS_OF = "as-of"

/** The standing of a file that is to be a shadow and does not hold what its primary has: it must be filled first. */
export const unmet: Head = { incarnation: "", epoch: 0, head: 0, operationN: 0, outboxSeq: 0, changeN: 0 }

/**
 * An operation that the file has taken while the primary was away, with what it changed.
 *
 * @category models
 */
export interface BacklogEntry {
  readonly n: number
  readonly operation: OperationRecord
  readonly acceptedAt: number
  readonly changes: ReadonlyArray<LoggedChange>
  readonly messages: ReadonlyArray<LoggedMessage>
}

/**
 * The file of an agent as the shadow of a primary: what of it belongs to the other side. Works on the writer's connection
 * and in whatever transaction is open there; throws what the driver throws.
 *
 * @category models
 */
export interface Shadow {
  readonly standing: () => Standing | undefined
  /** How far the file has followed its primary; without effect on a file that must be filled first. */
  readonly follow: (head: Head, replicas: number) => void
  /** The file holds what the primary has at this head. */
  readonly join: (head: Head, replicas: number) => void
  /** A name that the file has for good, whatever process opens it. */
  readonly identity: () => string
  /** The file must be filled anew; also the next process knows, should this one end before it is done. */
  readonly forsake: () => void
  /** The file may differ, and this process is about to look; another one that opens it before that is done cannot know where. */
  readonly suspect: () => void
  readonly isSuspected: () => boolean
  /** The file has had everything of its primary at this moment, in milliseconds. */
  readonly isAsOf: (millis: number) => void
  /** The last such moment that was noted; 0 where there is none. */
  readonly asOf: () => number
  /** The file does not differ. */
  readonly trust: () => void
  /** The agent's tables have columns that they did not have when others' rows were written to them. */
  readonly isOutgrown: () => boolean
  /** Nobody has written into the columns before this file had them. */
  readonly grow: () => void
  /** Tables that an agent or the kernel declares, by name. */
  readonly tables: ReadonlyMap<string, Table>
  /** Sets a row to what the primary has; `null` deletes it. */
  readonly setRow: (table: Table, key: string, image: Image | null) => void
  readonly getRow: (table: Table, key: string) => Image | undefined
  /** The row as its table declares it, from what the driver gives for `select *`. */
  readonly imageOf: (table: Table, row: Image) => Image
  /**
   * Writes what others have committed. Rows for which `isTaken` says so keep what the outage made of them. Answers the rows
   * that could not be written now, because one of the outage is in their way.
   */
  readonly apply: (
    pulled: Pulled,
    isTaken: (row: RowName) => boolean
  ) => { readonly wrote: ReadonlySet<string>; readonly deferred: ReadonlyArray<RowName>; readonly lastSeq: number }
  readonly insertOperation: (operation: OperationRecord) => void
  /** Sets the record of an operation that is in the file to what the primary has. */
  readonly correctOperation: (operation: OperationRecord) => void
  /** Appends the message; answers its place. */
  readonly insertMessage: (message: LoggedMessage) => number
  /** From now on places of messages are above this one. */
  readonly continueAbove: (seq: number) => void
  /** Forgets the messages up to there, but for the last one of all. */
  readonly forgetMessages: (upTo: number) => void
  /** The last numbers of change and outbox: what comes after them belongs to the open transaction. */
  readonly marks: () => { readonly change: number; readonly message: number }
  readonly appendBacklog: (entry: {
    readonly operationId: string
    readonly acceptedAt: number
    readonly firstChange: number
    readonly lastChange: number
    readonly firstMessage: number
    readonly lastMessage: number
  }) => void
  readonly pending: (limit: number) => ReadonlyArray<BacklogEntry>
  readonly pendingCount: () => number
  readonly oldestPending: () => number | undefined
  readonly settle: (ns: ReadonlyArray<number>, status: "merged" | "withheld", at: number) => void
  readonly count: (table: Table, upTo: number) => number
  /** Whether nothing has been done in it yet; rows that its migrations made are nobody's work. */
  readonly isEmpty: () => boolean
  /**
   * The ids of the operations before this number whose records are to be kept, the newest first; `isSettled`: without those
   * that are still to be merged.
   */
  readonly operationsBefore: (
    n: number,
    now: number,
    limit: number,
    isSettled?: boolean
  ) => ReadonlyArray<{ readonly n: number; readonly id: string }>
  /** Lists an operation of long ago as unmerged again; answers its place, or nothing where its changes are not here. */
  readonly reopen: (operationId: string) => number | undefined
  /** The names of all rows of all tables. */
  readonly allRows: () => ReadonlyArray<RowName>
  /**
   * Empties all tables, so that they can be filled from the primary. What this file's own operations changed stays, and is
   * theirs again when `filled` is called: the primary may forget them another time.
   */
  readonly empty: () => void
  readonly filled: () => void
}

const toSqlite = (storage: string, value: unknown): unknown => {
  if (value === null || value === undefined) return null
  if (storage === "boolean") return value === true ? 1 : 0
  return storage === "json" ? JSON.stringify(value) : value
}

const fromSqlite = (storage: string, value: unknown): unknown => {
  if (value === null) return null
  if (storage === "boolean") return value === 1
  return storage === "json" ? JSON.parse(String(value)) : value
}

/** Constraints that stand between two rows of one table. */
const isInTheWay = (thrown: unknown): boolean =>
  thrown instanceof Error && "code" in thrown && /^SQLITE_CONSTRAINT/.test(String(thrown.code))

/**
 * The shadow in the file of this connection.
 *
 * @category constructors
 */
export const make = (
  connection: Connection,
  statements: Statements,
  tables: ReadonlyMap<string, Table>
): Shadow => {
  const column = (table: Table, field: string) => `"${table.sqlNames[field] ?? field}"`
  const storageOf = (table: Table, field: string) => table.columns[field]?.storage ?? "text"
  const encode = (table: Table, fields: ReadonlyArray<string>, image: Image) =>
    fields.map((field) => toSqlite(storageOf(table, field), image[field]))
  const texts = new Map<Table, { readonly upsert: string; readonly remove: string; readonly get: string }>()
  const textsOf = (table: Table) => {
    const known = texts.get(table)
    if (known !== undefined) return known
    const fields = table.fields.map((field) => column(table, field))
    const key = table.key.map((field) => column(table, field))
    const rest = fields.filter((field) => !key.includes(field))
    const byKey = key.map((field) => `${field} = ?`).join(" and ")
    const made = {
      upsert: `insert into "${table.name}" (${fields.join(", ")}) values (${fields.map(() => "?").join(", ")}) ` +
        `on conflict (${key.join(", ")}) ` +
        (rest.length === 0
          ? "do nothing"
          : `do update set ${rest.map((one) => `${one} = excluded.${one}`).join(", ")}`),
      remove: `delete from "${table.name}" where ${byKey}`,
      get: `select ${fields.join(", ")} from "${table.name}" where ${byKey}`
    }
    texts.set(table, made)
    return made
  }
  const run = (sql: string, ...parameters: ReadonlyArray<unknown>) => statements.ofText(sql).run(...parameters)
  const value = (sql: string, ...parameters: ReadonlyArray<unknown>): unknown =>
    Object.values(Object(statements.ofText(sql).get(...parameters)))[0]
  const rows = (sql: string, ...parameters: ReadonlyArray<unknown>): ReadonlyArray<Image> =>
    // Plain objects by column name: none of these statements is raw.
    statements.ofText(sql).all(...parameters) as ReadonlyArray<Image>

  const keyValues = (table: Table, key: string) => {
    const image = JSON.parse(key) as Image
    return encode(table, table.key, image)
  }
  /** A version that is older, or younger, does not know all columns, and leaves those alone. */
  const setSome = (table: Table, key: string, image: Image, fields: ReadonlyArray<string>) => {
    const rest = fields.filter((field) => !table.key.includes(field))
    const sets = rest.map((field) => `${column(table, field)} = ?`).join(", ")
    const byKey = table.key.map((field) => `${column(table, field)} = ?`).join(" and ")
    const isThere = rest.length > 0 && run(
          `update "${table.name}" set ${sets} where ${byKey}`,
          ...encode(table, rest, image),
          ...keyValues(table, key)
        ).changes > 0
    if (isThere) return
    run(
      `insert into "${table.name}" (${fields.map((field) => column(table, field)).join(", ")}) ` +
        `values (${fields.map(() => "?").join(", ")}) on conflict do nothing`,
      ...encode(table, fields, image)
    )
  }
  const setRow: Shadow["setRow"] = (table, key, image) => {
    const { remove, upsert } = textsOf(table)
    if (image === null) return void run(remove, ...keyValues(table, key))
    const given = table.fields.filter((field) => image[field] !== undefined)
    if (given.length < table.fields.length) return setSome(table, key, image, given)
    run(upsert, ...encode(table, table.fields, image))
  }
  const insertOperation: Shadow["insertOperation"] = (operation) =>
    void run(
      "insert into operation (id, command, write_class, fingerprint, answer, outcome, received_at, expires_at) " +
        "values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing",
      operation.id,
      operation.command,
      operation.writeClass,
      operation.fingerprint,
      operation.answer,
      operation.outcome,
      operation.receivedAt,
      operation.expiresAt
    )
  let above = 0
  const insertMessage: Shadow["insertMessage"] = ({ envelope, publishedAt }) =>
    Number(
      run(
        "insert into outbox (seq, event_id, type, topic, key, envelope, created_at, published_at) " +
          "values (max(?, (select coalesce(max(seq), 0) from outbox)) + 1, ?, ?, ?, ?, ?, ?, ?)",
        above,
        envelope.id,
        envelope.type,
        envelope.topic,
        envelope.key,
        JSON.stringify(envelope),
        Date.parse(envelope.time),
        publishedAt
      ).lastInsertRowid
    )
  const marks: Shadow["marks"] = () => ({
    change: Number(value("select coalesce(max(n), 0) from change")),
    message: Number(value("select coalesce(max(seq), 0) from outbox"))
  })
  const imageOf: Shadow["imageOf"] = (table, row) =>
    Object.fromEntries(
      table.fields.map((field) => [field, fromSqlite(storageOf(table, field), row[table.sqlNames[field] ?? field])])
    )
  const noted = (what: string): number | undefined => {
    const found = value("select max(seq) from cursor where source = ?", what)
    return typeof found === "number" ? found : undefined
  }
  const note = (what: string, seq: number) =>
    void run(
      "insert into cursor (source, seq) values (?, ?) on conflict (source) do update set seq = excluded.seq",
      what,
      seq
    )
  const migrations = () => Number(value("select count(*) from migrations"))
  const grow = () => note(WRITTEN_WITH, migrations())
  const trust = () => {
    run("delete from cursor where source = ?", SUSPECTED)
    grow()
  }
  const stand = (head: Head, replicas: number, condition: string) =>
    void run(
      "insert into shadow (id, incarnation, head, operation_n, outbox_seq, change_n, replicas) " +
        "values (1, ?, ?, ?, ?, ?, ?) on conflict (id) do update set incarnation = excluded.incarnation, " +
        "head = excluded.head, operation_n = excluded.operation_n, outbox_seq = excluded.outbox_seq, " +
        `change_n = excluded.change_n, replicas = excluded.replicas${condition}`,
      head.incarnation,
      head.head,
      head.operationN,
      head.outboxSeq,
      head.changeN,
      replicas
    )
  /**
   * Unmerged operations that the primary turns out to know have said here what they said there, when they ran again alone:
   * their messages keep their places, and say what they say there. An id alone does not name a message: a saga asks again
   * under the same one.
   */
  const correctorOf = (operations: ReadonlySet<string>) => {
    const corrected = new Set<number>()
    return (envelope: Envelope): boolean => {
      const own = rows("select seq, operation_id from outbox where event_id = ? order by seq", envelope.id)
        .find((row) => operations.has(String(row["operation_id"])) && !corrected.has(Number(row["seq"])))
      if (own === undefined) return false
      corrected.add(Number(own["seq"]))
      run(
        "update outbox set type = ?, topic = ?, key = ?, envelope = ?, created_at = ? where seq = ?",
        envelope.type,
        envelope.topic,
        envelope.key,
        JSON.stringify(envelope),
        Date.parse(envelope.time),
        own["seq"]
      )
      return true
    }
  }

  return {
    tables,
    setRow,
    insertOperation,
    insertMessage,
    continueAbove: (seq) => {
      above = seq
    },
    forgetMessages: (upTo) =>
      void run("delete from outbox where seq <= ? and seq < (select max(seq) from outbox)", upTo),
    marks,
    imageOf,
    correctOperation: ({ answer, command, expiresAt, fingerprint, id, outcome, receivedAt, writeClass }) =>
      void run(
        "update operation set command = ?, write_class = ?, fingerprint = ?, answer = ?, outcome = ?, received_at = ?, " +
          "expires_at = ? where id = ?",
        command,
        writeClass,
        fingerprint,
        answer,
        outcome,
        receivedAt,
        expiresAt,
        id
      ),
    getRow: (table, key) => {
      const [row] = rows(textsOf(table).get, ...keyValues(table, key))
      return row === undefined ? undefined : imageOf(table, row)
    },
    standing: () => {
      const [row] = rows("select * from shadow where id = 1")
      return row === undefined ? undefined : {
        incarnation: String(row["incarnation"]),
        epoch: 0,
        head: Number(row["head"]),
        operationN: Number(row["operation_n"]),
        outboxSeq: Number(row["outbox_seq"]),
        changeN: Number(row["change_n"]),
        replicas: Number(row["replicas"])
      }
    },
    follow: (head, replicas) => stand(head, replicas, ` where shadow.incarnation <> '${unmet.incarnation}'`),
    join: (head, replicas) => {
      stand(head, replicas, "")
      trust()
    },
    identity: () => {
      const known = noted(IDENTITY) ?? randomInt(2 ** 47)
      note(IDENTITY, known)
      return known.toString(36)
    },
    forsake: () => void run("update shadow set incarnation = ?", unmet.incarnation),
    suspect: () => note(SUSPECTED, 1),
    isSuspected: () => noted(SUSPECTED) === 1,
    isAsOf: (millis) => note(AS_OF, millis),
    asOf: () => noted(AS_OF) ?? 0,
    trust,
    isOutgrown: () => (noted(WRITTEN_WITH) ?? Infinity) < migrations(),
    grow,
    apply: ({ changes, messages, operations }, isTaken) => {
      const wrote = new Set<string>()
      const deferred: Array<RowName> = []
      let lastSeq = 0
      for (const operation of operations) insertOperation(operation)
      for (const change of changes) {
        const table = tables.get(change.table)
        const name = rowName(change.table, change.key)
        // A table that this version does not know belongs to a newer one, which has filled its own file.
        if (table === undefined || isTaken(name)) continue
        wrote.add(table.name)
        try {
          setRow(table, change.key, change.after)
        } catch (thrown) {
          if (!isInTheWay(thrown)) throw thrown
          deferred.push(name)
        }
      }
      const isMerging = Number(value("select count(*) from backlog where status = 'pending'")) > 0
      const correct = correctorOf(new Set(operations.map(({ id }) => id)))
      for (const message of messages) {
        wrote.add("outbox")
        if (isMerging && correct(message.envelope)) continue
        lastSeq = insertMessage(message)
      }
      return { wrote, deferred, lastSeq }
    },
    // An id may come again when its record is forgotten: it stands where it comes now.
    appendBacklog: (entry) => {
      run("delete from backlog where operation_id = ? and status <> 'pending'", entry.operationId)
      run(
        "insert into backlog (operation_id, accepted_at, first_change, last_change, first_message, last_message, status) " +
          "values (?, ?, ?, ?, ?, ?, 'pending') on conflict (operation_id) do nothing",
        entry.operationId,
        entry.acceptedAt,
        entry.firstChange,
        entry.lastChange,
        entry.firstMessage,
        entry.lastMessage
      )
    },
    pending: (limit) =>
      rows("select * from backlog where status = 'pending' order by n limit ?", limit).map((entry): BacklogEntry => {
        const id = String(entry["operation_id"])
        const [operation] = rows("select * from operation where id = ?", id)
        return {
          n: Number(entry["n"]),
          acceptedAt: Number(entry["accepted_at"]),
          operation: {
            id,
            command: String(operation?.["command"]),
            writeClass: String(operation?.["write_class"]),
            fingerprint: String(operation?.["fingerprint"]),
            answer: String(operation?.["answer"]),
            outcome: operation?.["outcome"] === "refused" ? "refused" : "done",
            receivedAt: Number(operation?.["received_at"]),
            expiresAt: Number(operation?.["expires_at"])
          },
          changes: rows(
            "select * from change where n between ? and ? and operation_id = ? order by n",
            entry["first_change"],
            entry["last_change"],
            id
          ).map((change) => ({
            operationId: id,
            table: String(change["table_name"]),
            key: String(change["row_key"]),
            before: change["before"] === null ? null : JSON.parse(String(change["before"])) as Image,
            after: change["after"] === null ? null : JSON.parse(String(change["after"])) as Image
          })),
          messages: rows(
            "select envelope, case when seq <= (select coalesce(max(seq), 0) from cursor where source = 'published') " +
              "then created_at end as published_at from outbox where seq between ? and ? " +
              "and operation_id is ? order by seq",
            entry["first_message"],
            entry["last_message"],
            id
          ).map(messageOf)
        }
      }),
    pendingCount: () => Number(value("select count(*) from backlog where status = 'pending'")),
    oldestPending: () => {
      const oldest = value("select min(accepted_at) from backlog where status = 'pending'")
      return typeof oldest === "number" ? oldest : undefined
    },
    settle: (ns, status, at) => {
      for (const n of ns) run("update backlog set status = ?, merged_at = ? where n = ?", status, at, n)
    },
    isEmpty: () =>
      ["operation", "change", "outbox", "cursor"].every((table) => value(`select count(*) from ${table}`) === 0),
    operationsBefore: (n, now, limit, isSettled = false) =>
      rows(
        "select n, id from operation where n < ? and expires_at > ? " +
          (isSettled ? "and id not in (select operation_id from backlog where status = 'pending') " : "") +
          "order by n desc limit ?",
        n,
        now,
        limit
      ).map((row) => ({ n: Number(row["n"]), id: String(row["id"]) })),
    reopen: (operationId) => {
      const [changed] = rows(
        "select min(n) as first, max(n) as last from change where operation_id = ?",
        operationId
      )
      const [told] = rows(
        "select min(seq) as first, max(seq) as last from outbox where operation_id = ?",
        operationId
      )
      // Another process's operation is here without its changes: only who has them can bring it back.
      if (typeof changed?.["first"] !== "number" && typeof told?.["first"] !== "number") return undefined
      run("delete from backlog where operation_id = ?", operationId)
      return Number(
        run(
          "insert into backlog (operation_id, accepted_at, first_change, last_change, first_message, last_message, status) " +
            "select id, received_at, ?, ?, ?, ?, 'pending' from operation where id = ?",
          changed?.["first"] ?? 1,
          changed?.["last"] ?? 0,
          told?.["first"] ?? 1,
          told?.["last"] ?? 0,
          operationId
        ).lastInsertRowid
      )
    },
    count: (table, upTo) => Number(value(`select count(*) from (select 1 from "${table.name}" limit ?)`, upTo)),
    allRows: () =>
      [...tables.values()].flatMap((table) =>
        rows(`select ${table.key.map((field) => column(table, field)).join(", ")} from "${table.name}"`).map((row) =>
          rowName(
            table.name,
            JSON.stringify(Object.fromEntries(table.key.map((field) => [
              field,
              fromSqlite(storageOf(table, field), row[table.sqlNames[field] ?? field])
            ])))
          )
        )
      ),
    empty: () => {
      connection.pragma("defer_foreign_keys = ON")
      for (const table of tables.values()) connection.exec(`delete from "${table.name}"`)
      connection.exec(
        "drop table if exists temp.own_message; " +
          "create temp table own_message as select event_id, created_at, operation_id from outbox where operation_id is not null; " +
          "create index temp.own_message_event on own_message (event_id); " +
          "delete from operation; delete from backlog where status <> 'pending'; " +
          // The last one stays until another one comes: its number must not be given again.
          "delete from outbox where seq < (select max(seq) from outbox)"
      )
    },
    filled: () =>
      void connection.exec(
        "delete from change where operation_id not in (select id from operation); " +
          "update outbox set operation_id = (select o.operation_id from temp.own_message o where o.event_id = outbox.event_id " +
          "and o.created_at = outbox.created_at) where operation_id is null; drop table temp.own_message"
      )
  }
}

import { Database, type PrimaryStatus } from "@holdfast/database/Database"
import { PUBLISHED } from "@holdfast/database/SqliteRelay"
import { Backlog, Changes, Cursors, DeadLetters, Operations, Outbox } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import type { EventBusShape, Lane } from "@holdfast/messaging/EventBus"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Job from "./Job.ts"

/** Rows removed in one transaction: callers wait behind it. */
const CHUNK = 200

const HOUR = 60 * 60 * 1000
const DAY = 24 * HOUR

/** Published messages stay for a week, settled dead letters for 90 days (spec §20). */
const OUTBOX_DAYS = 7
const DEAD_LETTER_DAYS = 90

/** What became of an outage's operations can be looked up for a week. */
const BACKLOG_DAYS = 7

/** The file knows an id so much longer than the primary, whatever their clocks say. */
const OPERATION_MARGIN = HOUR

/** Records that expired before then. Answers how many rows it removed. */
const expiredOperations = (before: number) =>
  Effect.gen(function*() {
    // What an outage has taken is needed until it is merged, however long ago its time is over. And an id that may come
    // again must not be found among those that were merged.
    const rows = yield* Transaction.query(
      "select o.id as id, b.n as n from operation o left join backlog b on b.operation_id = o.id " +
        "where o.expires_at < ? and (b.status is null or b.status <> 'pending') order by o.expires_at limit ?",
      [before, CHUNK]
    )
    for (const { id, n } of rows) {
      yield* Transaction.remove(Operations, { id: String(id) })
      if (n !== null) yield* Transaction.remove(Backlog, { n: Number(n) })
    }
    return rows.length
  })

/** Operations of outages that were settled long ago. */
const settledBacklog = Effect.gen(function*() {
  const now = yield* Transaction.now
  const rows = yield* Transaction.select(Backlog, {
    where: [["status", "in", ["merged", "withheld"]], ["mergedAt", "<", now - BACKLOG_DAYS * DAY]],
    limit: CHUNK
  })
  for (const { n } of rows) yield* Transaction.remove(Backlog, { n })
  return rows.length
})

const HEARD_BY = "heard-by:"

/** Keeps how far each consumer has heard, so that one that is not here now still counts: it finds its messages later. */
const remember = (heard: ReadonlyArray<Lane>) =>
  Effect.forEach(heard, ({ consumer, position }) => {
    const row = { source: `${HEARD_BY}${consumer}`, seq: position }
    return Effect.flatMap(
      Transaction.get(Cursors, { source: row.source }),
      Option.match({
        onNone: () => Effect.asVoid(Transaction.insert(Cursors, row)),
        onSome: ({ seq }) =>
          seq === position ? Effect.void : Effect.asVoid(Transaction.update(Cursors, { source: row.source }, () => row))
      })
    )
  }, { discard: true })

/** How far every consumer there ever was has settled. */
const heardByAll = (heard: ReadonlyArray<Lane>) =>
  Effect.zipRight(
    remember(heard),
    Transaction.query("select coalesce(min(seq), 0) as settled from cursor where source like ?", [`${HEARD_BY}%`])
  )

/** How far a broker has acknowledged: from there on, keeping them is its business. */
const published = Transaction.query("select coalesce(max(seq), 0) as settled from cursor where source = ?", [PUBLISHED])

/**
 * Messages that are `settled`. The last one of all stays: SQLite would give its number again, and whoever has dealt with it
 * would not deal with the next. So do those that are to be merged: the primary does not have them yet.
 */
const settledMessages = (settled: ReturnType<typeof heardByAll> | typeof published) =>
  Effect.gen(function*() {
    const [known] = yield* settled
    const [last] = yield* Transaction.query("select coalesce(max(seq), 0) as seq from outbox")
    const [unmerged] = yield* Transaction.query(
      "select min(first_message) as seq from backlog where status = 'pending'"
    )
    const settledUpTo = Math.min(
      Number(known?.["settled"]),
      Number(last?.["seq"]) - 1,
      typeof unmerged?.["seq"] === "number" ? unmerged["seq"] - 1 : Infinity
    )
    const now = yield* Transaction.now
    const rows = yield* Transaction.select(Outbox, {
      where: [["seq", "<=", settledUpTo], ["createdAt", "<", now - OUTBOX_DAYS * DAY]],
      orderBy: [["seq", "asc"]],
      limit: CHUNK
    })
    for (const { seq } of rows) yield* Transaction.remove(Outbox, { seq })
    return rows.length
  })

const settledDeadLetters = Effect.gen(function*() {
  const now = yield* Transaction.now
  const rows = yield* Transaction.select(DeadLetters, {
    where: [["status", "in", ["replayed", "discarded"]], ["firstAt", "<", now - DEAD_LETTER_DAYS * DAY]],
    limit: CHUNK
  })
  for (const { id } of rows) yield* Transaction.remove(DeadLetters, { id })
  return rows.length
})

/**
 * Row changes whose operation's record is gone. Looks at one stretch of the table behind the number given and answers
 * where the next stretch begins, 0 at the end.
 */
const orphanedChanges = (after: number) =>
  Effect.gen(function*() {
    const rows = yield* Transaction.query(
      "select c.n as n, o.id as operation from (select n, operation_id from change where n > ? order by n limit ?) c " +
        "left join operation o on o.id = c.operation_id order by c.n",
      [after, CHUNK * 5]
    )
    const orphans = rows.filter((row) => row["operation"] === null).slice(0, CHUNK)
    for (const row of orphans) yield* Transaction.remove(Changes, { n: Number(row["n"]) })
    const last = orphans.length === CHUNK ? orphans.at(-1) : rows.length === CHUNK * 5 ? rows.at(-1) : undefined
    return Number(last?.["n"] ?? 0)
  })

/** Cleans the primary, where there is one and it is in use. What cannot be done now is done later. */
const cleanPrimary = (primary: PrimaryStatus, isPublished: boolean) =>
  primary.mode() === "alone"
    ? Effect.succeed(undefined)
    : Effect.map(
      Effect.option(Effect.tapError(
        primary.purge({ isPublished }),
        (error) => Effect.logWarning("what is not needed any more could not be removed from Postgres", error)
      )),
      (purged) => Option.getOrUndefined(purged)?.expiredBefore
    )

/**
 * The kernel's own cleaning, each minute, in chunks between which others write.
 *
 * @category jobs
 */
export const job = (agent: string, bus: Pick<EventBusShape, "lanes" | "broker">): Job.Job<Database> => {
  let changesFrom = 0
  /** No id that expired before then is known to the primary any more. */
  let forgottenBefore: number | undefined
  return Job.worker(
    "housekeeping",
    { every: "1 minute" },
    Effect.gen(function*() {
      const database = yield* Database
      const settled = bus.broker === undefined
        ? heardByAll(bus.lanes().filter((lane) => lane.source === agent))
        : published
      const { primary } = database
      if (primary !== undefined) {
        forgottenBefore = (yield* cleanPrimary(primary, bus.broker !== undefined)) ?? forgottenBefore
      }
      const now = yield* Clock.currentTimeMillis
      const before = primary === undefined ? now : (forgottenBefore ?? 0) - OPERATION_MARGIN
      // Each step ends when a chunk is not full: nothing is left.
      while ((yield* database.housekeep("operations", expiredOperations(before))) === CHUNK) yield* Effect.yieldNow()
      while ((yield* database.housekeep("backlog", settledBacklog)) === CHUNK) yield* Effect.yieldNow()
      while ((yield* database.housekeep("outbox", settledMessages(settled))) === CHUNK) yield* Effect.yieldNow()
      yield* database.housekeep("dead letters", settledDeadLetters)
      changesFrom = yield* database.housekeep("changes", orphanedChanges(changesFrom))
    })
  )
}

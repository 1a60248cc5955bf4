import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { CommitUnknown } from "./GroupCommit.ts"
import * as Merge from "./Merge.ts"
import * as MergePlan from "./MergePlan.ts"
import { quote, type Statement } from "./PostgresConnection.ts"
import {
  type PostgresConstraint,
  type PostgresError,
  PostgresMisconfigured,
  type PostgresStatementInvalid,
  PostgresUnavailable
} from "./PostgresError.ts"
import * as PostgresTable from "./PostgresTable.ts"
import * as Primary from "./Primary.ts"
import type { Head } from "./Primary.ts"
import { type RowName, rowName, type Shadow, unmet } from "./Shadow.ts"
import type { Core } from "./Sqlite.ts"
import * as SqliteReader from "./SqliteReader.ts"
import type { StoreUnavailable } from "./StoreError.ts"
import * as SystemTables from "./SystemTables.ts"
import type { TakenRows } from "./TakenRows.ts"

/**
 * The two sides of an agent's store.
 *
 * @category models
 */
export interface Sides {
  readonly agent: string
  readonly primary: Primary.Primary
  readonly shadow: Shadow
  readonly core: Core
  readonly taken: TakenRows
  /** How many processes share what is scarce, as far as this one knows. */
  readonly sharers: () => number
}

/** What can end a step: the primary is away again, or the file cannot be written. */
export type StepError = PostgresError | StoreUnavailable

/**
 * What a round of the merge has done; `left` operations are still unmerged.
 *
 * @category models
 */
export interface Round {
  readonly merged: number
  readonly withheld: number
  readonly conflicts: number
  readonly left: number
  /** Rows that the round has touched on either side. */
  readonly touched: ReadonlySet<RowName>
}

/** Rows that are copied or compared at once. */
const PAGE = 2_000

/** Pages of rows by their keys that are asked for at once: all that is asked at once is answered within one deadline. */
const PAGES = 4

export const file = <A>(run: () => A): Effect.Effect<A, StoreUnavailable> =>
  Effect.suspend(() => SqliteReader.attemptRead("shadow", run))

/** A commit whose answer was lost: the merge looks again, and finds what is known. */
const asAway = <E extends { readonly _tag: string }>(error: E | CommitUnknown): E | PostgresUnavailable =>
  isUnknown(error)
    ? new PostgresUnavailable({ reason: "lost", detail: "the answer to a commit was lost" })
    : error

const isUnknown = (error: { readonly _tag: string }): error is CommitUnknown => error._tag === "CommitUnknown"

/** A transaction on both sides: whatever fails, neither stays open. */
export const both = <A, E extends { readonly _tag: string }>(
  { core, primary }: Sides,
  work: (head: Head) => Effect.Effect<A, E | CommitUnknown>
): Effect.Effect<A, E | StepError> =>
  Effect.gen(function*() {
    const head = yield* primary.begin
    yield* file(() => {
      core.state.connection.exec("begin immediate")
      core.state.connection.pragma("defer_foreign_keys = ON")
    })
    const value = yield* work(head)
    yield* file(() => core.state.connection.exec("commit"))
    core.announce()
    return value
  }).pipe(
    Effect.mapError((error) => asAway<E | StepError>(error)),
    Effect.onError(() =>
      Effect.zipRight(
        Effect.sync(() => {
          if (core.state.connection.inTransaction) core.state.connection.exec("rollback")
          core.state.lastSeq = core.state.committedSeq
        }),
        primary.rollback
      )
    )
  )

/**
 * Whether what lies between the file and the primary's head can be read there, in the open transaction: `another` history
 * answers, or the log does not go back so far any more (`gone`).
 *
 * @category steps
 */
export const gap = (
  { primary }: Pick<Sides, "primary">,
  standing: Head,
  head: Head
): Effect.Effect<"none" | "another" | "gone", PostgresError> => {
  if (standing.incarnation !== head.incarnation || standing.head > head.head) return Effect.succeed("another")
  if (standing.changeN >= head.changeN) return Effect.succeed("none")
  return Effect.map(primary.run([{ text: "select min(n) as n from change" }]), ([oldest]) => {
    const n = oldest?.rows[0]?.["n"]
    return typeof n !== "number" || n > standing.changeN + 1 ? "gone" : "none"
  })
}

/**
 * Writes what others have committed since; answers the rows it has touched. A file that must be filled anyway is left as
 * it is.
 */
export const pull = (sides: Sides, head: Head) =>
  Effect.gen(function*() {
    const { core, primary, shadow, taken } = sides
    const standing = yield* file(shadow.standing)
    const isUnmet = standing === undefined || standing.incarnation === unmet.incarnation
    if (isUnmet || (standing.incarnation === head.incarnation && standing.head === head.head)) return new Set<RowName>()
    const missing = yield* gap(sides, standing, head)
    if (missing !== "none") {
      return yield* new PostgresUnavailable({
        reason: "lost",
        detail: missing === "another" ? "another store answers" : "the log does not go back so far"
      })
    }
    const pulled = yield* primary.pull(standing)
    yield* file(() => {
      const { deferred, lastSeq, wrote } = shadow.apply(pulled, (name) => taken.has(name))
      for (const table of wrote) core.state.written.add(table)
      if (lastSeq > 0) core.state.lastSeq = lastSeq
      // Whoever is on its way back compares them before it has arrived; another process would not know of them.
      if (deferred.length > 0) shadow.suspect()
    })
    return new Set(pulled.changes.map(({ key, table }) => rowName(table, key)))
  })

/**
 * Brings the file up to the primary, in an exclusive turn of the writer. Answers whether it must be copied anew: rows of it
 * stand in the way of what others have committed, though nothing of it is unmerged.
 *
 * @category steps
 */
export const catchUp = (sides: Sides): Effect.Effect<boolean, StepError> =>
  both(sides, (head) =>
    Effect.gen(function*() {
      const { primary, shadow } = sides
      yield* pull(sides, head)
      const isSuspected = yield* file(shadow.isSuspected)
      if (!isSuspected) yield* file(() => shadow.follow(head, sides.sharers()))
      yield* primary.rollback
      return isSuspected
    }))

/** Two questions to the primary on their way at the same time; the session answers them in turn. */
const atOnce = <A, B>(one: Effect.Effect<A, PostgresError>, other: Effect.Effect<B, PostgresError>) =>
  Effect.all([one, other], { concurrency: "unbounded" })

export const readRows = (sides: Sides, names: Iterable<RowName>) =>
  Effect.gen(function*() {
    const keys = new Map<string, Array<string>>()
    for (const name of names) {
      const at = name.indexOf(" ")
      const own = keys.get(name.slice(0, at)) ?? []
      own.push(name.slice(at + 1))
      keys.set(name.slice(0, at), own)
    }
    const reads = [...keys].flatMap(([name, own]) => {
      const table = sides.shadow.tables.get(name)
      if (table === undefined) return []
      const of = PostgresTable.of(table)
      return Array.from({ length: Math.ceil(own.length / PAGE) }, (_, page) => ({
        of,
        statement: of.byKeys(own.slice(page * PAGE, (page + 1) * PAGE).map(of.keyImage))
      }))
    })
    const found = new Map<RowName, Merge.Image>()
    for (let from = 0; from < reads.length; from += PAGES) {
      const some = reads.slice(from, from + PAGES)
      const results = yield* sides.primary.run(some.map(({ statement }) => statement))
      results.forEach((result, index) => {
        const of = some[index]?.of
        if (of === undefined) return
        for (const row of result.rows) {
          const image = of.decode(row)
          found.set(rowName(of.table.name, of.keyOf(image)), image)
        }
      })
      if (reads.length > PAGES) yield* Effect.yieldNow()
    }
    return found
  })

const knownIds = (ids: ReadonlyArray<string>): Statement => ({
  name: "known",
  text: "select id, command, write_class, fingerprint, answer, outcome, received_at, expires_at from operation " +
    "where id = any($1)",
  values: [ids]
})

/** Those of the messages that the primary has. */
const toldAmong = ({ primary }: Sides, eventIds: ReadonlyArray<string>) =>
  eventIds.length === 0
    ? Effect.succeed(new Set<string>())
    : Effect.map(
      primary.run([{ text: "select event_id, created_at from outbox where event_id = any($1)", values: [eventIds] }]),
      ([found]) =>
        new Set(found?.rows.map((row) => MergePlan.messageName(String(row["event_id"]), Number(row["created_at"]))))
    )

/** Operations that wait for a person, in the order in which they ran. */
export const openWithheld = "from withheld_operation w left join operation o on o.id = w.operation_id " +
  "where w.status = 'open' order by o.n is null, o.n, w.at, w.operation_id"

/** Rows of operations that wait for a person, by the first operation that holds them. */
const withheldRows = (shadow: Shadow, core: Core): ReadonlyMap<RowName, string> => {
  const rows = core.state.statements.ofText(`select w.operation_id as id, w.changes as changes ${openWithheld}`).all()
  const names = new Map<RowName, string>()
  for (const row of rows) {
    const { changes, id } = Object(row) as { readonly id: unknown; readonly changes: unknown }
    const list = JSON.parse(String(changes)) as ReadonlyArray<{ readonly table: string; readonly key: string }>
    for (const { key, table } of list) {
      const name = rowName(table, key)
      if (shadow.tables.has(table) && !names.has(name)) names.set(name, String(id))
    }
  }
  return names
}

/** Sets the rows to what the primary has; those that are in each other's way get a second turn. Answers what is left. */
export const converge = (sides: Sides, rows: ReadonlyArray<readonly [RowName, Merge.Image | null]>) => {
  const attempt = (some: typeof rows) =>
    some.filter(([name, image]) => {
      const at = name.indexOf(" ")
      const table = sides.shadow.tables.get(name.slice(0, at))
      if (table === undefined) return false
      try {
        sides.shadow.setRow(table, name.slice(at + 1), image)
        sides.core.state.written.add(table.name)
        return false
      } catch (thrown) {
        if (
          thrown instanceof Error && "code" in thrown && String(thrown.code).startsWith("SQLITE_CONSTRAINT")
        ) return true
        throw thrown
      }
    })
  let left = attempt([...rows].sort(([, one], [, other]) => Number(one !== null) - Number(other !== null)))
  for (let before = Infinity; left.length > 0 && left.length < before;) {
    before = left.length
    left = attempt(left)
  }
  return left.map(([name]) => name)
}

/**
 * Merges the oldest operations of the outage, at most `limit`, in an exclusive turn of the writer.
 *
 * @category steps
 */
export const merge = (
  sides: Sides,
  limit: number,
  raisesEpoch: boolean,
  condemned: ReadonlyMap<string, string> = new Map()
): Effect.Effect<Round, StepError> =>
  Effect.suspend(() => {
    const first: Array<string> = []
    let count = 0
    const round = both(sides, (head) =>
      Effect.gen(function*() {
        const { agent, core, primary, shadow, taken } = sides
        const now = yield* Clock.currentTimeMillis
        const pulled = yield* pull(sides, head)
        const entries = yield* file(() => shadow.pending(limit))
        count = entries.length
        first.push(...entries.slice(0, 1).map(({ operation }) => operation.id))
        const withheld = yield* file(() => withheldRows(shadow, core))
        const names = new Set(
          entries.flatMap(({ changes }) => changes.map(({ key, table }) => rowName(table, key)))
        )
        const [[known], current] = yield* atOnce(
          primary.run([knownIds(entries.map(({ operation }) => operation.id))]),
          readRows(sides, names)
        )
        const there = new Map(known?.rows.map((row) => [String(row["id"]), Primary.operationOf(row)]))
        const repeated = entries.filter(({ operation }) => there.has(operation.id)).flatMap(({ messages }) => messages)
        const plan = MergePlan.make({
          agent,
          now,
          tables: shadow.tables,
          entries,
          known: there,
          told: yield* toldAmong(sides, repeated.map(({ envelope }) => envelope.id)),
          current,
          withheld,
          condemned
        })
        const after = yield* primary.commit({
          operations: plan.operations,
          messages: plan.messages,
          changes: plan.changes,
          raisesEpoch
        })
        yield* file(() => {
          // It ran on both sides, each time beside others: what the primary has answered is what counts.
          for (const operation of there.values()) shadow.correctOperation(operation)
          shadow.settle(plan.merged.map(({ n }) => n), "merged", now)
          shadow.settle(plan.withheld.map(({ n }) => n), "withheld", now)
          const released = entries.flatMap((entry) => taken.release(entry.changes))
          converge(sides, released.map((name) => [name, plan.rows.get(name) ?? null] as const))
          const own = new Set<string>([SystemTables.Withheld.name, SystemTables.Conflicts.name])
          for (const { after: image, key, table } of plan.changes) {
            const system = shadow.tables.get(table)
            if (own.has(table) && system !== undefined) shadow.setRow(system, key, image)
            core.state.written.add(table)
          }
          const here = new Set(entries.flatMap(({ messages }) => messages))
          for (const message of plan.messages) {
            if (here.has(message)) continue
            core.state.lastSeq = shadow.insertMessage(message)
            core.state.written.add(SystemTables.Outbox.name)
          }
          shadow.follow(after, sides.sharers())
        })
        return {
          merged: plan.merged.length,
          withheld: plan.withheld.length,
          conflicts: plan.conflicts,
          left: yield* file(shadow.pendingCount),
          touched: new Set([...pulled, ...names])
        }
      }))
    return Effect.catchIf(round, isOfContent, (broken) => {
      const [culprit] = first
      // Halving finds the operation that breaks it; alone, it is the one.
      if (count > 1) return merge(sides, Math.ceil(Math.min(limit, count) / 8), raisesEpoch, condemned)
      return culprit === undefined || condemned.has(culprit)
        ? Effect.fail(broken)
        : merge(sides, 1, raisesEpoch, new Map([...condemned, [culprit, `constraint: ${broken.detail}`]]))
    })
  })

/** The primary answers, and refuses what an operation wrote: a constraint, or a value that is none there. */
const isOfContent = (error: StepError): error is PostgresConstraint | PostgresStatementInvalid =>
  error._tag === "PostgresConstraint" ||
  (error._tag === "PostgresStatementInvalid" && /^(?:22|54)/.test(error.code ?? ""))

/**
 * What the comparison of both sides has found.
 *
 * @category models
 */
export interface Proof {
  readonly rows: number
  readonly tables: number
  /** Rows that differed and were set to what the primary has. */
  readonly repaired: number
  /** A table has another number of rows on each side, or a row could not be set: only a new copy helps. */
  readonly isCopyNeeded: boolean
}

/**
 * Compares the rows named, and the number of rows of each table as far as it is counted, on both sides, under the lock.
 *
 * @category steps
 */
export const prove = (
  sides: Sides,
  names: ReadonlySet<RowName>,
  counted: number
): Effect.Effect<Proof, StepError> =>
  both(sides, (head) =>
    Effect.gen(function*() {
      const { primary, shadow } = sides
      const pulled = yield* pull(sides, head)
      const compared = new Set([...names, ...pulled])
      const tables = [...shadow.tables.values()].filter(({ name }) => name !== SystemTables.DeadLetters.name)
      const [current, [found]] = yield* atOnce(
        readRows(sides, compared),
        primary.run([{
          text: tables.map(({ name }, at) =>
            `select ${at} as at, count(*) as n from (select 1 from "${name}" limit ${counted}) as first_rows`
          ).join(" union all ")
        }])
      )
      return yield* file(() => {
        const different = [...compared].flatMap((name) => {
          const at = name.indexOf(" ")
          const table = shadow.tables.get(name.slice(0, at))
          if (table === undefined) return []
          const here = shadow.getRow(table, name.slice(at + 1))
          const there = current.get(name)
          const isSame = here === undefined || there === undefined
            ? here === there
            : Merge.sameRow(table, here, there)
          return isSame ? [] : [[name, there ?? null] as const]
        })
        const left = converge(sides, different)
        const counts = new Map(found?.rows.map((row) => [Number(row["at"]), Number(row["n"])]))
        const isCopyNeeded = left.length > 0 ||
          tables.some((table, at) => shadow.count(table, counted) !== counts.get(at))
        shadow.follow(head, sides.sharers())
        if (!isCopyNeeded) shadow.trust()
        return { rows: compared.size, tables: tables.length, repaired: different.length, isCopyNeeded }
      })
    }).pipe(Effect.tap(() => sides.primary.rollback)))

const selectAll = (text: string) => [{ text: `declare rows no scroll cursor for ${text}` }]

/** Reads a whole table of the primary in the open transaction, page by page. */
const eachPage = <A>(
  { primary }: Sides,
  text: string,
  use: (rows: ReadonlyArray<Readonly<Record<string, unknown>>>) => A
): Effect.Effect<void, StepError> =>
  Effect.gen(function*() {
    yield* primary.run(selectAll(text))
    for (;;) {
      const [page] = yield* primary.run([{ text: `fetch ${PAGE} from rows` }])
      const rows = page?.rows ?? []
      yield* file(() => use(rows))
      yield* Effect.yieldNow()
      if (rows.length < PAGE) break
    }
    yield* primary.run([{ text: "close rows" }])
  })

/**
 * Fills the file anew from the primary, as of one moment. Nothing unmerged may be in it.
 *
 * @category steps
 */
export const copy = (sides: Sides, told: (rows: number) => void = () => {}): Effect.Effect<number, StepError> =>
  both(sides, (head) =>
    Effect.gen(function*() {
      const { core, primary, shadow } = sides
      let rows = 0
      const count = (n: number) => told(rows += n)
      // Whoever has heard the log up to here must hear what comes now.
      const { message: heard } = yield* file(shadow.marks)
      shadow.continueAbove(heard)
      yield* file(shadow.empty)
      for (const table of shadow.tables.values()) {
        const of = PostgresTable.of(table)
        yield* eachPage(sides, `select ${of.columns} from "${table.name}"`, (page) => {
          for (const row of page) {
            const image = of.decode(row)
            shadow.setRow(table, of.keyOf(image), image)
          }
          core.state.written.add(table.name)
          count(page.length)
        })
      }
      yield* eachPage(sides, "select * from operation order by n", (page) => {
        for (const row of page) shadow.insertOperation(Primary.operationOf(row))
        count(page.length)
      })
      yield* eachPage(sides, "select envelope, published_at from outbox order by seq", (page) => {
        for (const row of page) core.state.lastSeq = shadow.insertMessage(Primary.messageOf(row))
        if (page.length > 0) core.state.written.add(SystemTables.Outbox.name)
        count(page.length)
      })
      yield* file(() => {
        shadow.filled()
        shadow.forgetMessages(heard)
      })
      yield* file(() => shadow.join(head, sides.sharers()))
      yield* primary.rollback
      return rows
    }))

/** Operations of the file that are looked for in the primary at once. */
const LOOK = 1_000

/** The newest operations of the file before this one, and which of them the primary knows. */
const lookUp = ({ primary, shadow }: Sides, before: number, now: number, isSettled = false) =>
  Effect.gen(function*() {
    const page = yield* file(() => shadow.operationsBefore(before, now, LOOK, isSettled))
    const [known] = yield* primary.run([knownIds(page.map(({ id }) => id))])
    return { page, there: new Set(known?.rows.map((row) => String(row["id"]))) }
  })

/** A record that expires so soon may be gone there by another clock. */
const CLOCK_MARGIN = 60 * 60 * 1000

/**
 * Whether the primary does not know what it has committed before, in the open transaction. The numbers of its log need not
 * show that: others may have brought it beyond this file's place again.
 *
 * @category steps
 */
export const hasForgotten = (sides: Sides): Effect.Effect<boolean, StepError> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const { page, there } = yield* lookUp(sides, Number.MAX_SAFE_INTEGER, now + CLOCK_MARGIN, true)
    return there.size < page.length
  })

/**
 * The primary has forgotten commits (it was restored, or a copy of it took over): the newest operations of the file that it
 * does not know are unmerged again. Answers their places in the backlog, and how many are not because the file does not know
 * what they changed: another process did them, or one whose file is gone. Where `isSame` is not sure, a primary that knows
 * none of them is somebody else's, and nothing of the file is brought there.
 *
 * @category steps
 */
export const rescue = (
  sides: Sides,
  isSame: boolean
): Effect.Effect<{ readonly reopened: ReadonlySet<number>; readonly beyond: number }, StepError> =>
  Effect.gen(function*() {
    const { core, primary, shadow } = sides
    const lost: Array<string> = []
    const now = yield* Clock.currentTimeMillis
    let isKin = isSame
    yield* primary.begin
    for (let before = Number.MAX_SAFE_INTEGER;;) {
      const { page, there } = yield* lookUp(sides, before, now)
      isKin ||= there.size > 0
      if (!isKin) break
      for (const { id } of page) if (!there.has(id)) lost.push(id)
      before = page.at(-1)?.n ?? 0
      if (page.length < LOOK || there.size === page.length) break
    }
    yield* primary.rollback
    return yield* file(() => {
      const { connection } = core.state
      const reopened = connection.transaction(() => new Set(lost.reverse().flatMap((id) => shadow.reopen(id) ?? [])))()
      return { reopened, beyond: isKin ? lost.length - reopened.size : 0 }
    })
  })

/**
 * Takes a file that has been a store of its own into an empty primary, whole. Answers whether the file must be filled
 * instead: the primary has all of it already, from a process that ended before the file could note it.
 *
 * @category steps
 */
export const adopt = (sides: Sides): Effect.Effect<boolean, StepError> =>
  both(sides, (head) =>
    Effect.gen(function*() {
      const { core, primary, shadow } = sides
      if (head.head > 0) {
        const { page, there } = yield* lookUp(sides, Number.MAX_SAFE_INTEGER, 0, true)
        if (page.length > 0 && there.size === page.length) {
          yield* file(() => {
            shadow.join(unmet, sides.sharers())
          })
          yield* primary.rollback
          return true
        }
        return yield* new PostgresMisconfigured({
          reason: "schema",
          detail: `the file of the ${sides.agent} agent is a store of its own, and so is its schema in Postgres`,
          fix: "point HOLDFAST_DATA_DIR to an empty folder, or DATABASE_URL to a database without the schema"
        })
      }
      const eachPageOf = (
        table: string,
        key: ReadonlyArray<string>,
        write: (rows: ReadonlyArray<Readonly<Record<string, unknown>>>) => Effect.Effect<unknown, StepError>
      ) =>
        Effect.gen(function*() {
          const columns = key.map(quote).join(", ")
          const rest = `where (${columns}) > (${key.map(() => "?").join(", ")}) `
          for (let last: ReadonlyArray<unknown> = [];;) {
            const rows = yield* file(() =>
              core.state.statements
                .ofText(`select * from "${table}" ${last.length === 0 ? "" : rest}order by ${columns} limit ${PAGE}`)
                // Plain objects by column name.
                .all(...last) as ReadonlyArray<Readonly<Record<string, unknown>>>
            )
            if (rows.length > 0) yield* write(rows)
            yield* Effect.yieldNow()
            if (rows.length < PAGE) return
            last = key.map((name) => rows.at(-1)?.[name])
          }
        })
      for (const table of shadow.tables.values()) {
        const of = PostgresTable.of(table)
        yield* eachPageOf(
          table.name,
          table.key.map((field) => table.sqlNames[field] ?? field),
          (rows) => primary.run([of.upsert(rows.map((row) => shadow.imageOf(table, row)))])
        )
      }
      yield* eachPageOf(
        "operation",
        ["n"],
        (rows) => primary.write({ operations: rows.map(Primary.operationOf), messages: [], changes: [] })
      )
      yield* eachPageOf(
        "outbox",
        ["seq"],
        (rows) => primary.write({ operations: [], messages: rows.map(Primary.messageOf), changes: [] })
      )
      const after = yield* primary.commit({ operations: [], messages: [], changes: [] })
      yield* file(() => shadow.join(after, sides.sharers()))
      return false
    }))

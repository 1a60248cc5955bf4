import type { Agent } from "@holdfast/agent/Agent"
import * as Merge from "@holdfast/database/Merge"
import type { Query } from "@holdfast/database/Query"
import type { ReadError } from "@holdfast/database/StoreError"
import type { StoreReader } from "@holdfast/database/StoreReader"
import * as SystemTables from "@holdfast/database/SystemTables"
import type { Columns, Table } from "@holdfast/database/Table"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { createHash, type Hash } from "node:crypto"
import * as Count from "../Count.ts"
import * as Facts from "./Facts.ts"
import type { Finding } from "./Finding.ts"
import * as Invariants from "./Invariants.ts"
import type { StoreFile, Stores } from "./Stores.ts"

/** Rows of one table that are reported by name. */
const NAMED = 20

const HOUR = 60 * 60 * 1000
const DAY = 24 * HOUR

/**
 * A file of an agent, and what it has not brought to Postgres.
 *
 * @category models
 */
export interface Shadow {
  readonly agent: string
  readonly directory: string
  /** Operations of an outage that are still to be merged. */
  readonly pending: number
  /** As many in Postgres as here, with the same digest, where both were compared. */
  readonly tables: ReadonlyArray<{
    readonly name: string
    readonly rows: number
    readonly digest: string
  }>
}

type Image = Readonly<Record<string, unknown>>

/** What of a table both sides must have, and in which order it is read. */
interface Extract {
  readonly table: Table
  readonly order: ReadonlyArray<string>
  /** Columns that each side has its own of. */
  readonly except: ReadonlyArray<string>
  readonly where: NonNullable<Query<Columns>["where"]>
}

const whole = (table: Table): Extract => ({ table, order: table.key, except: [], where: [] })

/**
 * All rows of the agent, the records of its operations and its messages. Dead letters, and what is old enough to be
 * cleaned away, each side cleans away by itself.
 */
const extractsOf = (agent: Agent, now: number): ReadonlyArray<Extract> => [
  ...[...agent.tables, ...SystemTables.replicated.filter((table) => table !== SystemTables.DeadLetters)].map(whole),
  {
    table: SystemTables.Operations,
    order: ["id"],
    except: ["n", "mergedAt"],
    where: [["expiresAt", ">", now + HOUR]]
  },
  {
    table: SystemTables.Outbox,
    // A saga asks again under the same id.
    order: ["eventId", "createdAt"],
    except: ["seq", "publishedAt"],
    where: [["createdAt", ">", now - 6 * DAY]]
  }
]

/** The rows one after another. */
const rowsOf = (reader: StoreReader, { order, table, where }: Extract) => {
  const next = reader.walk(table, { where, order })
  let page: ReadonlyArray<Image> = []
  let at = 0
  let isOver = false
  return (): Effect.Effect<Image | undefined, ReadError> =>
    at < page.length || isOver ? Effect.succeed(page[at++]) : Effect.map(next, (rows) => {
      page = rows
      isOver = rows.length === 0
      at = 1
      return page[0]
    })
}

const compareValues = (one: unknown, other: unknown): number =>
  one === other
    ? 0
    : typeof one === "number" && typeof other === "number"
    ? one - other
    : Buffer.compare(Buffer.from(String(one)), Buffer.from(String(other)))

/** Which of two rows comes first, in the order in which both sides are read. */
const compareRows = (order: ReadonlyArray<string>, one: Image, other: Image): number => {
  for (const field of order) {
    const difference = compareValues(one[field], other[field])
    if (difference !== 0) return difference
  }
  return 0
}

/** The row with the names inside its documents in one order: that they came in another does not make it another row. */
const canonical = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(canonical)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(
      Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([name, one]) => [name, canonical(one)])
    )
    : value

const digest = (hash: Hash, row: Image, { except, table }: Extract) =>
  hash.update(JSON.stringify(table.fields.filter((field) => !except.includes(field)).map((f) => canonical(row[f]))))

/** Walks both sides at once. */
const compare = (shadow: StoreFile, primary: StoreReader, extract: Extract) =>
  Effect.gen(function*() {
    const { except, order, table } = extract
    const nextHere = rowsOf(shadow.reader, extract)
    const nextThere = rowsOf(primary, extract)
    const hash = createHash("sha256")
    const named: Array<Finding> = []
    let different = 0
    let rows = 0
    const report = (row: Image, detail: string) => {
      different++
      if (named.length === NAMED) return
      const key = order.map((field) => String(row[field])).join(" ")
      named.push(Invariants.unequal(shadow, `${table.name} ${key}`, detail))
    }
    let here = yield* nextHere()
    let there = yield* nextThere()
    while (here !== undefined || there !== undefined) {
      const side = here === undefined ? 1 : there === undefined ? -1 : compareRows(order, here, there)
      if (here !== undefined && side <= 0) {
        rows++
        digest(hash, here, extract)
      }
      if (here !== undefined && side < 0) report(here, "is in the file and not in Postgres")
      if (there !== undefined && side > 0) report(there, "is in Postgres and not in the file")
      if (here !== undefined && there !== undefined && side === 0 && !Merge.sameRow(table, here, there, except)) {
        report(here, "differs between the file and Postgres")
      }
      if (side <= 0) here = yield* nextHere()
      if (side >= 0) there = yield* nextThere()
    }
    return {
      table: { name: table.name, rows, digest: hash.digest("hex") },
      findings: different <= NAMED
        ? named
        : [
          ...named,
          Invariants.unequal(
            shadow,
            table.name,
            `${Count.of(different - NAMED, "more row is", "more rows are")} not the same`
          )
        ]
    }
  })

/**
 * What the files still have to bring to Postgres; with `isCompared`, also whether each is equal to it, row by row.
 *
 * @category checks
 */
export const check = (options: {
  readonly agents: ReadonlyArray<Agent>
  readonly stores: Stores
  readonly isCompared: boolean
}): Effect.Effect<
  { readonly shadows: ReadonlyArray<Shadow>; readonly findings: ReadonlyArray<Finding> },
  ReadError
> =>
  Effect.gen(function*() {
    const { agents, isCompared, stores } = options
    const now = yield* Clock.currentTimeMillis
    const looked = yield* Effect.forEach(stores.files, (file) =>
      Effect.gen(function*() {
        const backlog = yield* Facts.backlog(file.reader)
        const agent = agents.find(({ name }) => name === file.agent)
        const primary = stores.records.get(file.agent)
        const compared = !isCompared || agent === undefined || primary === undefined
          ? []
          : yield* Effect.forEach(extractsOf(agent, now), (extract) => compare(file, primary, extract))
        return {
          shadow: {
            agent: file.agent,
            directory: file.directory,
            pending: backlog.pending,
            tables: compared.map(({ table }) => table)
          },
          findings: [
            ...Invariants.unmerged(file, backlog),
            ...compared.flatMap(({ findings }) => findings)
          ]
        }
      }))
    return { shadows: looked.map(({ shadow }) => shadow), findings: looked.flatMap(({ findings }) => findings) }
  })

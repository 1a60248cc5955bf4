/** Durable operations per second on SQLite with `synchronous=FULL`: group commit beside one transaction per operation. */
import * as Message from "@holdfast/contracts/Message"
import BetterSqlite3 from "better-sqlite3"
import { Effect, ManagedRuntime, Schema } from "effect"
import { randomBytes } from "node:crypto"
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { Database } from "../src/Database.ts"
import * as Migration from "../src/Migration.ts"
import type { Operation } from "../src/Operation.ts"
import * as Sqlite from "../src/Sqlite.ts"
import type { WriteError } from "../src/StoreError.ts"
import * as Table from "../src/Table.ts"
import * as Transaction from "../src/Transaction.ts"

/** One comparison; the ratio is the median of the rounds' ratios of `ours` to `peerValue`. */
export interface Row {
  readonly name: string
  readonly ours: number
  readonly peer: string
  readonly peerValue: number
  readonly ratio: number
  readonly unit: string
}

const Orders = Table.make("bench_order", {
  columns: { id: Table.text, customer: Table.text, total: Table.integer, state: Table.text, version: Table.integer },
  key: ["id"],
  merge: Table.versioned
})

const Placed = Message.event("bench.placed", {
  payload: Schema.Struct({ orderId: Schema.String, customer: Schema.String, total: Schema.Int }),
  key: (payload) => payload.orderId
})

const createOrders =
  "create table bench_order (id text primary key, customer text not null, total bigint not null, state text not null, version bigint not null)"

let named = 0

/** A key as a good client makes it: unique, and close to the keys before it. */
const uuid7 = (): string => {
  const time = Date.now().toString(16).padStart(12, "0")
  const random = randomBytes(10).toString("hex")
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-8${random.slice(3, 6)}-${random.slice(6, 18)}`
}

const place = (): Operation<string, WriteError, Transaction.Transaction> => {
  const id = `http:bench:${uuid7()}`
  return {
    id,
    command: "bench.place",
    writeClass: "mergeable",
    fingerprint: "POST /orders",
    cause: { correlationId: id, causationId: id },
    keepMillis: 60_000,
    handler: Effect.gen(function*() {
      const orderId = yield* Transaction.nextId("ord")
      yield* Transaction.insert(Orders, { id: orderId, customer: "c-17850", total: 1530, state: "placed" })
      yield* Transaction.emit(Placed, { orderId, customer: "c-17850", total: 1530 })
      return orderId
    }),
    answer: (orderId) => JSON.stringify({ status: 202, body: orderId }),
    refusal: () => undefined
  }
}

/** Operations per second with so many callers, each with one operation in flight. */
const throughput = (callers: number, operations: number) =>
  Effect.gen(function*() {
    const database = yield* Database
    const begun = performance.now()
    yield* Effect.forEach(
      Array.from({ length: callers }),
      () => Effect.repeatN(Effect.suspend(() => database.execute(place())), Math.floor(operations / callers) - 1),
      { concurrency: "unbounded", discard: true }
    )
    return Math.floor(operations / callers) * callers / (performance.now() - begun) * 1000
  })

/** The four rows of an operation, by hand, each operation in a transaction of its own. */
const handWritten = (directory: string) => {
  const file = join(directory, `hand-${named++}.sqlite`)
  const connection = new BetterSqlite3(file)
  connection.pragma("journal_mode = WAL")
  connection.pragma("synchronous = FULL")
  connection.exec(`${createOrders};
    create table operation (n integer primary key, id text not null unique, answer text not null);
    create table outbox (seq integer primary key, event text not null);
    create table change (n integer primary key, operation_id text not null, row text not null)`)
  const order = connection.prepare("insert into bench_order values (?, ?, ?, ?, 1)")
  const operation = connection.prepare("insert into operation (id, answer) values (?, ?)")
  const outbox = connection.prepare("insert into outbox (event) values (?)")
  const change = connection.prepare("insert into change (operation_id, row) values (?, ?)")
  const begin = connection.prepare("begin immediate")
  const commit = connection.prepare("commit")
  return {
    run: (operations: number) => {
      const begun = performance.now()
      for (let i = 0; i < operations; i++) {
        const id = `op-${named++}`
        const row = { id: `ord-${id}`, customer: "c-17850", total: 1530, state: "placed" }
        begin.run()
        order.run(row.id, row.customer, row.total, row.state)
        outbox.run(JSON.stringify({ type: "placed", ...row }))
        change.run(id, JSON.stringify(row))
        operation.run(id, "{}")
        commit.run()
      }
      return operations / (performance.now() - begun) * 1000
    },
    close: () => connection.close()
  }
}

/** Milliseconds of one fdatasync of 4 KiB on the disk of the stores. */
const fsyncMillis = (directory: string): number => {
  const file = openSync(join(directory, "fsync"), "w")
  const begun = performance.now()
  for (let i = 0; i < 50; i++) {
    writeSync(file, Buffer.alloc(4096))
    fdatasyncSync(file)
  }
  closeSync(file)
  return (performance.now() - begun) / 50
}

const median = (values: ReadonlyArray<number>): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN

/**
 * Measures with 1, 16 and 256 callers, peers in turn.
 */
export const run = async (
  options: { readonly rounds: number; readonly operations: number } = { rounds: 5, operations: 20_000 }
): Promise<ReadonlyArray<Row>> => {
  // Below the working directory: a temporary folder may be memory, where a commit costs nothing.
  const directory = mkdtempSync(join(process.env["HOLDFAST_BENCH_DIR"] ?? process.cwd(), ".bench-"))
  const store = (agent: string, maxBatch?: number) =>
    ManagedRuntime.make(Sqlite.layer({
      agent,
      directory,
      migrations: [Migration.make("0001_bench", [createOrders])],
      ...(maxBatch === undefined ? {} : { maxBatch })
    }))
  const grouped = store("grouped")
  const single = store("single", 1)
  const hand = handWritten(directory)
  try {
    const rows: Array<Row> = []
    for (const callers of [1, 16, 256]) {
      const operations = callers === 1
        ? options.operations / 20
        : callers === 16
        ? options.operations / 2
        : options.operations
      await grouped.runPromise(throughput(callers, operations / 4))
      const rounds: Array<{ ours: number; single: number; hand: number }> = []
      for (let round = 0; round < options.rounds; round++) {
        rounds.push({
          ours: await grouped.runPromise(throughput(callers, operations)),
          single: await single.runPromise(throughput(callers, options.operations / 20)),
          hand: hand.run(options.operations / 20)
        })
      }
      const row = (peer: string, of: "single" | "hand"): Row => ({
        name: `durable operations, ${callers} callers`,
        ours: median(rounds.map(({ ours }) => ours)),
        peer,
        peerValue: median(rounds.map((one) => one[of])),
        ratio: median(rounds.map((one) => one.ours / one[of])),
        unit: "operations/s"
      })
      rows.push(row("one transaction per operation, same kernel", "single"))
      rows.push(row("one transaction per operation, written by hand on better-sqlite3", "hand"))
    }
    rows.push({
      name: "fdatasync of 4 KiB",
      ours: fsyncMillis(directory),
      peer: "-",
      peerValue: NaN,
      ratio: NaN,
      unit: "ms"
    })
    return rows
  } finally {
    hand.close()
    await grouped.dispose()
    await single.dispose()
    rmSync(directory, { recursive: true, force: true })
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const row of await run()) {
    console.log(
      `${row.name}: ${row.ours.toFixed(2)} ${row.unit}; ${row.peer}: ${row.peerValue.toFixed(0)}; ratio ${
        row.ratio.toFixed(2)
      }`
    )
  }
}

/** Durable operations per second on SQLite with `synchronous=FULL`: group commit beside one transaction per operation. */
import * as Message from "@holdfast/contracts/Message"
import type { Aim, Bench, Options, Row } from "@holdfast/resilience/bench/Bench"
import { compare, interleave, storeFolder } from "@holdfast/resilience/bench/Bench"
import BetterSqlite3 from "better-sqlite3"
import { Effect, ManagedRuntime, Schema } from "effect"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { Database } from "../src/Database.ts"
import * as Migration from "../src/Migration.ts"
import type { Operation } from "../src/Operation.ts"
import * as Sqlite from "../src/Sqlite.ts"
import type { WriteError } from "../src/StoreError.ts"
import * as Table from "../src/Table.ts"
import * as Transaction from "../src/Transaction.ts"

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

const ours = "group commit"
const sameKernel = "one transaction per operation, same kernel"
const byHand = "one transaction per operation, by hand"

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

const run = async ({ progress, quick }: Options): Promise<ReadonlyArray<Row>> => {
  const folder = storeFolder()
  const store = (agent: string, maxBatch?: number) =>
    ManagedRuntime.make(Sqlite.layer({
      agent,
      directory: folder.path,
      migrations: [Migration.make("0001_bench", [createOrders])],
      ...(maxBatch === undefined ? {} : { maxBatch })
    }))
  const grouped = store("grouped")
  const single = store("single", 1)
  const hand = handWritten(folder.path)
  const all = quick ? 4_000 : 20_000
  const measure = async (callers: number, aims: Readonly<Record<string, Aim>>) => {
    const operations = callers === 1 ? all / 20 : callers === 16 ? all / 2 : all
    const oneByOne = Math.max(all / 20, callers * 2)
    await grouped.runPromise(throughput(callers, operations / 4))
    const rounds = await interleave(
      {
        [ours]: () => grouped.runPromise(throughput(callers, operations)),
        [sameKernel]: () => single.runPromise(throughput(callers, oneByOne)),
        [byHand]: () => Promise.resolve(hand.run(oneByOne))
      },
      quick ? 3 : 7,
      (what) => progress(`${callers} callers, ${what}`)
    )
    return compare(`durable operations, ${callers} ${callers === 1 ? "caller" : "callers"}`, "/s", rounds, ours, aims)
  }
  try {
    return [
      ...await measure(1, {}),
      ...await measure(16, {}),
      ...await measure(256, { [sameKernel]: { of: "ratio", atLeast: 8 } })
    ]
  } finally {
    hand.close()
    await grouped.dispose()
    await single.dispose()
    folder.remove()
  }
}

export const bench: Bench = {
  title: "Durable operations",
  how:
    "An operation writes an order, its event, its change row and its record, on SQLite with `synchronous=FULL`: it " +
    "counts when its commit is on the disk. So many callers, each with one operation in flight. The peers commit each " +
    "operation by itself: once through the same kernel with batches of one, once by hand on better-sqlite3 with four " +
    "prepared inserts of the same rows, in a loop, without Effect. The median of 7 rounds; ours and the peers take " +
    "turns. More is better.",
  run
}

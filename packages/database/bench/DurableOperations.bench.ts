/** Durable operations per second on SQLite with `synchronous=FULL`: group commit beside one transaction per operation. */
import type { Aim, Bench, Options, Row } from "@holdfast/resilience/bench/Bench"
import { compare, interleave, storeFolder } from "@holdfast/resilience/bench/Bench"
import BetterSqlite3 from "better-sqlite3"
import { Effect, ManagedRuntime } from "effect"
import { join } from "node:path"
import * as Sqlite from "../src/Sqlite.ts"
import * as Orders from "./Orders.ts"

const ours = "group commit"
const sameKernel = "one transaction per operation, same kernel"
const byHand = "one transaction per operation, by hand"

let named = 0

/** The four rows of an operation, by hand, each operation in a transaction of its own. */
const handWritten = (directory: string) => {
  const file = join(directory, `hand-${named++}.sqlite`)
  const connection = new BetterSqlite3(file)
  connection.pragma("journal_mode = WAL")
  connection.pragma("synchronous = FULL")
  connection.exec(`${Orders.createOrders};
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
      migrations: Orders.migrations,
      ...(maxBatch === undefined ? {} : { maxBatch })
    }))
  const grouped = store("grouped")
  const single = store("single", 1)
  const hand = handWritten(folder.path)
  const all = quick ? 4_000 : 20_000
  const throughput = (callers: number, operations: number) =>
    Effect.map(Orders.placing(callers, operations), ({ perSecond }) => perSecond)
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

/** Durable operations per second on Postgres: the store with its shadow beside a pool by hand and a queue of jobs. */
// The rounds that compare ours with the peers are promises, and each run of ours in them is a program of its own.
// @effect-diagnostics runEffectInsideEffect:off
import type { Aim, Bench, Options, Row } from "@holdfast/resilience/bench/Bench"
import { compare, interleave, storeFolder } from "@holdfast/resilience/bench/Bench"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import { Effect, Logger, LogLevel, type Scope } from "effect"
import pg from "pg"
import PgBoss from "pg-boss"
import { Database } from "../src/Database.ts"
import * as Orders from "./Orders.ts"

const ours = "Holdfast on Postgres"
const byHand = "pg pool of 16: BEGIN, 2 × INSERT, COMMIT"
const boss = "pg-boss 10.3.2: send, pool of 16"

/** Connections of each peer. */
const POOL = 16

let named = 0

const pool = (url: string): Effect.Effect<pg.Pool, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const made = new pg.Pool({ connectionString: url, max: POOL })
      await made.query(
        `${Orders.createOrders}; create table outbox (seq bigint generated always as identity primary key,
          event_id text not null, topic text not null, key text not null, envelope json not null)`
      )
      return made
    }),
    (made) => Effect.promise(() => made.end())
  )

/** The two rows that a transactional outbox needs at least, as its tutorials write them. */
const placeByHand = async (connections: pg.Pool) => {
  const id = `ord-${named++}`
  const event = { type: "placed", orderId: id, customer: "c-17850", total: 1530 }
  const client = await connections.connect()
  try {
    await client.query("begin")
    await client.query("insert into bench_order values ($1, $2, $3, $4, 1)", [id, "c-17850", 1530, "placed"])
    await client.query("insert into outbox (event_id, topic, key, envelope) values ($1, $2, $3, $4)", [
      `evt-${id}`,
      "bench.placed",
      id,
      JSON.stringify(event)
    ])
    await client.query("commit")
  } finally {
    client.release()
  }
}

const queue = (url: string): Effect.Effect<PgBoss, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const made = new PgBoss({ connectionString: url, max: POOL, supervise: false, schedule: false })
      made.on("error", () => {})
      await made.start()
      await made.createQueue("placed")
      return made
    }),
    (made) => Effect.promise(() => made.stop({ graceful: false, wait: true }))
  )

/** What each number of callers is promised: the guide's ratios, as far as the work is comparable. */
const aims: Readonly<Record<number, Readonly<Record<"rate" | "p50", Readonly<Record<string, Aim>>>>>> = {
  16: { rate: {}, p50: {} },
  256: { rate: {}, p50: {} }
}

const run = ({ progress, quick }: Options): Promise<ReadonlyArray<Row>> =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(Effect.sync(storeFolder), ({ remove }) => Effect.sync(remove))
    const server = yield* PostgresServer.start()
    const store = yield* Orders.replicated({
      agent: "bench",
      url: yield* server.createDatabase("ours"),
      directory: folder.path,
      migrations: Orders.migrations,
      tables: [Orders.Orders]
    })
    const connections = yield* pool(yield* server.createDatabase("by_hand"))
    const jobs = yield* queue(yield* server.createDatabase("boss"))
    const all = quick ? 4_000 : 20_000

    const subjects = (callers: number, operations: number) => {
      const few = Math.max(callers * 2, operations / 8)
      return {
        [ours]: Effect.provideService(Orders.placing(callers, operations), Database, store),
        [byHand]: Orders.load(callers, few, Effect.promise(() => placeByHand(connections))),
        [boss]: Orders.load(callers, few, Effect.promise(() => jobs.send("placed", { orderId: `ord-${named++}` })))
      }
    }
    const measure = (callers: number) =>
      Effect.gen(function*() {
        const operations = callers === 1 ? all / 20 : callers === 16 ? all / 2 : all
        yield* Effect.all(subjects(callers, operations / 4))
        const p50: Record<string, Array<number>> = {}
        const rates = yield* Effect.promise(() =>
          interleave(
            Object.fromEntries(
              Object.entries(subjects(callers, operations)).map(([name, subject]) => [name, async () => {
                const measured = await Effect.runPromise(subject)
                ;(p50[name] ??= []).push(measured.p50)
                return measured.perSecond
              }])
            ),
            quick ? 3 : 7,
            (what) => progress(`${callers} callers, ${what}`)
          )
        )
        const name = `order and event, ${callers} ${callers === 1 ? "caller" : "callers"}`
        return [
          ...compare(name, "/s", rates, ours, aims[callers]?.rate),
          ...compare(`${name}, p50`, "ms", p50, ours, aims[callers]?.p50)
        ]
      })
    const rows = (yield* Effect.forEach([1, 16, 256], measure)).flat()
    yield* Orders.neverAlone(store)
    return rows
  }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.Warning), Effect.runPromise)

export const bench: Bench = {
  title: "Durable operations on Postgres",
  how:
    "An order and its event in one transaction, on one Postgres server with `fsync` on; so many callers, each with one " +
    "operation in flight. Ours writes twice as many rows there (the operation's record, by which a repetition is " +
    "recognised, and the change row, by which an outage is merged), and commits them to its SQLite shadow, with " +
    "`synchronous=FULL` too, before it answers. The peers write less: by hand the order and an outbox row, in four round " +
    "trips on a pool of 16 connections; pg-boss one job, without the order. The median of 7 rounds, in turns.",
  run
}

/** Events from one store to an effect in another, all on Postgres: the embedded bus beside queues of jobs. */
// The rounds that compare ours with the peers are promises, and each run of ours in them is a program of its own.
// @effect-diagnostics runEffectInsideEffect:off
import * as Message from "@holdfast/contracts/Message"
import * as Orders from "@holdfast/database/bench/Orders"
import { Database } from "@holdfast/database/Database"
import * as Migration from "@holdfast/database/Migration"
import * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import type { Bench, Options, Row } from "@holdfast/resilience/bench/Bench"
import { compare, interleave, storeFolder } from "@holdfast/resilience/bench/Bench"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import { Effect, Logger, LogLevel, Schema } from "effect"
import * as Graphile from "graphile-worker"
import pg from "pg"
import PgBoss from "pg-boss"
import * as Consumer from "../src/Consumer.ts"
import * as EmbeddedBus from "../src/EmbeddedBus.ts"
import { EventBus } from "../src/EventBus.ts"
import * as Subscription from "../src/Subscription.ts"

const ours = "Holdfast on Postgres, embedded bus"
const graphile = "graphile-worker 0.16.6: add_jobs of 100, 16 at once"
const boss = "pg-boss 10.3.2: insert, fetch and complete of 100"

/** So many rows are counted on: with few, the peers' transactions would wait for each other. */
const SKUS = 1_000

const CALLERS = 256
const CONNECTIONS = 16
const BATCH = 100

const Sold = Message.event("bench.sold", {
  payload: Schema.Struct({ n: Schema.Int, sku: Schema.String }),
  key: (payload) => payload.sku
})

const Stock = Table.make("bench_stock", {
  columns: { sku: Table.text, sold: Table.integer, version: Table.integer },
  key: ["sku"],
  merge: Table.delta("sold")
})

const createStock = "create table bench_stock (sku text primary key, sold bigint not null, version bigint not null)"

const skuOf = (n: number): string => `sku-${n % SKUS}`

/** Carries so many events, and answers when the last one has had its effect. */
type Pipeline = (events: number) => Effect.Effect<void>

const operation = <E, R>(command: string, handler: Effect.Effect<unknown, E, R>) => {
  const id = `bench:${Orders.uuid7()}`
  return {
    id,
    command,
    writeClass: "mergeable" as const,
    fingerprint: "",
    cause: { correlationId: id, causationId: id },
    keepMillis: 60_000,
    handler,
    answer: () => "",
    refusal: () => undefined
  }
}

const holdfast = (server: PostgresServer.PostgresServer, directory: string) =>
  Effect.gen(function*() {
    const url = yield* server.createDatabase("ours")
    const seller = yield* Orders.replicated({ agent: "seller", url, directory, migrations: [], tables: [] })
    const keeper = yield* Orders.replicated({
      agent: "keeper",
      url,
      directory,
      migrations: [Migration.make("0001_bench", [createStock])],
      tables: [Stock]
    })
    const fill = Effect.forEach(
      Array.from({ length: SKUS }, (_, n) => skuOf(n)),
      (sku) => Transaction.insert(Stock, { sku, sold: 0 })
    )
    yield* Effect.orDie(keeper.execute(operation("bench.fill", fill)))
    const consumer = yield* Effect.provideService(
      Consumer.make([
        Subscription.on(Sold, ({ sku }) =>
          Transaction.update(Stock, { sku }, (row) => ({ ...row, sold: row.sold + 1 })).pipe(Effect.orDie))
      ]),
      Database,
      keeper
    )
    const bus = yield* EventBus
    yield* bus.join({ database: keeper, ...consumer })
    yield* bus.join({
      database: seller,
      topics: [],
      deliver: () =>
        Effect.void
    })
    let sold = 0
    const sell = Effect.suspend(() => {
      const n = sold++
      return seller.execute(operation("bench.sell", Transaction.emit(Sold, { n, sku: skuOf(n) })))
    })
    const pipeline: Pipeline = (events) =>
      Effect.zipRight(
        Effect.orDie(Orders.load(CALLERS, events, sell)),
        Orders.until(() => consumer.stats.handled === sold)
      )
    return { url, schema: "keeper", pipeline, total: () => sold, stores: [seller, keeper] }
  })

const withPool = (server: PostgresServer.PostgresServer, name: string) =>
  Effect.gen(function*() {
    const url = yield* server.createDatabase(name)
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() => new pg.Pool({ connectionString: url, max: 2 * CONNECTIONS })),
      (made) => Effect.promise(() => made.end())
    )
    yield* Effect.promise(() => pool.query(createStock))
    yield* Effect.promise(() =>
      pool.query("insert into bench_stock select 'sku-' || n, 0, 1 from generate_series(0, $1::int) n", [SKUS - 1])
    )
    return { url, pool }
  })

/** Jobs of so many events, in batches, a few of them under way at once. */
const batches = async (events: number, first: number, add: (numbers: ReadonlyArray<number>) => Promise<unknown>) => {
  const numbers = Array.from({ length: events }, (_, n) => first + n)
  const all = Array.from({ length: Math.ceil(events / BATCH) }, (_, n) => numbers.slice(n * BATCH, (n + 1) * BATCH))
  const producer = async () => {
    for (let batch = all.shift(); batch !== undefined; batch = all.shift()) await add(batch)
  }
  await Promise.all([producer(), producer()])
}

const graphileWorker = (server: PostgresServer.PostgresServer) =>
  Effect.gen(function*() {
    const { pool, url } = yield* withPool(server, "graphile")
    const logger = new Graphile.Logger(() => () => {})
    yield* Effect.promise(() => Graphile.runMigrations({ pgPool: pool, logger }))
    let done = 0
    let sold = 0
    let ended = () => {}
    const sell = async (payload: unknown, { withPgClient }: Graphile.JobHelpers) => {
      const { sku } = Object(payload) as { readonly sku: string }
      await withPgClient((client) =>
        client.query({ name: "sell", text: "update bench_stock set sold = sold + 1 where sku = $1", values: [sku] })
      )
      if (++done === sold) ended()
    }
    yield* Effect.acquireRelease(
      Effect.promise(() =>
        Graphile.run({
          pgPool: pool,
          logger,
          concurrency: CONNECTIONS,
          pollInterval: 100,
          noHandleSignals: true,
          taskList: { sell }
        })
      ),
      (worker) => Effect.promise(() => worker.stop())
    )
    const pipeline: Pipeline = (events) =>
      Effect.promise(async () => {
        const first = sold
        sold += events
        const finished = new Promise<void>((resolve) => {
          ended = resolve
        })
        await batches(events, first, (numbers) =>
          pool.query(
            "select from graphile_worker.add_jobs(array(select (('sell', json_build_object('sku', sku), null, null, null," +
              " null, null, null)::graphile_worker.job_spec) from unnest($1::text[]) sku))",
            [numbers.map(skuOf)]
          ))
        await finished
      })
    return { url, schema: "public", pipeline, total: () => sold, stores: [] }
  })

const pgBoss = (server: PostgresServer.PostgresServer) =>
  Effect.gen(function*() {
    const { pool, url } = yield* withPool(server, "boss")
    const queue = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const made = new PgBoss({ connectionString: url, max: CONNECTIONS, supervise: false, schedule: false })
        made.on("error", () => {})
        await made.start()
        await made.createQueue("sell")
        return made
      }),
      (made) => Effect.promise(() => made.stop({ graceful: false, wait: true }))
    )
    let sold = 0
    /** Its own workers ask at most every half second: a loop without a pause is the best it can do. */
    const work = async (isDone: () => boolean, count: (jobs: number) => void) => {
      while (!isDone()) {
        const jobs = await queue.fetch<{ readonly sku: string }>("sell", { batchSize: BATCH })
        if (jobs.length === 0) continue
        await pool.query({
          name: "sell",
          text:
            "update bench_stock s set sold = s.sold + n.n from (select sku, count(*) as n from unnest($1::text[]) sku " +
            "group by sku) n where s.sku = n.sku",
          values: [jobs.map(({ data }) => data.sku)]
        })
        await queue.complete("sell", jobs.map(({ id }) => id))
        count(jobs.length)
      }
    }
    const pipeline: Pipeline = (events) =>
      Effect.promise(async () => {
        const first = sold
        sold += events
        let done = 0
        const worker = () => work(() => done === events, (jobs) => void (done += jobs))
        await Promise.all([
          batches(
            events,
            first,
            (numbers) => queue.insert(numbers.map((n) => ({ name: "sell", data: { n, sku: skuOf(n) } })))
          ),
          worker()
        ])
      })
    return { url, schema: "public", pipeline, total: () => sold, stores: [] }
  })

/** What the effects add up to, by Postgres itself. */
const soldThere = (url: string, schema: string) =>
  Effect.promise(async () => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      const { rows } = await client.query(`select sum(sold)::int as sold from ${schema}.bench_stock`)
      return Number(rows[0]?.sold)
    } finally {
      await client.end()
    }
  })

const run = ({ progress, quick }: Options): Promise<ReadonlyArray<Row>> =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(Effect.sync(storeFolder), ({ remove }) => Effect.sync(remove))
    const server = yield* PostgresServer.start()
    const subjects = {
      [ours]: yield* holdfast(server, folder.path),
      [graphile]: yield* graphileWorker(server),
      [boss]: yield* pgBoss(server)
    }
    const events = CALLERS * (quick ? 10 : 60)
    const measure = ({ pipeline }: typeof subjects[typeof ours]) => async () => {
      const begun = performance.now()
      await Effect.runPromise(pipeline(events))
      return events / (performance.now() - begun) * 1000
    }
    const each = Object.fromEntries(Object.entries(subjects).map(([name, subject]) => [name, measure(subject)]))
    yield* Effect.promise(() => interleave(each, 1, (what) => progress(`to warm up, ${what}`)))
    const rounds = yield* Effect.promise(() => interleave(each, quick ? 3 : 7, progress))
    for (const [name, { schema, stores, total, url }] of Object.entries(subjects)) {
      yield* Effect.forEach(stores, Orders.neverAlone)
      const there = yield* soldThere(url, schema)
      if (there !== total()) return yield* Effect.dieMessage(`${name}: ${total()} events, but ${there} effects`)
    }
    return compare("outbox to effect", "events/s", rounds, ours, {})
  }).pipe(
    Effect.scoped,
    Effect.provide(EmbeddedBus.layer),
    Logger.withMinimumLogLevel(LogLevel.Warning),
    Effect.runPromise
  )

export const bench: Bench = {
  title: "Events from store to store on Postgres",
  how:
    `${CALLERS} callers emit events in one agent's store; the bus carries them to another agent, which counts each in one ` +
    `of ${SKUS} rows of its own store: both on one Postgres with \`fsync\` on, each with its SQLite shadow, in one process. ` +
    "From the first event to the last effect that is on the disk. A job of the peers is one event too, and its effect the " +
    "same update; they get their jobs in batches of 100. graphile-worker runs one transaction for each effect and one for " +
    "each completed job, 16 at once, which is the most this version batches. pg-boss fetches, counts and completes 100 in " +
    "three statements, asked without its half-second pause; a crash between them repeats an effect, as it does in " +
    "graphile-worker; ours cannot. After the run the effects of all are counted in Postgres. The median of 7 rounds, in " +
    "turns. More is better.",
  run
}

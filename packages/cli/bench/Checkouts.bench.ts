/** Complete checkouts per second through the HTTP API, and what one costs the agents: on real servers and without. */
import type { Bench, Options, Row } from "@holdfast/resilience/bench/Bench"
import { compare, interleave, storeFolder } from "@holdfast/resilience/bench/Bench"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as RedisServer from "@holdfast/testing/RedisServer"
import { Effect, Logger, LogLevel } from "effect"
import { join } from "node:path"
import { ApiClient } from "../src/ApiClient.ts"
import type { Day } from "../src/Replay/Plan.ts"
import * as Replay from "../src/Replay/Replay.ts"
import * as Sample from "../src/Replay/Sample.ts"
import * as Url from "../src/Url.ts"
import type { Server } from "./Server.ts"
import { start } from "./Server.ts"

/** The same customers buy on another day, so that fraud does not see all days' orders in one hour. */
const onDay = (plan: Day, date: string): Day => ({
  ...plan,
  date,
  invoices: plan.invoices.map((invoice) => ({ ...invoice, date: invoice.date.replace(plan.date, date) }))
})

const checkouts = async (
  server: Server,
  known: Set<string>,
  run: { readonly seed: number; readonly date: string; readonly invoices: number; readonly concurrency: number },
  progress: (what: string) => void
) => {
  const plan = onDay(Sample.day({ seed: run.seed, invoices: run.invoices }), run.date)
  const replay = (day: Day) =>
    Effect.runPromise(Effect.provide(
      Replay.day(
        { channel: `bench-${run.seed}`, concurrency: run.concurrency, review: "approve", progress },
        day,
        known
      ),
      ApiClient.layer({ addresses: Url.at(server.url), patienceMillis: 30_000 })
    ))
  // Products and deliveries first, so that only checkouts are measured.
  await replay({ ...plan, invoices: [] })
  const before = server.usage()
  const begun = performance.now()
  const endings = await replay(plan)
  const seconds = (performance.now() - begun) / 1000
  const after = server.usage()
  const open = endings.filter(({ state }) => state !== "confirmed" && state !== "cancelled")
  if (open.length > 0) throw new Error(`${open.length} of ${endings.length} orders did not end`)
  const confirmed = endings.filter(({ state }) => state === "confirmed").length
  if (confirmed < endings.length / 2) throw new Error(`only ${confirmed} of ${endings.length} orders were confirmed`)
  return {
    perSecond: endings.length / seconds,
    cpuMillis: before && after ? (after.cpuMicros - before.cpuMicros) / endings.length / 1000 : NaN,
    rssMiB: after?.rssMiB ?? NaN
  }
}

const embedded = "embedded: no server at all"
const real = "Postgres, Kafka and Redis"

/** Once everything that is configured serves. */
const untilFull = async ({ url }: Server) => {
  const begun = performance.now()
  for (;;) {
    const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) })
    const { degradation_level: level } = Object(await response.json())
    if (level === 0) return
    if (performance.now() - begun > 60_000) throw new TypeError(`the agents stay at level ${level}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const serving = (dataDir: string, env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = await start(dataDir, env)
      await untilFull(server)
      return { server, known: new Set<string>() }
    }),
    ({ server }) => Effect.promise(() => server.kill())
  )

const run = ({ progress, quick }: Options): Promise<ReadonlyArray<Row>> =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(Effect.sync(storeFolder), ({ remove }) => Effect.sync(remove))
    const { kafka, postgres, redis } = yield* Effect.all({
      postgres: PostgresServer.start(),
      kafka: KafkaServer.start(),
      redis: RedisServer.start()
    }, { concurrency: "unbounded" })
    const sides = {
      [real]: yield* serving(join(folder.path, "real"), {
        DATABASE_URL: yield* postgres.createDatabase("shop"),
        KAFKA_BROKERS: kafka.brokers.join(","),
        REDIS_URL: redis.url
      }),
      [embedded]: yield* serving(join(folder.path, "embedded"), {})
    }
    const days: Record<string, number> = {}
    const measure = async (name: keyof typeof sides, invoices: number, concurrency: number) => {
      const { known, server } = sides[name] ?? sides[embedded]
      const day = days[name] = (days[name] ?? 0) + 1
      // Weeks apart, and the same days for both.
      const date = new Date(Date.UTC(2011, 1, 7 * day)).toISOString().slice(0, 10)
      return checkouts(
        server,
        known,
        { seed: day, date, invoices, concurrency },
        (what) => progress(`${name}, ${what}`)
      )
    }
    const invoices = quick ? 40 : 200
    const rows: Array<Row> = []
    const names = [real, embedded] as const
    for (const name of names) yield* Effect.promise(() => measure(name, invoices, 16))
    for (const concurrency of [1, 16, 64]) {
      const amount = concurrency === 1 ? invoices / 2 : invoices * 2
      const cpu: Record<string, Array<number>> = {}
      const memory: Record<string, Array<number>> = {}
      const subjects = Object.fromEntries(names.map((name) => [name, async () => {
        const measured = await measure(name, amount, concurrency)
        ;(cpu[name] ??= []).push(measured.cpuMillis)
        ;(memory[name] ??= []).push(measured.rssMiB)
        return measured.perSecond
      }]))
      const rates = yield* Effect.promise(() => interleave(subjects, quick ? 2 : 5, () => {}))
      const name = `checkouts, ${concurrency} under way`
      rows.push(
        ...compare(name, "/s", rates, real),
        ...compare(`${name}: CPU of the agents`, "ms/order", cpu, real),
        ...compare(`${name}: RSS of the agents`, "MiB", memory, real)
      )
    }
    return rows
  }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.Warning), Effect.runPromise)

export const bench: Bench = {
  title: "Complete checkouts",
  how:
    "All agents in one process, driven by the replay of a made-up day through the HTTP API on the same machine: each order " +
    "is placed, reserved, assessed, paid, committed and confirmed, and followed to its end by polling; so many orders are " +
    "under way at once. Ours here is the whole stack: stores on Postgres (`fsync` on) with their SQLite shadows, messages " +
    "through Kafka, the cache in Redis, each a server on the same machine. The peer is the same program without any " +
    "server: stores on SQLite with `synchronous=FULL` and the embedded bus. Products and stock are there, and one day has " +
    "been replayed to warm up. CPU and memory are the agents' process alone, from /proc; the client and the servers " +
    "compete with it for the cores. The median of 5 rounds, in turns. Nobody else does the same.",
  run
}

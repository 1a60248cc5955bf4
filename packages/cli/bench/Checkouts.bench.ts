/** Complete checkouts per second through the HTTP API, and what one costs the server. */
import type { Bench, Options, Row } from "@holdfast/resilience/bench/Bench"
import { storeFolder } from "@holdfast/resilience/bench/Bench"
import { Effect } from "effect"
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
    cpuMicros: before && after ? (after.cpuMicros - before.cpuMicros) / endings.length : NaN,
    rssMiB: after?.rssMiB ?? NaN
  }
}

const run = async ({ progress, quick }: Options): Promise<ReadonlyArray<Row>> => {
  const folder = storeFolder()
  const server = await start(folder.path)
  try {
    const known = new Set<string>()
    const invoices = quick ? 40 : 400
    await checkouts(server, known, { seed: 1, date: "2011-02-01", invoices, concurrency: 16 }, progress)
    const rows: Array<Row> = []
    for (const [index, concurrency] of [1, 16, 64].entries()) {
      const amount = concurrency === 1 ? invoices / 2 : invoices * 2
      const measured = await checkouts(
        server,
        known,
        { seed: index + 2, date: `2011-0${index + 4}-01`, invoices: amount, concurrency },
        progress
      )
      const name = `checkouts, ${concurrency} under way`
      rows.push(
        { name, ours: measured.perSecond, unit: "/s" },
        { name: `${name}: CPU of the server`, ours: measured.cpuMicros, unit: "µs/order" },
        { name: `${name}: RSS of the server`, ours: measured.rssMiB, unit: "MiB" }
      )
    }
    return rows
  } finally {
    await server.kill()
    folder.remove()
  }
}

export const bench: Bench = {
  title: "Complete checkouts",
  how:
    "All agents in one process on SQLite with `synchronous=FULL`, driven by the replay of a made-up day through the " +
    "HTTP API on the same machine: each order is placed, reserved, assessed, paid, committed and confirmed, and followed " +
    "to its end by polling; so many orders are under way at once. Products and stock are there, and one day has been " +
    "replayed to warm up. CPU and memory are the server's alone, from /proc; the client competes with it for the cores. " +
    "There is no peer that does the same.",
  run
}

import * as NodeContext from "@effect/platform-node/NodeContext"
import * as HoldfastProcess from "@holdfast/testing/HoldfastProcess"
import * as ServerProcess from "@holdfast/testing/ServerProcess"
import { Effect, Option } from "effect"
import { agents } from "../../src/Agents.ts"
import { ApiClient } from "../../src/ApiClient.ts"
import * as InvoiceFile from "../../src/Replay/InvoiceFile.ts"
import type { Day } from "../../src/Replay/Plan.ts"
import * as Replay from "../../src/Replay/Replay.ts"
import type { Ending } from "../../src/Replay/Report.ts"
import * as Sample from "../../src/Replay/Sample.ts"
import * as Url from "../../src/Url.ts"
import * as Verification from "../../src/Verify/Verification.ts"

/** What is replayed, and how. */
export interface Plan {
  readonly days: ReadonlyArray<Day>
  readonly concurrency: number
}

/** How a replay goes, while it goes. */
export interface Progress {
  /** Of the days that have begun. */
  invoices: number
  ended: number
  line: string
}

/** Made-up days, each a day after the other, so that fraud does not see all their orders in one hour. */
export const madeUp = (seed: number, days: number, invoices: number): ReadonlyArray<Day> =>
  Array.from({ length: days }, (_, index) => {
    const plan = Sample.day({ seed: seed + index, invoices })
    const date = new Date(Date.parse(`${plan.date}T00:00:00Z`) + index * 86_400_000).toISOString().slice(0, 10)
    return {
      ...plan,
      date,
      invoices: plan.invoices.map((invoice) => ({
        ...invoice,
        number: `${index}-${invoice.number}`,
        date: invoice.date.replace(plan.date, date)
      }))
    }
  })

/** The retailer's days. */
export const ofFolder = (folder: string) =>
  Effect.provide(
    Effect.flatMap(
      InvoiceFile.days(folder, { from: 1, to: 9_999 }),
      (days) => Effect.forEach(days, ({ read }) => read)
    ),
    NodeContext.layer
  )

/** Replays the days one after another, as long as more are wanted; answers those that it has replayed. */
export const replay = (plan: Plan, progress: Progress, isEnough: () => boolean = () => false) =>
  Effect.gen(function*() {
    const known = new Set<string>()
    const endings: Array<Ending> = []
    const replayed: Array<Day> = []
    for (const day of plan.days) {
      if (isEnough()) break
      const before = endings.length
      progress.invoices += day.invoices.length
      endings.push(
        ...yield* Replay.day(
          {
            channel: "chaos",
            concurrency: plan.concurrency,
            review: "approve",
            progress: (line) => {
              progress.line = line
              progress.ended = before + Number(/ (\d+) of /.exec(line)?.[1] ?? 0)
            }
          },
          day,
          known
        )
      )
      replayed.push(day)
    }
    return { endings, days: replayed }
  })

/** All agents in one process, without any server and without faults. */
export const undisturbed = (plan: Plan) =>
  Effect.scoped(Effect.gen(function*() {
    const directory = yield* ServerProcess.temporaryFolder("undisturbed")
    const port = yield* HoldfastProcess.freePort
    const process = yield* HoldfastProcess.start({ port, dataDir: directory })
    const { endings } = yield* Effect.provide(
      replay(plan, { invoices: 0, ended: 0, line: "" }),
      ApiClient.layer({ addresses: Url.at(`http://127.0.0.1:${port}`), patienceMillis: 60_000 })
    )
    process.signal("SIGTERM")
    yield* process.exit
    const verification = yield* Verification.run({
      agents: agents({ dataDir: directory, host: "127.0.0.1", port: () => 0, peers: { of: {}, others: undefined } }),
      config: { postgres: Option.none(), kafka: Option.none() },
      directories: [directory],
      isShadowCompared: false
    })
    return { endings, verification }
  }))

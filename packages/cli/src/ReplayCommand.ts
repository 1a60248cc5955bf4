import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ApiClient } from "./ApiClient.ts"
import * as InvoiceFile from "./Replay/InvoiceFile.ts"
import type { Day } from "./Replay/Plan.ts"
import * as Replay from "./Replay/Replay.ts"
import type { Ending } from "./Replay/Report.ts"
import * as Report from "./Replay/Report.ts"
import * as Sample from "./Replay/Sample.ts"
import { print, printJson, progress } from "./Terminal.ts"
import { json, url } from "./Url.ts"

/** The arguments do not fit together. */
export class ReplayArgumentsInvalid extends Data.TaggedError("ReplayArgumentsInvalid")<{ readonly detail: string }> {}

/** The replay ran to its end and something does not add up. */
export class ReplayMismatch extends Data.TaggedError("ReplayMismatch")<{ readonly detail: string }> {}

/** How long a replay waits for agents that do not answer, before it gives up. */
const PATIENCE_MILLIS = 120_000

/** The most that one made-up day has. */
const MAX_INVOICES = 100_000

/** `3` or `1..5`, counted from 1. */
const range = (text: string): Effect.Effect<{ readonly from: number; readonly to: number }, ReplayArgumentsInvalid> => {
  const [, from = "", to = from] = /^([1-9]\d{0,3})(?:\.\.([1-9]\d{0,3}))?$/.exec(text) ?? []
  return from === "" || Number(to) < Number(from)
    ? new ReplayArgumentsInvalid({ detail: `--days counts from 1, e.g. --days 3 or --days 1..5; it is "${text}"` })
    : Effect.succeed({ from: Number(from), to: Number(to) })
}

const folder = Args.text({ name: "folder" }).pipe(
  Args.withDescription("Folder with one CSV file a day"),
  Args.optional
)

const options = {
  folder,
  sample: Options.boolean("sample").pipe(
    Options.withDescription("Replay a made-up day of the same shape instead of files")
  ),
  seed: Options.integer("seed").pipe(
    Options.withDescription("Makes another --sample; 1 when left out"),
    Options.withDefault(1)
  ),
  invoices: Options.integer("invoices").pipe(
    Options.withDescription("Invoices of the --sample; 100 when left out"),
    Options.withDefault(100)
  ),
  days: Options.text("days").pipe(
    Options.withDescription("Only these days, counted from 1: A..B; all when left out"),
    Options.withDefault("1..9999")
  ),
  concurrency: Options.integer("concurrency").pipe(
    Options.withDescription("Orders under way at once; at 1 two runs end alike, order by order; 16 when left out"),
    Options.withDefault(16)
  ),
  review: Options.choice("review", ["approve", "decline", "leave"]).pipe(
    Options.withDescription("What becomes of orders that fraud sends to review; approve when left out"),
    Options.withDefault("approve" as const)
  ),
  url,
  json
}

/** `holdfast replay` */
export const command = Command.make("replay", options, (given) => {
  const shown = progress()
  return Effect.gen(function*() {
    if (given.invoices < 1 || given.invoices > MAX_INVOICES) {
      return yield* new ReplayArgumentsInvalid({ detail: `--invoices is a number from 1 to ${MAX_INVOICES}` })
    }
    if (given.concurrency < 1 || given.concurrency > 256) {
      return yield* new ReplayArgumentsInvalid({ detail: "--concurrency is a number from 1 to 256" })
    }
    if (Option.isNone(given.folder) === !given.sample) {
      return yield* new ReplayArgumentsInvalid({
        detail: "give a folder of CSV files, or --sample to replay a made-up day"
      })
    }
    const days = yield* range(given.days)
    const plans = Option.isSome(given.folder)
      ? yield* InvoiceFile.days(given.folder.value, days)
      : [{ date: "sample", read: Effect.succeed(Sample.day({ seed: given.seed, invoices: given.invoices })) }]
    const run: Replay.Options = {
      channel: given.sample ? `sample-${given.seed}` : "online-retail",
      concurrency: given.concurrency,
      review: given.review,
      progress: shown.show
    }
    const started = yield* Clock.currentTimeMillis
    const known = new Set<string>()
    const replayed: Array<Day> = []
    const endings: Array<Ending> = []
    for (const { read } of plans) {
      const plan = yield* read
      replayed.push(plan)
      endings.push(...yield* Replay.day(run, plan, known))
    }
    shown.end()
    const report = Report.make(replayed, endings, ((yield* Clock.currentTimeMillis) - started) / 1000)
    yield* given.json ? printJson(report) : print(Report.format(report))
    if (report.mismatches.length > 0) return yield* new ReplayMismatch({ detail: report.mismatches.join("; ") })
  }).pipe(
    Effect.provide(ApiClient.layerConfig({ url: given.url, patienceMillis: PATIENCE_MILLIS, waits: shown.say }))
  )
}).pipe(
  Command.withDescription(
    "Place real invoices as orders, through the HTTP API of running agents, and report how they ended.\n" +
      "It can be stopped and run again: what was placed before is recognised.\n\n" +
      "Examples:\n" +
      "  npm run -s holdfast -- replay --sample\n" +
      "  npm run -s holdfast -- replay invoices --days 1..3 --concurrency 16\n" +
      "  npm run -s holdfast -- replay invoices --concurrency 1 --review decline --json"
  )
)

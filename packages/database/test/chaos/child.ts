/** A process that works on a store until it is killed, and says on standard output what it asks for and is told. */
import * as Transaction from "@holdfast/database/Transaction"
import * as Choices from "@holdfast/testing/Choices"
import type * as History from "@holdfast/testing/History"
import * as Workload from "@holdfast/testing/Workload"
import { Effect, Logger, LogLevel } from "effect"
import { writeSync } from "node:fs"
import { open, pause } from "../Outage.ts"
import * as Traffic from "./Traffic.ts"

const [, , directory = "", url = "", name = "0", seed = "1"] = process.argv

/** Synchronous: what is on the pipe was said before the process could be killed. */
const say = (...words: ReadonlyArray<string | undefined>) => void writeSync(1, `${JSON.stringify(words)}\n`)

const history = {
  record: (op: string, phase: History.Phase, detail?: string) => say(phase, op, detail)
}

const caller = (bank: Parameters<typeof Traffic.request>[0], at: number) =>
  Effect.gen(function*() {
    const request = Traffic.request(bank, Choices.make(Number(seed), `${name} ${at}`), `${name}-${at}`)
    for (let n = 0;; n++) yield* Workload.ask({ history, deadline: "5 seconds" }, request(n))
  })

await Effect.runPromise(
  Effect.scoped(Effect.gen(function*() {
    const bank = yield* open({ url, directory })
    const pragma = (text: string) => bank.housekeep("pragma", Transaction.query(`pragma ${text}`))
    say("pragma", JSON.stringify([...yield* pragma("synchronous"), ...yield* pragma("integrity_check")]))
    yield* Traffic.openAccounts(bank)
    let mode = ""
    const watch = Effect.forever(Effect.suspend(() => {
      const now = bank.primary.mode()
      if (now !== mode) {
        const { copied = 0, repaired = 0 } = bank.primary.stats.lastFailback ?? {}
        if (now === "primary") say("proof", `${repaired} repaired, ${copied} copied`)
        say("mode", mode = now)
      }
      return pause(1)
    }))
    const callers = Array.from({ length: 6 }, (_, at) => caller(bank, at))
    yield* Effect.all([watch, ...callers], { concurrency: "unbounded", discard: true })
  })).pipe(Logger.withMinimumLogLevel(LogLevel.None))
)

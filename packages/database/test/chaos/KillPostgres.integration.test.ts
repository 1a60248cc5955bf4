// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as Checker from "@holdfast/testing/Checker"
import * as History from "@holdfast/testing/History"
import * as Nemesis from "@holdfast/testing/Nemesis"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TestServers from "@holdfast/testing/TestServers"
import * as Workload from "@holdfast/testing/Workload"
import { Effect, Fiber, Logger, LogLevel } from "effect"
import { folder, open, pause, until, untilMode } from "../Outage.ts"
import * as Traffic from "./Traffic.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.Error)

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("kill -9 of Postgres", () => {
  it.scopedLive(
    "under load, again and again, also while it is being returned to: nothing is lost, nothing happens twice",
    () =>
      Effect.gen(function*() {
        const run = yield* ChaosRun.make("kill Postgres")
        const server = yield* PostgresServer.start()
        const url = yield* server.createDatabase("bank")
        const bank = yield* open({ url, directory: yield* folder })
        yield* Traffic.openAccounts(bank)
        const history = History.make()
        let isOver = false
        const modes: Array<string> = ["primary"]
        const watched = yield* Effect.fork(until(() => {
          const mode = bank.primary.mode()
          if (modes.at(-1) !== mode) modes.push(mode)
          return isOver
        }))
        const load = yield* Effect.fork(Workload.run({
          history,
          perSecond: 50,
          deadline: "5 seconds",
          request: Traffic.request(bank, run.choices("clients"), "op"),
          isOver: () => isOver,
          retries: 3
        }))
        const failOvers: Array<number> = []
        const failBacks: Array<number> = []
        const alone = Effect.gen(function*() {
          const killed = performance.now()
          yield* untilMode(bank, "alone")
          failOvers.push(performance.now() - killed)
        })
        const back = Effect.gen(function*() {
          const started = performance.now()
          yield* untilMode(bank, "primary")
          failBacks.push(performance.now() - started)
          run.sometimes("came back with something merged", (bank.primary.stats.lastFailback?.merged ?? 0) > 0)
        })
        const faults = Nemesis.schedule(run.choices("nemesis"), {
          faults: run.form(1, 8),
          kinds: ["kill"],
          quietMillis: run.form([1_000, 1_000], [1_000, 10_000]),
          lastsMillis: run.form([3_000, 3_000], [3_000, 40_000])
        })
        for (const fault of faults) {
          yield* Nemesis.inflict(server, fault, {
            when: () => {
              const isLive = history.underWay() > 0
              run.sometimes("killed with operations under way", isLive)
              return isLive
            },
            during: alone
          })
          yield* back
        }
        // Flapping: gone again as soon as the way back has begun, several times in a row.
        for (let round = 0; round < run.form(3, 20); round++) {
          yield* pause(300)
          yield* Effect.zipRight(server.kill, alone)
          yield* pause(run.choices(`flap ${round}`).integer(300, 900))
          yield* server.start
          yield* Nemesis.moment(() => bank.primary.dependency.current().status === "recovering")
          yield* pause(run.choices(`flap ${round}`).integer(0, 25))
          run.sometimes(
            "killed on the way back",
            bank.primary.dependency.current().status === "recovering" && bank.primary.backlog().pending > 0
          )
          yield* server.kill
          yield* pause(200)
          yield* server.start
          yield* back
        }
        yield* pause(500)
        isOver = true
        const { requests, skipped } = yield* Fiber.join(load)
        yield* Fiber.join(watched)
        yield* untilMode(bank, "primary")
        run.figure("unknown", Checker.setFull(history, []).unknown)
        yield* Workload.resolve({ history, deadline: "5 seconds" }, requests)
        history.save(`node_modules/.cache/chaos/kill-postgres-${run.seed}.jsonl`)

        const { set, violations } = yield* Traffic.broken(url, history, yield* Traffic.differences(bank, url))
        const latencies = history.latencies()
        const attempts = history.entries.filter(({ phase }) => phase !== "invoke")
        const byDesign = attempts.filter(({ detail }) => detail === "WriteRefused" || detail === "Refused").length
        run.figure("acknowledged", set.acknowledged)
        run.figure("refused", set.refused)
        run.figure("unknownCommits", bank.primary.stats.unknownCommits)
        run.figure(
          "availability %",
          100 * (attempts.filter(({ phase }) => phase === "ok").length + byDesign) / attempts.length
        )
        run.figure("worst ms", Math.max(...latencies))
        run.figure("p99 ms", Checker.percentile(latencies, 0.99))
        run.figure("fail-over worst ms", Math.max(...failOvers))
        run.figure("fail-back worst ms", Math.max(...failBacks))
        yield* Checker.kept(violations)
        assert.strictEqual(skipped, 0)
        assert.strictEqual(bank.primary.backlog().pending, 0)
        assert.strictEqual(bank.primary.stats.lastFailback?.repaired, 0)
        assert.strictEqual(modes.at(-1), "primary")
        assert.isAtLeast(modes.length, 3)
        assert.strictEqual(set.unknown, 0)
        assert.isBelow(Math.max(...latencies), 5_000)
        yield* run.reached(
          "killed with operations under way",
          "killed on the way back",
          "came back with something merged"
        )
      }).pipe(quiet),
    { timeout: ChaosRun.timeout(4 * 60_000, 60 * 60_000) }
  )
})

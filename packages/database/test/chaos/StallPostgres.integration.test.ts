// A test fails whatever the failure is: its type may stay open.
// A proxy's hook, or a listener, is plain code: what it starts runs by itself.
// @effect-diagnostics anyUnknownInErrorContext:off runEffectInsideEffect:off
import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@holdfast/database/Transaction"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as Checker from "@holdfast/testing/Checker"
import * as History from "@holdfast/testing/History"
import * as Nemesis from "@holdfast/testing/Nemesis"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import * as Workload from "@holdfast/testing/Workload"
import { Effect, Fiber, Logger, LogLevel } from "effect"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Accounts } from "../Bank.ts"
import { ask, folder, open, pause, through, untilMode } from "../Outage.ts"
import * as Traffic from "./Traffic.ts"
import { asksForCommit } from "./Wire.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.Error)

/** How long a call may take, and how late its answer may be, in milliseconds. */
const DEADLINE = 1_000
const LATE = 250

/** A server that stands still is found out within this time, in milliseconds: sooner than any call gives up on it. */
const NOTICED = 1_500

const sessions = (url: string) =>
  Effect.map(
    ask(
      url,
      "select application_name as name, state from pg_stat_activity " +
        "where application_name like 'holdfast%' and datname = current_database() order by 1"
    ),
    (rows) => rows.map(({ name, state }) => `${String(name)}: ${String(state)}`)
  )

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("SIGSTOP of Postgres", () => {
  it.scopedLive(
    "every call ends by its deadline, no session leaks, and the store comes back by itself",
    () =>
      Effect.gen(function*() {
        const run = yield* ChaosRun.make("stall Postgres")
        const server = yield* PostgresServer.start()
        const proxy = yield* TcpProxy.make(server)
        const url = yield* server.createDatabase("bank")
        const bank = yield* open({ url: through(proxy, url), directory: yield* folder })
        yield* Traffic.openAccounts(bank)
        yield* pause(500)
        const before = yield* sessions(url)
        const writes = History.make()
        const reads = History.make()
        let isOver = false
        const isOverNow = () => isOver
        const writing = yield* Effect.fork(Workload.run({
          history: writes,
          perSecond: 60,
          deadline: DEADLINE,
          request: Traffic.request(bank, run.choices("writers"), "op"),
          isOver: isOverNow
        }))
        const reading = yield* Effect.fork(Workload.run({
          history: reads,
          perSecond: 40,
          deadline: DEADLINE,
          request: (n) => ({
            id: `read-${n}`,
            run: Effect.zipRight(bank.fresh, bank.read(Transaction.get(Accounts, { id: "a" })))
          }),
          isOver: isOverNow
        }))
        const loop = monitorEventLoopDelay({ resolution: 5 })
        loop.enable()
        const recoveries: Array<number> = []
        const notices: Array<number> = []
        const noticed = Effect.suspend(() => {
          const stalled = performance.now()
          return Effect.map(untilMode(bank, "alone"), () => void notices.push(performance.now() - stalled))
        })
        const faults = Nemesis.schedule(run.choices("nemesis"), {
          faults: run.form(2, 6),
          kinds: ["stall"],
          quietMillis: [500, 1_500],
          lastsMillis: run.form([5_000, 5_000], [5_000, 30_000])
        })
        for (const fault of faults) {
          yield* Nemesis.inflict(server, fault, {
            when: () => {
              const isLive = writes.underWay() > 0
              run.sometimes("stalled with operations under way", isLive)
              return isLive
            },
            during: noticed
          })
          const resumed = performance.now()
          yield* untilMode(bank, "primary")
          recoveries.push(performance.now() - resumed)
          run.sometimes("merged what the stall had made", (bank.primary.stats.lastFailback?.merged ?? 0) > 0)
        }
        // It stands still with a commit in its hands, and does it when everybody has gone on without it.
        for (let round = 0; round < run.form(2, 10); round++) {
          yield* pause(700)
          let isArmed = true
          yield* proxy.onUpstream((chunk) => {
            if (isArmed && asksForCommit(chunk)) {
              isArmed = false
              Effect.runSync(server.stall)
            }
            return "pass"
          })
          yield* untilMode(bank, "alone")
          run.sometimes("stalled with a commit on its way", !isArmed)
          yield* pause(run.choices(`commit ${round}`).integer(500, run.form(1_500, 8_000)))
          yield* server.resume
          const resumed = performance.now()
          yield* untilMode(bank, "primary")
          recoveries.push(performance.now() - resumed)
        }
        yield* pause(1_000)
        loop.disable()
        isOver = true
        const { requests } = yield* Fiber.join(writing)
        yield* Fiber.join(reading)
        yield* pause(500)
        const after = yield* sessions(url)
        const worst = Math.max(...writes.latencies())
        run.figure("unknown", Checker.setFull(writes, []).unknown)
        yield* Workload.resolve({ history: writes, deadline: "5 seconds" }, requests)
        const { set, violations } = yield* Traffic.broken(url, writes, yield* Traffic.differences(bank, url))
        run.figure("acknowledged", set.acknowledged)
        run.figure("unknownCommits", bank.primary.stats.unknownCommits)
        run.figure("write p50 ms", Checker.percentile(writes.latencies(), 0.5))
        run.figure("write p99 ms", Checker.percentile(writes.latencies(), 0.99))
        run.figure("worst write ms", worst)
        run.figure("worst read ms", Math.max(...reads.latencies()))
        run.figure("noticed after at most ms", Math.max(...notices))
        run.figure("worst recovery ms", Math.max(...recoveries))
        run.figure("event loop p99 ms", loop.percentile(99) / 1e6)
        run.figure("sessions before", before.length)
        run.figure("sessions after", after.length)
        writes.save(`node_modules/.cache/chaos/stall-postgres-${run.seed}.jsonl`)
        yield* Checker.kept(violations)
        assert.strictEqual(set.unknown, 0)
        assert.isAtMost(worst, DEADLINE + LATE)
        assert.isAtMost(Math.max(...reads.latencies()), DEADLINE + LATE)
        assert.deepStrictEqual(after, before)
        assert.isBelow(Math.max(...notices), NOTICED)
        assert.isBelow(Math.max(...recoveries), 10_000)
        assert.isBelow(loop.percentile(99) / 1e6, 100)
        yield* run.reached(
          "stalled with operations under way",
          "stalled with a commit on its way",
          "merged what the stall had made"
        )
      }).pipe(quiet),
    { timeout: ChaosRun.timeout(4 * 60_000, 30 * 60_000) }
  )
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as Checker from "@holdfast/testing/Checker"
import * as History from "@holdfast/testing/History"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import * as Workload from "@holdfast/testing/Workload"
import { Duration, Effect, Fiber, Logger, LogLevel } from "effect"
import { folder, open, pause, type Replica, through, untilMode } from "../Outage.ts"
import * as Traffic from "./Traffic.ts"
import { asksForCommit } from "./Wire.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("everything at once", () => {
  it.scopedLive(
    "two processes under load, one fault after the other on any of the ways: all is counted once, and all are equal",
    () =>
      Effect.gen(function*() {
        const run = yield* ChaosRun.make("everything")
        const server = yield* PostgresServer.start()
        const url = yield* server.createDatabase("bank")
        const opened = (instance: string) =>
          Effect.gen(function*() {
            const proxy = yield* TcpProxy.make(server)
            const bank = yield* open({ url: through(proxy, url), directory: yield* folder, instance })
            yield* untilMode(bank, "primary")
            return { proxy, bank }
          })
        const sides = [yield* opened("one"), yield* opened("two")] as const
        yield* Traffic.openAccounts(sides[0].bank)
        const history = History.make()
        let isOver = false
        const requests = new Map<string, Workload.Request<unknown, unknown, never>>()
        const loads = yield* Effect.forEach(sides, ({ bank }, at) => {
          const request = Traffic.request(bank, run.choices(`clients of ${at}`), `op-${at}`)
          return Effect.fork(Workload.run({
            history,
            perSecond: 30,
            deadline: "3 seconds",
            request,
            isOver: () => isOver,
            retries: 2
          }))
        })

        const choices = run.choices("faults")
        const wellAgain = Effect.gen(function*() {
          yield* Effect.ignore(server.resume)
          yield* server.start
          for (const { proxy } of sides) yield* proxy.pass
        })
        const drills: Array<number> = []
        const faults: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]> = [
          ["kill of Postgres", server.kill],
          ["stall of Postgres", server.stall],
          ["restart of Postgres", server.restart],
          ...sides.flatMap(({ bank, proxy }, at) => [
            [`cut of ${at}`, Effect.zipRight(proxy.refuse, proxy.cut)] as const,
            [`stall on the way of ${at}`, proxy.stall()] as const,
            [`silence on the way back to ${at}`, proxy.stall("downstream")] as const,
            [`slowness of ${at}`, proxy.latency(60, 40)] as const,
            [
              `commits of ${at} lost`,
              proxy.onUpstream((chunk) =>
                asksForCommit(chunk) && choices.chance(0.3) ? choices.pick(["cutAtAnswer", "cut", "silence"]) : "pass"
              )
            ] as const,
            [`resets of ${at}`, proxy.cut] as const,
            [
              `drill of ${at}`,
              Effect.ignore(
                Effect.map(
                  bank.primary.drill(Duration.millis(200)),
                  ({ copied, repaired }) => void drills.push(repaired + copied)
                ).pipe(Effect.timeout("3 seconds"))
              )
            ] as const
          ])
        ]
        const isAnyAlone = () => sides.some(({ bank }) => bank.primary.mode() === "alone")
        const until = performance.now() + run.form(25_000, 12 * 60_000)
        let order = choices.shuffle(faults)
        while (performance.now() < until) {
          const [fault, ...rest] = order
          if (fault === undefined) break
          order = rest.length === 0 ? choices.shuffle(faults) : rest
          const [name, inflict] = fault
          run.sometimes(name)
          yield* Effect.ignore(inflict)
          yield* pause(choices.integer(50, 1_500))
          // Now and then one fault begins before the other has ended.
          if (choices.chance(0.3)) continue
          run.sometimes("a fault that somebody felt", isAnyAlone())
          yield* wellAgain
          yield* pause(choices.integer(0, 800))
        }
        yield* wellAgain
        yield* Effect.forEach(sides, ({ bank }) => untilMode(bank, "primary"))
        isOver = true
        for (const load of loads) {
          for (const [id, request] of (yield* Fiber.join(load)).requests) requests.set(id, request)
        }
        yield* Effect.forEach(sides, ({ bank }) => untilMode(bank, "primary"))
        run.figure("unknown", Checker.setFull(history, []).unknown)
        yield* Workload.resolve({ history, deadline: "5 seconds" }, requests)
        history.save(`node_modules/.cache/chaos/everything-${run.seed}.jsonl`)

        const differences: Array<string> = []
        for (const { bank } of sides) {
          yield* bank.fresh
          differences.push(...yield* Traffic.differences(bank, url))
        }
        const { set, violations } = yield* Traffic.broken(url, history, differences)
        const sum = (of: (bank: Replica) => number) => sides.reduce((total, { bank }) => total + of(bank), 0)
        run.figure("acknowledged", set.acknowledged)
        run.figure("refused", set.refused)
        run.figure("unknownCommits", sum((bank) => bank.primary.stats.unknownCommits))
        run.figure("merged", sum((bank) => bank.primary.stats.merged))
        run.figure("pulled", sum((bank) => bank.primary.stats.pulled))
        run.figure("drills", drills.length)
        run.figure("worst ms", Math.max(...history.latencies()))
        yield* Checker.kept(violations)
        assert.strictEqual(set.unknown, 0)
        assert.strictEqual(sum((bank) => bank.primary.stats.withheld), 0)
        assert.deepStrictEqual(drills.filter((differing) => differing > 0), [])
        assert.isAbove(sum((bank) => bank.primary.stats.merged), 0)
        yield* run.reached("a fault that somebody felt")
      }).pipe(quiet),
    { timeout: ChaosRun.timeout(4 * 60_000, 40 * 60_000) }
  )
})

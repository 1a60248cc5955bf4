// A test fails whatever the failure is: its type may stay open.
// A proxy's hook, or a listener, is plain code: what it starts runs by itself.
// @effect-diagnostics anyUnknownInErrorContext:off runEffectInsideEffect:off
import { assert, describe, it } from "@effect/vitest"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as Checker from "@holdfast/testing/Checker"
import * as History from "@holdfast/testing/History"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import * as Workload from "@holdfast/testing/Workload"
import { Effect, Fiber, Logger, LogLevel } from "effect"
import { ask, folder, open, pause, through, until, untilMode } from "../Outage.ts"
import * as Traffic from "./Traffic.ts"
import { asksForCommit, saysCommitted } from "./Wire.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.Error)

/** What becomes of a commit on its way. */
const variants = [
  "done, and reset instead of the answer",
  "done, and silence, and a reset",
  "done, and silence for good",
  "not done, and reset",
  "done late, when nobody waits for it any more"
] as const

const setUp = (scenario: string) =>
  Effect.gen(function*() {
    const run = yield* ChaosRun.make(scenario)
    const server = yield* PostgresServer.start()
    const proxy = yield* TcpProxy.make(server)
    const url = yield* server.createDatabase("bank")
    const bank = yield* open({ url: through(proxy, url), directory: yield* folder })
    yield* Traffic.openAccounts(bank)
    const history = History.make()
    let isOver = false
    const load = yield* Effect.fork(Workload.run({
      history,
      perSecond: 60,
      deadline: "4 seconds",
      request: Traffic.request(bank, run.choices("clients"), "op"),
      isOver: () => isOver,
      retries: 10
    }))
    /** Ends the load and looks at what is there. */
    const settle = Effect.gen(function*() {
      yield* proxy.pass
      yield* pause(500)
      isOver = true
      const { requests } = yield* Fiber.join(load)
      yield* untilMode(bank, "primary")
      run.figure("unknown", Checker.setFull(history, []).unknown)
      yield* Workload.resolve({ history, deadline: "4 seconds" }, requests)
      history.save(`node_modules/.cache/chaos/${scenario.replaceAll(" ", "-")}-${run.seed}.jsonl`)
      const { set, violations } = yield* Traffic.broken(url, history, yield* Traffic.differences(bank, url))
      const sum = yield* ask(
        url,
        "select (select sum(balance) from account) - coalesce(sum(amount), 0) as n from entry"
      )
      run.figure("acknowledged", set.acknowledged)
      run.figure("refused", set.refused)
      run.figure("unknownCommits", bank.primary.stats.unknownCommits)
      run.figure("asked again", history.entries.filter(({ phase }) => phase === "info").length)
      run.figure("worst ms", Math.max(...history.latencies()))
      yield* Checker.kept(violations)
      assert.strictEqual(set.unknown, 0)
      assert.strictEqual(Number(sum[0]?.["n"]), Traffic.accounts.length * Traffic.FIRST_BALANCE)
      assert.strictEqual(bank.primary.stats.lastFailback?.repaired ?? 0, 0)
      return set
    })
    return { run, server, proxy, bank, settle }
  })

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("the answer to a commit is lost", () => {
  it.scopedLive(
    "and Postgres stays: one effect for each operation, whatever became of its commit",
    () =>
      Effect.gen(function*() {
        const { bank, proxy, run, settle } = yield* setUp("lost commits")
        const choices = run.choices("commits")
        const later = (millis: number, what: Effect.Effect<void, unknown>) =>
          void setTimeout(() => void Effect.runPromiseExit(what), millis)
        let isLate = false
        let silences = run.form(2, 20)
        const hook: TcpProxy.Hook = (chunk) => {
          if (!asksForCommit(chunk) || isLate || !choices.chance(0.05)) return "pass"
          const variant = choices.pick(variants)
          if (variant === "done, and silence for good" && silences-- <= 0) return "pass"
          run.sometimes(variant)
          if (variant === "done, and reset instead of the answer") return "cutAtAnswer"
          if (variant === "not done, and reset") return "cut"
          if (variant === "done, and silence for good") return "silence"
          if (variant === "done, and silence, and a reset") {
            later(100, proxy.cut)
            return "silence"
          }
          // Everything is held, the watch's heartbeats too; what was held arrives after all.
          isLate = true
          Effect.runSync(proxy.stall())
          later(
            choices.integer(700, 1_500),
            proxy.pass.pipe(
              Effect.zipRight(proxy.onUpstream(hook)),
              Effect.zipRight(Effect.sync(() => void (isLate = false)))
            )
          )
          return "pass"
        }
        yield* proxy.onUpstream(hook)
        const begun = performance.now()
        yield* until(() =>
          performance.now() - begun > run.form(15_000, 10 * 60_000) &&
          variants.every((variant) => run.count(variant) > 0)
        )
        yield* settle
        assert.isAbove(bank.primary.stats.unknownCommits, 0)
        yield* run.reached(...variants)
      }).pipe(quiet),
    { timeout: ChaosRun.timeout(4 * 60_000, 30 * 60_000) }
  )

  it.scopedLive(
    "and Postgres goes away right after: what nobody was told of is found by the merge",
    () =>
      Effect.gen(function*() {
        const { bank, proxy, run, server, settle } = yield* setUp("lost commits before an outage")
        const choices = run.choices("outages")
        for (let round = 0; round < run.form(4, 20); round++) {
          yield* pause(choices.integer(300, 900))
          let isArmed = true
          yield* proxy.onDownstream((chunk) => {
            if (!isArmed || !saysCommitted(chunk)) return "pass"
            isArmed = false
            void Effect.runPromiseExit(server.kill)
            return "cut"
          })
          yield* untilMode(bank, "alone")
          yield* until(() => !isArmed)
          run.sometimes("done, and the server is gone before it could say so")
          yield* pause(choices.integer(200, 1_500))
          yield* Effect.zipRight(server.kill, server.start)
          yield* untilMode(bank, "primary")
        }
        yield* settle
        assert.isAbove(bank.primary.stats.unknownCommits, 0)
      }).pipe(quiet),
    { timeout: ChaosRun.timeout(4 * 60_000, 30 * 60_000) }
  )
})

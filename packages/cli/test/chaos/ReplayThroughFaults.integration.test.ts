// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as Nemesis from "@holdfast/testing/Nemesis"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Fiber, Schema } from "effect"
import { ApiClient } from "../../src/ApiClient.ts"
import type { Ending } from "../../src/Replay/Report.ts"
import * as Evidence from "./Evidence.ts"
import * as Explanation from "./Explanation.ts"
import * as Replays from "./Replays.ts"
import * as Stage from "./Stage.ts"

/** The retailer's files, for the long form; without them days are made up. */
const FOLDER = process.env["HOLDFAST_CHAOS_FOLDER"]

const isMissing = ["postgres", "kafka", "redis"].map((server) =>
  TestServers.isMissing(server as "postgres" | "kafka" | "redis", { faults: true })
).includes(true)

type Range = [from: number, to: number]

type Run = Effect.Effect.Success<ReturnType<typeof ChaosRun.make>>

/** The goods are there, the first orders have ended, others have not. */
const areUnderWay = ({ ended, invoices }: Replays.Progress) => ended > 0 && ended < invoices

/** Kills and stalls each server in turn, in an order that the seed chooses, always with orders under way. */
const disturbServers = (
  stage: Stage.Stage,
  run: Run,
  progress: Replays.Progress,
  round: number
) =>
  Effect.gen(function*() {
    const choices = run.choices(`servers ${round}`)
    const faults = choices.shuffle(
      (["postgres", "kafka", "redis"] as const).flatMap((server) => [["kill", server], ["stall", server]] as const)
    )
    for (const [kind, server] of faults) {
      yield* Nemesis.inflict(stage.servers[server], {
        kind,
        quietMillis: choices.integer(...run.form<Range>([500, 1_500], [2_000, 15_000])),
        lastsMillis: choices.integer(...run.form<Range>([2_500, 3_500], [2_000, 20_000]))
      }, {
        when: () => areUnderWay(progress),
        during: Effect.sync(() => {
          run.sometimes(`${kind} of ${server} with orders under way`)
          if (run.isLong) process.stdout.write(`${progress.line}; ${kind} of ${server}\n`)
        })
      })
    }
  })

/** Kills one agent after another while orders are under way, and starts it again. */
const killAgents = ({ fleet }: Stage.Stage, run: Run, progress: Replays.Progress, isOver: () => boolean) =>
  Effect.gen(function*() {
    const choices = run.choices("agents")
    const [first, ...others] = choices.shuffle(fleet.members)
    if (first === undefined) return
    for (let kill = 0; !isOver(); kill++) {
      yield* Stage.pause(choices.integer(...run.form<Range>([7_000, 9_000], [18_000, 22_000])))
      // All of them in turn, then any.
      const victim = kill < fleet.members.length ? [first, ...others][kill] ?? first : choices.pick([first, ...others])
      const isLive = areUnderWay(progress)
      yield* victim.kill
      run.sometimes("kill of an agent with orders under way", isLive)
      yield* Stage.pause(choices.integer(50, 1_000))
      yield* victim.start
    }
  })

/** Looks at all agents all the time: which levels there were, and how slow a probe was. */
const watch = (stage: Stage.Stage, run: Run, isOver: () => boolean) =>
  Effect.forEach(stage.fleet.members, (member) =>
    Effect.gen(function*() {
      while (!isOver()) {
        const seen = yield* Stage.detail(member)
        if (seen !== undefined) run.sometimes(`seen at level ${seen.level}`)
        yield* Stage.pause(100)
      }
    }), { concurrency: "unbounded", discard: true })

const Cancelled = Schema.Struct({ id: Schema.String })
const State = Schema.Struct({ state: Schema.String, cancelReason: Schema.optional(Schema.String) })

/** An order that ends as no rule of a fault lets it end: the report must not accept it. */
const plant = (ending: Ending) =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    yield* api.post(
      `/order/orders/${ending.orderId}/cancel`,
      { reason: "customer" },
      `plant-${ending.orderId}`,
      Cancelled
    )
    for (;;) {
      const { cancelReason, state } = yield* api.get(`/order/orders/${ending.orderId}`, State)
      if (state === "cancelled") return { ...ending, state, reason: cancelReason }
      yield* Stage.pause(50)
    }
  })

describe.skipIf(isMissing)("a replay through faults", () => {
  it.scopedLive(
    "every server is killed and stalled, agents are killed: the same orders, and a rule for each that ends otherwise",
    () =>
      Effect.gen(function*() {
        const run = yield* ChaosRun.make("replay through faults")
        const days = run.isLong && FOLDER !== undefined
          ? yield* Replays.ofFolder(FOLDER)
          : Replays.madeUp(run.seed, run.form(4, 60), run.form(40, 60))
        const concurrency = run.form(8, 16)
        const stage = yield* Stage.open()
        yield* Stage.start(stage)
        const progress: Replays.Progress = { invoices: 0, ended: 0, line: "" }
        let isReplayed = false
        let isDisturbed = false
        const replayed = yield* Effect.makeLatch()
        const disturbed = (round: number) => disturbServers(stage, run, progress, round)
        const nemesis = yield* Effect.fork(
          (run.isLong
            // A fault that waits for orders under way would wait for ever when there are no more.
            ? Effect.raceFirst(
              Effect.iterate(0, { while: () => true, body: (n) => Effect.as(disturbed(n), n + 1) }),
              replayed.await
            )
            : disturbed(0)).pipe(Effect.andThen(Effect.sync(() => {
              isDisturbed = true
            })))
        )
        const killer = yield* Effect.fork(killAgents(stage, run, progress, () => isDisturbed || isReplayed))
        const watcher = yield* Effect.fork(watch(stage, run, () => isReplayed && isDisturbed))
        const begun = performance.now()
        const { days: daysReplayed, endings } = yield* Replays.replay(
          { days, concurrency },
          progress,
          () => !run.isLong && isDisturbed
        ).pipe(Effect.provide(Stage.client(stage)))
        isReplayed = true
        yield* replayed.open
        run.figure("orders", endings.length)
        run.figure("replay seconds", (performance.now() - begun) / 1_000)
        yield* Fiber.join(nemesis)
        yield* Fiber.join(killer)
        yield* Fiber.join(watcher)
        const healed = performance.now()
        yield* Stage.atLevel(stage, 0)
        run.figure("seconds to level 0", (performance.now() - healed) / 1_000)

        const found = yield* Stage.settled(stage)
        run.figure("seconds to rest", (performance.now() - healed) / 1_000)
        assert.deepStrictEqual(found.lines, [])

        const calm = yield* Replays.undisturbed({ days: daysReplayed, concurrency })
        assert.deepStrictEqual(calm.verification.findings, [])
        const report = (disturbed: ReadonlyArray<Ending>) =>
          Effect.gen(function*() {
            const differences = Explanation.differences(calm.endings, disturbed)
            return Explanation.report(differences, yield* Evidence.gather(differences))
          }).pipe(Effect.provide(Stage.client(stage)))
        const { explained, unexplained } = yield* report(endings)
        for (const { rule } of explained) run.sometimes(`ended otherwise by a ${rule}`)
        for (const { line } of explained) process.stdout.write(`${line}\n`)
        assert.deepStrictEqual(unexplained, [])
        if (explained.length === 0) assert.strictEqual(found.digest, calm.verification.digest)

        // The same goods came in, and every confirmed order has its money and its goods, as verify has found.
        assert.strictEqual(found.stock.onHand, calm.verification.stock.onHand)
        const confirmed = endings.filter(({ state }) => state === "confirmed")
        assert.strictEqual(found.money[0]?.held, confirmed.reduce((sum, { grand }) => sum + grand, 0))

        const planted = endings.find(({ state }) => state === "confirmed")
        assert.isDefined(planted)
        const cancelled = yield* Effect.provide(plant(planted), Stage.client(stage))
        const spoilt = yield* report(endings.map((ending) => ending === planted ? cancelled : ending))
        assert.lengthOf(spoilt.unexplained, 1)

        for (const server of ["postgres", "kafka", "redis"]) {
          yield* run.reached(`kill of ${server} with orders under way`, `stall of ${server} with orders under way`)
        }
        yield* run.reached("seen at level 1", "seen at level 2")
        assert.isAtLeast(run.count("kill of an agent with orders under way"), 3)
      }),
    { timeout: 4 * 3_600_000 }
  )
})

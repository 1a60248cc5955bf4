// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as HoldfastFleet from "@holdfast/testing/HoldfastFleet"
import * as MachineLoad from "@holdfast/testing/MachineLoad"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Fiber } from "effect"
import { importBody } from "../Shop.ts"
import * as Stage from "./Stage.ts"

const isMissing = (["postgres", "kafka", "redis"] as const)
  .map((server) => TestServers.isMissing(server, { faults: true })).includes(true)

/** From the start of a process, in milliseconds of a machine that does nothing else. */
const FIRST_ANSWER = 2_000

/** The agent that may not work without Postgres. */
const STRICT = "payment"

/** What the operator must be told while Postgres and Kafka do not answer. */
const reasonOf = (agent: string): RegExp =>
  agent === STRICT
    ? /nothing works without Postgres.*PAYMENT_FALLBACK/
    : /^Postgres (?:and Kafka are both away|(?:is away|is not reached yet).+Kafka (?:is away|is not reached yet).*: reads only)/

type Run = Effect.Effect.Success<ReturnType<typeof ChaosRun.make>>

/**
 * Starts the agents one after another. Each must say that it lives, at which level and why, as soon as it is started; an
 * agent that may do something without Postgres is ready.
 */
const startWithoutServers = (stage: Stage.Stage, run: Run, figure: string) =>
  Effect.gen(function*() {
    const times: Array<number> = []
    let slowest = 0
    for (const member of stage.fleet.members) {
      const isStrict = member.agent === STRICT
      const before = yield* MachineLoad.stretch
      yield* member.start
      const said = yield* HoldfastFleet.until(
        `${member.agent} says how it is`,
        Effect.gen(function*() {
          const alive = yield* HoldfastFleet.probe(`${member.url}/livez`)
          const detail = yield* Stage.detail(member)
          const ready = yield* HoldfastFleet.probe(`${member.url}/health/ready`)
          if (alive === undefined || detail === undefined || ready === undefined) return undefined
          const isSaid = alive.status === 200 && detail.notes.some((note) => reasonOf(member.agent).test(note)) &&
            detail.level === (isStrict ? 4 : 3) && ready.status === (isStrict ? 503 : 200)
          return isSaid ? performance.now() - member.startedAt() : undefined
        })
      )
      times.push(said)
      slowest = Math.max(slowest, said / Math.max(before, yield* MachineLoad.stretch))
    }
    run.figure(figure, times.map(Math.round).join(" "))
    return slowest
  })

/** Places an order, and answers its id. */
const place = (stage: Stage.Stage, ref: string) =>
  Effect.promise(async () => {
    const response = await fetch(`${stage.fleet.of("order").url}/order/orders/import`, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": ref },
      body: JSON.stringify(importBody(ref)),
      signal: AbortSignal.timeout(5_000)
    })
    const body = await response.json() as { readonly id: string }
    return { status: response.status, id: body.id }
  })

const confirmed = (stage: Stage.Stage, id: string) =>
  HoldfastFleet.until(
    `${id} is confirmed`,
    Effect.map(
      HoldfastFleet.probe(`${stage.fleet.of("order").url}/order/orders/${id}`),
      (probed) => (probed?.body as { readonly state?: string } | undefined)?.state === "confirmed" ? true : undefined
    )
  )

describe.skipIf(isMissing)("agents without their servers", () => {
  it.scopedLive(
    "start at once, say what is missing, and get better by themselves as it comes; what was accepted meanwhile is done",
    () =>
      Effect.gen(function*() {
        const run = yield* ChaosRun.make("absent servers")
        const stage = yield* Stage.open({
          absent: ["postgres", "kafka", "redis"],
          env: { [`${STRICT.toUpperCase()}_FALLBACK`]: "forbidden" }
        })
        const { fleet, kafka, postgres, redis } = stage
        const strict = fleet.of(STRICT)

        // Nobody listens.
        assert.isBelow(yield* startWithoutServers(stage, run, "first answers, nobody listens, ms"), FIRST_ANSWER)
        const refused = yield* place(stage, "refused")
        assert.strictEqual(refused.status, 503, "level 3 reads only")

        // Postgres comes: level 2, as Kafka is still away, and who needs it works.
        yield* postgres.start
        const came = performance.now()
        yield* Stage.atLevel(stage, 2, 15_000)
        run.figure("Postgres came to level 2, ms", performance.now() - came)
        assert.isTrue(strict.isRunning())
        yield* Effect.promise(() =>
          fetch(`${fleet.of("inventory").url}/inventory/receipts`, {
            method: "POST",
            headers: { "content-type": "application/json", "idempotency-key": "r" },
            body: JSON.stringify({ refId: "r", locationId: "main", lines: [{ sku: "85123A", qty: 1_000 }] })
          })
        )
        const early = yield* place(stage, "before-kafka")
        assert.strictEqual(early.status, 202)

        // Kafka comes late: all are heard.
        yield* kafka.start
        const answered = performance.now()
        yield* Stage.atLevel(stage, 0, 30_000)
        run.figure("Kafka came to level 0, ms", performance.now() - answered)
        yield* confirmed(stage, early.id)

        // And goes again: commands are accepted all the time.
        const orders: Array<{ readonly status: number; readonly id: string }> = []
        let isOver = false
        const client = yield* Effect.fork(Effect.gen(function*() {
          while (!isOver) {
            orders.push(yield* place(stage, `during-${orders.length}`))
            yield* Stage.pause(150)
          }
        }))
        yield* Stage.pause(500)
        yield* kafka.kill
        yield* HoldfastFleet.until(
          "the order agent sees that Kafka is away",
          Effect.map(Stage.detail(fleet.of("order")), (seen) => seen?.level === 2 ? true : undefined),
          15_000
        )
        const alone = orders.length
        yield* Stage.pause(run.form(0, 30_000))
        yield* HoldfastFleet.until(
          "orders are accepted without Kafka",
          Effect.sync(() => orders.length >= alone + 3 ? true : undefined)
        )
        run.sometimes("orders were accepted at level 2")
        yield* kafka.start
        const back = performance.now()
        yield* Stage.atLevel(stage, 0, 30_000)
        run.figure("Kafka back to level 0, ms", performance.now() - back)
        isOver = true
        yield* Fiber.join(client)
        assert.deepStrictEqual([...new Set(orders.map(({ status }) => status))], [202])
        run.figure("orders accepted around the loss of Kafka", orders.length)
        for (const { id } of orders) yield* confirmed(stage, id)

        // Redis was away all the time, and no level told of it.
        const withoutRedis = yield* Stage.detail(fleet.of("order"))
        assert.isTrue(withoutRedis?.notes.some((note) => note.startsWith("memory stands in for Redis")))
        yield* redis.start
        yield* HoldfastFleet.until(
          "the order agent sees Redis",
          Effect.map(
            Stage.detail(fleet.of("order")),
            (seen) => seen?.notes.some((note) => note.includes("Redis")) === false ? true : undefined
          ),
          15_000
        )
        const found = yield* Stage.settled(stage)
        assert.deepStrictEqual(found.lines, [])

        // The servers' ports are open and nobody answers.
        yield* Effect.forEach(fleet.members, (member) =>
          Effect.map(member.stop, ({ exit }) => assert.strictEqual(exit, 0)), { concurrency: "unbounded" })
        yield* Effect.all([postgres.stall, kafka.stall, redis.stall])
        assert.isBelow(yield* startWithoutServers(stage, run, "first answers, nobody answers, ms"), FIRST_ANSWER)
        const { exit, millis } = yield* fleet.of("order").stop
        assert.strictEqual(exit, 0)
        assert.isBelow(millis, 30_000)
        run.figure("stopped while nobody answers, ms", millis)
        yield* fleet.of("order").start
        yield* Effect.all([postgres.resume, kafka.resume, redis.resume])
        const resumed = performance.now()
        yield* Stage.atLevel(stage, 0, 30_000)
        run.figure("all answer to level 0, ms", performance.now() - resumed)
        yield* run.reached("orders were accepted at level 2")
      }),
    { timeout: 600_000 }
  )
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as HoldfastFleet from "@holdfast/testing/HoldfastFleet"
import * as MachineLoad from "@holdfast/testing/MachineLoad"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Fiber } from "effect"
import { Redis } from "ioredis"
import { importBody } from "../Shop.ts"
import * as Stage from "./Stage.ts"

const servers = ["postgres", "kafka", "redis"] as const

const isMissing = servers.map((server) => TestServers.isMissing(server, { faults: true })).includes(true)

/** Three of the intervals at which a dependency is probed that nobody uses, in milliseconds. */
const NOTICED = 3 * 5_000

/** What Redis may cost a request that needs it, and what a probe may take, in milliseconds. */
const REDIS_COST = 300
const PROBE = 100

interface Timed {
  readonly at: number
  readonly millis: number
  readonly status: number
}

const timed = (what: () => Promise<Response>): Effect.Effect<Timed> =>
  Effect.promise(async () => {
    const at = performance.now()
    try {
      const response = await what()
      await response.arrayBuffer()
      return { at, millis: performance.now() - at, status: response.status }
    } catch {
      return { at, millis: performance.now() - at, status: 0 }
    }
  })

/** Orders are placed and read, one after another, until it is over. */
const requests = (stage: Stage.Stage, isOver: () => boolean, seen: Array<Timed>) =>
  Effect.gen(function*() {
    const order = `${stage.fleet.of("order").url}/order/orders`
    const { paymentMethodToken: _, ...body } = importBody("x")
    for (let n = 0; !isOver(); n++) {
      seen.push(
        yield* timed(() =>
          fetch(`${order}/import`, {
            method: "POST",
            headers: { "content-type": "application/json", "idempotency-key": `load-${n}` },
            body: JSON.stringify({ ...body, externalRef: `load-${n}`, paidByChannel: true })
          })
        )
      )
      seen.push(yield* timed(() => fetch(`${order}?limit=20`)))
      yield* Stage.pause(20)
    }
  })

const worst = (all: ReadonlyArray<Timed>): number => all.reduce((most, { millis }) => Math.max(most, millis), 0)

describe.skipIf(isMissing)("health through faults", () => {
  it.scopedLive(
    "names what does not answer, soon, and answers fast; Redis costs no request much, whatever becomes of it",
    () =>
      Effect.gen(function*() {
        const run = yield* ChaosRun.make("health through faults")
        // Every request asks Redis.
        const stage = yield* Stage.open({
          agents: ["order", "inventory"],
          env: { HOLDFAST_RATE_LIMIT: "100000/1s" }
        })
        yield* Stage.start(stage)
        yield* Stage.atLevel(stage, 0)
        const seen: Array<Timed> = []
        const probes: Array<{ readonly at: number; readonly millis: number; readonly stretch: number }> = []
        const windows: Array<{ readonly name: string; readonly from: number; to: number }> = []
        let isOver = false
        const load = yield* Effect.fork(requests(stage, () => isOver, seen))

        /** One look at every agent. */
        const look = Effect.gen(function*() {
          const at = performance.now()
          const details = yield* Effect.forEach(stage.fleet.members, (member) => Stage.detail(member, 5_000))
          const stretch = yield* MachineLoad.stretch
          for (const detail of details) {
            assert.isDefined(detail, "a probe was not answered")
            probes.push({ at, millis: detail.millis, stretch })
          }
          return details.flatMap((detail) => detail ?? [])
        })
        const allSay = (what: string, holds: (detail: Stage.Detail) => boolean, within: number) =>
          HoldfastFleet.until(
            what,
            Effect.map(look, (details) => details.every(holds) ? details : undefined),
            within
          )
        const restored = allSay(
          "all is well again",
          ({ dependencies, level }) => level === 0 && servers.every((name) => dependencies[name]?.status === "up"),
          30_000
        )

        yield* Stage.pause(1_000)
        const faults = run.choices("faults").shuffle(
          servers.flatMap((server) => [["kill", server], ["stall", server]] as const)
        )
        for (let round = 0; round < run.form(1, 10); round++) {
          for (const [kind, server] of faults) {
            const name = `${kind} of ${server}`
            const window = { name, from: performance.now(), to: Infinity }
            const before = seen.length
            windows.push(window)
            yield* kind === "kill" ? stage.servers[server].kill : stage.servers[server].stall
            const struck = performance.now()
            const details = yield* allSay(
              `${name} is noticed`,
              ({ dependencies }) => dependencies[server]?.status !== "up",
              NOTICED
            )
            run.figure(`${name} noticed after ms`, performance.now() - struck)
            for (const { dependencies, level, notes } of details) {
              for (const other of servers) {
                if (other !== server) assert.strictEqual(dependencies[other]?.status, "up", `${other} at a ${name}`)
              }
              assert.isString(dependencies[server]?.lastError)
              if (server === "redis") {
                assert.strictEqual(level, 0, "Redis is no reason for a level")
                assert.isTrue(notes.some((note) => note.startsWith("memory stands in for Redis")), notes.join("; "))
              }
            }
            yield* Stage.pause(run.form(500, 5_000))
            run.sometimes(`requests were answered at a ${name}`, seen.slice(before).some(({ status }) => status < 300))
            yield* kind === "kill" ? stage.servers[server].start : stage.servers[server].resume
            yield* restored
            window.to = performance.now()
          }
        }
        const redis = new Redis(stage.redis.url)
        const flush = { name: "flush of redis", from: performance.now(), to: Infinity }
        windows.push(flush)
        yield* Effect.promise(() => redis.flushall())
        redis.disconnect()
        yield* restored
        flush.to = performance.now()
        yield* Stage.pause(500)
        isOver = true
        yield* Fiber.join(load)

        const within = ({ from, to }: typeof flush) => seen.filter(({ at, millis }) => at + millis > from && at < to)
        const quiet = seen.filter(({ at, millis }) => !windows.some(({ from, to }) => at + millis > from && at < to))
        const stretchIn = ({ from, to }: typeof flush) => {
          const looks = probes.filter(({ at }) => at > from && at < to)
          return looks.length === 0 ? 1 : looks.reduce((sum, look) => sum + look.stretch, 0) / looks.length
        }
        run.figure("requests", seen.length)
        run.figure("worst request while all is well, ms", worst(quiet))
        for (const window of windows) {
          const met = within(window)
          run.figure(`worst request at a ${window.name}, ms`, worst(met))
          assert.deepStrictEqual(met.filter(({ status }) => status >= 300 || status === 0), [], window.name)
          if (!window.name.endsWith("redis")) continue
          assert.isAtMost(worst(met) - worst(quiet), REDIS_COST * stretchIn(window), window.name)
        }
        run.figure("probes", probes.length)
        run.figure("worst probe, ms", Math.max(...probes.map(({ millis }) => millis)))
        const tooSlow = probes.filter((probe) => probe.millis > PROBE * probe.stretch)
        run.figure("probes beyond their bound", tooSlow.length)
        assert.isAtMost(tooSlow.length, probes.length / 100)
        for (const server of servers) {
          yield* run.reached(
            `requests were answered at a kill of ${server}`,
            `requests were answered at a stall of ${server}`
          )
        }
      }),
    { timeout: 3_600_000 }
  )
})

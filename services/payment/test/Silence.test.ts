// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Logging from "@holdfast/agent/Logging"
import { Duration, Effect, LogLevel, TestClock } from "effect"
import type { GatewayShape } from "../src/Gateway.ts"
import * as World from "./World.ts"

const test = (
  name: string,
  body: (world: World.World, log: ReadonlyArray<string>) => Effect.Effect<void, unknown>,
  options: World.Options = {}
) =>
  it.scoped(name, () => {
    const log: Array<string> = []
    return Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 0, 1))
      yield* body(yield* World.open(yield* World.folder, options), log)
    }).pipe(Effect.provide(
      Logging.layer({ format: "pretty", level: LogLevel.Info, write: (line) => log.push(line) })
    ))
  })

const passes = (seconds: number, step = 0.25) =>
  Effect.repeatN(Effect.zipRight(World.settle, TestClock.adjust(Duration.seconds(step))), seconds / step - 1)

/** What the log says of the gateway, without the times. */
const said = (log: ReadonlyArray<string>) =>
  log.filter((line) => line.includes("gateway")).map((line) => line.slice(13).replaceAll(/ +/g, " ").trim())

/** Payments that the gateway never says anything about, each asked about for so many seconds. */
const silent = (world: World.World, count: number, seconds: number, step?: number) =>
  Effect.gen(function*() {
    for (let n = 0; n < count; n++) yield* world.authorize(1000 + n, `never_answers:${n}`)
    yield* passes(seconds, step)
  })

describe("calls without an answer hold up no others", () => {
  for (const count of [14, 60]) {
    test(`${count} payments without an answer: others are authorised and voided within seconds`, (world) =>
      Effect.gen(function*() {
        yield* world.authorize(1, "ok:before")
        yield* World.untilState(world, 1, "authorized", "2 seconds")
        yield* silent(world, count, 12)
        for (let n = 2; n < 6; n++) {
          yield* world.authorize(n, `ok:${n}`)
          yield* World.untilState(world, n, "authorized", "3 seconds")
          yield* passes(5)
        }
        yield* world.void(1)
        yield* World.untilState(world, 1, "voided", "3 seconds")
        assert.deepStrictEqual(yield* World.faults(world, 1), [])
        yield* passes(6)
        // The gateway answers; what it does not answer is known.
        assert.strictEqual(world.calls.watch.current().status, "up")
        assert.strictEqual(world.calls.watch.waiting().calls, count)
        assert.isAbove(world.calls.watch.waiting().oldestMillis, 30_000)
      }))
  }

  test("a payment behind 60 new ones without an answer waits for those before it, and no longer", (world) =>
    Effect.gen(function*() {
      yield* silent(world, 60, 0.25)
      yield* world.authorize(1, "ok:behind")
      yield* World.untilState(world, 1, "authorized", "6 seconds")
    }))

  test("what is not answered is asked about all the time, each in its turn", (world) =>
    Effect.gen(function*() {
      yield* silent(world, 20, 180, 1)
      for (let n = 0; n < 20; n++) {
        const [attempt] = yield* world.attempts(1000 + n)
        assert.strictEqual(attempt?.errorCode, "no_answer")
        assert.isAtLeast(attempt?.tries ?? 0, 6, `payment ${n}`)
      }
    }), { concurrency: 8 })
})

describe("a gateway that does not answer at all", () => {
  let isSilent = false
  let underWay = 0
  let most = 0
  const silenced = (gateway: GatewayShape): GatewayShape => {
    const heard = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.suspend(() => {
        underWay++
        most = Math.max(most, underWay)
        return isSilent ? Effect.never : call
      }).pipe(Effect.ensuring(Effect.sync(() => underWay--)))
    return {
      ...gateway,
      authorize: (call) => heard(gateway.authorize(call)),
      retrieve: (of) => heard(gateway.retrieve(of))
    }
  }

  test(
    "is said once, is called little, and all that waited is done when it answers again",
    (world, log) =>
      Effect.gen(function*() {
        yield* world.authorize(1, "ok:1")
        yield* World.untilState(world, 1, "authorized", "2 seconds")
        isSilent = true
        for (let n = 2; n < 62; n++) yield* world.authorize(n, `ok:${n}`)
        yield* passes(3)
        assert.deepInclude(world.calls.watch.current(), { status: "away", lastError: "no answer within 2000 ms" })
        most = 0
        yield* passes(30, 1)
        assert.strictEqual(world.calls.watch.waiting().calls, 60)
        assert.isAtMost(most, 8, "calls at once while it is away")
        isSilent = false
        yield* World.until(
          Effect.map(
            Effect.forEach([...Array(60).keys()], (n) => world.find(n + 2)),
            (payments) => payments.every((payment) => payment?.state === "authorized")
          ),
          "70 seconds"
        )
        yield* passes(6)
        assert.strictEqual(world.calls.watch.current().status, "up")
        assert.deepStrictEqual(world.calls.watch.waiting(), { calls: 0, oldestMillis: 0 })
        assert.deepStrictEqual(said(log), [
          "WARN the gateway does not answer (no answer within 2000 ms); calls wait, and few are made until one is answered " +
          "provider=sandbox",
          "INFO the gateway answers again provider=sandbox"
        ])
      }),
    { around: silenced, concurrency: 16 }
  )

  test(
    "some calls without an answer for long are told of once, and once that none is left",
    (world, log) =>
      Effect.gen(function*() {
        isSilent = true
        yield* world.authorize(1, "ok:1")
        yield* world.authorize(2, "ok:2")
        yield* passes(240, 1)
        assert.strictEqual(world.calls.watch.current().status, "up")
        isSilent = false
        yield* World.untilState(world, 1, "authorized")
        yield* World.untilState(world, 2, "authorized")
        yield* passes(6)
        assert.deepStrictEqual(said(log), [
          "WARN the gateway leaves calls without an answer: 2 of them wait provider=sandbox",
          "INFO no call waits long for the gateway any more provider=sandbox"
        ])
      }),
    { around: silenced }
  )
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, TestClock } from "effect"
import type { GatewayShape } from "../src/Gateway.ts"
import * as World from "./World.ts"

const NOW = Date.UTC(2026, 0, 1)

/** Ends the process around the n-th call of the gateway: before it is sent, or after it was done and not answered. */
const crashing = (n: number, when: "before" | "after", crashed: Deferred.Deferred<void>) => {
  let calls = 0
  const crash = Effect.zipRight(Deferred.succeed(crashed, undefined), Effect.never)
  const around = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      calls++
      if (calls !== n) return call
      return when === "before" ? crash : Effect.zipRight(Effect.exit(call), crash)
    })
  return (gateway: GatewayShape): GatewayShape => ({
    ...gateway,
    authorize: (call) => around(gateway.authorize(call)),
    capture: (call) => around(gateway.capture(call)),
    void: (call) => around(gateway.void(call)),
    refund: (call) => around(gateway.refund(call)),
    retrieve: (of) => around(gateway.retrieve(of))
  })
}

/** A life: authorised, captured in two parts, refunded in two parts. Each step is sent again after a restart. */
const steps: ReadonlyArray<
  readonly [send: (world: World.World) => Effect.Effect<void, unknown>, done: (row: World.Row) => boolean]
> = [
  [(world) => world.authorize(1, "ok", 100, 1, "a1"), (row) => row.authorized === 100],
  [(world) => world.capture(1, 60, false, "c1"), (row) => row.captured >= 60],
  [(world) => world.capture(1, 40, false, "c2"), (row) => row.captured === 100],
  [(world) => world.refund(1, 30, "r1", "r1"), (row) => row.refunded >= 30],
  [(world) => world.refund(1, 70, "r2", "r2"), (row) => row.state === "refunded"]
]

const live = (world: World.World) =>
  Effect.gen(function*() {
    for (const [send, done] of steps) {
      yield* send(world)
      yield* World.until(Effect.map(world.find(1), (row) => row !== undefined && done(row)))
    }
  })

const check = (world: World.World) =>
  Effect.gen(function*() {
    yield* World.untilQuiet(world, 1)
    assert.deepStrictEqual(yield* World.faults(world, 1), [])
    assert.deepInclude(world.sandbox.charges(World.paymentId(1))[0], { authorized: 100, captured: 100, refunded: 100 })
    assert.deepStrictEqual(
      (yield* world.news(1)).map(({ type }) => type),
      ["authorized", "captured", "captured", "refunded", "refunded"]
    )
  })

describe("the process ends at any moment and starts again on the same files", () => {
  for (const when of ["before", "after"] as const) {
    for (const n of [1, 2, 3, 4, 5]) {
      it.scoped(`${when} gateway call ${n}: nothing is lost, nothing done twice`, () =>
        Effect.gen(function*() {
          yield* TestClock.setTime(NOW)
          const directory = yield* World.folder
          const crashed = yield* Deferred.make<void>()
          yield* Effect.scoped(
            Effect.flatMap(
              World.open(directory, { around: crashing(n, when, crashed) }),
              (world) => Effect.raceFirst(Effect.exit(live(world)), Deferred.await(crashed))
            )
          )
          assert.isTrue(yield* Deferred.isDone(crashed))
          yield* Effect.scoped(
            Effect.flatMap(World.open(directory), (world) => Effect.zipRight(live(world), check(world)))
          )
        }))
    }
  }

  it.scoped("after any number of turns of the event loop", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(NOW)
      for (let turns = 0; turns < 24; turns++) {
        const directory = yield* World.folder
        const cut = Effect.promise(async () => {
          for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
        })
        yield* Effect.scoped(
          Effect.flatMap(
            World.open(directory),
            (world) =>
              Effect.raceFirst(Effect.exit(Effect.zipRight(world.authorize(1, "webhook_twice"), Effect.never)), cut)
          )
        )
        yield* Effect.scoped(
          Effect.flatMap(World.open(directory), (world) =>
            Effect.gen(function*() {
              yield* world.authorize(1, "webhook_twice")
              yield* World.untilState(world, 1, "authorized")
              yield* TestClock.adjust("10 seconds")
              yield* World.settle
              assert.deepStrictEqual(yield* World.faults(world, 1), [])
              const authorized = (yield* world.news(1)).filter(({ type }) => type === "authorized")
              // The command is sent under a new id, so it may be answered once more; the money moves once.
              assert.isAtMost(authorized.length, 2)
              assert.deepStrictEqual((yield* world.ledger(1)).map(({ kind }) => kind), ["authorize"])
            }))
        )
      }
    }))

  it.scoped("while the outcome is unknown: it goes on asking with the same key", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(NOW)
      const directory = yield* World.folder
      yield* Effect.scoped(
        Effect.flatMap(World.open(directory), (world) =>
          Effect.zipRight(world.authorize(1, "timeout_but_charged"), World.settle))
      )
      yield* Effect.scoped(
        Effect.flatMap(World.open(directory), (world) =>
          Effect.gen(function*() {
            yield* World.untilState(world, 1, "authorized")
            assert.deepStrictEqual(yield* World.faults(world, 1), [])
            assert.strictEqual((yield* world.attempts(1)).length, 1)
          }))
      )
    }))
})

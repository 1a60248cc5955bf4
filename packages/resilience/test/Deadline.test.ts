// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, FiberRef, Option, Ref, TestClock } from "effect"
import * as Deadline from "../src/Deadline.ts"

describe("a deadline", () => {
  it.scoped("lets through what ends in time, failures and FiberRefs too", () =>
    Effect.gen(function*() {
      const ref = yield* FiberRef.make("before")
      assert.strictEqual(yield* Deadline.within("1 second")(Effect.as(FiberRef.set(ref, "after"), 42)), 42)
      assert.strictEqual(yield* FiberRef.get(ref), "after")
      assert.strictEqual(yield* Effect.flip(Deadline.within("1 second")(Effect.fail("no"))), "no")
      assert.strictEqual(yield* Deadline.remaining, Infinity, "the deadline ends with its work")
    }))

  it.effect("holds against a peer that is stalled where it cannot be interrupted", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(
        Effect.either(Deadline.within("1 second", "query")(Effect.uninterruptible(Effect.never)))
      )
      yield* TestClock.adjust(999)
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust(1)
      const answer = yield* Fiber.join(fiber)
      assert.deepInclude(answer, { _tag: "Left" })
      assert.deepInclude(answer._tag === "Left" ? answer.left : {}, { _tag: "DeadlineExceeded", operation: "query" })
    }))

  it.effect("is felt at once by a caller that is interrupted, and its work is told to stop", () =>
    Effect.gen(function*() {
      const stopped = yield* Ref.make(false)
      const work = Effect.onInterrupt(Effect.never, () => Ref.set(stopped, true))
      const fiber = yield* Effect.fork(Deadline.within("1 minute")(work))
      const stuck = yield* Effect.fork(Deadline.within("1 minute")(Effect.uninterruptible(Effect.never)))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      yield* Fiber.interrupt(stuck)
      yield* TestClock.adjust(0)
      assert.isTrue(yield* stopped)
    }))

  it.effect("never gets longer inside", () =>
    Effect.gen(function*() {
      const seen = yield* Deadline.within("1 second")(
        Effect.all([
          Deadline.remaining,
          Deadline.within("1 minute")(Deadline.remaining),
          Deadline.within("10 millis")(Deadline.remaining),
          Effect.flatMap(Effect.fork(Deadline.remaining), Fiber.join)
        ])
      )
      assert.deepStrictEqual(seen, [1000, 1000, 10, 1000])
    }))

  it.effect("that has passed runs nothing", () =>
    Effect.gen(function*() {
      const ran = yield* Ref.make(false)
      const exit = yield* Effect.exit(Deadline.within(0)(Ref.set(ran, true)))
      assert.isTrue(Exit.isFailure(exit))
      assert.isFalse(yield* ran)
      const checked = yield* Effect.either(Effect.locally(Deadline.check("x"), Deadline.current, -1))
      assert.strictEqual(checked._tag, "Left")
    }))

  it.live("is measured by the monotonic clock: a stalled promise is left after it", () =>
    Effect.gen(function*() {
      const begun = performance.now()
      yield* Effect.flip(Deadline.within("50 millis")(Effect.promise(() => new Promise(() => {}))))
      const took = performance.now() - begun
      assert.isTrue(took >= 49 && took < 300, `${took} ms`)
    }))
})

describe("the deadline header", () => {
  it.effect("carries what is left to another process", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_700_000_000_000)
      const sent = yield* Deadline.within("5 seconds")(Deadline.toHeader)
      assert.strictEqual(Option.getOrThrow(sent), "1700000005000")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(Duration.toMillis(yield* Deadline.fromHeader("1700000005000")), 3000)
      assert.strictEqual(Duration.toMillis(yield* Deadline.fromHeader("1600000000000")), 0)
      assert.isTrue(Option.isNone(yield* Deadline.toHeader))
    }))

  it.effect("is refused where it is no time", () =>
    Effect.gen(function*() {
      for (
        const value of ["", "soon", "-1", "1e9", "12.5", " 1700000005000", "9".repeat(400), "1700000005000\r\nx: y"]
      ) {
        assert.strictEqual((yield* Effect.flip(Deadline.fromHeader(value)))._tag, "DeadlineHeaderInvalid")
      }
    }))
})

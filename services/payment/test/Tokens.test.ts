// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import * as World from "./World.ts"

const types = (world: World.World) => Effect.map(world.news(1), (news) => news.map(({ type }) => type))

const test = (name: string, body: (world: World.World) => Effect.Effect<void, unknown>, options: World.Options = {}) =>
  it.scoped(name, () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 0, 1))
      const world = yield* World.open(yield* World.folder, options)
      yield* body(world)
      assert.deepStrictEqual(yield* World.faults(world, 1), [])
    }))

describe("every sandbox token ends right", () => {
  test("ok: authorised, and answered to the saga that asked", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "ok")
      yield* World.untilState(world, 1, "authorized")
      const [news, ...more] = yield* world.news(1)
      assert.strictEqual(news?.type, "authorized")
      assert.strictEqual(news?.correlationId, "saga")
      assert.deepInclude(news?.data, {
        amount: { amount: 100, currency: "GBP" },
        authExpiresAt: "2026-01-08T00:00:00.000Z"
      })
      assert.deepStrictEqual(more, [])
    }))

  test("decline_insufficient: the customer may try again", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "decline_insufficient")
      yield* World.untilState(world, 1, "declined")
      const [news] = yield* world.news(1)
      assert.deepInclude(news?.data, { code: "insufficient_funds", retryableByCustomer: true })
      yield* world.authorize(2, "ok", 100, 1)
      yield* World.untilState(world, 2, "authorized")
    }))

  test("decline_stolen: final, also for the customer", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "decline_stolen")
      yield* World.untilState(world, 1, "declined")
      const [news] = yield* world.news(1)
      assert.deepInclude(news?.data, { code: "stolen_card", retryableByCustomer: false })
    }))

  test("a token that does not exist is declined", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "nonsense")
      yield* World.untilState(world, 1, "declined")
    }))

  test("threeds: waits for the customer, and ends as the challenge does", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "threeds")
      yield* World.untilState(world, 1, "requires_action")
      yield* TestClock.adjust("1 minute")
      assert.isTrue(yield* world.sandbox.completeChallenge(World.paymentId(1), "authenticated"))
      yield* World.untilState(world, 1, "authorized")
      yield* TestClock.adjust("5 minutes")
      yield* World.settle
      assert.deepStrictEqual(yield* types(world), ["action_required", "authorized"])
      yield* world.authorize(2, "threeds")
      yield* World.untilState(world, 2, "requires_action")
      assert.isTrue(yield* world.sandbox.completeChallenge(World.paymentId(2), "failed"))
      yield* World.untilState(world, 2, "declined")
      assert.isFalse(yield* world.sandbox.completeChallenge(World.paymentId(2), "authenticated"))
    }))

  test("threeds that nobody finishes expires, at the gateway too", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "threeds")
      yield* World.untilState(world, 1, "requires_action")
      yield* TestClock.adjust("29 minutes")
      yield* World.settle
      assert.strictEqual((yield* world.find(1))?.state, "requires_action")
      yield* World.untilState(world, 1, "expired", "2 minutes")
      yield* World.untilQuiet(world, 1)
      const news = yield* world.news(1)
      assert.deepInclude(news[1]?.data, { code: "action_expired", retryableByCustomer: true })
      assert.isFalse(yield* world.sandbox.completeChallenge(World.paymentId(1), "authenticated"))
      assert.strictEqual(news.length, 2)
    }))

  test("slow_30s: unknown, then what the gateway says when asked", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "slow_30s")
      yield* World.untilState(world, 1, "unknown", "5 seconds")
      yield* World.untilState(world, 1, "authorized", "2 minutes")
      assert.deepStrictEqual(yield* types(world), ["authorized"])
      assert.strictEqual((yield* world.attempts(1)).length, 1)
    }))

  test("timeout_but_charged: unknown, then authorised, charged once", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "timeout_but_charged")
      yield* World.untilState(world, 1, "unknown", "5 seconds")
      yield* World.untilState(world, 1, "authorized")
      assert.deepStrictEqual(yield* types(world), ["authorized"])
      assert.strictEqual(world.sandbox.charges(World.paymentId(1)).length, 1)
      assert.strictEqual((yield* world.attempts(1)).length, 1)
    }))

  test("error_500_then_ok: the same key again", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "error_500_then_ok")
      yield* World.untilState(world, 1, "authorized", "5 seconds")
      assert.deepStrictEqual(yield* types(world), ["authorized"])
      assert.strictEqual((yield* world.attempts(1))[0]?.tries, 1)
    }))

  for (const token of ["webhook_first", "webhook_twice", "webhook_out_of_order"]) {
    test(`${token}: authorised once`, (world) =>
      Effect.gen(function*() {
        yield* world.authorize(1, token)
        yield* World.untilState(world, 1, "authorized")
        yield* TestClock.adjust("1 minute")
        yield* World.settle
        assert.deepStrictEqual(yield* types(world), ["authorized"])
        assert.deepStrictEqual((yield* world.ledger(1)).map(({ kind }) => kind), ["authorize"])
      }))
  }

  test("capture_fails: the authorisation stays, and can be voided", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "capture_fails")
      yield* World.untilState(world, 1, "authorized")
      yield* world.capture(1)
      yield* World.untilQuiet(world, 1)
      assert.deepStrictEqual(yield* types(world), ["authorized", "capture_failed"])
      assert.strictEqual((yield* world.find(1))?.state, "authorized")
      yield* world.void(1)
      yield* World.untilState(world, 1, "voided")
    }))

  test("refund_async: pending, then refunded", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "refund_async")
      yield* World.untilState(world, 1, "authorized")
      yield* world.capture(1)
      yield* World.untilState(world, 1, "captured")
      yield* world.refund(1, 30, "r1")
      yield* World.settle
      assert.strictEqual((yield* world.refunds(1))[0]?.state, "pending")
      yield* World.untilState(world, 1, "partially_refunded")
      yield* TestClock.adjust("1 minute")
      yield* World.settle
      assert.deepStrictEqual(yield* types(world), ["authorized", "captured", "refund_pending", "refunded"])
    }))

  test("dispute_later: disputed, and the bank's decision", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "dispute_later")
      yield* World.untilState(world, 1, "authorized")
      yield* world.capture(1)
      yield* World.untilState(world, 1, "disputed")
      assert.strictEqual((yield* world.find(1))?.chargedBack, 100)
      yield* world.sandbox.closeDispute(World.paymentId(1), "won")
      yield* World.untilState(world, 1, "captured")
      assert.deepStrictEqual(yield* types(world), ["authorized", "captured", "dispute_opened", "dispute_closed"])
      yield* world.authorize(2, "dispute_later")
      yield* World.untilState(world, 2, "authorized")
      yield* world.capture(2)
      yield* World.untilState(world, 2, "disputed")
      yield* world.sandbox.closeDispute(World.paymentId(2), "lost")
      yield* World.untilState(world, 2, "charged_back")
      assert.deepStrictEqual(yield* World.faults(world, 2), [])
    }))

  test("never_answers: unknown for ever, never failed, its key never changed, and others are served", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "never_answers")
      yield* World.untilState(world, 1, "unknown", "5 seconds")
      yield* world.void(1)
      yield* TestClock.adjust("20 minutes")
      yield* World.settle
      const payment = yield* world.find(1)
      assert.strictEqual(payment?.state, "unknown")
      assert.isNotNull(payment?.voidWish)
      const attempts = yield* world.attempts(1)
      assert.deepStrictEqual(attempts.map(({ state, idempotencyKey }) => [state, idempotencyKey]), [
        ["unknown", `pay:${World.paymentId(1)}:authorize:1`]
      ])
      assert.isAbove(attempts[0]?.tries ?? 0, 10)
      assert.deepStrictEqual(yield* types(world), [])
      yield* world.authorize(2, "ok")
      yield* World.untilState(world, 2, "authorized", "1 second")
    }))
})

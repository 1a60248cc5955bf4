// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { AuthorizePayment, CapturePayment } from "@holdfast/contracts/PaymentCommands"
import { Effect, Either, TestClock } from "effect"
import * as Commands from "../src/Commands.ts"
import * as World from "./World.ts"

const types = (world: World.World, n = 1) => Effect.map(world.news(n), (news) => news.map(({ type }) => type))

const test = (name: string, body: (world: World.World) => Effect.Effect<void, unknown>, options: World.Options = {}) =>
  it.scoped(name, () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 0, 1))
      const world = yield* World.open(yield* World.folder, options)
      yield* body(world)
      assert.deepStrictEqual(yield* World.faults(world, 1), [])
    }))

const authorized = (world: World.World, n = 1, token = "ok") =>
  Effect.zipRight(world.authorize(n, token), World.untilState(world, n, "authorized"))

const captured = (world: World.World) =>
  Effect.gen(function*() {
    yield* authorized(world)
    yield* world.capture(1)
    yield* World.untilState(world, 1, "captured")
  })

const refund = (world: World.World, amount: number, refundKey?: string) =>
  world.execute(
    Effect.flatMap(Commands.expect(World.paymentId(1)), (payment) =>
      Commands.refund(payment, {
        amount: World.gbp(amount),
        reason: "test",
        ...(refundKey === undefined ? {} : { refundKey })
      }))
  )

describe("refunds", () => {
  test("two of 60 at once on a capture of 100: one succeeds, one is refused", (world) =>
    Effect.gen(function*() {
      yield* captured(world)
      const results = yield* Effect.all([Effect.either(refund(world, 60)), Effect.either(refund(world, 60))], {
        concurrency: "unbounded"
      })
      const refusals = results.filter(Either.isLeft).map(({ left }) => left)
      assert.deepStrictEqual(refusals.map(({ _tag }) => _tag), ["RefundExceedsCaptured"])
      assert.deepInclude(refusals[0], { refundable: World.gbp(40) })
      yield* World.untilState(world, 1, "partially_refunded")
      assert.strictEqual((yield* world.find(1))?.refunded, 60)
    }))

  test("one refund for a refundKey; another amount under it is refused", (world) =>
    Effect.gen(function*() {
      yield* captured(world)
      const first = yield* refund(world, 30, "r1")
      const again = yield* refund(world, 30, "r1")
      assert.strictEqual(again.refund.id, first.refund.id)
      assert.strictEqual((yield* Effect.flip(refund(world, 31, "r1")))._tag, "RefundKeyReused")
      yield* World.untilState(world, 1, "partially_refunded")
      yield* world.refund(1, 30, "r1")
      assert.deepStrictEqual((yield* types(world)).slice(2), ["refunded", "refunded"])
      assert.strictEqual((yield* world.find(1))?.refunded, 30)
    }))

  test("of all that was captured end the payment", (world) =>
    Effect.gen(function*() {
      yield* captured(world)
      yield* world.refund(1, 40, "a")
      yield* world.refund(1, 60, "b")
      yield* World.untilState(world, 1, "refunded")
      yield* world.refund(1, 1, "c")
      assert.deepStrictEqual((yield* types(world)).slice(2), ["refunded", "refunded", "refund_failed"])
    }))
})

describe("captures", () => {
  test("by parcel; the last one sets the rest free", (world) =>
    Effect.gen(function*() {
      yield* authorized(world)
      yield* world.capture(1, 30)
      yield* World.untilState(world, 1, "partially_captured")
      yield* world.capture(1, 50, true)
      yield* World.untilState(world, 1, "captured_final")
      assert.deepInclude(yield* world.find(1), { captured: 80, voided: 20 })
      const news = yield* world.news(1)
      assert.deepInclude(news[2]?.data, { amount: World.gbp(50), capturedTotal: World.gbp(80), final: true })
    }))

  test("two of 60 at once on 100: one succeeds, one fails, and the sum never exceeds what is authorised", (world) =>
    Effect.gen(function*() {
      yield* authorized(world)
      yield* Effect.all([world.capture(1, 60), world.capture(1, 60)], { concurrency: "unbounded" })
      yield* World.untilQuiet(world, 1)
      assert.deepStrictEqual((yield* types(world)).sort(), ["authorized", "capture_failed", "captured"])
      assert.strictEqual((yield* world.find(1))?.captured, 60)
    }))

  test("before the authorisation is known may be tried again", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "slow_30s")
      yield* world.capture(1)
      const [news] = yield* world.news(1)
      assert.deepInclude(news?.data, { code: "payment_state_conflict", retryable: true })
      yield* World.untilState(world, 1, "authorized")
    }))

  test("in another currency are refused", (world) =>
    Effect.gen(function*() {
      yield* authorized(world)
      yield* world.hear(CapturePayment, {
        paymentId: World.paymentId(1),
        orderId: World.orderId(1),
        amount: { amount: 10, currency: "EUR" }
      })
      assert.deepInclude((yield* world.news(1))[1]?.data, { code: "currency_mismatch" })
    }))
})

describe("voids", () => {
  test("release what is authorised, and answer again when asked again", (world) =>
    Effect.gen(function*() {
      yield* authorized(world)
      yield* world.void(1)
      yield* World.untilState(world, 1, "voided")
      yield* world.void(1)
      const news = yield* world.news(1)
      assert.deepStrictEqual(news.map(({ type }) => type), ["authorized", "voided", "voided"])
      assert.deepInclude(news[1]?.data, { amount: World.gbp(100), reason: "requested" })
      assert.strictEqual(news[1]?.correlationId, "saga")
    }))

  test("asked for twice while under way are one void", (world) =>
    Effect.gen(function*() {
      yield* authorized(world)
      yield* Effect.all([world.void(1), world.void(1)], { concurrency: "unbounded" })
      yield* World.untilState(world, 1, "voided")
      assert.deepStrictEqual((yield* world.attempts(1)).map(({ kind }) => kind).sort(), ["authorize", "void"])
    }))

  test("that come before the authorisation win: the gateway never hears of it", (world) =>
    Effect.gen(function*() {
      yield* world.void(1)
      yield* world.authorize(1, "ok")
      yield* TestClock.adjust("1 minute")
      yield* World.settle
      assert.strictEqual((yield* world.find(1))?.state, "voided")
      assert.deepStrictEqual(yield* types(world), ["voided", "voided"])
      assert.deepStrictEqual(world.sandbox.charges(World.paymentId(1)), [])
    }))

  test("while the outcome is unknown wait for it, then void", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "timeout_but_charged")
      yield* world.void(1)
      yield* World.untilState(world, 1, "voided")
      assert.deepStrictEqual(yield* types(world), ["authorized", "voided"])
      assert.deepInclude(world.sandbox.charges(World.paymentId(1))[0], { authorized: 100, voided: 100 })
    }))

  test("of what is then declined are answered with nothing", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "decline_insufficient")
      yield* world.void(1)
      yield* World.untilState(world, 1, "declined")
      const news = yield* world.news(1)
      assert.deepStrictEqual(news.map(({ type }) => type), ["declined", "voided"])
      assert.deepInclude(news[1]?.data, { amount: World.gbp(0) })
    }))

  test("of a payment that waits for the customer cancel the challenge", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "threeds")
      yield* World.untilState(world, 1, "requires_action")
      yield* world.void(1)
      yield* World.untilState(world, 1, "voided")
      assert.isFalse(yield* world.sandbox.completeChallenge(World.paymentId(1), "authenticated"))
      yield* World.untilQuiet(world, 1)
      assert.deepStrictEqual(yield* types(world), ["action_required", "voided"])
    }))

  test("of captured money fail, and of half-captured money release the rest", (world) =>
    Effect.gen(function*() {
      yield* authorized(world)
      yield* world.capture(1, 60)
      yield* World.untilState(world, 1, "partially_captured")
      yield* world.void(1)
      yield* World.untilState(world, 1, "captured_final")
      yield* world.void(1)
      assert.deepStrictEqual(yield* types(world), ["authorized", "captured", "voided", "void_failed"])
    }))

  test("wait for a capture that is under way", (world) =>
    Effect.gen(function*() {
      yield* authorized(world)
      yield* Effect.all([world.capture(1, 60), world.void(1)], { concurrency: "unbounded" })
      yield* World.untilState(world, 1, "captured_final")
      assert.deepInclude(yield* world.find(1), { captured: 60, voided: 40 })
    }))
})

describe("one payment for an order (P2)", () => {
  test("a second one is refused while the first may become money", (world) =>
    Effect.gen(function*() {
      yield* authorized(world)
      yield* world.authorize(2, "ok", 100, 1)
      const [news] = yield* world.news(2)
      assert.deepInclude(news?.data, { code: "payment_exists", retryableByCustomer: false })
      assert.deepStrictEqual(world.sandbox.charges(World.paymentId(2)), [])
      yield* world.void(1)
      yield* World.untilState(world, 1, "voided")
      yield* world.authorize(3, "ok", 100, 1)
      yield* World.untilState(world, 3, "authorized")
    }))

  test("the same payment again is answered again, and not charged again", (world) =>
    Effect.gen(function*() {
      yield* authorized(world)
      yield* world.authorize(1, "ok")
      assert.deepStrictEqual(yield* types(world), ["authorized", "authorized"])
      assert.strictEqual((yield* world.attempts(1)).length, 1)
    }))
})

describe("the clock", () => {
  it.scoped("warns of an authorisation's end, then ends it, also when nobody was there at the time", () =>
    Effect.gen(function*() {
      const directory = yield* World.folder
      const at = <A, E>(time: number, body: (world: World.World) => Effect.Effect<A, E>) =>
        Effect.zipRight(TestClock.setTime(time), Effect.scoped(Effect.flatMap(World.open(directory), body)))
      yield* at(Date.UTC(2026, 0, 1), (world) => authorized(world))
      yield* at(Date.UTC(2026, 0, 6), (world) =>
        Effect.gen(function*() {
          yield* World.settle
          assert.deepStrictEqual(yield* types(world), ["authorized", "authorization_expiring"])
        }))
      yield* at(Date.UTC(2026, 0, 8), (world) =>
        Effect.gen(function*() {
          yield* World.untilState(world, 1, "auth_expired")
          const news = yield* world.news(1)
          assert.deepInclude(news[2]?.data, { amount: World.gbp(100), reason: "expired" })
          assert.deepStrictEqual((yield* world.ledger(1)).map(({ kind }) => kind), ["authorize", "void"])
        }))
    }))
})

describe("sync", () => {
  test("has the gateway asked now instead of later", (world) =>
    Effect.gen(function*() {
      yield* world.authorize(1, "never_answers")
      yield* TestClock.adjust("10 minutes")
      yield* World.settle
      const before = (yield* world.attempts(1))[0]?.tries ?? 0
      yield* world.execute(Effect.flatMap(Commands.expect(World.paymentId(1)), Commands.sync))
      yield* World.settle
      yield* TestClock.adjust("3 seconds")
      yield* World.settle
      const attempts = yield* world.attempts(1)
      assert.isAtLeast(attempts[0]?.tries ?? 0, before + 1)
      assert.strictEqual(attempts.length, 1)
    }))
})

describe("events", () => {
  test("have an id each, though one result tells several", (world) =>
    Effect.gen(function*() {
      yield* world.hear(AuthorizePayment, {
        paymentId: World.paymentId(1),
        orderId: World.orderId(1),
        amount: World.gbp(100),
        methodToken: "ok",
        captureMode: "automatic"
      })
      yield* World.untilState(world, 1, "captured")
      const messages = yield* world.database.outbox.readAfter(0, ["ecom.payment.events.v1"], 10)
      assert.deepStrictEqual(yield* types(world), ["authorized", "captured"])
      assert.strictEqual(new Set(messages.map(({ envelope }) => envelope.id)).size, 2)
    }))
})

describe("the gateway", () => {
  test("cannot be called inside a transaction", (world) =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(world.execute(world.gateway.retrieve({ idempotencyKey: "x" })))
      assert.include(String(exit), "inside a transaction")
    }))

  test("refuses other parameters under a key it knows", (world) =>
    Effect.gen(function*() {
      yield* authorized(world)
      const [attempt] = yield* world.attempts(1)
      const failure = yield* Effect.flip(world.gateway.authorize({
        idempotencyKey: attempt?.idempotencyKey ?? "",
        paymentId: World.paymentId(1),
        orderId: World.orderId(1),
        amount: 101,
        currency: "GBP",
        methodToken: "ok",
        captureMode: "manual"
      }))
      assert.strictEqual(failure._tag, "GatewayKeyInUse")
    }))
})

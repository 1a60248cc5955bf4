// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import type { OrderId } from "@holdfast/contracts/Id"
import { ExtendReservation, ReserveStock } from "@holdfast/contracts/InventoryCommands"
import { OrderCancelled, OrderConfirmed, OrderHeld, OrderHoldReleased } from "@holdfast/contracts/OrderEvents"
import { AuthorizePayment } from "@holdfast/contracts/PaymentCommands"
import { PaymentVoided } from "@holdfast/contracts/PaymentEvents"
import { Effect } from "effect"
import { imported, layer, placement, Shop } from "./Shop.ts"

const MINUTE = 60_000
const HOUR = 60 * MINUTE

const test = (
  title: string,
  body: (shop: Shop["Type"]) => Effect.Effect<void, unknown, never>,
  stock?: Readonly<Record<string, number>>
) => it.effect(title, () => Effect.provide(Effect.flatMap(Shop, body), layer(stock)))

/** Places an order and carries it as far as it goes. */
const placeWith = (shop: Shop["Type"], paymentMethodToken: string, lines = [{ sku: "A", qty: 2 }]) =>
  Effect.gen(function*() {
    const { id } = yield* shop.call("place", { payload: placement({ lines, paymentMethodToken }) })
    yield* shop.settle
    return id
  })

const sagaOf = (shop: Shop["Type"], id: OrderId) =>
  Effect.map(shop.call("saga", { path: { id } }), ({ items }) => {
    const saga = items[0]
    return saga === undefined ? undefined : [saga.state, saga.step]
  })

interface End {
  readonly state: string
  readonly reason: string | undefined
  readonly stock: number
  readonly payments: number
  readonly holds: ReadonlyArray<string>
}

/** How an order has ended, and what is held for it. */
const end = (shop: Shop["Type"], id: OrderId) =>
  Effect.map(shop.order(id), (order): End => ({
    state: order.state,
    reason: order.cancelReason,
    stock: shop.inventory.heldFor(id),
    payments: shop.payments.authorized(id).length,
    holds: order.holds.filter((hold) => hold.releasedAt === undefined).map((hold) => hold.reason)
  }))

const confirmed: End = { state: "confirmed", reason: undefined, stock: 2, payments: 1, holds: [] }
const cancelled = (reason: string): End => ({ state: "cancelled", reason, stock: 0, payments: 0, holds: [] })

describe("payment in checkout", () => {
  test("a decline that the customer cannot mend cancels the order", (shop) =>
    Effect.gen(function*() {
      const id = yield* placeWith(shop, "stolen")
      assert.deepStrictEqual(yield* end(shop, id), cancelled("payment_declined"))
    }))

  test("a decline holds the order until the customer pays with another means, under another payment", (shop) =>
    Effect.gen(function*() {
      const id = yield* placeWith(shop, "decline")
      assert.deepInclude(yield* end(shop, id), { state: "placed", stock: 2, holds: ["awaiting_payment"] })
      const first = (yield* shop.order(id)).paymentId
      yield* shop.call("pay", { path: { id }, payload: { paymentMethodToken: "decline" } })
      yield* shop.settle
      assert.deepInclude(yield* end(shop, id), { state: "placed", holds: ["awaiting_payment"] })
      const answer = yield* shop.call("pay", { path: { id }, payload: { paymentMethodToken: "ok" } })
      assert.notStrictEqual(answer.paymentId, first)
      const twice = yield* Effect.flip(shop.call("pay", { path: { id }, payload: { paymentMethodToken: "ok" } }))
      assert.strictEqual(twice._tag, "OrderNotPayable")
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, id), confirmed)
      assert.strictEqual((yield* shop.order(id)).paymentStatus, "authorized")
      assert.strictEqual(shop.payments.payments.size, 3)
      const late = yield* Effect.flip(shop.call("pay", { path: { id }, payload: { paymentMethodToken: "ok" } }))
      assert.strictEqual(late._tag, "OrderNotPayable")
      assert.strictEqual((yield* shop.said(OrderHeld)).length, 2)
      assert.strictEqual((yield* shop.said(OrderHoldReleased)).length, 2)
    }))

  test("unpaid when it expires, the order is cancelled; no payment is taken after that", (shop) =>
    Effect.gen(function*() {
      const id = yield* placeWith(shop, "decline")
      yield* shop.wait(29 * MINUTE)
      assert.deepInclude(yield* end(shop, id), { state: "placed" })
      yield* shop.wait(2 * MINUTE)
      assert.deepStrictEqual(yield* end(shop, id), cancelled("payment_expired"))
      const late = yield* Effect.flip(shop.call("pay", { path: { id }, payload: { paymentMethodToken: "ok" } }))
      assert.strictEqual(late._tag, "OrderNotPayable")
    }))

  test("3-D Secure: the reservation is extended while the customer acts, then the order is confirmed", (shop) =>
    Effect.gen(function*() {
      const id = yield* placeWith(shop, "threeds")
      assert.deepStrictEqual(yield* sagaOf(shop, id), ["running", "authenticate"])
      assert.strictEqual((yield* shop.said(ExtendReservation)).length, 1)
      yield* shop.wait(10 * MINUTE)
      for (const payment of shop.payments.payments.keys()) yield* shop.hear(...shop.payments.settle(payment))
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, id), confirmed)
    }))

  test("3-D Secure never finished: voided and cancelled within 35 minutes", (shop) =>
    Effect.gen(function*() {
      const id = yield* placeWith(shop, "threeds")
      yield* shop.wait(30 * MINUTE)
      yield* shop.wait(5 * MINUTE)
      // The payment agent voids once it knows; here it never gets to know.
      assert.deepStrictEqual(yield* sagaOf(shop, id), ["compensating", "undo.authorise"])
      for (let i = 0; i < 3; i++) yield* shop.wait(MINUTE)
      assert.deepStrictEqual(yield* sagaOf(shop, id), ["needs_operator", "undo.authorise"])
      for (const payment of shop.payments.payments.keys()) yield* shop.hear(...shop.payments.settle(payment))
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, id), cancelled("payment_expired"))
    }))

  test("a slow gateway is waited for", (shop) =>
    Effect.gen(function*() {
      const id = yield* placeWith(shop, "slow")
      yield* shop.wait(30_000)
      for (const payment of shop.payments.payments.keys()) yield* shop.hear(...shop.payments.settle(payment))
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, id), confirmed)
      assert.strictEqual((yield* shop.said(AuthorizePayment)).length, 1)
    }))

  test("a payment that never answers ends needs_operator; the answer that comes after all is voided", (shop) =>
    Effect.gen(function*() {
      const id = yield* placeWith(shop, "slow")
      for (let i = 0; i < 6; i++) yield* shop.wait(MINUTE)
      assert.deepStrictEqual(yield* sagaOf(shop, id), ["needs_operator", "undo.authorise"])
      assert.deepInclude(yield* end(shop, id), { state: "placed", payments: 0 })
      for (const payment of shop.payments.payments.keys()) yield* shop.hear(...shop.payments.settle(payment))
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, id), cancelled("payment_failed"))
      assert.strictEqual((yield* shop.order(id)).paymentStatus, "voided")
    }))

  test("the answer was lost: asked for it, the payment agent tells", (shop) =>
    Effect.gen(function*() {
      const id = yield* placeWith(shop, "slow")
      // Settled, but nobody hears of it.
      for (const payment of shop.payments.payments.keys()) shop.payments.settle(payment)
      yield* shop.wait(MINUTE)
      yield* shop.wait(MINUTE)
      assert.deepStrictEqual(yield* end(shop, id), confirmed)
    }))

  test("an authorisation that is given back while the order waits cancels it", (shop) =>
    Effect.gen(function*() {
      shop.judge({ post_auth: "review" })
      const id = yield* placeWith(shop, "ok")
      const { paymentId } = yield* shop.order(id)
      const payment = shop.payments.payments.get(paymentId ?? "")
      if (payment === undefined || paymentId === undefined) return assert.fail("no payment")
      payment.state = "voided"
      yield* shop.hear({
        message: PaymentVoided,
        payload: { paymentId, orderId: id, amount: payment.amount, reason: "expired" }
      })
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, id), cancelled("payment_failed"))
    }))
})

describe("fraud in checkout", () => {
  test("declined: cancelled before anything is authorised", (shop) =>
    Effect.gen(function*() {
      shop.judge({ pre_auth: "decline" })
      const id = yield* placeWith(shop, "ok")
      assert.deepStrictEqual(yield* end(shop, id), cancelled("fraud_decline"))
      assert.strictEqual(shop.payments.payments.size, 0)
    }))

  test("declined after the authorisation: the money is given back", (shop) =>
    Effect.gen(function*() {
      shop.judge({ post_auth: "decline" })
      const id = yield* placeWith(shop, "ok")
      assert.deepStrictEqual(yield* end(shop, id), cancelled("fraud_decline"))
      assert.strictEqual((yield* shop.order(id)).paymentStatus, "voided")
    }))

  for (const stage of ["pre_auth", "post_auth"] as const) {
    test(`review ${stage}: authorised and held until a person decides; approved, it is confirmed`, (shop) =>
      Effect.gen(function*() {
        shop.judge({ [stage]: "review" })
        const id = yield* placeWith(shop, "ok")
        assert.deepStrictEqual(yield* end(shop, id), { ...confirmed, state: "placed", holds: ["fraud_review"] })
        yield* shop.wait(10 * HOUR)
        assert.deepInclude(yield* end(shop, id), { state: "placed" })
        yield* shop.hear(...shop.fraud.decide(id, "approve"))
        yield* shop.settle
        assert.deepStrictEqual(yield* end(shop, id), confirmed)
      }))
  }

  test("review declined: money and stock are free again", (shop) =>
    Effect.gen(function*() {
      shop.judge({ pre_auth: "review" })
      const id = yield* placeWith(shop, "ok")
      yield* shop.hear(...shop.fraud.decide(id, "decline"))
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, id), cancelled("fraud_decline"))
    }))

  test("block before the authorisation: nothing is authorised until a person approves", (shop) =>
    Effect.gen(function*() {
      shop.judge({ pre_auth: "block_and_review" })
      const id = yield* placeWith(shop, "ok")
      assert.strictEqual(shop.payments.payments.size, 0)
      assert.deepInclude(yield* end(shop, id), { state: "placed", stock: 2, holds: ["fraud_review"] })
      yield* shop.hear(...shop.fraud.decide(id, "approve"))
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, id), confirmed)
    }))

  test("block after the authorisation: voided at once, authorised anew once approved, and not asked again", (shop) =>
    Effect.gen(function*() {
      shop.judge({ post_auth: "block_and_review" })
      const id = yield* placeWith(shop, "ok")
      assert.deepInclude(yield* end(shop, id), { state: "placed", payments: 0, holds: ["fraud_review"] })
      assert.strictEqual((yield* shop.order(id)).paymentStatus, "voided")
      yield* shop.hear(...shop.fraud.decide(id, "approve"))
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, id), confirmed)
      assert.strictEqual(shop.payments.payments.size, 2)
    }))

  test("no answer: a small order goes on, and a decline that comes in time still counts", (shop) =>
    Effect.gen(function*() {
      shop.mute("fraud")
      const id = yield* placeWith(shop, "decline")
      yield* shop.wait(20_000)
      assert.deepInclude(yield* end(shop, id), { state: "placed", holds: ["awaiting_payment"] })
      shop.judge({ pre_auth: "decline" })
      yield* shop.unmute("fraud")
      assert.deepStrictEqual(yield* end(shop, id), cancelled("fraud_decline"))
    }))

  test("no answer: a large order is held as in review, and fraud's late approval sets it free", (shop) =>
    Effect.gen(function*() {
      shop.mute("fraud")
      const id = yield* placeWith(shop, "ok", [{ sku: "B", qty: 2 }, { sku: "A", qty: 40 }])
      yield* shop.wait(20_000)
      yield* shop.wait(20_000)
      assert.deepInclude(yield* end(shop, id), { state: "placed", payments: 1, holds: ["fraud_review"] })
      assert.deepStrictEqual(yield* sagaOf(shop, id), ["running", "review"])
      yield* shop.unmute("fraud")
      assert.deepInclude(yield* end(shop, id), { state: "confirmed", holds: [] })
    }))

  test("a review that nobody ends waits for an operator in the end", (shop) =>
    Effect.gen(function*() {
      shop.judge({ pre_auth: "review" })
      const id = yield* placeWith(shop, "ok")
      yield* shop.wait(50 * HOUR)
      assert.deepStrictEqual(yield* sagaOf(shop, id), ["needs_operator", "review"])
      yield* shop.hear(...shop.fraud.decide(id, "approve"))
      yield* shop.settle
      assert.deepInclude(yield* end(shop, id), { state: "confirmed" })
    }))
})

describe("stock in checkout", () => {
  test("no answer: cancelled stock_unknown, and the reserve that comes late holds nothing", (shop) =>
    Effect.gen(function*() {
      shop.mute("inventory")
      const id = yield* placeWith(shop, "ok")
      for (let i = 0; i < 4; i++) yield* shop.wait(20_000)
      yield* shop.unmute("inventory")
      assert.deepStrictEqual(yield* end(shop, id), cancelled("stock_unknown"))
      assert.strictEqual(shop.payments.payments.size, 0)
    }))

  test("a reservation that expired in review is made anew; when it cannot be, money is given back", (shop) =>
    Effect.gen(function*() {
      shop.judge({ pre_auth: "review" })
      const lucky = yield* placeWith(shop, "ok")
      const unlucky = yield* placeWith(shop, "ok")
      for (const reservation of shop.inventory.reservations.keys()) {
        yield* shop.hear(...shop.inventory.expire(reservation))
      }
      shop.inventory.available.set("A", 3)
      yield* shop.hear(...shop.fraud.decide(lucky, "approve"))
      yield* shop.settle
      yield* shop.hear(...shop.fraud.decide(unlucky, "approve"))
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, lucky), confirmed)
      assert.deepStrictEqual(yield* end(shop, unlucky), cancelled("out_of_stock"))
      const [{ reservationId } = { reservationId: "" }] = yield* shop.said(OrderConfirmed)
      assert.strictEqual(shop.inventory.reservations.get(reservationId)?.state, "committed")
    }))

  test("a checkout that reserved twice and turns back releases the second reservation, which it holds", (shop) =>
    Effect.gen(function*() {
      shop.judge({ pre_auth: "review" })
      const id = yield* placeWith(shop, "ok")
      for (const reservation of shop.inventory.reservations.keys()) {
        yield* shop.hear(...shop.inventory.expire(reservation))
      }
      // The second reserve is made and then nothing more is heard of inventory, until the customer leaves.
      yield* shop.hear(...shop.fraud.decide(id, "approve"))
      shop.mute("fraud")
      const second = shop.inventory
      const commit = second.handle.bind(second)
      second.handle = (command) =>
        command.message.name === "inventory.commit" && second.reservations.size > 1 ? [] : commit(command)
      yield* shop.settle
      assert.strictEqual(shop.inventory.heldFor(id, "held"), 2)
      yield* shop.call("cancel", { path: { id }, payload: { reason: "customer" } })
      yield* shop.settle
      assert.deepStrictEqual(yield* end(shop, id), cancelled("customer"))
    }))

  test("40 orders at once for 10 units: 10 confirmed, 30 cancelled out_of_stock", (shop) =>
    Effect.gen(function*() {
      const orders = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, i) => i),
        () => shop.call("place", { payload: placement({ lines: [{ sku: "A", qty: 1 }] }) }),
        { concurrency: "unbounded" }
      )
      yield* shop.settle
      const ends = yield* Effect.forEach(orders, ({ id }) => shop.order(id))
      assert.strictEqual(ends.filter((order) => order.state === "confirmed").length, 10)
      assert.strictEqual(ends.filter((order) => order.cancelReason === "out_of_stock").length, 30)
      const numbers = ends.flatMap((order) => order.number ?? []).sort()
      assert.deepStrictEqual(numbers, Array.from({ length: 10 }, (_, i) => String(100_001 + i)))
      assert.strictEqual((yield* shop.said(OrderConfirmed)).length, 10)
      assert.strictEqual((yield* shop.said(OrderCancelled)).length, 30)
    }), { A: 10 })
})

describe("an agent that was away", () => {
  test("hears what came in before it calls a deadline missed", (shop) =>
    Effect.gen(function*() {
      shop.mute("inventory")
      const { id } = yield* shop.call("import", { payload: imported() })
      yield* shop.settle
      yield* shop.sleep(HOUR)
      yield* shop.look
      assert.strictEqual((yield* shop.said(ReserveStock)).length, 1)
      yield* shop.unmute("inventory")
      assert.strictEqual((yield* shop.order(id)).state, "confirmed")
    }))

  test("asks again when nothing came in", (shop) =>
    Effect.gen(function*() {
      shop.mute("inventory")
      yield* shop.call("import", { payload: imported() })
      yield* shop.settle
      yield* shop.sleep(HOUR)
      yield* shop.wait(0)
      assert.strictEqual((yield* shop.said(ReserveStock)).length, 2)
    }))
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import type { OrderId } from "@holdfast/contracts/Id"
import { ReleaseReservation } from "@holdfast/contracts/InventoryCommands"
import { ReservationCommandRefused } from "@holdfast/contracts/InventoryEvents"
import { CancelRequested, OrderCancelled } from "@holdfast/contracts/OrderEvents"
import { RefundPayment, VoidPayment } from "@holdfast/contracts/PaymentCommands"
import { Effect } from "effect"
import { expireStuck } from "../src/Jobs.ts"
import { imported, layer, placement, Shop } from "./Shop.ts"

const MINUTE = 60_000

const test = (
  title: string,
  body: (shop: Shop["Type"]) => Effect.Effect<void, unknown, never>,
  stock?: Readonly<Record<string, number>>
) => it.effect(title, () => Effect.provide(Effect.flatMap(Shop, body), layer(stock)))

const cancel = (
  shop: Shop["Type"],
  id: OrderId,
  lines?: ReadonlyArray<{ readonly lineId: never; readonly qty: number }>
) => shop.call("cancel", { path: { id }, payload: { reason: "customer", ...(lines === undefined ? {} : { lines }) } })

/** A confirmed order of 2 × 10.00 and 1 × 25.00 and 4.95 shipping. */
const confirmed = (shop: Shop["Type"], token = "ok") =>
  Effect.gen(function*() {
    const { id } = yield* shop.call("place", { payload: placement({ paymentMethodToken: token }) })
    yield* shop.settle
    return yield* shop.order(id)
  })

const captureAll = (shop: Shop["Type"], id: OrderId) =>
  Effect.gen(function*() {
    const { paymentId = "", totals } = yield* shop.order(id)
    yield* shop.hear(...shop.payments.capture(paymentId, totals.grand))
  })

describe("cancelling before the order is confirmed", () => {
  for (const silent of ["inventory", "fraud", "payment"] as const) {
    test(`while ${silent} has not answered: all is undone, whatever comes late, and asked twice it is done once`, (shop) =>
      Effect.gen(function*() {
        shop.mute(silent)
        const { id } = yield* shop.call("place", { payload: placement() })
        yield* shop.settle
        assert.strictEqual((yield* cancel(shop, id)).state, "placed")
        yield* cancel(shop, id)
        yield* shop.settle
        yield* shop.unmute(silent)
        const order = yield* shop.order(id)
        assert.deepStrictEqual([order.state, order.cancelReason], ["cancelled", "customer"])
        assert.strictEqual(shop.inventory.heldFor(id), 0)
        assert.strictEqual(shop.payments.authorized(id).length, 0)
        assert.strictEqual((yield* shop.said(CancelRequested)).length, 1)
        assert.strictEqual((yield* shop.said(OrderCancelled)).length, 1)
        assert.deepStrictEqual(order.lines.map(({ qty, qtyCancelled }) => qty - qtyCancelled), [0, 0])
      }))
  }

  test("some units only are cancelled once the order is confirmed", (shop) =>
    Effect.gen(function*() {
      shop.mute("fraud")
      const { id, lines } = yield* shop.call("place", { payload: placement() })
      const part = lines.map((line) => ({ lineId: line.id as never, qty: 1 }))
      assert.deepInclude(yield* Effect.flip(cancel(shop, id, part)), { _tag: "OrderStateConflict", state: "placed" })
    }))
})

describe("cancelling a confirmed order", () => {
  test("nothing captured: stock free, money voided, then cancelled", (shop) =>
    Effect.gen(function*() {
      const { id } = yield* confirmed(shop)
      assert.strictEqual((yield* cancel(shop, id)).state, "cancelling")
      assert.deepInclude(yield* Effect.flip(cancel(shop, id)), { _tag: "OrderStateConflict", state: "cancelling" })
      yield* shop.settle
      const order = yield* shop.order(id)
      assert.deepStrictEqual([order.state, order.cancelReason, order.paymentStatus], [
        "cancelled",
        "customer",
        "voided"
      ])
      assert.strictEqual(shop.inventory.heldFor(id), 0)
      assert.strictEqual(shop.payments.authorized(id).length, 0)
      assert.strictEqual((yield* shop.said(VoidPayment)).length, 1)
      const [event] = yield* shop.said(OrderCancelled)
      assert.deepInclude(event, { orderId: id, full: true, refundDue: { amount: 0, currency: "GBP" } })
      const { items } = yield* shop.call("timeline", { path: { id }, urlParams: { limit: 200 } })
      assert.deepStrictEqual(items.slice(-3).map(({ kind }) => kind), [
        "cancel_requested",
        "payment_voided",
        "cancelled"
      ])
      assert.deepInclude(yield* Effect.flip(cancel(shop, id)), { _tag: "OrderStateConflict", state: "cancelled" })
    }))

  test("captured: the whole is refunded, once", (shop) =>
    Effect.gen(function*() {
      const { id, totals } = yield* confirmed(shop)
      yield* captureAll(shop, id)
      assert.strictEqual((yield* shop.order(id)).paymentStatus, "paid")
      yield* cancel(shop, id)
      yield* shop.settle
      const order = yield* shop.order(id)
      assert.deepStrictEqual([order.state, order.paymentStatus], ["cancelled", "refunded"])
      assert.deepStrictEqual((yield* shop.said(RefundPayment)).map(({ amount }) => amount.amount), [totals.grand])
      assert.strictEqual((yield* shop.said(VoidPayment)).length, 0)
    }))

  test("in parts: nothing moves while nothing is captured; what is left is confirmed, then ends cancelled", (shop) =>
    Effect.gen(function*() {
      const { id, lines } = yield* confirmed(shop)
      const [a, b] = lines
      if (a === undefined || b === undefined) return assert.fail("two lines")
      yield* cancel(shop, id, [{ lineId: a.id as never, qty: 1 }])
      yield* shop.settle
      const order = yield* shop.order(id)
      assert.strictEqual(order.state, "confirmed")
      assert.deepStrictEqual(order.lines.map(({ qtyCancelled, qtyReserved }) => [qtyCancelled, qtyReserved]), [
        [1, 1],
        [0, 1]
      ])
      assert.strictEqual(shop.inventory.heldFor(id, "committed"), 2)
      assert.strictEqual(shop.payments.authorized(id).length, 1)
      assert.deepInclude(
        yield* Effect.flip(cancel(shop, id, [{ lineId: a.id as never, qty: 2 }])),
        { _tag: "CancelQuantityExceeded", requested: 2, cancellable: 1 }
      )
      yield* cancel(shop, id, [{ lineId: a.id as never, qty: 1 }, { lineId: b.id as never, qty: 1 }])
      yield* shop.settle
      assert.deepInclude(yield* shop.order(id), { state: "cancelled", paymentStatus: "voided" })
      assert.strictEqual(shop.inventory.heldFor(id), 0)
      assert.deepStrictEqual((yield* shop.said(OrderCancelled)).map(({ full }) => full), [false, true])
    }))

  test("in parts after the capture: each part is refunded at its price, the last one with the shipping", (shop) =>
    Effect.gen(function*() {
      const { id, lines } = yield* confirmed(shop)
      yield* captureAll(shop, id)
      const [a, b] = lines
      if (a === undefined || b === undefined) return assert.fail("two lines")
      yield* cancel(shop, id, [{ lineId: b.id as never, qty: 1 }])
      yield* shop.settle
      assert.deepInclude(yield* shop.order(id), { state: "confirmed", paymentStatus: "partially_refunded" })
      yield* cancel(shop, id, [{ lineId: a.id as never, qty: 1 }])
      yield* shop.settle
      yield* cancel(shop, id)
      yield* shop.settle
      assert.deepInclude(yield* shop.order(id), { state: "cancelled", paymentStatus: "refunded" })
      assert.deepStrictEqual((yield* shop.said(RefundPayment)).map(({ amount }) => amount.amount), [
        2_500,
        1_000,
        1_495
      ])
    }))

  test("a refund that fails waits for an operator; the order stays cancelling", (shop) =>
    Effect.gen(function*() {
      const { id } = yield* confirmed(shop, "no_refund")
      yield* captureAll(shop, id)
      yield* cancel(shop, id)
      yield* shop.settle
      assert.strictEqual((yield* shop.order(id)).state, "cancelling")
      const { items } = yield* shop.call("saga", { path: { id } })
      assert.deepInclude(items.at(-1), { type: "cancellation", state: "needs_operator", step: "refund" })
    }))

  test("stock that does not answer is asked for ever, and no money moves before it is free", (shop) =>
    Effect.gen(function*() {
      const { id } = yield* confirmed(shop)
      shop.mute("inventory")
      yield* cancel(shop, id)
      yield* shop.settle
      for (let i = 0; i < 6; i++) yield* shop.wait(MINUTE)
      assert.strictEqual((yield* shop.order(id)).state, "cancelling")
      assert.strictEqual((yield* shop.said(VoidPayment)).length, 0)
      assert.isAbove((yield* shop.said(ReleaseReservation)).length, 3)
      yield* shop.unmute("inventory")
      assert.strictEqual((yield* shop.order(id)).state, "cancelled")
    }))

  test("goods on their way: the cancellation is refused and the order goes on", (shop) =>
    Effect.gen(function*() {
      const { id, reservationId } = yield* confirmed(shop)
      if (reservationId === undefined) return assert.fail("no reservation")
      shop.mute("inventory")
      yield* cancel(shop, id)
      yield* shop.settle
      yield* shop.hear({
        message: ReservationCommandRefused,
        payload: { reservationId, orderId: id, command: "release", code: "consumed", detail: "shipped" }
      })
      yield* shop.settle
      assert.deepInclude(yield* shop.order(id), { state: "confirmed", paymentStatus: "authorized" })
      assert.strictEqual((yield* shop.said(VoidPayment)).length, 0)
    }))

  test("paid to the channel: stock is freed, money is the channel's", (shop) =>
    Effect.gen(function*() {
      const { paymentMethodToken: _, ...rest } = imported()
      const { id } = yield* shop.call("import", { payload: { ...rest, paidByChannel: true } })
      yield* shop.settle
      yield* cancel(shop, id)
      yield* shop.settle
      assert.strictEqual((yield* shop.order(id)).state, "cancelled")
      const [event] = yield* shop.said(OrderCancelled)
      assert.deepStrictEqual(event?.refundDue, { amount: 2_208, currency: "GBP" })
    }))
})

describe("holds", () => {
  test("are placed once, released once, and those of a process only by it", (shop) =>
    Effect.gen(function*() {
      shop.judge({ pre_auth: "review" })
      const { id } = yield* shop.call("place", { payload: placement() })
      yield* shop.settle
      const hold = shop.call("hold", { path: { id }, payload: { reason: "manual", note: "look at it" } })
      yield* hold
      assert.deepStrictEqual((yield* hold).holds.map(({ note, reason }) => [reason, note ?? null]), [
        ["fraud_review", null],
        ["manual", "look at it"]
      ])
      const release = (reason: "manual" | "fraud_review" | "quality_hold") =>
        shop.call("releaseHold", { path: { id, reason } })
      const released = yield* release("manual")
      assert.isDefined(released.holds.find((one) => one.reason === "manual")?.releasedAt)
      assert.deepInclude(yield* Effect.flip(release("manual")), { _tag: "HoldNotFound" })
      assert.deepInclude(yield* Effect.flip(release("quality_hold")), { _tag: "HoldNotFound" })
      assert.deepInclude(yield* Effect.flip(release("fraud_review")), { _tag: "HoldNotReleasable" })
      yield* hold
      yield* cancel(shop, id)
      yield* shop.settle
      const order = yield* shop.order(id)
      assert.isTrue(order.holds.every((one) => one.releasedAt !== undefined))
      assert.deepInclude(yield* Effect.flip(hold), { _tag: "OrderStateConflict" })
    }))
})

describe("orders that are stuck (O8)", () => {
  test("placed for 35 minutes without a hold, an order is turned back; a held one is not", (shop) =>
    Effect.gen(function*() {
      shop.mute("fraud")
      const [stuck, held] = [
        yield* shop.call("place", { payload: placement() }),
        yield* shop.call("place", { payload: placement() })
      ]
      yield* shop.settle
      yield* shop.call("hold", { path: { id: held.id }, payload: { reason: "manual" } })
      const sweep = shop.run(expireStuck)
      yield* sweep
      yield* shop.settle
      assert.strictEqual((yield* shop.order(stuck.id)).state, "placed")
      yield* shop.sleep(36 * MINUTE)
      yield* sweep
      yield* shop.settle
      assert.deepInclude(yield* shop.order(stuck.id), { state: "cancelled", cancelReason: "payment_expired" })
      assert.strictEqual((yield* shop.order(held.id)).state, "placed")
      assert.strictEqual(shop.inventory.heldFor(stuck.id), 0)
    }))
})

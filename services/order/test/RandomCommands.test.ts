// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import type { OrderId } from "@holdfast/contracts/Id"
import { Changes, Sagas } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import { Effect } from "effect"
import * as LineQuantities from "../src/Domain/LineQuantities.ts"
import { transitions } from "../src/Domain/OrderState.ts"
import { Lines, Orders } from "../src/Tables.ts"
import { imported, layer, placement, Shop } from "./Shop.ts"

const legal = new Set(
  Object.entries(transitions).flatMap(([from, ways]) => Object.values(ways).map((to) => `${from} ${to}`))
)

const generator = (seed: number) => {
  let state = seed * 2_654_435_761 >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const MINUTE = 60_000

/** Commands of clients, staff, customers and clocks in any order; refusals are as good as answers. */
const play = (shop: Shop["Type"], seed: number) =>
  Effect.gen(function*() {
    const random = generator(seed)
    const pick = <A>(of: ReadonlyArray<A>): A | undefined => of[Math.floor(random() * of.length)]
    const ids: Array<OrderId> = []
    const token = () => pick(["ok", "ok", "ok", "decline", "stolen", "threeds", "slow", "no_refund"]) ?? "ok"
    const place = Effect.gen(function*() {
      shop.judge({
        pre_auth: pick(["approve", "approve", "approve", "review", "block_and_review", "decline"]) ?? "approve",
        post_auth: pick(["approve", "approve", "approve", "review", "block_and_review", "decline"]) ?? "approve"
      })
      const lines = [{ sku: "A", qty: 1 + Math.floor(random() * 4) }, { sku: "B", qty: 1 }]
      const order = random() < 0.5
        ? yield* shop.call("place", { payload: placement({ lines, paymentMethodToken: token() }) })
        : yield* shop.call("import", {
          payload: imported({
            externalRef: String(Math.floor(random() * 1e9)),
            lines: lines.map((line) => ({ ...line, unitPrice: 99, discount: 7 })),
            paymentMethodToken: token()
          })
        })
      ids.push(order.id)
    })
    const about = (id: OrderId) =>
      pick<Effect.Effect<unknown, unknown>>([
        shop.call("cancel", {
          path: { id },
          payload: { reason: pick(["customer", "staff", "channel"] as const) ?? "staff" }
        }),
        Effect.flatMap(shop.order(id), (order) => {
          const line = pick(order.lines)
          const lines = line === undefined ? [] : [{ lineId: line.id, qty: 1 + Math.floor(random() * line.qty) }]
          return shop.call("cancel", { path: { id }, payload: { reason: "customer", lines } })
        }),
        shop.call("pay", { path: { id }, payload: { paymentMethodToken: token() } }),
        shop.call("hold", { path: { id }, payload: { reason: "manual" } }),
        shop.call("releaseHold", { path: { id, reason: pick(["manual", "fraud_review"] as const) ?? "manual" } }),
        Effect.suspend(() => shop.hear(...shop.fraud.decide(id, random() < 0.7 ? "approve" : "decline"))),
        Effect.flatMap(
          shop.order(id),
          ({ paymentId = "", state, totals }) =>
            state === "confirmed" ? shop.hear(...shop.payments.capture(paymentId, totals.grand)) : Effect.void
        )
      ]) ?? Effect.void
    const outside = () =>
      pick<Effect.Effect<unknown, unknown>>([
        Effect.suspend(() =>
          Effect.forEach([...shop.payments.payments.keys()], (id) => shop.hear(...shop.payments.settle(id)))
        ),
        Effect.suspend(() =>
          Effect.forEach([...shop.inventory.reservations.keys()], (id) => shop.hear(...shop.inventory.expire(id)))
        ),
        shop.wait(random() * 10 * MINUTE),
        Effect.sync(() => shop.mute(pick(["inventory", "payment", "fraud"]) ?? "fraud")),
        Effect.forEach(["inventory", "payment", "fraud"], shop.unmute),
        shop.settle,
        shop.settle
      ]) ?? Effect.void
    for (let step = 0; step < 40; step++) {
      const id = pick(ids)
      const next = id === undefined || random() < 0.15 ? place : random() < 0.6 ? about(id) : outside()
      // Refused or done: both are answers, and nothing may be stored by the first.
      yield* Effect.either(next)
      if (random() < 0.5) yield* shop.settle
    }
    yield* Effect.forEach(["inventory", "payment", "fraud"], shop.unmute)
    for (let i = 0; i < 8; i++) {
      yield* Effect.forEach([...shop.payments.payments.keys()], (id) => shop.hear(...shop.payments.settle(id)))
      for (const id of ids) yield* shop.hear(...shop.fraud.decide(id, "approve"))
      yield* shop.wait(10 * MINUTE)
    }
    return ids
  })

const check = (shop: Shop["Type"], ids: ReadonlyArray<OrderId>) =>
  Effect.gen(function*() {
    const read = shop.database.read
    const changes = yield* read(Transaction.select(Changes, { orderBy: [["n", "asc"]] }))
    for (const { after, before, tableName } of changes) {
      if (tableName === Orders.name) {
        const [from, to] = [before, after] as ReadonlyArray<typeof Orders.columns & { readonly state: string } | null>
        if (from === null) assert.strictEqual(to?.state, "placed")
        else if (from?.state !== to?.state) {
          assert.isTrue(legal.has(`${from?.state} ${to?.state}`), `${from?.state} ${to?.state}`)
        }
      }
      if (tableName === Lines.name) {
        assert.isTrue(LineQuantities.holds(after as LineQuantities.LineQuantities), JSON.stringify(after))
      }
    }
    const sagas = yield* read(Transaction.select(Sagas, {}))
    for (const saga of sagas) {
      assert.include(["done", "compensated", "needs_operator"], saga.state, `${saga.type} ${saga.key} ${saga.step}`)
    }
    const numbers: Array<string> = []
    for (const id of ids) {
      const order = yield* shop.order(id)
      if (order.number !== undefined) {
        numbers.push(order.number)
      }
      const parked = sagas.some((saga) => saga.key === id && saga.state === "needs_operator")
      const held = shop.inventory.heldFor(id)
      const money = [...shop.payments.payments.values()].filter((payment) => payment.orderId === id)
      const authorized = money.filter((payment) => payment.state === "authorized")
      const kept = money.reduce((sum, payment) => sum + payment.captured - payment.refunded, 0)
      const open = order.lines.reduce((sum, line) => sum + line.qty - line.qtyCancelled, 0)
      const { discount, fees, grand, items, shipping } = order.totals
      assert.isTrue(order.taxInclusive)
      assert.strictEqual(grand, items - discount + shipping + fees)
      if (parked) continue
      const why = JSON.stringify({ order, sagas: sagas.filter((saga) => saga.key === id) })
      if (order.state === "cancelled") {
        assert.strictEqual(held, 0, why)
        assert.strictEqual(authorized.length, 0, why)
        assert.strictEqual(kept, 0, why)
        assert.strictEqual(open, 0, why)
        assert.isDefined(order.cancelReason)
      } else {
        assert.strictEqual(order.state, "confirmed", why)
        assert.strictEqual(held, open, why)
        assert.isAbove(open, 0, why)
        assert.strictEqual(authorized.length + (kept > 0 ? 1 : 0), 1, why)
      }
    }
    assert.deepStrictEqual(
      numbers.sort(),
      numbers.map((_, i) => String(100_001 + i)),
      "numbers have no gaps"
    )
    return { orders: ids.length, confirmed: numbers.length, sagas }
  })

describe("any sequence of commands", () => {
  it.effect(
    "over the real store: only legal steps, O2 and O3 always, every order ends, with exactly its stock and money",
    () =>
      Effect.gen(function*() {
        const ends: Record<string, number> = {}
        for (let seed = 1; seed <= Number(process.env["COMMAND_SEEDS"] ?? 6); seed++) {
          yield* Effect.provide(
            Effect.gen(function*() {
              const shop = yield* Shop
              const ids = yield* play(shop, seed)
              const { sagas } = yield* Effect.catchAllDefect(
                check(shop, ids),
                (defect) => Effect.die(new Error(`seed ${seed}: ${String(defect)}`))
              )
              for (const { state, type } of sagas) ends[`${type} ${state}`] = (ends[`${type} ${state}`] ?? 0) + 1
            }),
            layer({ A: 30, B: 30 })
          )
        }
        for (const end of ["checkout done", "checkout compensated", "cancellation done"]) {
          assert.isAbove(ends[end] ?? 0, 0, end)
        }
      }),
    120_000
  )
})

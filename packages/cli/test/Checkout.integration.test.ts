import { assert, describe, it } from "@effect/vitest"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Logger, LogLevel, Option } from "effect"
import { agents } from "../src/Agents.ts"
import * as Verification from "../src/Verify/Verification.ts"
import type { Shop } from "./Shop.ts"
import { importBody, open, orderThat, place, receive, sell, temporary, until } from "./Shop.ts"

const verify = (dataDir: string) =>
  Verification.run({
    agents: agents({ dataDir, host: "127.0.0.1", port: () => 0, peers: { of: {}, others: undefined } }),
    config: { postgres: Option.none(), kafka: Option.none() },
    directories: [dataDir],
    isShadowCompared: false
  })

const ended = (order: { readonly state: string }) => order.state !== "placed"
const held = (reason: string) => (order: { readonly holds: ReadonlyArray<{ reason: string; releasedAt?: string }> }) =>
  order.holds.some((hold) => hold.reason === reason && hold.releasedAt === undefined)

const paymentsOf = (shop: Shop, orderId: string) =>
  Effect.map(shop.get(`/payment/payments?orderId=${orderId}`), ({ body }) => body.items)

describe("checkout through the HTTP API", () => {
  it.scopedLive(
    "the same order five times at once, and again after a restart, is one order with one answer",
    () =>
      Effect.gen(function*() {
        const dataDir = yield* temporary
        const body = {
          currency: "GBP",
          lines: [{ sku: "MUG-1", qty: 2 }],
          customer: { email: "ada@example.com" },
          addresses: { shipping: importBody("A-1").shipTo },
          paymentMethodToken: "ok:ada"
        }
        const send = (shop: Shop, qty = 2) =>
          shop.post("/order/orders", { ...body, lines: [{ sku: "MUG-1", qty }] }, "the-key")
        const first = yield* Effect.scoped(Effect.gen(function*() {
          const shop = yield* open(dataDir)
          yield* receive(shop, "MUG-1", 10)
          yield* sell(shop, "MUG-1")
          const answers = yield* Effect.all(Array.from({ length: 5 }, () => send(shop)), { concurrency: "unbounded" })
          assert.deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([202]))
          assert.strictEqual(new Set(answers.map(({ body }) => JSON.stringify(body))).size, 1)
          assert.strictEqual(answers.filter(({ headers }) => headers.get("idempotent-replayed") === "true").length, 4)
          yield* orderThat(shop, answers[0]?.body.id, ended)
          return answers[0]?.body
        }))
        yield* Effect.scoped(Effect.gen(function*() {
          const shop = yield* open(dataDir)
          const again = yield* send(shop)
          assert.deepStrictEqual(again.body, first)
          assert.strictEqual(again.headers.get("idempotent-replayed"), "true")
          const other = yield* send(shop, 3)
          assert.strictEqual(other.status, 422)
          assert.strictEqual(other.body.code, "idempotency_key_reused")
          const all = yield* shop.get("/order/orders")
          assert.lengthOf(all.body.items, 1)
        }))
        assert.deepStrictEqual((yield* verify(dataDir)).findings, [])
      }),
    60_000
  )

  it.scopedLive(
    "forty buyers of ten units: ten are confirmed, thirty cancelled for want of stock",
    () =>
      Effect.gen(function*() {
        const dataDir = yield* temporary
        yield* Effect.scoped(Effect.gen(function*() {
          const shop = yield* open(dataDir)
          yield* receive(shop, "85123A", 10)
          const orders = yield* Effect.forEach(
            Array.from({ length: 40 }, (_, i) => `B-${i}`),
            (ref) => Effect.flatMap(place(shop, ref), (id) => orderThat(shop, id, ended)),
            { concurrency: "unbounded" }
          )
          const end = (state: string, reason?: string) =>
            orders.filter((order) => order.state === state && order.cancelReason === reason).length
          assert.strictEqual(end("confirmed"), 10)
          assert.strictEqual(end("cancelled", "out_of_stock"), 30)
          const level = yield* shop.get("/inventory/stock/85123A")
          assert.deepInclude(level.body.items[0], { onHand: 10, reserved: 10, available: 0 })
          const numbers = orders.filter(({ number }) => number !== undefined)
          assert.lengthOf(numbers, 10, "a number is given only to a confirmed order")
        }))
        assert.deepStrictEqual((yield* verify(dataDir)).findings, [])
      }),
    60_000
  )

  it.scopedLive("every sandbox token ends in its state, with one charge", () =>
    Effect.gen(function*() {
      const dataDir = yield* temporary
      yield* Effect.scoped(Effect.gen(function*() {
        const shop = yield* open(dataDir)
        yield* receive(shop, "85123A", 1_000)
        const confirmed = (token: string) =>
          Effect.gen(function*() {
            const id = yield* place(shop, token, { token })
            const order = yield* orderThat(shop, id, ended)
            assert.strictEqual(order.state, "confirmed", token)
            const payments = yield* paymentsOf(shop, id)
            assert.lengthOf(payments, 1, token)
            const ledger = yield* shop.get(`/payment/payments/${payments[0].id}/ledger`)
            const authorised = ledger.body.items.filter((entry: { kind: string }) => entry.kind === "authorize")
            assert.lengthOf(authorised, 1, token)
          })
        const declinedForGood = Effect.gen(function*() {
          const id = yield* place(shop, "decline_stolen", { token: "decline_stolen" })
          const order = yield* orderThat(shop, id, ended)
          assert.deepInclude(order, { state: "cancelled", cancelReason: "payment_declined" })
        })
        const paysAnotherWay = Effect.gen(function*() {
          const id = yield* place(shop, "decline_insufficient", { token: "decline_insufficient" })
          yield* orderThat(shop, id, held("awaiting_payment"))
          yield* shop.post(`/order/orders/${id}/pay`, { paymentMethodToken: "ok:another" }, `pay-${id}`)
          const order = yield* orderThat(shop, id, ended)
          assert.strictEqual(order.state, "confirmed")
        })
        const authenticates = Effect.gen(function*() {
          const id = yield* place(shop, "threeds", { token: "threeds" })
          const payment = yield* until(Effect.map(
            paymentsOf(shop, id),
            (items) => items.find((one: { state: string }) => one.state === "requires_action")
          ))
          yield* shop.post(
            `/payment/sandbox/challenges/${payment.id}/complete`,
            { outcome: "authenticated" },
            `3ds-${id}`
          )
          const order = yield* orderThat(shop, id, ended)
          assert.strictEqual(order.state, "confirmed")
        })
        yield* Effect.all([
          ...[
            "ok",
            "timeout_but_charged",
            "error_500_then_ok",
            "webhook_first",
            "webhook_twice",
            "webhook_out_of_order",
            "capture_fails",
            "refund_async",
            "dispute_later",
            "slow_30s"
          ].map(confirmed),
          declinedForGood,
          paysAnotherWay,
          authenticates
        ], { concurrency: "unbounded" })
      }))
      assert.deepStrictEqual((yield* verify(dataDir)).findings, [])
    }), 120_000)

  it.scopedLive("a confirmed order can be cancelled: stock and money are given back", () =>
    Effect.gen(function*() {
      const dataDir = yield* temporary
      yield* Effect.scoped(Effect.gen(function*() {
        const shop = yield* open(dataDir)
        yield* receive(shop, "85123A", 5)
        const id = yield* place(shop, "C-1", { qty: 3 })
        yield* orderThat(shop, id, ({ state }) => state === "confirmed")
        const asked = yield* shop.post(`/order/orders/${id}/cancel`, { reason: "customer" }, "cancel-C-1")
        assert.strictEqual(asked.status, 202)
        const order = yield* orderThat(shop, id, ({ state }) => state === "cancelled")
        assert.strictEqual(order.cancelReason, "customer")
        assert.strictEqual((yield* paymentsOf(shop, id))[0].state, "voided")
        const level = yield* shop.get("/inventory/stock/85123A")
        assert.deepInclude(level.body.items[0], { onHand: 5, reserved: 0 })
      }))
      assert.deepStrictEqual((yield* verify(dataDir)).findings, [])
    }), 60_000)

  it.scopedLive.skipIf(TestServers.isMissing("postgres", { faults: true }))(
    "orders beyond what may be promised while Postgres is away wait for it: all are confirmed in the end",
    () =>
      Effect.gen(function*() {
        const server = yield* PostgresServer.start({ settings: { fsync: "off" } })
        const url = yield* server.createDatabase("shop")
        const shop = yield* open(yield* temporary, { DATABASE_URL: url })
        const atLevel = (level: string) =>
          Effect.forEach(["order", "inventory", "payment"], (agent) =>
            until(Effect.map(
              shop.get(`/${agent}/health`),
              ({ headers }) => headers.get("x-degradation-level") === level || undefined
            )))
        yield* atLevel("0")
        yield* receive(shop, "85123A", 20)
        yield* server.kill
        yield* atLevel("1")
        const ids = yield* Effect.forEach(Array.from({ length: 20 }, (_, i) => `W-${i}`), (ref) => place(shop, ref))
        const lacking = yield* place(shop, "W-lacking", { qty: 21 })
        const rejected = yield* orderThat(shop, lacking, ended)
        assert.deepInclude(rejected, { state: "cancelled", cancelReason: "out_of_stock" })
        const parked = Effect.map(shop.get("/inventory/dead-letters?status=parked"), ({ body }) => body.items)
        assert.lengthOf(yield* until(Effect.map(parked, (items) => items.length >= 4 ? items : undefined)), 4)
        const refused = yield* shop.post("/inventory/reservations", {
          orderId: `ord_${"0".repeat(26)}`,
          lines: [{ lineId: rejected.lines[0].id, sku: "85123A", qty: 1 }]
        }, "beyond the bound")
        assert.deepStrictEqual([refused.status, refused.body.code], [503, "degraded_write_refused"])
        assert.match(refused.headers.get("retry-after") ?? "", /^[1-9]/)

        yield* server.start
        const orders = yield* Effect.forEach(ids, (id) => orderThat(shop, id, ended))
        assert.deepStrictEqual(new Set(orders.map(({ state }) => state)), new Set(["confirmed"]))
        const level = yield* shop.get("/inventory/stock/85123A")
        assert.deepInclude(level.body.items[0], { onHand: 20, reserved: 20, available: 0 })
        assert.deepStrictEqual(yield* parked, [])
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)),
    60_000
  )
})

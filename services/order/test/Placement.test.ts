// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { CartId, CustomerId, type OrderId } from "@holdfast/contracts/Id"
import { ImportOrder } from "@holdfast/contracts/OrderCommands"
import { ImportRefused, OrderCancelled, OrderConfirmed, OrderPlaced } from "@holdfast/contracts/OrderEvents"
import { ProductPublished, ProductSuspended } from "@holdfast/contracts/ProductEvents"
import { Sagas } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as SchemaAgreement from "@holdfast/testing/SchemaAgreement"
import { Effect, Either } from "effect"
import { Orders, tables } from "../src/Tables.ts"
import { address, imported, layer, placement, product, Shop } from "./Shop.ts"

const test = (
  title: string,
  body: Effect.Effect<void, unknown, Shop | Effect.Effect.Context<typeof agree>>,
  stock?: Readonly<Record<string, number>>
) => it.effect(title, () => Effect.provide(body, layer(stock)))

const agree = SchemaAgreement.differences(tables)

const cartId = CartId.make(`cart_${"0".repeat(26)}`)

describe("placing an order", () => {
  test("declared tables and the migrated schema agree", Effect.map(agree, (found) => assert.deepStrictEqual(found, [])))

  test(
    "place → reserve → assess → authorise → assess → commit → confirmed, with a number, and one event of each",
    Effect.gen(function*() {
      const shop = yield* Shop
      const placed = yield* shop.call("place", { payload: placement() })
      assert.strictEqual(placed.state, "placed")
      assert.isUndefined(placed.number)
      assert.deepStrictEqual(placed.totals, {
        items: 4_500,
        discount: 0,
        shipping: 495,
        fees: 0,
        tax: 333 + 417 + 83,
        grand: 4_995
      })
      yield* shop.settle
      const order = yield* shop.order(placed.id)
      assert.strictEqual(order.state, "confirmed")
      assert.strictEqual(order.number, "100001")
      assert.strictEqual(order.paymentStatus, "authorized")
      assert.deepStrictEqual(order.lines.map(({ qtyReserved, sku, title }) => [sku, title, qtyReserved]), [
        ["A", "Product A", 2],
        ["B", "Product B", 1]
      ])
      assert.strictEqual(shop.inventory.heldFor(placed.id, "committed"), 3)
      assert.strictEqual(shop.payments.authorized(placed.id).length, 1)
      assert.strictEqual((yield* shop.said(OrderPlaced)).length, 1)
      const [confirmed, ...more] = yield* shop.said(OrderConfirmed)
      assert.strictEqual(more.length, 0)
      assert.deepInclude(confirmed, { orderId: placed.id, number: "100001", paymentId: order.paymentId })
      const timeline = yield* shop.call("timeline", { path: { id: placed.id }, urlParams: {} })
      assert.deepStrictEqual(timeline.items.map(({ kind }) => kind), ["placed", "payment_authorized", "confirmed"])
      const { items } = yield* shop.call("saga", { path: { id: placed.id } })
      assert.deepStrictEqual(items.map(({ state, step, type }) => [type, state, step]), [[
        "checkout",
        "done",
        "commit"
      ]])
    })
  )

  test(
    "the same request five times at once is one order with one answer, and again later",
    Effect.gen(function*() {
      const shop = yield* Shop
      const place = shop.call("place", { payload: placement() }, { key: "buy" })
      const answers = yield* Effect.all([place, place, place, place, place], { concurrency: "unbounded" })
      yield* shop.settle
      answers.push(yield* place)
      assert.strictEqual(new Set(answers.map((answer) => JSON.stringify(answer))).size, 1)
      assert.strictEqual((yield* shop.said(OrderPlaced)).length, 1)
      assert.strictEqual((yield* shop.said(OrderConfirmed)).length, 1)
      const reused = yield* Effect.exit(
        shop.call("place", { payload: placement({ paymentMethodToken: "decline" }) }, { key: "buy" })
      )
      assert.include(JSON.stringify(reused), "OperationIdReused")
    })
  )

  test(
    "a cart becomes one order, whatever the keys of the requests",
    Effect.gen(function*() {
      const shop = yield* Shop
      const place = shop.call("place", { payload: placement({ cartId }) })
      const orders = yield* Effect.all([place, place, place], { concurrency: "unbounded" })
      assert.strictEqual(new Set(orders.map((order) => order.id)).size, 1)
    })
  )

  test(
    "another total than the buyer saw is refused with the new one, and nothing is stored",
    Effect.gen(function*() {
      const shop = yield* Shop
      const changed = yield* Effect.flip(shop.call("place", { payload: placement({ expectedTotal: 4_994 }) }))
      assert.deepInclude(changed, { _tag: "CartChanged", actualTotal: 4_995 })
      assert.deepStrictEqual(yield* shop.database.read(Transaction.select(Orders, {})), [])
      const placed = yield* shop.call("place", { payload: placement({ expectedTotal: 4_995 }) })
      assert.strictEqual(placed.totals.grand, 4_995)
    })
  )

  test(
    "what does not exist, is not published here, is suspended, or has no price in the currency is not sold",
    Effect.gen(function*() {
      const shop = yield* Shop
      const refusal = (sku: string, more = {}) =>
        Effect.flip(shop.call("place", { payload: placement({ lines: [{ sku, qty: 1 }], ...more }) }))
      const only = product("M", 100, { channels: ["market"] })
      yield* shop.hear(only)
      assert.deepInclude(yield* refusal("Z"), { _tag: "SkuUnknown", skus: ["Z"] })
      assert.deepInclude(yield* refusal("M"), { _tag: "SkuNotSellable", skus: ["M"] })
      assert.deepInclude(yield* refusal("A", { currency: "EUR" }), { _tag: "SkuNotSellable", skus: ["A"] })
      const { productId, skus } = only.payload as typeof ProductPublished.payload.Type
      yield* shop.hear({ message: ProductPublished, payload: { productId, channels: ["web"], skus } })
      yield* shop.call("place", { payload: placement({ lines: [{ sku: "M", qty: 1 }] }) })
      yield* shop.hear({ message: ProductSuspended, payload: { productId, reason: "recall" } })
      assert.deepInclude(yield* refusal("M"), { _tag: "SkuNotSellable", skus: ["M"] })
    })
  )

  test(
    "tax is added where prices exclude it; addresses and shipping options must exist",
    Effect.gen(function*() {
      const shop = yield* Shop
      const american = { ...address, country: "US", postalCode: "94103" }
      const placed = yield* shop.call("place", {
        payload: placement({ lines: [{ sku: "A", qty: 1 }], addresses: { shipping: american } })
      })
      assert.isFalse(placed.taxInclusive)
      assert.deepInclude(placed.totals, { items: 1_000, shipping: 495, tax: 70 + 35, grand: 1_600 })
      const wrong = { ...address, postalCode: "94103" }
      assert.deepInclude(
        yield* Effect.flip(shop.call("place", { payload: placement({ addresses: { shipping: wrong } }) })),
        { _tag: "AddressInvalid", address: "shipping" }
      )
      assert.deepInclude(
        yield* Effect.flip(shop.call("place", { payload: placement({ shippingOption: { code: "teleport" } }) })),
        { _tag: "InvalidRequest" }
      )
    })
  )

  test(
    "out of stock: cancelled with its reason, no stock held, and no number is burned by a failed checkout",
    Effect.gen(function*() {
      const shop = yield* Shop
      const order = (qty: number) => shop.call("place", { payload: placement({ lines: [{ sku: "A", qty }] }) })
      const [first, second, third] = [yield* order(3), yield* order(3), yield* order(1)]
      yield* shop.settle
      const ends = yield* Effect.forEach([first, second, third], ({ id }) => shop.order(id))
      assert.deepStrictEqual(
        ends.map(({ cancelReason, number, state }) => [state, number ?? null, cancelReason ?? null]),
        [
          ["confirmed", "100001", null],
          ["cancelled", null, "out_of_stock"],
          ["confirmed", "100002", null]
        ]
      )
      assert.strictEqual(shop.inventory.heldFor(second.id), 0)
      assert.strictEqual(shop.payments.payments.size, 2)
      const [cancelled] = yield* shop.said(OrderCancelled)
      assert.deepInclude(cancelled, { orderId: second.id, reason: "out_of_stock", full: true })
    }),
    { A: 5 }
  )

  test(
    "an order of nothing to pay is confirmed without a payment",
    Effect.gen(function*() {
      const shop = yield* Shop
      const placed = yield* shop.call("import", {
        payload: imported({ lines: [{ sku: "A", qty: 1, unitPrice: 5, discount: 5 }] })
      })
      yield* shop.settle
      const order = yield* shop.order(placed.id)
      assert.deepStrictEqual([order.state, order.totals.grand, order.paymentId], ["confirmed", 0, undefined])
    })
  )

  test(
    "an order of 675 lines is stored, checked out and read in milliseconds, with its lines as they came",
    Effect.gen(function*() {
      const shop = yield* Shop
      const lines = Array.from({ length: 675 }, (_, i) => ({ sku: `S${i % 400}`, qty: 1 + i % 3, unitPrice: 100 + i }))
      for (let i = 0; i < 400; i++) shop.inventory.available.set(`S${i}`, 100)
      const begun = performance.now()
      const placed = yield* shop.call("import", { payload: imported({ lines }) })
      const stored = performance.now() - begun
      yield* shop.settle
      const order = yield* shop.order(placed.id)
      assert.strictEqual(order.state, "confirmed")
      assert.deepStrictEqual(order.lines.map(({ sku, qty, unitPrice }) => ({ sku, qty, unitPrice })), lines)
      // Generous: the machine is shared. It takes about 30 ms.
      assert.isBelow(stored, 500)
    })
  )
})

describe("importing an order", () => {
  test(
    "at its own prices, tax included, no shipping, in its own time; twice is once, also with another body",
    Effect.gen(function*() {
      const shop = yield* Shop
      const first = yield* shop.call("import", { payload: imported() })
      assert.deepInclude(first.totals, { items: 2_208, shipping: 0, grand: 2_208 })
      assert.strictEqual(first.placedAt, "2010-12-01T08:26:00.000Z")
      assert.deepInclude(first, { channel: "online-retail", externalRef: "536365", customerRef: "17850" })
      yield* shop.settle
      const again = yield* shop.call("import", { payload: imported({ lines: [{ sku: "B", qty: 1, unitPrice: 1 }] }) })
      assert.strictEqual(again.id, first.id)
      assert.strictEqual(again.state, "confirmed")
      yield* shop.hear({ message: ImportOrder, payload: imported() })
      assert.strictEqual((yield* shop.said(OrderPlaced)).length, 1)
      const other = yield* shop.call("import", { payload: imported({ channel: "other" }) })
      assert.notStrictEqual(other.id, first.id)
    })
  )

  test(
    "the store itself refuses a second order of one reference, and of one cart (O1)",
    Effect.gen(function*() {
      const shop = yield* Shop
      yield* shop.call("import", { payload: imported() })
      yield* shop.call("place", { payload: placement({ cartId }) })
      const rows = yield* shop.database.read(Transaction.select(Orders, {}))
      for (const row of rows) {
        const twin = {
          ...row,
          id: (yield* shop.call("import", { payload: imported({ externalRef: `x${row.id}` }) })).id
        }
        const stored = yield* Effect.either(shop.database.execute({
          id: `twin of ${row.id}`,
          command: "test",
          writeClass: "mergeable",
          fingerprint: "",
          cause: { correlationId: "c", causationId: "c" },
          keepMillis: 1,
          handler: Transaction.update(Orders, { id: twin.id }, () => twin),
          answer: () => "",
          refusal: () => undefined
        }))
        assert.strictEqual(Either.isLeft(stored) ? stored.left._tag : "stored", "ConstraintViolated")
      }
      assert.strictEqual(rows.length, 2)
    })
  )

  test(
    "paid to the channel: nothing is authorised",
    Effect.gen(function*() {
      const shop = yield* Shop
      const { paymentMethodToken: _, ...rest } = imported()
      const placed = yield* shop.call("import", { payload: { ...rest, paidByChannel: true } })
      yield* shop.settle
      const order = yield* shop.order(placed.id)
      assert.deepStrictEqual([order.state, order.paymentStatus, order.paymentId], ["confirmed", "paid", undefined])
      assert.strictEqual(shop.payments.payments.size, 0)
    })
  )

  test(
    "agreed totals must be what the lines give; a command that cannot be done is answered",
    Effect.gen(function*() {
      const shop = yield* Shop
      const totals = { items: 2_208, discount: 208, shipping: 300, fees: 0, tax: 0, grand: 2_300 }
      const wrong = { ...totals, grand: 2_301 }
      assert.deepInclude(
        yield* Effect.flip(shop.call("import", { payload: imported({ totals: wrong }) })),
        { _tag: "TotalsMismatch", field: "totals.grand", expected: 2_300, actual: 2_301 }
      )
      yield* shop.hear({ message: ImportOrder, payload: imported({ totals: wrong }) })
      const [refused] = yield* shop.said(ImportRefused)
      assert.deepInclude(refused, { channel: "online-retail", externalRef: "536365", code: "totals_mismatch" })
      yield* shop.hear({ message: ImportOrder, payload: imported({ totals }) })
      const [placed] = yield* shop.said(OrderPlaced)
      assert.deepStrictEqual(placed?.totals, totals)
      assert.strictEqual(placed?.lines.reduce((sum, line) => sum + line.lineTotal, 0), 2_000)
    })
  )

  test(
    "the catalogue has no say: an order imported before its product is known is priced and titled the same",
    Effect.gen(function*() {
      const shop = yield* Shop
      const lines = [{ sku: "NEW", qty: 1, unitPrice: 100, title: "As agreed" }]
      shop.inventory.available.set("NEW", 10)
      const before = yield* shop.call("import", { payload: imported({ lines }) })
      yield* shop.hear(product("NEW", 999))
      const after = yield* shop.call("import", { payload: imported({ lines, externalRef: "536366" }) })
      const content = ({ lines, totals }: typeof before) => [lines.map(({ id: _, ...line }) => line), totals]
      assert.deepStrictEqual(content(before), content(after))
    })
  )
})

describe("reading orders", () => {
  test(
    "lists are paged, newest first, and filtered; followers read changes in order",
    Effect.gen(function*() {
      const shop = yield* Shop
      const customerId = CustomerId.make(`cus_${"0".repeat(26)}`)
      const ids: Array<OrderId> = []
      for (let i = 0; i < 7; i++) {
        const customer = { email: "a@example.com", ...(i % 2 === 0 ? { customerId } : {}) }
        ids.push((yield* shop.call("place", { payload: placement({ customer }) })).id)
        yield* shop.wait(15_000)
      }
      const read = (urlParams: object) =>
        Effect.gen(function*() {
          const found: Array<string> = []
          let after: ReadonlyArray<string | number> | undefined
          for (let page = 0; page < 9; page++) {
            const { items, next } = yield* shop.call("list", {
              urlParams: { ...urlParams, limit: 2, ...(after === undefined ? {} : { after }) }
            })
            found.push(...items.map((item) => item.id))
            if (next === undefined) return found
            after = JSON.parse(Buffer.from(next, "base64url").toString()) as ReadonlyArray<string | number>
          }
          return found
        })
      assert.deepStrictEqual(yield* read({}), [...ids].reverse())
      assert.deepStrictEqual(yield* read({ customerId }), [...ids].reverse().filter((_, i) => i % 2 === 0))
      assert.deepStrictEqual(yield* read({ state: "placed" }), [])
      const third = yield* shop.order(ids[2] ?? (yield* Effect.dieMessage("seven orders")))
      assert.deepStrictEqual(yield* read({ updatedSince: third.updatedAt }), ids.slice(2))
      yield* shop.call("hold", { path: { id: third.id }, payload: { reason: "manual" } })
      assert.deepStrictEqual(yield* read({ updatedSince: third.updatedAt }), [...ids.slice(3), third.id])
      const [item] = (yield* shop.call("list", { urlParams: { updatedSince: third.updatedAt } })).items.slice(-1)
      assert.deepStrictEqual(item?.holds, ["manual"])
    })
  )

  test(
    "an edit of an older version is refused",
    Effect.gen(function*() {
      const shop = yield* Shop
      const placed = yield* shop.call("place", { payload: placement() })
      yield* shop.settle
      const { version } = yield* shop.order(placed.id)
      const hold = (ifMatch: number) =>
        shop.call("hold", { path: { id: placed.id }, payload: { reason: "manual" } }, { ifMatch })
      assert.deepInclude(yield* Effect.flip(hold(version - 1)), { _tag: "VersionConflict", actual: version })
      yield* hold(version)
      const stale = { path: { id: placed.id }, payload: { reason: "customer" as const } }
      assert.deepInclude(yield* Effect.flip(shop.call("cancel", stale, { ifMatch: version })), {
        _tag: "VersionConflict"
      })
      const sagas = yield* shop.database.read(Transaction.select(Sagas, {}))
      assert.strictEqual(sagas.length, 1)
    })
  )
})

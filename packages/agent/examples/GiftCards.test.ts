import { assert, describe, it } from "@effect/vitest"
import { OrderConfirmed } from "@holdfast/contracts/OrderEvents"
import { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as Transaction from "@holdfast/database/Transaction"
import * as AgentOperations from "@holdfast/testing/AgentOperations"
import { Effect, Schema, TestClock } from "effect"
import { Card, expire, giftCards, handlers, Issued, reward } from "./GiftCards.ts"

// Every dependency is a test's: a store that vanishes with the test, messages by hand, time that stands still.
const store = Sqlite.layerTemporary({ agent: "giftcard", migrations: giftCards.migrations })
const agent = AgentOperations.make("giftcard", handlers, [reward])
const cards = Effect.flatMap(Database, (database) => database.read(Transaction.select(Card, {})))

describe("gift cards", () => {
  it.effect("a card and its event are one", () =>
    Effect.gen(function*() {
      const card = yield* agent.call("issue", { payload: { pence: 2_500 } })
      assert.deepInclude(card, { pence: 2_500, version: 1 })
      assert.deepStrictEqual(yield* agent.said(Issued), [{ cardId: card.id, pence: 2_500 }])
    }).pipe(Effect.provide(store)))

  it.effect("a confirmed order earns one card, however often it is heard of", () =>
    Effect.gen(function*() {
      const order = yield* Schema.decodeUnknown(OrderConfirmed.payload)({
        orderId: "ord_00000000000000000000000001",
        number: "1",
        currency: "GBP",
        totals: { items: 9_950, discount: 0, shipping: 0, fees: 0, tax: 0, grand: 9_950 },
        reservationId: "rsv_00000000000000000000000001"
      })
      for (let n = 0; n < 3; n++) yield* agent.hear(OrderConfirmed, order, { id: "the same message" })
      assert.deepStrictEqual((yield* cards).map((card) => card.pence), [100])
    }).pipe(Effect.provide(store)))

  it.effect("a card expires after a year", () =>
    Effect.gen(function*() {
      yield* agent.call("issue", { payload: { pence: 100 } })
      yield* agent.run(expire)
      assert.lengthOf(yield* cards, 1)
      yield* TestClock.adjust("366 days")
      yield* agent.run(expire)
      assert.lengthOf(yield* cards, 0)
    }).pipe(Effect.provide(store)))
})

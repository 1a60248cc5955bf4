// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { ProductId } from "@holdfast/contracts/Id"
import * as Commands from "@holdfast/contracts/InventoryCommands"
import * as Events from "@holdfast/contracts/InventoryEvents"
import type * as Message from "@holdfast/contracts/Message"
import { VariantChanged } from "@holdfast/contracts/ProductEvents"
import { ConflictDetected } from "@holdfast/contracts/SystemEvents"
import { Database } from "@holdfast/database/Database"
import { Withheld } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as SchemaAgreement from "@holdfast/testing/SchemaAgreement"
import { Effect, Either, TestClock } from "effect"
import { expire } from "../src/Reservations.ts"
import { StockLevels, tables } from "../src/Tables.ts"
import { inventory, level, lineId, mismatches, orderId, receive, refusal, reservationId, store, wish } from "./Shop.ts"

const test = (title: string, body: Effect.Effect<void, unknown, Database>) =>
  it.effect(title, () => Effect.provide(body, store))

const answers = Effect.map(
  Effect.flatMap(Database, (database) => database.outbox.readAfter(0, [Events.ReservationConfirmed.topic], 100_000)),
  (messages) =>
    messages.map(({ envelope }) => envelope.type.replace("ecom.inventory.", "").replace(".v1", ""))
      .filter((type) => type.startsWith("reservation_"))
)

const lastOf = <Name extends string, A, I>(message: Message.Message<Name, A, I>) =>
  Effect.flatMap(inventory.said(message), (all) => {
    const last = all.at(-1)
    return last === undefined ? Effect.dieMessage(`nothing said of ${message.name}`) : Effect.succeed(last)
  })

describe("schema", () => {
  test(
    "the declared tables and the migrations agree",
    Effect.map(SchemaAgreement.differences(tables), (found) => assert.deepStrictEqual(found, []))
  )
})

describe("reserving", () => {
  test(
    "40 buyers at once for 10 units: 10 win, 30 are told of the shortage, ledger and reservations are right",
    Effect.gen(function*() {
      yield* receive("LAMP", 10)
      yield* Effect.forEach(
        Array.from({ length: 40 }, (_, n) => n),
        (n) => inventory.hear(Commands.ReserveStock, wish(n, [["LAMP", 1]])),
        { concurrency: "unbounded", discard: true }
      )
      assert.strictEqual((yield* inventory.said(Events.ReservationConfirmed)).length, 10)
      const rejected = yield* inventory.said(Events.ReservationRejected)
      assert.strictEqual(rejected.length, 30)
      assert.deepStrictEqual(rejected[0]?.shortages, [{ sku: "LAMP", wanted: 1, available: 0 }])
      assert.deepInclude(yield* level("LAMP"), { onHand: 10, reserved: 10, available: 0, version: 11 })
      const ledger = yield* inventory.call("ledger", { urlParams: { sku: "LAMP", kind: "reserve" } })
      assert.strictEqual(ledger.items.length, 10)
      assert.deepStrictEqual(yield* mismatches, [])
      assert.strictEqual((yield* inventory.said(Events.OutOfStock)).length, 1)
    })
  )

  test(
    "all lines or none: a shortage of one line holds nothing of the others",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* receive("B", 1)
      const refused = yield* refusal(inventory.call("reserve", { payload: wish(1, [["A", 2], ["B", 2]]) }))
      assert.deepInclude(refused, { _tag: "InsufficientStock", shortages: [{ sku: "B", wanted: 2, available: 1 }] })
      assert.deepInclude(yield* level("A"), { reserved: 0, version: 1 })
      const partial = yield* inventory.call("reserve", { payload: wish(1, [["A", 2], ["B", 2]], { partial: true }) })
      assert.deepStrictEqual(partial.lines.map(({ qty, sku }) => [sku, qty]), [["A", 2], ["B", 1]])
    })
  )

  test(
    "lines of one sku are summed before the check",
    Effect.gen(function*() {
      yield* receive("A", 3)
      const refused = yield* refusal(inventory.call("reserve", { payload: wish(1, [["A", 2], ["A", 2]]) }))
      assert.deepInclude(refused, { shortages: [{ sku: "A", wanted: 4, available: 3 }] })
      yield* inventory.call("reserve", { payload: wish(1, [["A", 2], ["A", 1]]) })
      assert.deepInclude(yield* level("A"), { reserved: 3, version: 2 })
      assert.strictEqual((yield* inventory.call("ledger", { urlParams: { kind: "reserve" } })).items.length, 1)
    })
  )

  test(
    "an order that has a reservation is answered with it, whoever asks again",
    Effect.gen(function*() {
      yield* receive("A", 9)
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 2]]), { id: "reserve" })
      yield* Effect.forEach(
        [1, 2, 3],
        () => inventory.hear(Commands.ReserveStock, wish(1, [["A", 2]]), { id: "reserve" })
      )
      assert.deepStrictEqual(yield* answers, ["reservation_confirmed"])
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 5]]))
      const [first, second] = yield* inventory.said(Events.ReservationConfirmed)
      assert.deepStrictEqual(second, first)
      const again = yield* inventory.call("reserve", { payload: wish(1, [["A", 7]]) })
      assert.strictEqual(again.id, first?.reservationId)
      assert.deepInclude(yield* level("A"), { reserved: 2 })
    })
  )

  test(
    "stock is told of once per operation and level",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 1], ["A", 2]]))
      const changes = yield* inventory.said(Events.StockChanged)
      assert.deepStrictEqual(changes.map(({ cause, reserved, version }) => [cause, reserved, version]), [
        ["receive", 0, 1],
        ["reserve", 3, 2]
      ])
    })
  )

  test(
    "a sku that sells out and comes back is told of at the edges only",
    Effect.gen(function*() {
      yield* receive("A", 2)
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 1]]))
      yield* inventory.hear(Commands.ReserveStock, wish(2, [["A", 1]], { reservationId: reservationId(2) }))
      yield* inventory.hear(Commands.ReserveStock, wish(3, [["A", 1]]))
      yield* inventory.hear(Commands.ReleaseReservation, { orderId: orderId(2), reservationId: reservationId(2) })
      assert.strictEqual((yield* inventory.said(Events.OutOfStock)).length, 1)
      assert.strictEqual((yield* inventory.said(Events.BackInStock)).length, 2)
    })
  )

  test(
    "an order of 675 lines is one operation of some tens of milliseconds",
    Effect.gen(function*() {
      const skus = Array.from({ length: 675 }, (_, n) => `SKU${n}`)
      yield* inventory.call("receive", {
        payload: { refId: "bulk", locationId: "main", lines: skus.map((sku) => ({ sku, qty: 100 })) }
      })
      const times: Array<number> = []
      for (let n = 0; n < 5; n++) {
        const started = performance.now()
        yield* inventory.hear(Commands.ReserveStock, wish(n, skus.map((sku) => [sku, 3])))
        times.push(performance.now() - started)
      }
      assert.strictEqual((yield* inventory.said(Events.ReservationConfirmed)).length, 5)
      // Generous for a busy machine; 30 to 60 ms where nothing else runs.
      assert.isBelow(Math.min(...times), 400)
      assert.deepStrictEqual(yield* mismatches, [])
    })
  )

  test(
    "a single location that covers all is chosen before a split, and a split only where it is allowed",
    Effect.gen(function*() {
      yield* receive("A", 1, "east")
      yield* receive("A", 3, "north")
      yield* receive("B", 9, "east")
      yield* receive("B", 1, "north")
      const from = (n: number, lines: ReadonlyArray<readonly [string, number]>, allowSplit?: boolean) =>
        Effect.map(
          inventory.call("reserve", { payload: wish(n, lines, allowSplit === undefined ? {} : { allowSplit }) }),
          (reservation) => reservation.lines.map(({ locationId, qty, sku }) => `${qty} ${sku} ${locationId}`)
        )
      assert.deepStrictEqual(yield* from(1, [["A", 2], ["B", 1]]), ["2 A north", "1 B north"])
      const refused = yield* refusal(from(2, [["A", 2], ["B", 1]], false))
      assert.strictEqual(refused._tag, "InsufficientStock")
      assert.deepStrictEqual(yield* from(3, [["A", 2], ["B", 1]]), ["1 A east", "1 A north", "1 B east"])
      assert.deepStrictEqual(yield* mismatches, [])
    })
  )
})

describe("the time of a reservation", () => {
  const minutes = (n: number) => TestClock.adjust(`${n} minutes`)

  test(
    "a held reservation gives its stock back when its time is over, once, and can be had again",
    Effect.gen(function*() {
      yield* receive("A", 2)
      const id = reservationId(1)
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 2]], { reservationId: id }))
      yield* minutes(14)
      yield* inventory.run(expire)
      assert.deepInclude(yield* level("A"), { reserved: 2 })
      yield* minutes(1)
      yield* inventory.run(expire)
      yield* inventory.run(expire)
      assert.deepInclude(yield* level("A"), { reserved: 0, available: 2 })
      assert.deepStrictEqual(yield* inventory.said(Events.ReservationExpired), [
        { reservationId: id, orderId: orderId(1) }
      ])
      yield* inventory.hear(Commands.CommitReservation, { reservationId: id, orderId: orderId(1) })
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 1]], { reservationId: id }))
      yield* inventory.hear(Commands.CommitReservation, { reservationId: id, orderId: orderId(1) })
      assert.deepStrictEqual(yield* answers, [
        "reservation_confirmed",
        "reservation_expired",
        "reservation_expired",
        "reservation_confirmed",
        "reservation_confirmed"
      ])
      assert.deepInclude(yield* lastOf(Events.ReservationConfirmed), { reservationId: id, state: "committed" })
      assert.deepInclude(yield* level("A"), { reserved: 1, available: 1 })
      yield* minutes(60)
      yield* inventory.run(expire)
      assert.deepInclude(yield* level("A"), { reserved: 1 })
      assert.deepStrictEqual(yield* mismatches, [])
    })
  )

  test(
    "without an id of its own, an order reserves anew after expiry",
    Effect.gen(function*() {
      yield* receive("A", 1)
      const first = yield* inventory.call("reserve", { payload: wish(1, [["A", 1]]) })
      yield* minutes(15)
      yield* inventory.run(expire)
      const second = yield* inventory.call("reserve", { payload: wish(1, [["A", 1]]) })
      assert.notStrictEqual(first.id, second.id)
      assert.deepStrictEqual(yield* mismatches, [])
    })
  )

  test(
    "a reservation is extended once, and once more for a review, up to 48 hours",
    Effect.gen(function*() {
      yield* receive("A", 1)
      const target = { reservationId: reservationId(1), orderId: orderId(1) }
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 1]], target))
      yield* inventory.hear(Commands.ExtendReservation, { ...target, ttlSeconds: 1800 })
      assert.deepInclude(yield* lastOf(Events.ReservationConfirmed), { expiresAt: "1970-01-01T00:30:00.000Z" })
      yield* inventory.hear(Commands.ExtendReservation, { ...target, ttlSeconds: 1800 })
      assert.deepInclude(yield* lastOf(Events.ReservationCommandRefused), { command: "extend", code: "extension_used" })
      const review = { ...target, ttlSeconds: 48 * 3600, reason: "fraud_review" }
      yield* inventory.hear(Commands.ExtendReservation, review)
      assert.deepInclude(yield* lastOf(Events.ReservationConfirmed), { expiresAt: "1970-01-03T00:00:00.000Z" })
      yield* inventory.hear(Commands.ExtendReservation, review)
      assert.strictEqual((yield* inventory.said(Events.ReservationCommandRefused)).length, 2)
      yield* minutes(48 * 60 - 1)
      yield* inventory.run(expire)
      assert.deepInclude(yield* level("A"), { reserved: 1 })
      yield* minutes(1)
      yield* inventory.run(expire)
      assert.deepInclude(yield* level("A"), { reserved: 0 })
    })
  )

  test(
    "the expiry takes 500 reservations at a time, the oldest first, and each level is written once",
    Effect.gen(function*() {
      yield* receive("A", 1_000)
      yield* Effect.forEach(
        Array.from({ length: 600 }, (_, n) => n),
        (n) => inventory.hear(Commands.ReserveStock, wish(n, [["A", 1]])),
        { concurrency: "unbounded", discard: true }
      )
      yield* minutes(15)
      yield* inventory.run(expire)
      assert.deepInclude(yield* level("A"), { reserved: 100, version: 602 })
      yield* inventory.run(expire)
      assert.deepInclude(yield* level("A"), { reserved: 0 })
      assert.deepStrictEqual(yield* mismatches, [])
    })
  )
})

describe("releasing", () => {
  const target = { reservationId: reservationId(1), orderId: orderId(1) }

  test(
    "a release that comes before its reserve wins: the late reserve holds nothing",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* inventory.hear(Commands.ReleaseReservation, { ...target, reason: "gave up" })
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 2]], target))
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 2]]))
      assert.deepStrictEqual(yield* answers, ["reservation_released", "reservation_released", "reservation_released"])
      assert.deepInclude(yield* level("A"), { reserved: 0 })
      assert.deepStrictEqual(yield* mismatches, [])
    })
  )

  test(
    "a release after the expiry ends the reservation: a reserve that comes later holds nothing",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 2]], target))
      yield* TestClock.adjust("15 minutes")
      yield* inventory.run(expire)
      yield* inventory.hear(Commands.ReleaseReservation, target)
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 2]], target))
      assert.deepInclude(yield* lastOf(Events.ReservationReleased), { lines: [] })
      assert.deepInclude(yield* level("A"), { reserved: 0 })
    })
  )

  test(
    "units go back once however often the release comes, and commands after it are answered",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 2]], target))
      yield* inventory.hear(Commands.CommitReservation, target)
      yield* inventory.hear(Commands.ReleaseReservation, target, { id: "release" })
      yield* inventory.hear(Commands.ReleaseReservation, target, { id: "release" })
      yield* inventory.hear(Commands.ReleaseReservation, target)
      assert.deepStrictEqual((yield* inventory.said(Events.ReservationReleased)).map(({ lines }) => lines), [
        [{ lineId: lineId(0), qty: 2 }],
        []
      ])
      yield* inventory.hear(Commands.CommitReservation, target)
      yield* inventory.hear(Commands.ExtendReservation, target)
      assert.strictEqual((yield* inventory.said(Events.ReservationReleased)).length, 4)
      assert.deepInclude(yield* level("A"), { reserved: 0, onHand: 5 })
      assert.deepStrictEqual(yield* mismatches, [])
    })
  )

  test(
    "units of some lines go back alone; more than is open is refused, never clamped",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* receive("B", 5)
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 3], ["B", 2]], target))
      yield* inventory.hear(Commands.ReleaseReservation, { ...target, lines: [{ lineId: lineId(0), qty: 2 }] })
      assert.deepInclude(yield* level("A"), { reserved: 1 })
      yield* inventory.hear(Commands.ReleaseReservation, {
        ...target,
        lines: [{ lineId: lineId(0), qty: 1 }, { lineId: lineId(0), qty: 1 }]
      })
      assert.deepInclude(yield* lastOf(Events.ReservationCommandRefused), { code: "release_exceeds_reserved" })
      assert.deepInclude(yield* level("A"), { reserved: 1 })
      yield* inventory.hear(Commands.ReleaseReservation, { ...target, lines: [{ lineId: lineId(0), qty: 1 }] })
      const left = yield* inventory.call("getReservation", { path: { id: target.reservationId } })
      assert.deepStrictEqual([left.state, left.lines.length], ["held", 1])
      yield* inventory.hear(Commands.ReleaseReservation, { ...target, lines: [{ lineId: lineId(1), qty: 2 }] })
      const ended = yield* inventory.call("getReservation", { path: { id: target.reservationId } })
      assert.strictEqual(ended.state, "released")
      assert.deepStrictEqual(yield* mismatches, [])
    })
  )

  test(
    "commands on what is unknown or another order's are refused with an answer",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* inventory.hear(Commands.ReserveStock, wish(1, [["A", 3]], target))
      const foreign = { ...target, orderId: orderId(2) }
      yield* inventory.hear(Commands.CommitReservation, { reservationId: reservationId(9), orderId: orderId(1) })
      yield* inventory.hear(Commands.CommitReservation, foreign)
      yield* inventory.hear(Commands.ReleaseReservation, foreign)
      const refusals = yield* inventory.said(Events.ReservationCommandRefused)
      assert.deepStrictEqual(refusals.map(({ code }) => code), ["not_found", "not_found", "not_found"])
      const dead = yield* refusal(
        inventory.hear(Commands.ReserveStock, wish(2, [["A", 1]], { reservationId: target.reservationId }))
      )
      assert.deepInclude(dead, { _tag: "Unprocessable" })
      assert.deepInclude(yield* level("A"), { reserved: 3 })
    })
  )
})

describe("goods", () => {
  test(
    "a receipt is booked once by its refId; other lines under it are refused",
    Effect.gen(function*() {
      const payload = { refId: "D-1", locationId: "main", lines: [{ sku: "A", qty: 2 }, { sku: "A", qty: 3 }] }
      const first = yield* inventory.call("receive", { payload })
      const second = yield* inventory.call("receive", { payload })
      assert.deepStrictEqual(second, first)
      const other = { ...payload, lines: [{ sku: "A", qty: 4 }] }
      assert.strictEqual((yield* refusal(inventory.call("receive", { payload: other })))._tag, "ReceiptReused")
      assert.deepInclude(yield* level("A"), { onHand: 5, version: 1 })
    })
  )

  test(
    "an adjustment never takes what is promised, and a count only what it expected",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* inventory.call("reserve", { payload: wish(1, [["A", 4]]) })
      const place = { sku: "A", locationId: "main" }
      const taken = yield* refusal(inventory.call("adjust", { payload: { ...place, delta: -2, reason: "broken" } }))
      assert.deepInclude(taken, { _tag: "StockWouldBeNegative", available: 1, delta: -2 })
      const stale = yield* refusal(inventory.call("adjust", { payload: { ...place, expected: 4, counted: 6 } }))
      assert.deepInclude(stale, { _tag: "CountOutdated", actual: 5 })
      const counted = yield* inventory.call("adjust", { payload: { ...place, expected: 5, counted: 6 } })
      assert.deepInclude(counted, { onHand: 6, available: 2 })
      assert.deepStrictEqual(yield* inventory.said(Events.StockAdjusted), [
        { ...place, delta: 1, reason: "count", by: "system" }
      ])
      assert.deepStrictEqual(yield* mismatches, [])
    })
  )

  test(
    "a transfer moves all lines or none, and only what is available",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* receive("B", 1)
      yield* inventory.call("reserve", { payload: wish(1, [["A", 2]]) })
      const move = (a: number, b: number) =>
        inventory.call("transfer", {
          payload: { from: "main", to: "shop", lines: [{ sku: "A", qty: a }, { sku: "B", qty: b }] }
        })
      assert.strictEqual((yield* refusal(move(4, 1)))._tag, "StockWouldBeNegative")
      assert.strictEqual((yield* refusal(move(1, 2)))._tag, "StockWouldBeNegative")
      const moved = yield* move(3, 1)
      assert.deepStrictEqual(
        moved.stock.map(({ available, locationId, sku }) => [sku, locationId, available]),
        [["A", "main", 0], ["A", "shop", 3], ["B", "main", 0], ["B", "shop", 1]]
      )
      assert.deepStrictEqual(yield* mismatches, [])
    })
  )

  const variant = (allowed: boolean, limit: number) => ({
    productId: ProductId.make(`prd_${"0".repeat(26)}`),
    sku: "A",
    flags: { lotTracked: false, serialTracked: false, backorder: { allowed, limit } }
  })

  test(
    "backorders are promised up to the limit; a limit below what is promised raises oversell_detected",
    Effect.gen(function*() {
      yield* inventory.hear(VariantChanged, variant(true, 3))
      yield* receive("A", 1)
      yield* inventory.call("reserve", { payload: wish(1, [["A", 3]]) })
      assert.deepInclude(yield* level("A"), { available: -2, backorderLimit: 3 })
      assert.isTrue(Either.isLeft(yield* Effect.either(inventory.call("reserve", { payload: wish(2, [["A", 2]]) }))))
      yield* inventory.hear(VariantChanged, variant(false, 3))
      assert.deepInclude(yield* level("A"), { available: -2, backorderLimit: 2 })
      assert.deepStrictEqual(yield* inventory.said(Events.OversellDetected), [
        { sku: "A", locationId: "main", available: -2, orderIds: [orderId(1)] }
      ])
    })
  )

  test(
    "an operation of an outage that would promise more than there is raises oversell_detected; another conflict does not",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* inventory.call("reserve", { payload: wish(1, [["A", 4]]) })
      const key = JSON.stringify({ sku: "A", locationId: "main" })
      /** What the merge has kept of a reservation of so many that was made alone, when 4 were free. */
      const withhold = (operationId: string, qty: number) => {
        const row = { sku: "A", locationId: "main", onHand: 5, reserved: 1, onHold: 0, damaged: 0 }
        const changes = [
          {
            operationId,
            table: "reservation",
            key: "{}",
            before: null,
            after: { id: reservationId(2), orderId: orderId(2) }
          },
          { operationId, table: "stock_level", key, before: row, after: { ...row, reserved: 1 + qty } }
        ]
        return inventory.run(Transaction.insert(Withheld, {
          operationId,
          command: "inventory.reserve",
          changes,
          behind: null,
          at: 0,
          status: "open",
          settledBy: null
        }))
      }
      const conflict = { agent: "inventory", conflictId: "cnf", table: "stock_level", rowKey: key, policy: "delta" }
      yield* withhold("fits", 1)
      yield* inventory.hear(ConflictDetected, { ...conflict, operationId: "fits", reason: "constraint" })
      yield* withhold("too many", 3)
      yield* inventory.hear(ConflictDetected, { ...conflict, operationId: "too many", reason: "row_changed" })
      yield* inventory.hear(ConflictDetected, {
        ...conflict,
        agent: "other",
        operationId: "too many",
        reason: "constraint"
      })
      assert.deepStrictEqual(yield* inventory.said(Events.OversellDetected), [])
      yield* inventory.hear(ConflictDetected, { ...conflict, operationId: "too many", reason: "constraint" })
      assert.deepStrictEqual(yield* inventory.said(Events.OversellDetected), [
        { sku: "A", locationId: "main", available: -2, orderIds: [orderId(2), orderId(1)] }
      ])
    })
  )

  test(
    "verification names what differs",
    Effect.gen(function*() {
      yield* receive("A", 5)
      yield* inventory.call("reserve", { payload: wish(1, [["A", 2]]) })
      yield* inventory.run(
        Transaction.update(
          StockLevels,
          { sku: "A", locationId: "main" },
          (row) => ({ ...row, onHand: row.onHand - 1, reserved: row.reserved - 1 })
        )
      )
      assert.deepStrictEqual(yield* mismatches, [
        { sku: "A", locationId: "main", bucket: "onHand", source: "ledger", sum: 5, level: 4 },
        { sku: "A", locationId: "main", bucket: "reserved", source: "ledger", sum: 2, level: 1 },
        { sku: "A", locationId: "main", bucket: "reserved", source: "reservations", sum: 2, level: 1 }
      ])
    })
  )
})

describe("lists", () => {
  test(
    "levels, movements and reservations page by key to the end",
    Effect.gen(function*() {
      yield* Effect.forEach(["A", "B", "C", "D", "E"], (sku) => receive(sku, 2))
      yield* Effect.forEach(
        [1, 2, 3],
        (n) => inventory.call("reserve", { payload: wish(n, [["A", 1]], { partial: true }) }).pipe(Effect.either)
      )
      const stock = yield* inventory.call("stock", { urlParams: { limit: 3 } })
      assert.deepStrictEqual(stock.items.map(({ sku }) => sku), ["A", "B", "C"])
      const rest = yield* inventory.call("stock", { urlParams: { limit: 3, after: ["C", "main"] } })
      assert.deepStrictEqual([rest.items.map(({ sku }) => sku), rest.next], [["D", "E"], undefined])
      const ledger = yield* inventory.call("ledger", { urlParams: { limit: 200 } })
      assert.strictEqual(ledger.items.length, 7)
      const held = yield* inventory.call("listReservations", { urlParams: { state: "held" } })
      assert.deepStrictEqual(held.items.map(({ lines }) => lines.length), [1, 1])
      const one = yield* inventory.call("listReservations", { urlParams: { orderId: orderId(2) } })
      assert.strictEqual(one.items.length, 1)
      const availability = yield* inventory.call("availability", { urlParams: { sku: "A" } })
      assert.deepInclude(availability, { available: 0, sellable: 0 })
    })
  )
})

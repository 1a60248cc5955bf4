import { assert, describe, it } from "@effect/vitest"
import { ProductId } from "@holdfast/contracts/Id"
import * as Commands from "@holdfast/contracts/InventoryCommands"
import * as Events from "@holdfast/contracts/InventoryEvents"
import { VariantChanged } from "@holdfast/contracts/ProductEvents"
import type { Database } from "@holdfast/database/Database"
import { Effect, FastCheck as fc, TestClock, TestContext } from "effect"
import * as Level from "../src/Domain/Level.ts"
import { expire } from "../src/Reservations.ts"
import { inventory, lineId, mismatches, orderId, receive, reservationId, store, wish } from "./Shop.ts"

const sku = fc.constantFrom("A", "B", "C")
const place = fc.constantFrom("east", "north", "west")
const qty = fc.integer({ min: 1, max: 6 })
const order = fc.integer({ min: 0, max: 5 })

/** A command as an effect; what refuses it is part of the game. */
const game = (effect: Effect.Effect<unknown, unknown, Database>) => Effect.asVoid(Effect.either(effect))

const target = (n: number) => ({ reservationId: reservationId(n), orderId: orderId(n) })

const step: fc.Arbitrary<readonly [string, Effect.Effect<void, unknown, Database>]> = fc.oneof(
  fc.tuple(sku, qty, place).map(([s, q, p]) => [`receive ${q} ${s} ${p}`, game(receive(s, q, p))] as const),
  fc.tuple(order, fc.array(fc.tuple(sku, qty), { minLength: 1, maxLength: 4 }), fc.boolean(), fc.boolean()).map(
    ([n, lines, named, partial]) =>
      [
        `reserve ${n} ${JSON.stringify(lines)} ${named} ${partial}`,
        game(inventory.hear(
          Commands.ReserveStock,
          wish(n, lines, { partial, ...(named ? { reservationId: reservationId(n) } : {}) })
        ))
      ] as const
  ),
  order.map((n) => [`commit ${n}`, game(inventory.hear(Commands.CommitReservation, target(n)))] as const),
  fc.tuple(order, fc.boolean()).map(([n, review]) =>
    [
      `extend ${n}`,
      game(inventory.hear(Commands.ExtendReservation, { ...target(n), ...(review ? { reason: "fraud_review" } : {}) }))
    ] as const
  ),
  order.map((n) => [`release ${n}`, game(inventory.hear(Commands.ReleaseReservation, target(n)))] as const),
  fc.tuple(order, fc.integer({ min: 0, max: 3 }), qty).map(([n, line, q]) =>
    [
      `release ${n} line ${line} ${q}`,
      game(inventory.hear(Commands.ReleaseReservation, { ...target(n), lines: [{ lineId: lineId(line), qty: q }] }))
    ] as const
  ),
  fc.tuple(sku, place, fc.integer({ min: -6, max: 6 }).filter((delta) => delta !== 0)).map(([s, p, delta]) =>
    [
      `adjust ${s} ${p} ${delta}`,
      game(inventory.call("adjust", { payload: { sku: s, locationId: p, delta, reason: "test" } }))
    ] as const
  ),
  fc.tuple(sku, place, place, qty).map(([s, from, to, q]) =>
    [
      `transfer ${q} ${s} ${from} ${to}`,
      game(inventory.call("transfer", { payload: { from, to, lines: [{ sku: s, qty: q }] } }))
    ] as const
  ),
  fc.tuple(sku, fc.integer({ min: 0, max: 4 })).map(([s, limit]) =>
    [
      `backorders ${s} ${limit}`,
      game(inventory.hear(VariantChanged, {
        productId: ProductId.make(`prd_${"0".repeat(26)}`),
        sku: s,
        flags: { lotTracked: false, serialTracked: false, backorder: { allowed: limit > 0, limit } }
      }))
    ] as const
  ),
  fc.integer({ min: 1, max: 20 }).map((minutes) =>
    [
      `${minutes} minutes`,
      Effect.asVoid(Effect.zipRight(TestClock.adjust(`${minutes} minutes`), Effect.orDie(inventory.run(expire))))
    ] as const
  )
)

describe("invariants", () => {
  it("I1, I4, I5 hold after any interleaving of all commands and the expiry", { timeout: 120_000 }, () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 12 }),
        (rounds) =>
          Effect.runPromise(
            Effect.gen(function*() {
              for (const round of rounds) {
                yield* Effect.forEach(round, ([, effect]) => effect, { concurrency: "unbounded", discard: true })
                assert.deepStrictEqual(yield* mismatches, [])
                const { items } = yield* inventory.call("stock", { urlParams: {} })
                assert.deepStrictEqual(items.filter((level) => !Level.isWithinBounds(level)), [])
              }
              const { items } = yield* inventory.call("listReservations", { urlParams: {} })
              const open = items.filter(({ state }) => state === "held" || state === "committed")
              assert.strictEqual(new Set(open.map((reservation) => reservation.orderId)).size, open.length)
              const told = yield* inventory.said(Events.StockChanged)
              const last = new Map(told.map((level) => [`${level.sku} ${level.locationId}`, level]))
              for (const level of (yield* inventory.call("stock", { urlParams: {} })).items) {
                const { cause: _, ...event } = last.get(`${level.sku} ${level.locationId}`) ?? { cause: "" }
                assert.deepInclude(level, event)
              }
            }).pipe(Effect.provide(store), Effect.provide(TestContext.TestContext))
          )
      ),
      { numRuns: 40, seed: 20260101 }
    ))
})

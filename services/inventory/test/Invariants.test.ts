// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off multipleEffectProvide:off
import { assert, describe, it } from "@effect/vitest"
import { type OrderId, ProductId, type ReservationId } from "@holdfast/contracts/Id"
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
const order = fc.integer({ min: 0, max: 4 })

type Run = Effect.Effect<void, unknown, Database>

/** A command as an effect; what refuses it is part of the game. */
const game = (effect: Effect.Effect<unknown, unknown, Database>): Run => Effect.asVoid(Effect.either(effect))

/** Speaks of one of the reservations there are by then, or of one nobody has made. */
const onSome = (
  pick: number,
  command: (target: { reservationId: ReservationId; orderId: OrderId }) => Effect.Effect<unknown, unknown, Database>
): Run =>
  Effect.flatMap(inventory.call("listReservations", { urlParams: {} }), ({ items }) => {
    const found = items[pick % (items.length + 1)]
    return game(command(
      found === undefined
        ? { reservationId: reservationId(100 + pick), orderId: orderId(pick % 5) }
        : { reservationId: found.id, orderId: found.orderId }
    ))
  })

const pick = fc.nat({ max: 99 })

const step: fc.Arbitrary<Run> = fc.oneof(
  fc.tuple(sku, qty, place).map(([s, q, p]) => game(receive(s, q, p))),
  {
    weight: 4,
    arbitrary: fc.tuple(
      order,
      fc.array(fc.tuple(sku, qty), { minLength: 1, maxLength: 4 }),
      fc.option(pick, { nil: undefined }),
      fc.boolean()
    ).map(([n, lines, named, partial]) =>
      game(inventory.hear(
        Commands.ReserveStock,
        wish(n, lines, {
          partial,
          ...(named === undefined ? {} : { reservationId: reservationId(n * 10 + named % 3) })
        })
      ))
    )
  },
  pick.map((one) => onSome(one, (target) => inventory.hear(Commands.CommitReservation, target))),
  fc.tuple(pick, fc.boolean()).map(([one, review]) =>
    onSome(
      one,
      (target) =>
        inventory.hear(Commands.ExtendReservation, { ...target, ...(review ? { reason: "fraud_review" } : {}) })
    )
  ),
  pick.map((one) => onSome(one, (target) => inventory.hear(Commands.ReleaseReservation, target))),
  fc.tuple(pick, fc.integer({ min: 0, max: 3 }), qty).map(([one, line, q]) =>
    onSome(
      one,
      (target) => inventory.hear(Commands.ReleaseReservation, { ...target, lines: [{ lineId: lineId(line), qty: q }] })
    )
  ),
  fc.tuple(sku, place, fc.integer({ min: -6, max: 6 }).filter((delta) => delta !== 0)).map(([s, p, delta]) =>
    game(inventory.call("adjust", { payload: { sku: s, locationId: p, delta, reason: "test" } }))
  ),
  fc.tuple(sku, place, place, qty).map(([s, from, to, q]) =>
    game(inventory.call("transfer", { payload: { from, to, lines: [{ sku: s, qty: q }] } }))
  ),
  fc.tuple(sku, fc.integer({ min: 0, max: 4 })).map(([s, limit]) =>
    game(inventory.hear(VariantChanged, {
      productId: ProductId.make(`prd_${"0".repeat(26)}`),
      sku: s,
      flags: { lotTracked: false, serialTracked: false, backorder: { allowed: limit > 0, limit } }
    }))
  ),
  fc.integer({ min: 1, max: 20 }).map((minutes) =>
    Effect.zipRight(TestClock.adjust(`${minutes} minutes`), inventory.run(expire))
  )
)

describe("invariants", () => {
  it("I1, I4, I5 hold after any interleaving of all commands and the expiry", { timeout: 120_000 }, () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 1, maxLength: 8, size: "max" }), {
          minLength: 1,
          maxLength: 12,
          size: "max"
        }),
        (rounds) =>
          Effect.runPromise(
            Effect.gen(function*() {
              yield* Effect.forEach(["A", "B", "C"], (one) => receive(one, 10, "east"))
              for (const round of rounds) {
                yield* Effect.forEach(round, (effect) => effect, { concurrency: "unbounded", discard: true })
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

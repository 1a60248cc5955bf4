import { assert, describe, it } from "@effect/vitest"
import { ReservationState } from "@holdfast/contracts/Reservation"
import { Either, FastCheck as fc } from "effect"
import { allocate } from "../src/Domain/Allocation.ts"
import * as Bound from "../src/Domain/Bound.ts"
import * as GivingBack from "../src/Domain/GivingBack.ts"
import * as Level from "../src/Domain/Level.ts"
import * as Movement from "../src/Domain/Movement.ts"
import * as State from "../src/Domain/ReservationState.ts"
import { lineId } from "./Shop.ts"

const sku = fc.constantFrom("A", "B", "C", "D")
const place = fc.constantFrom("p1", "p2", "p3", "p4", "p5")
const levels = fc.uniqueArray(fc.record({ sku, locationId: place, onHand: fc.integer({ min: 0, max: 9 }) }), {
  selector: Movement.keyOf
}).map((all) => all.map((level) => ({ ...Level.empty(level.sku, level.locationId, 0), onHand: level.onHand })))
const lines = fc.array(fc.tuple(sku, fc.integer({ min: 1, max: 12 })), { minLength: 1, maxLength: 6 }).map((all) =>
  all.map(([one, qty], n) => ({ lineId: lineId(n), sku: one, qty }))
)

const sum = <A>(items: Iterable<A>, of: (item: A) => number) => [...items].reduce((total, item) => total + of(item), 0)

describe("Allocation", () => {
  it("promises what is wanted or names what is missing, and never more than a place has", () => {
    fc.assert(fc.property(levels, lines, fc.boolean(), (stock, wanted, allowSplit) => {
      const { lines: promised, shortages } = allocate(wanted, stock, allowSplit)
      for (const line of wanted) {
        const got = sum(promised.filter((one) => one.lineId === line.lineId), (one) => one.qty)
        assert.isAtMost(got, line.qty)
        if (shortages.length === 0) assert.strictEqual(got, line.qty)
      }
      for (const level of stock) {
        const taken = promised.filter((one) => Movement.keyOf(one) === Movement.keyOf(level))
        assert.isAtMost(sum(taken, (one) => one.qty), Level.reservable(level))
      }
      for (const shortage of shortages) assert.isBelow(shortage.available, shortage.wanted)
      if (!allowSplit) assert.isAtMost(new Set(promised.map((one) => one.locationId)).size, 1)
    }))
  })

  it("is short only if all places together are, and uses the fewest places that cover all", () => {
    fc.assert(fc.property(levels, lines, (stock, wanted) => {
      const { lines: promised, shortages } = allocate(wanted, stock, true)
      const places = ["p1", "p2", "p3", "p4", "p5"]
      const covers = (chosen: ReadonlyArray<string>) =>
        ["A", "B", "C", "D"].every((one) =>
          sum(wanted.filter((line) => line.sku === one), (line) => line.qty) <=
            sum(stock.filter((level) => level.sku === one && chosen.includes(level.locationId)), Level.reservable)
        )
      assert.strictEqual(shortages.length === 0, covers(places))
      if (shortages.length > 0) return
      const used = new Set(promised.map((one) => one.locationId)).size
      for (let mask = 0; mask < 32; mask++) {
        const chosen = places.filter((_, n) => (mask & (1 << n)) !== 0)
        if (covers(chosen)) assert.isAtMost(used, chosen.length)
      }
    }))
  })
})

describe("GivingBack", () => {
  const promised = fc.uniqueArray(
    fc.record({ line: fc.integer({ min: 0, max: 3 }), locationId: place, qty: fc.integer({ min: 1, max: 5 }) }),
    { selector: ({ line, locationId }) => `${line} ${locationId}` }
  ).chain((all) =>
    fc.tuple(...all.map((one) => fc.integer({ min: 0, max: one.qty }))).map((consumed) =>
      all.map(({ line, locationId, qty }, n) => ({
        lineId: lineId(line),
        sku: "A",
        locationId,
        qty,
        consumed: consumed[n] ?? 0
      }))
    )
  )

  it("gives back exactly what is asked and open, or refuses all of it", () => {
    const wanted = fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 6 })), { minLength: 1 })
    fc.assert(fc.property(promised, wanted, (all, asked) => {
      const units = asked.map(([line, qty]) => ({ lineId: lineId(line), qty }))
      const openOf = (line: string) => sum(all.filter((one) => one.lineId === line), (one) => one.qty - one.consumed)
      const askedOf = (line: string) => sum(units.filter((one) => one.lineId === line), (one) => one.qty)
      const result = GivingBack.giveBack("rsv", all, units)
      assert.strictEqual(Either.isRight(result), units.every((one) => askedOf(one.lineId) <= openOf(one.lineId)))
      if (Either.isLeft(result)) return
      for (const one of units) {
        const given = sum(result.right.filter((line) => line.lineId === one.lineId), (line) => line.qty)
        assert.strictEqual(given, askedOf(one.lineId))
      }
      for (const line of result.right) {
        const from = all.find((one) => one.lineId === line.lineId && one.locationId === line.locationId)
        assert.isAtMost(line.qty, from === undefined ? 0 : from.qty - from.consumed)
      }
    }))
  })
})

describe("ReservationState", () => {
  const steps: ReadonlyArray<State.Step> = ["reserve", "extend", "commit", "expire", "release", "ship"]

  it("is the table of the specification", () => {
    const table = ReservationState.literals.map((from) =>
      `${from}: ${steps.map((step) => `${step} → ${State.next(from, step) ?? "–"}`).join(", ")}`
    )
    assert.deepStrictEqual(table, [
      "held: reserve → –, extend → held, commit → committed, expire → expired, release → released, ship → –",
      "committed: reserve → –, extend → –, commit → committed, expire → –, release → released, ship → consumed",
      "consumed: reserve → –, extend → –, commit → –, expire → –, release → –, ship → –",
      "expired: reserve → held, extend → –, commit → –, expire → –, release → released, ship → –",
      "released: reserve → –, extend → –, commit → –, expire → –, release → released, ship → –"
    ])
  })

  it("never leaves released and consumed", () => {
    for (const step of steps) {
      assert.include([undefined, "released"], State.next("released", step))
      assert.isUndefined(State.next("consumed", step))
    }
  })
})

describe("Movement", () => {
  it("sums what an operation does to each place, in (sku, location) order, each unit once", () => {
    const units = fc.array(
      fc.record({ sku, locationId: place, lot: fc.constantFrom("", "L1"), qty: fc.integer({ min: 1, max: 9 }) })
    )
    fc.assert(fc.property(units, (all) => {
      const movements = Movement.make("receive", all, { refType: "receipt", refId: "r" })
      const keys = movements.map((movement) => `${Movement.keyOf(movement)} ${movement.lot}`)
      assert.strictEqual(new Set(keys).size, keys.length)
      const changes = Movement.byPlace(movements)
      assert.deepStrictEqual(changes.map(Movement.keyOf), [...new Set(all.map(Movement.keyOf))].sort())
      assert.strictEqual(sum(changes, ({ delta }) => delta.onHand), sum(all, (one) => one.qty))
    }))
  })
})

describe("the bound of an outage", () => {
  const level = (changes: Partial<Level.Level>): Level.Level => ({
    ...Level.empty("A", "main", 5),
    ...changes
  })

  it("two processes with their shares never promise more than there was, whatever comes in", () => {
    fc.assert(
      fc.property(
        fc.nat(200),
        fc.nat(50),
        fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 40 }),
        (onHand, reserved, wishes) => {
          const atStart = level({ onHand: onHand + reserved, reserved })
          const sold = [0, 0]
          wishes.forEach((wish, index) => {
            const mine = index % 2
            const now = { ...atStart, reserved: atStart.reserved + (sold[mine] ?? 0) }
            if (Level.reservable(Bound.within(now, atStart, 0.4)) >= wish) sold[mine] = (sold[mine] ?? 0) + wish
          })
          assert.isAtMost((sold[0] ?? 0) + (sold[1] ?? 0), Level.available(atStart))
        }
      )
    )
  })

  it("goods that came in during the outage are all its own", () => {
    assert.strictEqual(Level.reservable(Bound.within(level({ onHand: 7 }), undefined, 0.4)), 7)
    const atStart = level({ onHand: 10 })
    assert.strictEqual(Level.reservable(Bound.within({ ...atStart, onHand: 17 }, atStart, 0.8)), 15)
  })
})

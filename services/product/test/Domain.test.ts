import { assert, describe, it } from "@effect/vitest"
import { PriceId } from "@holdfast/contracts/Id"
import { type Price, ProductState } from "@holdfast/contracts/Product"
import { FastCheck as fc } from "effect"
import * as Bundle from "../src/Domain/Bundle.ts"
import * as PriceChoice from "../src/Domain/PriceChoice.ts"
import * as PriceSet from "../src/Domain/PriceSet.ts"
import * as State from "../src/Domain/ProductState.ts"

const day = fc.integer({ min: 1, max: 8 }).map((n) => `2026-01-0${n}T00:00:00.000Z`)
const channel = fc.constantFrom(undefined, "web", "shop")
const group = fc.constantFrom(undefined, "trade", "staff")
const qty = fc.constantFrom(1, 2, 5)

const price = fc.record({
  channel,
  customerGroup: group,
  currency: fc.constantFrom("GBP", "EUR"),
  amount: fc.integer({ min: 0, max: 5 }),
  minQty: qty,
  validFrom: day,
  validTo: fc.option(day, { nil: undefined })
}).filter(({ validFrom, validTo }) => validTo === undefined || validFrom < validTo).map((
  { channel: on, customerGroup, validTo, ...rest }
): PriceSet.PriceTerms => ({
  ...rest,
  ...(on === undefined ? {} : { channel: on }),
  ...(customerGroup === undefined ? {} : { customerGroup }),
  ...(validTo === undefined ? {} : { validTo })
}))

const identified = (prices: ReadonlyArray<PriceSet.PriceTerms>): ReadonlyArray<Price> =>
  prices.map((terms, n) => ({ ...terms, id: PriceId.make(`prc_${String(n).padStart(26, "0")}`) }))

/** Sets without overlaps: a price that would overlap those before it is left out. */
const priceSet = fc.array(price, { maxLength: 14 }).map((prices) => {
  const kept: Array<PriceSet.PriceTerms> = []
  for (const one of prices) if (PriceSet.overlap([...kept, one]) === undefined) kept.push(one)
  return identified(kept)
})

const asked = fc.record({ channel, group, qty: fc.integer({ min: 1, max: 6 }), at: day, currency: fc.constant("GBP") })

const holdsBoth = (a: PriceSet.PriceTerms, b: PriceSet.PriceTerms) =>
  a.channel === b.channel && a.customerGroup === b.customerGroup && a.currency === b.currency &&
  a.minQty === b.minQty && a.validFrom < (b.validTo ?? "9") && b.validFrom < (a.validTo ?? "9")

describe("PriceSet", () => {
  it("finds an overlap exactly where two prices of one slot hold at one instant", () => {
    fc.assert(
      fc.property(fc.array(price, { maxLength: 10 }), (prices) => {
        const pairs = prices.flatMap((a, i) => prices.slice(i + 1).map((b) => holdsBoth(a, b)))
        const found = PriceSet.overlap(prices)
        assert.strictEqual(found !== undefined, pairs.includes(true))
        if (found === undefined) return
        const [a, b] = [prices[found.first], prices[found.second]]
        assert.isTrue(a !== undefined && b !== undefined && holdsBoth(a, b))
        assert.isBelow(found.first, found.second)
      }),
      { numRuns: 500 }
    )
  })

  it("replaces one set by another: every old price is kept, changed or ended, every new one accounted for", () => {
    fc.assert(
      fc.property(priceSet, priceSet, (present, next) => {
        const wanted = next.map(({ id: _, ...terms }) => terms)
        const { added, changed, ended, kept } = PriceSet.replace(present, wanted)
        const ids = [...kept, ...ended, ...changed.map(({ old }) => old)].map(({ id }) => id)
        assert.deepStrictEqual([...ids].sort(), present.map(({ id }) => id).sort())
        const after = [...kept.map(({ id: _, ...terms }) => terms), ...changed.map(({ terms }) => terms), ...added]
        assert.sameDeepMembers(after, wanted)
        assert.deepStrictEqual(PriceSet.replace(present, present.map(({ id: _, ...terms }) => terms)).kept, present)
      }),
      { numRuns: 300 }
    )
  })
})

describe("PriceChoice", () => {
  it("is one answer, whatever the order of the prices", () => {
    fc.assert(
      fc.property(
        priceSet.chain((set) =>
          fc.tuple(
            fc.constant(set),
            fc.shuffledSubarray([...set], {
              minLength: set.length
            })
          )
        ),
        asked,
        ([set, shuffled], circumstances) => {
          assert.deepStrictEqual(PriceChoice.choose(shuffled, circumstances), PriceChoice.choose(set, circumstances))
        }
      ),
      { numRuns: 500 }
    )
  })

  it("orders the prices that hold totally: antisymmetric, transitive, no ties", () => {
    fc.assert(
      fc.property(priceSet, asked, (set, circumstances) => {
        const holding = set.filter((one) => PriceChoice.choose([one], circumstances) !== undefined)
        for (const a of holding) {
          for (const b of holding) {
            assert.strictEqual(Math.sign(PriceChoice.compare(a, b)), -Math.sign(PriceChoice.compare(b, a)) + 0)
            if (a !== b) assert.notStrictEqual(PriceChoice.compare(a, b), 0)
            for (const c of holding) {
              if (PriceChoice.compare(a, b) > 0 && PriceChoice.compare(b, c) > 0) {
                assert.isAbove(PriceChoice.compare(a, c), 0)
              }
            }
          }
        }
      }),
      { numRuns: 300 }
    )
  })

  it("prefers the group, then the channel, then the highest minQty, then the latest beginning", () => {
    fc.assert(
      fc.property(priceSet, asked, (set, circumstances) => {
        const chosen = PriceChoice.choose(set, circumstances)
        const holding = set.filter((one) => PriceChoice.choose([one], circumstances) !== undefined)
        assert.strictEqual(chosen === undefined, holding.length === 0)
        if (chosen === undefined) return
        const ofGroup = holding.filter((one) => one.customerGroup !== undefined)
        if (ofGroup.length > 0) assert.isDefined(chosen.customerGroup)
        const same = holding.filter((one) => one.customerGroup === chosen.customerGroup)
        if (same.some((one) => one.channel !== undefined)) assert.isDefined(chosen.channel)
        const near = same.filter((one) => one.channel === chosen.channel)
        assert.strictEqual(chosen.minQty, Math.max(...near.map((one) => one.minQty)))
        const latest = near.filter((one) => one.minQty === chosen.minQty).map((one) => one.validFrom).sort().at(-1)
        assert.strictEqual(chosen.validFrom, latest)
      }),
      { numRuns: 500 }
    )
  })
})

describe("Bundle", () => {
  const skus = ["A", "B", "C", "D", "E", "F"]
  const edges = fc.array(fc.tuple(fc.constantFrom(...skus), fc.constantFrom(...skus)), { maxLength: 10 })

  it("finds a cycle exactly where the sku can be reached from itself, and names one", () => {
    fc.assert(
      fc.property(edges, fc.constantFrom(...skus), (pairs, start) => {
        const bundles = new Map<string, Array<string>>()
        for (const [from, to] of pairs) bundles.set(from, [...(bundles.get(from) ?? []), to])
        const reached = new Set(bundles.get(start) ?? [])
        for (const sku of reached) for (const next of bundles.get(sku) ?? []) reached.add(next)
        const cycle = Bundle.cycle(bundles, start)
        assert.strictEqual(cycle !== undefined, reached.has(start))
        for (const [n, sku] of (cycle ?? []).entries()) {
          assert.include<unknown>(bundles.get(sku) ?? [], cycle?.[(n + 1) % cycle.length])
        }
      }),
      { numRuns: 500 }
    )
  })
})

describe("ProductState", () => {
  it("is the table of the specification", () => {
    const actions: ReadonlyArray<State.Action> = ["publish", "unpublish", "suspend", "discontinue"]
    const table = ProductState.literals.map((from) =>
      `${from}: ${actions.map((action) => `${action} → ${State.next(from, action) ?? "–"}`).join(", ")}`
    )
    assert.deepStrictEqual(table, [
      "draft: publish → active, unpublish → –, suspend → –, discontinue → –",
      "active: publish → active, unpublish → active, suspend → suspended, discontinue → discontinued",
      "suspended: publish → active, unpublish → suspended, suspend → –, discontinue → discontinued",
      "discontinued: publish → –, unpublish → discontinued, suspend → –, discontinue → –",
      "archived: publish → –, unpublish → –, suspend → –, discontinue → –"
    ])
  })

  it("an edit never changes the state", () => {
    for (const state of ProductState.literals) assert.include([state, undefined], State.next(state, "edit"))
  })
})

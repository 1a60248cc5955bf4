import { OrderLineId } from "@holdfast/contracts/Id"
import { PriceId } from "@holdfast/contracts/Id"
import type { Price } from "@holdfast/contracts/Product"
import * as OperationIds from "@holdfast/database/OperationIds"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { assert, describe, it } from "vitest"
import * as Cancellable from "../src/Domain/Cancellable.ts"
import * as CancelReason from "../src/Domain/CancelReason.ts"
import * as FraudFallback from "../src/Domain/FraudFallback.ts"
import * as FraudFeatures from "../src/Domain/FraudFeatures.ts"
import * as LineQuantities from "../src/Domain/LineQuantities.ts"
import * as PaymentStatus from "../src/Domain/PaymentStatus.ts"
import * as PostalCode from "../src/Domain/PostalCode.ts"
import * as PriceChoice from "../src/Domain/PriceChoice.ts"
import * as Sellable from "../src/Domain/Sellable.ts"
import * as Shipping from "../src/Domain/Shipping.ts"
import * as Similarity from "../src/Domain/Similarity.ts"
import * as Tax from "../src/Domain/Tax.ts"
import * as Totals from "../src/Domain/Totals.ts"

const id = OperationIds.make("domain")

const one = (line: Partial<Totals.LineInput>) => ({ qty: 1, unitPrice: 0, discount: 0, taxRateBp: 0, ...line })

const input = <Line extends Totals.LineInput>(lines: ReadonlyArray<Line>, rest: Partial<Totals.Input<Line>> = {}) => ({
  lines,
  taxInclusive: true,
  discount: 0,
  shipping: 0,
  shippingTaxRateBp: 0,
  fees: 0,
  ...rest
})

const line = FastCheck.record({
  qty: FastCheck.integer({ min: 1, max: 1_000 }),
  unitPrice: FastCheck.nat(1_000_000),
  discountShare: FastCheck.double({ min: 0, max: 1, noNaN: true }),
  taxRateBp: FastCheck.integer({ min: 0, max: 10_000 })
}).map(({ discountShare, ...rest }) => ({ ...rest, discount: Math.floor(rest.qty * rest.unitPrice * discountShare) }))

const order = FastCheck.record({
  lines: FastCheck.array(line, { minLength: 1, maxLength: 12 }),
  taxInclusive: FastCheck.boolean(),
  discountShare: FastCheck.double({ min: 0, max: 1, noNaN: true }),
  shipping: FastCheck.nat(5_000),
  shippingTaxRateBp: FastCheck.integer({ min: 0, max: 10_000 }),
  fees: FastCheck.nat(500)
}).map(({ discountShare, ...rest }) => ({
  ...rest,
  discount: Math.floor(
    rest.lines.reduce((sum, { discount, qty, unitPrice }) => sum + qty * unitPrice - discount, 0) * discountShare
  )
}))

/** What a channel says the tax is: mostly nothing. */
const agreedTax = FastCheck.option(FastCheck.nat(100_000), { nil: undefined })

describe("totals", () => {
  it("tax on net prices: 3 × 999 at 21 % are 2997 and 629", () => {
    const { totals } = Either.getOrThrow(
      Totals.compute(input([one({ qty: 3, unitPrice: 999, taxRateBp: 2_100 })], { taxInclusive: false }))
    )
    assert.deepStrictEqual(totals, { items: 2_997, discount: 0, shipping: 0, fees: 0, tax: 629, grand: 3_626 })
  })

  it("tax within gross prices is told and not added", () => {
    const { totals } = Either.getOrThrow(
      Totals.compute(input([one({ qty: 6, unitPrice: 255, taxRateBp: 2_000 })], {
        shipping: 495,
        shippingTaxRateBp: 2_000
      }))
    )
    assert.deepStrictEqual(totals, { items: 1_530, discount: 0, shipping: 495, fees: 0, tax: 255 + 83, grand: 2_025 })
  })

  it("an order's discount is split over the lines to the last penny, ties by line", () => {
    const { lines } = Either.getOrThrow(
      Totals.compute(input([1, 2, 3].map(() => one({ unitPrice: 2_000 })), { discount: 1_000 }))
    )
    assert.deepStrictEqual(lines.map(({ discount }) => discount), [334, 333, 333])
  })

  it("always: O2, Σ of rounded lines, parts that sum to the whole, nothing negative", () => {
    FastCheck.assert(
      FastCheck.property(order, (some) => {
        const { lines, totals } = Either.getOrThrow(Totals.compute(some))
        assert.isTrue(Totals.addUp(totals, some.taxInclusive))
        const sum = (of: (line: typeof lines[number]) => number) => lines.reduce((total, l) => total + of(l), 0)
        assert.strictEqual(totals.items, sum((l) => l.qty * l.unitPrice))
        assert.strictEqual(totals.discount, sum((l) => l.discount))
        assert.strictEqual(totals.discount, some.discount + some.lines.reduce((total, l) => total + l.discount, 0))
        assert.strictEqual(totals.items - totals.discount, sum((l) => l.lineTotal))
        const shippingTax = totals.tax - sum((l) => l.tax)
        const exact = some.shipping * some.shippingTaxRateBp /
          (some.taxInclusive ? 10_000 + some.shippingTaxRateBp : 10_000)
        assert.isAtMost(Math.abs(shippingTax - exact), 0.5 + 1e-6)
        for (const l of lines) assert.isTrue(l.lineTotal >= 0 && l.tax >= 0 && l.discount >= 0)
      }),
      { numRuns: 1_000, seed: 3 }
    )
  })

  it("refuses a discount that is larger than what it discounts, and amounts that leave the exact range", () => {
    const tag = (result: ReturnType<typeof Totals.compute>) => Either.isLeft(result) ? result.left._tag : "computed"
    assert.strictEqual(tag(Totals.compute(input([one({ unitPrice: 5, discount: 6 })]))), "TotalsMismatch")
    assert.strictEqual(tag(Totals.compute(input([one({ unitPrice: 5 })], { discount: 6 }))), "TotalsMismatch")
    assert.strictEqual(
      tag(Totals.compute(input([one({ qty: 1_000_000, unitPrice: Number.MAX_SAFE_INTEGER })]))),
      "AmountTooLarge"
    )
  })
})

describe("cancelling units", () => {
  const priced = (some: Totals.Input<Totals.LineInput>, agreedTax?: number) => {
    const computed = Either.getOrThrow(Totals.compute(some))
    const { lines, totals } = agreedTax === undefined
      ? computed
      : Totals.withTax(computed, agreedTax, some.taxInclusive)
    return {
      totals,
      taxInclusive: some.taxInclusive,
      lines: lines.map((l) => ({
        id: OrderLineId.make(id("oli")),
        qty: l.qty,
        lineTotal: l.lineTotal,
        tax: l.tax,
        qtyShipped: 0,
        qtyDelivered: 0,
        qtyCancelled: 0,
        qtyReturned: 0
      }))
    }
  }

  it("in any number of parts, the values of all parts sum to the order's total, exactly", () => {
    FastCheck.assert(
      FastCheck.property(order, agreedTax, FastCheck.infiniteStream(FastCheck.nat(1_000)), (some, tax, numbers) => {
        let now = priced(some, tax)
        assert.isTrue(Totals.addUp(now.totals, some.taxInclusive))
        let value = 0
        for (let round = 0; round < 200; round++) {
          const wanted = round === 199 ? undefined : now.lines.flatMap((l) => {
            const qty = Number(numbers.next().value) % (LineQuantities.movable(l, "cancel") + 1)
            return qty === 0 ? [] : [{ lineId: l.id, qty }]
          })
          const plan = Either.getOrThrow(Cancellable.plan(now, wanted))
          value += plan.value
          assert.isAtLeast(plan.value, 0)
          assert.isAtMost(value, now.totals.grand)
          const cancelled = new Map(plan.lines.map((part) => [part.line.id, part.qty]))
          now = {
            ...now,
            lines: now.lines.map((l) => ({ ...l, qtyCancelled: l.qtyCancelled + (cancelled.get(l.id) ?? 0) }))
          }
          assert.strictEqual(plan.full, now.lines.every((l) => l.qtyCancelled === l.qty))
          if (plan.full) break
        }
        assert.strictEqual(value, now.totals.grand)
      }),
      { numRuns: 300, seed: 3 }
    )
  })

  it("sums the same line named twice before it is checked, and names what is too much", () => {
    const now = priced(input([one({ qty: 3, unitPrice: 100 })]))
    const lineId = now.lines[0]?.id ?? OrderLineId.make(id("oli"))
    assert.deepInclude(
      Either.getOrThrow(Either.flip(Cancellable.plan(now, [{ lineId, qty: 2 }, { lineId, qty: 2 }]))),
      { _tag: "CancelQuantityExceeded", lineId, requested: 4, cancellable: 3 }
    )
    const unknown = OrderLineId.make(id("oli"))
    assert.deepInclude(
      Either.getOrThrow(Either.flip(Cancellable.plan(now, [{ lineId: unknown, qty: 1 }]))),
      { lineId: unknown, cancellable: 0 }
    )
  })
})

describe("prices", () => {
  const price = (fields: Partial<Price>): Price => ({
    id: PriceId.make(id("prc")),
    currency: "GBP",
    amount: 100,
    minQty: 1,
    validFrom: "2026-01-01T00:00:00.000Z",
    ...fields
  })
  const sought = { currency: "GBP", channel: "web", group: "trade", qty: 10, at: "2026-06-01T00:00:00.000Z" }

  it("group beats channel beats quantity beats date; the base price is the last resort", () => {
    const base = price({ amount: 100 })
    const newer = price({ amount: 99, validFrom: "2026-02-01T00:00:00.000Z" })
    const many = price({ amount: 90, minQty: 10 })
    const channel = price({ amount: 95, channel: "web" })
    const group = price({ amount: 97, customerGroup: "trade" })
    const ranked = [base, newer, many, channel, group]
    for (const [i, best] of ranked.entries()) {
      const prices = ranked.slice(0, i + 1)
      assert.strictEqual(PriceChoice.choose(prices, sought), best)
      assert.strictEqual(PriceChoice.choose([...prices].reverse(), sought), best)
    }
  })

  it("a price of another currency, channel, group, quantity or time does not hold", () => {
    const others = [
      price({ currency: "EUR" }),
      price({ channel: "market" }),
      price({ customerGroup: "staff" }),
      price({ minQty: 11 }),
      price({ validFrom: "2026-06-01T00:00:00.001Z" }),
      price({ validTo: "2026-06-01T00:00:00.000Z" })
    ]
    assert.isUndefined(PriceChoice.choose(others, sought))
  })

  it("a changed price takes the place of the old one", () => {
    const [a, b] = [price({}), price({ amount: 5 })]
    const known = { ...Sellable.unknown("X", "prd_0" as never), prices: [a] }
    assert.deepStrictEqual(Sellable.reprice(known, a, b).prices, [b])
    assert.deepStrictEqual(Sellable.reprice(known, a, undefined).prices, [])
    assert.deepStrictEqual(Sellable.reprice(known, undefined, a).prices, [a])
  })

  it("shipping is priced in the minor unit of the currency", () => {
    assert.strictEqual(Shipping.price("standard", "GBP"), 495)
    assert.strictEqual(Shipping.price("standard", "JPY"), 5)
    assert.strictEqual(Shipping.price("standard", "KWD"), 4_950)
    assert.isUndefined(Shipping.price("teleport", "GBP"))
  })

  it("tax: rates by country and class, added only where prices exclude it", () => {
    assert.strictEqual(Tax.rate("GB", "standard"), 2_000)
    assert.strictEqual(Tax.rate("GB", "unheard"), 2_000)
    assert.strictEqual(Tax.rate("AQ", "standard"), 0)
    assert.isTrue(Tax.isInclusive("GB"))
    assert.isFalse(Tax.isInclusive("US"))
  })
})

describe("judgements", () => {
  it("status of payment follows from the sums", () => {
    const status = (sums: Partial<PaymentStatus.Sums>) =>
      PaymentStatus.of({ due: 100, authorized: 0, captured: 0, refunded: 0, voided: false, ...sums })
    assert.strictEqual(status({}), "none")
    assert.strictEqual(status({ authorized: 100 }), "authorized")
    assert.strictEqual(status({ authorized: 100, captured: 40 }), "partially_paid")
    assert.strictEqual(status({ authorized: 100, captured: 100 }), "paid")
    assert.strictEqual(status({ due: 60, authorized: 100, captured: 100 }), "overcharged")
    assert.strictEqual(status({ captured: 100, refunded: 40 }), "partially_refunded")
    assert.strictEqual(status({ captured: 100, refunded: 100 }), "refunded")
    assert.strictEqual(status({ voided: true }), "voided")
  })

  it("without fraud's answer large orders are reviewed, in any currency's minor units", () => {
    assert.strictEqual(FraudFallback.outcome({ amount: 15_000, currency: "EUR" }), "approve")
    assert.strictEqual(FraudFallback.outcome({ amount: 15_001, currency: "EUR" }), "review")
    assert.strictEqual(FraudFallback.outcome({ amount: 15_001, currency: "JPY" }), "approve")
    assert.strictEqual(FraudFallback.outcome({ amount: 24_001, currency: "JPY" }), "review")
  })

  it("every reason for which a saga fails has a public one", () => {
    assert.strictEqual(CancelReason.of("out_of_stock"), "out_of_stock")
    assert.strictEqual(CancelReason.of("reserve_timeout"), "stock_unknown")
    assert.strictEqual(CancelReason.of("authorise_timeout"), "payment_failed")
    assert.strictEqual(CancelReason.of("operator"), "staff")
  })

  it("postal codes have the form of their country", () => {
    const at = (country: string, postalCode: string) =>
      PostalCode.isValid({ name: "A", line1: "B", city: "C", country, postalCode })
    for (const [country, code] of [["GB", "SW1A 1AA"], ["DE", "10115"], ["US", "94103-1234"], ["HK", ""]] as const) {
      assert.isTrue(at(country, code), `${country} ${code}`)
    }
    for (const [country, code] of [["GB", "12345"], ["DE", "1011"], ["US", "ABCDE"], ["GB", ""]] as const) {
      assert.isFalse(at(country, code), `${country} ${code}`)
    }
  })

  it("likeness of names: the textbook values", () => {
    assert.closeTo(Similarity.jaroWinkler("martha", "marhta"), 0.9611, 1e-4)
    assert.closeTo(Similarity.jaroWinkler("dixon", "dicksonx"), 0.8133, 1e-4)
    assert.strictEqual(Similarity.jaroWinkler("abc", "xyz"), 0)
    assert.strictEqual(Similarity.ofNameAndEmail("Ada Lovelace", "ada.lovelace@example.com"), 100)
    assert.isBelow(Similarity.ofNameAndEmail("Ada Lovelace", "xq77zw@example.com"), 50)
  })

  it("features say nothing in clear about a person", () => {
    const shipping = {
      name: "Ada Lovelace",
      line1: "12 St James's Square",
      city: "London",
      postalCode: "SW1Y 4JH",
      country: "GB"
    }
    const features = FraudFeatures.of({
      placedAt: "2026-01-01T00:00:00.000Z",
      channel: "web",
      grand: { amount: 1, currency: "GBP" },
      shipping,
      billing: shipping,
      shippingOption: "express",
      customerId: undefined,
      customerRef: "17850",
      email: "ada.lovelace@example.com",
      name: "Ada Lovelace",
      phone: "+442079460123",
      ipAddress: "203.0.113.77",
      deviceId: "device-1",
      sessionStartedAt: undefined
    }, (kind) => `hash of ${kind}`)
    const text = JSON.stringify(features)
    for (const secret of ["Ada", "ada.", "Lovelace", "James", "SW1Y", "17850", "2079460123", "113.77", "device-1"]) {
      assert.notInclude(text, secret)
    }
    assert.strictEqual(features.ip?.prefix, "203.0.113.0/24")
    assert.strictEqual(features.email?.domain, "example.com")
    assert.deepStrictEqual(features.customer, { guest: false, hash: "hash of customer" })
    assert.isTrue(features.expressShipping)
  })
})

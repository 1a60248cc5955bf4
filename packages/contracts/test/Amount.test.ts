import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck as fc, Schema } from "effect"
import * as Amount from "../src/Amount.ts"
import * as Currency from "../src/Currency.ts"
import * as Money from "../src/Money.ts"

const amount = fc.oneof(
  fc.integer({ min: -1_000_000, max: 1_000_000 }),
  fc.maxSafeInteger(),
  fc.constantFrom(0, Amount.max, -Amount.max)
)
const weights = fc.array(fc.oneof(fc.nat(1000), fc.nat(), fc.constant(0)), { minLength: 1, maxLength: 50 })
const holds = <A>(property: fc.IPropertyWithHooks<A>) => fc.assert(property, { numRuns: 1000 })

/** Exact reference: half away from zero over BigInt. */
const divideRounded = (numerator: bigint, denominator: bigint): bigint => {
  const magnitude = numerator < 0n ? -numerator : numerator
  const rounded = (2n * magnitude + denominator) / (2n * denominator)
  return numerator < 0n ? -rounded : rounded
}

describe("Amount", () => {
  it("meets the acceptance vectors", () => {
    assert.deepStrictEqual(Amount.allocate(1000, [1, 1, 1]), Either.right([334, 333, 333]))
    assert.deepStrictEqual(Amount.multiply(999, 3), Either.right(2997))
    assert.deepStrictEqual(Amount.taxOn(2997, 2100), Either.right(629))
  })

  it("rounds half away from zero, on both sides", () => {
    assert.deepStrictEqual([1, 3, -1, -3].map((n) => Either.getOrThrow(Amount.ratio(n, 1, 2))), [1, 2, -1, -2])
    assert.deepStrictEqual([1, 2, -1, -2].map((n) => Either.getOrThrow(Amount.ratio(n, 1, 3))), [0, 1, 0, -1])
  })

  it("ratio equals exact arithmetic, or is refused where the result is too large", () => {
    holds(fc.property(amount, fc.nat(), fc.integer({ min: 1, max: Amount.max }), (a, numerator, denominator) => {
      const exact = divideRounded(BigInt(a) * BigInt(numerator), BigInt(denominator))
      const fits = exact <= BigInt(Amount.max) && exact >= -BigInt(Amount.max)
      assert.deepStrictEqual(
        Either.map(Amount.ratio(a, numerator, denominator), BigInt),
        fits ? Either.right(exact) : Either.left(new Amount.AmountTooLarge())
      )
    }))
  })

  it("sums and products are exact or refused, never rounded", () => {
    holds(fc.property(amount, amount, fc.integer({ min: 0, max: 1_000_000 }), (a, b, n) => {
      const expected = (exact: bigint) =>
        exact <= BigInt(Amount.max) && exact >= -BigInt(Amount.max)
          ? Either.right(exact)
          : Either.left(new Amount.AmountTooLarge())
      assert.deepStrictEqual(Either.map(Amount.add(a, b), BigInt), expected(BigInt(a) + BigInt(b)))
      assert.deepStrictEqual(Either.map(Amount.subtract(a, b), BigInt), expected(BigInt(a) - BigInt(b)))
      assert.deepStrictEqual(Either.map(Amount.multiply(a, n), BigInt), expected(BigInt(a) * BigInt(n)))
    }))
  })

  it("allocated parts sum to the whole, exactly, and each is within one unit of its share", () => {
    holds(fc.property(amount, weights, (a, by) => {
      const parts = Either.getOrThrow(Amount.allocate(a, by))
      assert.strictEqual(parts.reduce((sum, part) => sum + BigInt(part), 0n), BigInt(a))
      const total = by.reduce((sum, weight) => sum + BigInt(weight), 0n)
      parts.forEach((part, i) => {
        const [weight, whole] = total === 0n ? [1n, BigInt(by.length)] : [BigInt(by[i] ?? 0), total]
        const error = BigInt(part) * whole - BigInt(a) * weight
        assert.isTrue((error < 0n ? -error : error) < whole)
      })
    }))
  })

  it("allocation gives ties to the first and nothing to weight 0", () => {
    assert.deepStrictEqual(Amount.allocate(5, [1, 1, 1, 1]), Either.right([2, 1, 1, 1]))
    assert.deepStrictEqual(Amount.allocate(-5, [1, 0, 1]), Either.right([-3, 0, -2]))
    assert.deepStrictEqual(Amount.allocate(7, [0, 0]), Either.right([4, 3]))
  })

  it("allocation by nonsense is refused", () => {
    for (const by of [[], [-1, 2], [0.5], [Number.NaN], [Amount.max, Amount.max]]) {
      assert.isTrue(Either.isLeft(Amount.allocate(10, by)))
    }
  })

  it("tax within a gross amount is the tax on its net", () => {
    holds(fc.property(fc.integer({ min: 0, max: 1_000_000_000 }), fc.nat(10_000), (gross, rate) => {
      const tax = Either.getOrThrow(Amount.taxWithin(gross, rate))
      const back = Either.getOrThrow(Amount.taxOn(gross - tax, rate))
      assert.isAtMost(Math.abs(back - tax), 1)
    }))
    assert.deepStrictEqual(Amount.taxWithin(12_100, 2100), Either.right(2100))
  })

  it("takes whole safe numbers only", () => {
    const accepts = Schema.is(Amount.Amount)
    assert.deepStrictEqual([0, -1, Amount.max, -Amount.max].filter(accepts).length, 4)
    for (const no of [0.1, Amount.max + 1, Number.NaN, Number.POSITIVE_INFINITY, "1", null, 1n]) {
      assert.isFalse(accepts(no))
    }
    assert.isFalse(Schema.is(Amount.NonNegativeAmount)(-1))
    assert.isFalse(Schema.is(Amount.PositiveAmount)(0))
  })
})

describe("Money", () => {
  it("adds, subtracts and compares one currency only", () => {
    const gbp = Money.of(100, "GBP")
    const eur = Money.of(100, "EUR")
    const mismatch = Either.left(new Money.CurrencyMismatch({ expected: "GBP", actual: "EUR" }))
    assert.deepStrictEqual(Money.add(gbp, Money.of(1, "GBP")), Either.right(Money.of(101, "GBP")))
    assert.deepStrictEqual(Money.subtract(gbp, Money.of(101, "GBP")), Either.right(Money.of(-1, "GBP")))
    assert.deepStrictEqual(Money.compare(gbp, Money.of(99, "GBP")), Either.right(1))
    assert.deepStrictEqual(Money.add(gbp, eur), mismatch)
    assert.deepStrictEqual(Money.subtract(gbp, eur), mismatch)
    assert.deepStrictEqual(Money.compare(gbp, eur), mismatch)
  })

  it("shows the decimals of ISO 4217", () => {
    assert.deepStrictEqual(
      [Money.of(-1205, "GBP"), Money.of(5, "EUR"), Money.of(500, "JPY"), Money.of(1, "KWD")].map(Money.format),
      ["-12.05 GBP", "0.05 EUR", "500 JPY", "0.001 KWD"]
    )
    assert.deepStrictEqual(["JPY", "EUR", "KWD", "CLF"].map(Currency.exponent), [0, 2, 3, 4])
  })

  it("refuses currencies that do not exist, fractions and texts", () => {
    const accepts = Schema.is(Money.Money)
    assert.isTrue(accepts({ amount: 1, currency: "GBP" }))
    for (const currency of ["gbp", "XXX", "", "GBP ", "constructor"]) assert.isFalse(accepts({ amount: 1, currency }))
    for (const wrong of [0.5, "1", null, undefined]) assert.isFalse(accepts({ amount: wrong, currency: "GBP" }))
  })
})

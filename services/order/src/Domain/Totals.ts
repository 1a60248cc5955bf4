import * as Amount from "@holdfast/contracts/Amount"
import type { Totals } from "@holdfast/contracts/Order"
import { TotalsMismatch } from "@holdfast/contracts/OrderErrors"
import type { Rate } from "@holdfast/contracts/Rate"
import * as Either from "effect/Either"

/** What is known of a line before its amounts are worked out. */
export interface LineInput {
  readonly qty: number
  readonly unitPrice: Amount.Amount
  readonly discount: Amount.Amount
  readonly taxRateBp: Rate
}

/** A line's amounts; `discount` has the line's share of the order's discount in it. */
export interface LineAmounts {
  readonly discount: Amount.Amount
  readonly lineTotal: Amount.Amount
  readonly tax: Amount.Amount
}

/** What lines, shipping and discount an order has, and whether their prices include the tax. */
export interface Input<Line extends LineInput> {
  readonly lines: ReadonlyArray<Line>
  readonly taxInclusive: boolean
  /** A discount of the whole order, beside those of the lines. */
  readonly discount: Amount.Amount
  readonly shipping: Amount.Amount
  readonly shippingTaxRateBp: Rate
  readonly fees: Amount.Amount
}

/** Whether the totals add up (invariant O2). */
export const addUp = (totals: Totals, taxInclusive: boolean): boolean =>
  totals.grand ===
    totals.items - totals.discount + totals.shipping + totals.fees + (taxInclusive ? 0 : totals.tax)

/**
 * The amounts of an order and its lines: each line is rounded once, totals are sums of rounded lines, a discount of the
 * order is split by largest remainder (spec §1.1). Fails when an amount leaves the exact range, or a discount exceeds what
 * it discounts.
 */
export const compute = <Line extends LineInput>(
  input: Input<Line>
): Either.Either<
  { readonly lines: ReadonlyArray<Line & LineAmounts>; readonly totals: Totals },
  Amount.AmountTooLarge | TotalsMismatch
> =>
  Either.gen(function*() {
    const taxOf = input.taxInclusive ? Amount.taxWithin : Amount.taxOn
    const gross = yield* Either.all(input.lines.map((line) => Amount.multiply(line.unitPrice, line.qty)))
    const items = yield* Amount.sum(gross)
    const open = gross.map((amount, i) => amount - (input.lines[i]?.discount ?? 0))
    const overdrawn = open.findIndex((amount) => amount < 0)
    if (overdrawn >= 0) {
      yield* Either.left(
        new TotalsMismatch({
          field: `lines[${overdrawn}].discount`,
          expected: gross[overdrawn] ?? 0,
          actual: input.lines[overdrawn]?.discount ?? 0
        })
      )
    }
    const discountable = yield* Amount.sum(open)
    if (input.discount > discountable) {
      yield* Either.left(
        new TotalsMismatch({ field: "totals.discount", expected: items, actual: items - discountable + input.discount })
      )
    }
    const shares = input.discount === 0
      ? open.map(() => 0)
      // The weights are amounts already checked: whole and not negative.
      : Either.getOrElse(Amount.allocate(input.discount, open), () => [])
    const lines: Array<Line & LineAmounts> = []
    for (const [i, line] of input.lines.entries()) {
      const lineTotal = (open[i] ?? 0) - (shares[i] ?? 0)
      const tax = yield* taxOf(lineTotal, line.taxRateBp)
      lines.push({ ...line, discount: line.discount + (shares[i] ?? 0), lineTotal, tax })
    }
    const discount = yield* Amount.sum(lines.map((line) => line.discount))
    const shippingTax = yield* taxOf(input.shipping, input.shippingTaxRateBp)
    const tax = yield* Amount.sum([...lines.map((line) => line.tax), shippingTax])
    const grand = yield* Amount.sum([items, -discount, input.shipping, input.fees, input.taxInclusive ? 0 : tax])
    return { lines, totals: { items, discount, shipping: input.shipping, fees: input.fees, tax, grand } }
  })

/**
 * The order with the tax that was agreed elsewhere instead of the computed one: split over lines and shipping as the computed
 * tax was, so that the parts still sum to the whole.
 */
export const withTax = <Line extends LineAmounts>(
  order: { readonly lines: ReadonlyArray<Line>; readonly totals: Totals },
  tax: Amount.Amount,
  taxInclusive: boolean
): { readonly lines: ReadonlyArray<Line>; readonly totals: Totals } => {
  const { lines, totals } = order
  if (tax === totals.tax) return order
  const ofShipping = totals.tax - lines.reduce((sum, line) => sum + line.tax, 0)
  // Taxes are whole and not negative, which is all that weights must be.
  const shares = Either.getOrElse(Amount.allocate(tax, [...lines.map((line) => line.tax), ofShipping]), () => [])
  return {
    lines: lines.map((line, i) => ({ ...line, tax: shares[i] ?? 0 })),
    totals: { ...totals, tax, grand: totals.grand + (taxInclusive ? 0 : tax - totals.tax) }
  }
}

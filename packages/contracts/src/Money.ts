import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Amount from "./Amount.ts"
import { Currency, exponent } from "./Currency.ts"
import { problem } from "./Problem.ts"

/**
 * An amount of money: minor units and their currency (spec §1.1). Within one document that names its currency once (an
 * order, a price) amounts stand alone, as {@link Amount}.
 *
 * @category schemas
 */
export const Money = Schema.Struct({ amount: Amount.Amount, currency: Currency }).annotations({
  identifier: "Money",
  description: "Money in minor units: { \"amount\": 1299, \"currency\": \"GBP\" } is £12.99"
})
export type Money = typeof Money.Type

/**
 * Money above zero, e.g. what is authorised or refunded.
 *
 * @category schemas
 */
export const PositiveMoney = Schema.Struct({ amount: Amount.PositiveAmount, currency: Currency }).annotations({
  identifier: "PositiveMoney",
  description: "Money above zero in minor units: { \"amount\": 1299, \"currency\": \"GBP\" } is £12.99"
})

/**
 * Money of two currencies met where one is needed.
 *
 * @category errors
 */
export class CurrencyMismatch extends Schema.TaggedError<CurrencyMismatch>()(
  "CurrencyMismatch",
  { expected: Currency, actual: Currency },
  problem({
    code: "currency_mismatch",
    status: 422,
    title: "The currencies differ",
    detail: "Send all amounts in the currency of the document they belong to.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Money of a currency.
 *
 * @category constructors
 */
export const of = (amount: Amount.Amount, currency: Currency): Money => ({ amount, currency })

const both = <A, E>(
  a: Money,
  b: Money,
  f: (a: Amount.Amount, b: Amount.Amount) => Either.Either<A, E>
): Either.Either<A, E | CurrencyMismatch> =>
  a.currency === b.currency
    ? f(a.amount, b.amount)
    : Either.left(new CurrencyMismatch({ expected: a.currency, actual: b.currency }))

/**
 * The exact sum, of one currency only.
 *
 * @category arithmetic
 */
export const add = (a: Money, b: Money): Either.Either<Money, Amount.AmountTooLarge | CurrencyMismatch> =>
  Either.map(both(a, b, Amount.add), (amount) => of(amount, a.currency))

/**
 * The exact difference, of one currency only.
 *
 * @category arithmetic
 */
export const subtract = (a: Money, b: Money): Either.Either<Money, Amount.AmountTooLarge | CurrencyMismatch> =>
  Either.map(both(a, b, Amount.subtract), (amount) => of(amount, a.currency))

/**
 * The exact product with a whole number.
 *
 * @category arithmetic
 */
export const multiply = (money: Money, times: number): Either.Either<Money, Amount.AmountTooLarge> =>
  Either.map(Amount.multiply(money.amount, times), (amount) => of(amount, money.currency))

/**
 * −1, 0 or 1 as `a` is less than, equal to or more than `b`, of one currency only.
 *
 * @category comparison
 */
export const compare = (a: Money, b: Money): Either.Either<-1 | 0 | 1, CurrencyMismatch> =>
  both(a, b, (x, y) => Either.right(x < y ? -1 : x > y ? 1 : 0))

/**
 * Splits money in proportion to whole weights, see {@link Amount.allocate}.
 *
 * @category arithmetic
 */
export const allocate = (
  money: Money,
  weights: ReadonlyArray<number>
): Either.Either<ReadonlyArray<Money>, Amount.InvalidWeights> =>
  Either.map(Amount.allocate(money.amount, weights), (parts) => parts.map((amount) => of(amount, money.currency)))

/**
 * The money as plain text for people and logs, e.g. `-12.05 GBP`, `500 JPY`.
 *
 * @category conversions
 */
export const format = (money: Money): string => {
  const decimals = exponent(money.currency)
  const digits = String(Math.abs(money.amount)).padStart(decimals + 1, "0")
  const text = decimals === 0 ? digits : `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`
  return `${money.amount < 0 ? "-" : ""}${text} ${money.currency}`
}

import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { problem } from "./Problem.ts"
import * as Rate from "./Rate.ts"

/** The largest amount either way: 2^53−1 minor units. */
export const max = Number.MAX_SAFE_INTEGER

/**
 * An amount in minor units of a currency that is named beside it: a whole number, |amount| ≤ 2^53−1, never a float.
 *
 * @category schemas
 */
export const Amount = Schema.Number.pipe(
  Schema.filter(Number.isSafeInteger, {
    jsonSchema: { type: "integer", minimum: -max, maximum: max },
    message: () => "an amount must be a whole number of minor units (cents, pence), at most 9007199254740991 either way"
  }),
  Schema.annotations({ description: "Minor units of the currency" })
)
export type Amount = typeof Amount.Type

/**
 * An amount that may not be negative, e.g. a unit price.
 *
 * @category schemas
 */
export const NonNegativeAmount = Schema.Number.pipe(
  Schema.filter((n) => Number.isSafeInteger(n) && n >= 0, {
    jsonSchema: { type: "integer", minimum: 0, maximum: max },
    message: () => "must be a whole number of minor units (cents, pence) from 0 to 9007199254740991"
  }),
  Schema.annotations({ description: "Minor units of the currency" })
)

/**
 * An amount above zero, e.g. what is captured.
 *
 * @category schemas
 */
export const PositiveAmount = Schema.Number.pipe(
  Schema.filter((n) => Number.isSafeInteger(n) && n > 0, {
    jsonSchema: { type: "integer", minimum: 1, maximum: max },
    message: () => "must be a whole number of minor units (cents, pence) from 1 to 9007199254740991"
  }),
  Schema.annotations({ description: "Minor units of the currency" })
)

/**
 * A sum or product left the range in which whole numbers are exact.
 *
 * @category errors
 */
export class AmountTooLarge extends Schema.TaggedError<AmountTooLarge>()(
  "AmountTooLarge",
  {},
  problem({
    code: "amount_too_large",
    status: 422,
    title: "The amounts are too large",
    detail: "Lower the prices or quantities: no amount or total may exceed 9007199254740991 minor units.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * There is nothing to allocate by: no weights, or one that is negative or not whole.
 *
 * @category errors
 */
export class InvalidWeights extends Data.TaggedError("InvalidWeights")<{ readonly weights: ReadonlyArray<number> }> {}

const safe = (amount: number): Either.Either<Amount, AmountTooLarge> =>
  // `+ 0` turns -0 into 0.
  Number.isSafeInteger(amount) ? Either.right(amount + 0) : Either.left(new AmountTooLarge())

/** a × b ÷ c exactly, for whole numbers a, b ≥ 0 and c > 0: quotient and remainder. */
const multiplyDivide = (a: number, b: number, c: number): readonly [quotient: number, remainder: number] => {
  const product = a * b
  if (product <= max) {
    const remainder = product % c
    return [(product - remainder) / c, remainder]
  }
  const exact = BigInt(a) * BigInt(b)
  const divisor = BigInt(c)
  return [Number(exact / divisor), Number(exact % divisor)]
}

/**
 * The exact sum of two amounts.
 *
 * @category arithmetic
 */
export const add = (a: Amount, b: Amount): Either.Either<Amount, AmountTooLarge> => safe(a + b)

/**
 * The exact sum; 0 of none.
 *
 * @category arithmetic
 */
export const sum = (amounts: Iterable<Amount>): Either.Either<Amount, AmountTooLarge> => {
  let total = 0
  for (const amount of amounts) {
    total += amount
    if (!Number.isSafeInteger(total)) return Either.left(new AmountTooLarge())
  }
  return safe(total)
}

/**
 * The exact difference.
 *
 * @category arithmetic
 */
export const subtract = (a: Amount, b: Amount): Either.Either<Amount, AmountTooLarge> => safe(a - b)

/**
 * The exact product with a whole number, e.g. unit price × quantity.
 *
 * @category arithmetic
 */
export const multiply = (amount: Amount, times: number): Either.Either<Amount, AmountTooLarge> => safe(amount * times)

/**
 * `amount × numerator ÷ denominator`, rounded once, half away from zero. Numerator ≥ 0 and denominator > 0 are whole.
 *
 * @category arithmetic
 */
export const ratio = (
  amount: Amount,
  numerator: number,
  denominator: number
): Either.Either<Amount, AmountTooLarge> => {
  const [quotient, remainder] = multiplyDivide(Math.abs(amount), numerator, denominator)
  const rounded = remainder >= denominator - remainder ? quotient + 1 : quotient
  return safe(amount < 0 ? -rounded : rounded)
}

/**
 * The tax to add to a net amount.
 *
 * @category arithmetic
 */
export const taxOn = (net: Amount, rate: Rate.Rate): Either.Either<Amount, AmountTooLarge> =>
  ratio(net, rate, Rate.whole)

/**
 * The tax inside a gross amount.
 *
 * @category arithmetic
 */
export const taxWithin = (gross: Amount, rate: Rate.Rate): Either.Either<Amount, AmountTooLarge> =>
  ratio(gross, rate, Rate.whole + rate)

/**
 * Splits an amount in proportion to whole weights ≥ 0 by largest remainder, ties by index: the parts sum to the whole,
 * exactly. Weights that are all zero count as equal.
 *
 * @category arithmetic
 */
export const allocate = (
  amount: Amount,
  weights: ReadonlyArray<number>
): Either.Either<ReadonlyArray<Amount>, InvalidWeights> => {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  if (
    weights.length === 0 || !Number.isSafeInteger(total) || !weights.every((w) => Number.isSafeInteger(w) && w >= 0)
  ) {
    return Either.left(new InvalidWeights({ weights }))
  }
  if (total === 0) return allocate(amount, weights.map(() => 1))
  const whole = Math.abs(amount)
  const shares = weights.map((weight) => multiplyDivide(whole, weight, total))
  const parts = shares.map(([quotient]) => quotient)
  const missing = whole - parts.reduce((sum, part) => sum + part, 0)
  const byRemainder = shares.map((_, index) => index).sort((a, b) =>
    (shares[b]?.[1] ?? 0) - (shares[a]?.[1] ?? 0) || a - b
  )
  for (const index of byRemainder.slice(0, missing)) parts[index] = (parts[index] ?? 0) + 1
  return Either.right(amount < 0 ? parts.map((part) => 0 - part) : parts)
}

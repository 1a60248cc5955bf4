import * as Schema from "effect/Schema"

/** The most units one line may move. */
export const max = 1_000_000

/**
 * Units to order, receive or move: a whole number from 1 to {@link max}.
 *
 * @category schemas
 */
export const Quantity = Schema.Number.pipe(
  Schema.filter((n) => Number.isInteger(n) && n >= 1 && n <= max, {
    jsonSchema: { type: "integer", minimum: 1, maximum: max },
    message: () => `a quantity must be a whole number from 1 to ${max}`
  })
)
export type Quantity = typeof Quantity.Type

/**
 * A counted number of units, e.g. of a bucket of stock: a whole number from 0 to 2^53−1.
 *
 * @category schemas
 */
export const Count = Schema.Number.pipe(
  Schema.filter((n) => Number.isSafeInteger(n) && n >= 0, {
    jsonSchema: { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    message: () => "a count must be a whole number from 0 to 9007199254740991"
  })
)
export type Count = typeof Count.Type

/**
 * A change of units: a whole number other than 0, at most {@link max} either way.
 *
 * @category schemas
 */
export const QuantityDelta = Schema.Number.pipe(
  Schema.filter((n) => Number.isInteger(n) && n !== 0 && Math.abs(n) <= max, {
    jsonSchema: { type: "integer", minimum: -max, maximum: max, not: { const: 0 } },
    message: () => `a change of quantity must be a whole number from -${max} to ${max}, not 0`
  })
)
export type QuantityDelta = typeof QuantityDelta.Type

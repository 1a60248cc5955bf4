import * as Schema from "effect/Schema"

/**
 * A whole number from `min` to `max`, both included.
 *
 * @category schemas
 */
export const between = (min: number, max: number) =>
  Schema.Number.pipe(
    Schema.filter((n) => Number.isSafeInteger(n) && n >= min && n <= max, {
      jsonSchema: { type: "integer", minimum: min, maximum: max },
      message: () => `must be a whole number from ${min} to ${max}`
    })
  )

/**
 * The version of an aggregate: 1 when it is made, +1 per accepted command; sent as `ETag`, demanded as `If-Match`.
 *
 * @category schemas
 */
export const Version = between(1, Number.MAX_SAFE_INTEGER)

import * as Schema from "effect/Schema"

/**
 * The GS1 check digit of the digits before it: weights 3, 1, 3, … from the right.
 *
 * @category arithmetic
 */
export const checkDigit = (digits: string): number => {
  let sum = 0
  for (let i = 0; i < digits.length; i++) sum += Number(digits[digits.length - 1 - i]) * (i % 2 === 0 ? 3 : 1)
  return (10 - sum % 10) % 10
}

/**
 * A Global Trade Item Number of 8, 12, 13 or 14 digits whose check digit is right (invariant C1).
 *
 * @category schemas
 */
export const Gtin = Schema.String.pipe(
  Schema.filter((text) => /^(\d{8}|\d{12,14})$/.test(text) && checkDigit(text.slice(0, -1)) === Number(text.at(-1)), {
    jsonSchema: { pattern: "^([0-9]{8}|[0-9]{12,14})$" },
    message: () => "a GTIN must have 8, 12, 13 or 14 digits, the last one the right check digit"
  })
)
export type Gtin = typeof Gtin.Type

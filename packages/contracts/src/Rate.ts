import * as Integer from "./Integer.ts"

/** One whole: 100 %. */
export const whole = 10_000

/**
 * A share in basis points, 1 bp = 0.01 %: 21 % VAT is 2100. From 0 to 10 000.
 *
 * @category schemas
 */
export const Rate = Integer.between(0, whole).annotations({
  description: "Basis points: 2100 = 21 %",
  examples: [2100]
})
export type Rate = typeof Rate.Type

import * as Schema from "effect/Schema"

/**
 * A stock-keeping unit: the shop's own code of a variant, case-sensitive, 1 to 64 characters that need no escaping in a
 * path.
 *
 * @category schemas
 */
export const Sku = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
    message: () => "a sku must be 1 to 64 letters, digits, \".\", \"_\" or \"-\", the first a letter or a digit"
  }),
  Schema.annotations({ description: "Stock-keeping unit", examples: ["85123A"] })
)
export type Sku = typeof Sku.Type

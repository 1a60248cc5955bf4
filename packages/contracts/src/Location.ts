import * as Schema from "effect/Schema"
import * as Text from "./Text.ts"

/**
 * A place that holds stock, by its code, e.g. `main`. It comes into being with the first movement there.
 *
 * @category schemas
 */
export const LocationId = Text.code(64).pipe(
  Schema.annotations({ description: "Code of a stock location", examples: ["main"] })
)
export type LocationId = typeof LocationId.Type

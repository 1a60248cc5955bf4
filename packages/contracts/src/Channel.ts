import * as Schema from "effect/Schema"
import * as Text from "./Text.ts"

/**
 * Where goods are sold, e.g. `web` or a marketplace's name.
 *
 * @category schemas
 */
export const Channel = Text.code(64).pipe(Schema.annotations({ description: "Sales channel", examples: ["web"] }))
export type Channel = typeof Channel.Type

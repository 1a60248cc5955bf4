import * as Text from "./Text.ts"

/**
 * Who did something: a user, `customer`, or `agent:<name>`.
 *
 * @category schemas
 */
export const Actor = Text.line(128)
export type Actor = typeof Actor.Type

import * as Schema from "effect/Schema"

/**
 * The names of the fifteen agents: also the folder, the HTTP prefix and the owner of topics `ecom.<agent>.…`.
 *
 * @category schemas
 */
export const Agent = Schema.Literal(
  "order",
  "product",
  "payment",
  "transport",
  "documents",
  "inventory",
  "warehouse",
  "customer",
  "marketplace",
  "aftersales",
  "quality",
  "backoffice",
  "knowledge",
  "fraud",
  "risk"
)
export type Agent = typeof Agent.Type

/** The names in the order of the documentation. */
export const agents: ReadonlyArray<Agent> = Agent.literals

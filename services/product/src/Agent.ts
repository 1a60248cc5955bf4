import * as Agent from "@holdfast/agent/Agent"
import { ProductApi } from "@holdfast/contracts/ProductApi"
import { handlers } from "./Handlers.ts"
import { initial } from "./migrations/0001_initial.ts"
import { tables } from "./Tables.ts"

/** What the shop sells, at which price, and on which channels. */
export const agent = Agent.make({
  name: "product",
  title: "Product catalogue",
  tables,
  migrations: [initial],
  api: ProductApi,
  handlers
})

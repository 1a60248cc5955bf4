import * as Agent from "@holdfast/agent/Agent"
import { InventoryApi } from "@holdfast/contracts/InventoryApi"
import { handlers } from "./Handlers.ts"
import { jobs } from "./Jobs.ts"
import { initial } from "./migrations/0001_initial.ts"
import { subscriptions } from "./Reactions.ts"
import { tables } from "./Tables.ts"

/** How many of each sku are where, and promised to whom. */
export const agent = Agent.make({
  name: "inventory",
  title: "Inventory",
  tables,
  migrations: [initial],
  api: InventoryApi,
  handlers,
  subscriptions,
  jobs
})

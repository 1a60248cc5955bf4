import * as Agent from "@holdfast/agent/Agent"
import * as Sagas from "@holdfast/agent/Sagas"
import { OrderApi } from "@holdfast/contracts/OrderApi"
import { handlers } from "./Handlers.ts"
import { jobs } from "./Jobs.ts"
import { initial } from "./migrations/0001_initial.ts"
import { subscriptions } from "./Reactions.ts"
import { cancellation } from "./Sagas/CancellationSaga.ts"
import { checkout } from "./Sagas/CheckoutSaga.ts"
import { tables } from "./Tables.ts"

/**
 * Orders from placement to their end. It needs `HashKey` (the secret that hashes identifiers for fraud) and `Peer` (who asks
 * other agents over HTTP).
 */
export const agent = Agent.make({
  name: "order",
  title: "Orders",
  tables,
  migrations: [initial],
  api: OrderApi,
  handlers,
  subscriptions,
  jobs,
  sagas: [Sagas.part(checkout, cancellation)]
})

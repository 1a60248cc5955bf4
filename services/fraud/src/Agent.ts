import * as Agent from "@holdfast/agent/Agent"
import { FraudApi } from "@holdfast/contracts/FraudApi"
import { handlers } from "./Handlers.ts"
import { jobs } from "./Jobs.ts"
import { initial } from "./migrations/0001_initial.ts"
import { subscriptions } from "./Reactions.ts"
import { Settings } from "./Settings.ts"
import * as Tables from "./Tables.ts"

/** Decides for each order whether it is accepted, reviewed or refused; keeps cases, lists and rules (spec §16). */
export const agent = Agent.provide(
  Agent.make({
    name: "fraud",
    title: "Fraud",
    tables: Tables.all,
    migrations: [initial],
    api: FraudApi,
    handlers,
    subscriptions,
    jobs
  }),
  Settings.layer
)

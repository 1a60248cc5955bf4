import * as HoldfastAgent from "@holdfast/agent/Agent"
import { PaymentApi } from "@holdfast/contracts/PaymentApi"
import * as Layer from "effect/Layer"
import * as GatewayCalls from "./GatewayCalls.ts"
import { handlers } from "./Handlers.ts"
import { jobs } from "./Jobs.ts"
import { initial } from "./migrations/0001_initial.ts"
import { subscriptions } from "./Reactions.ts"
import * as SandboxGateway from "./SandboxGateway.ts"
import * as Tables from "./Tables.ts"

/** The payment agent; its gateway is still to be provided. */
export const agent = HoldfastAgent.make({
  name: "payment",
  title: "Payments",
  tables: Tables.all,
  migrations: [initial],
  api: PaymentApi,
  handlers,
  subscriptions,
  jobs
})

/** The payment agent with the sandbox gateway, whose memory is a file in the folder of the stores. */
export const withSandbox = (options: SandboxGateway.Options & GatewayCalls.Options) =>
  HoldfastAgent.provide(
    agent,
    Layer.provideMerge(GatewayCalls.GatewayCalls.layer(options), SandboxGateway.layer(options))
  )

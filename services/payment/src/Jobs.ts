import * as Job from "@holdfast/agent/Job"
import * as Effect from "effect/Effect"
import * as Expiries from "./Expiries.ts"
import { GatewayCalls } from "./GatewayCalls.ts"
import { Attempts, WebhookEvents } from "./Tables.ts"
import * as Webhooks from "./Webhooks.ts"

export const jobs = [
  Job.worker(
    "gateway-calls",
    { wakeOn: [Attempts], every: "5 seconds" },
    Effect.flatMap(GatewayCalls, (calls) => calls.wake)
  ),
  Job.worker("webhooks", { wakeOn: [WebhookEvents], every: "5 seconds" }, Webhooks.processAll),
  Job.timer("expiries", "15 seconds", Expiries.actOnDue)
] as const

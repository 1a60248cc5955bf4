import * as Instant from "@holdfast/contracts/Instant"
import { Effect, Schema } from "effect"
import { ApiClient } from "../../src/ApiClient.ts"
import type { Difference, Evidence } from "./Explanation.ts"

const Timeline = Schema.Struct({
  items: Schema.Array(Schema.Struct({
    at: Instant.Instant,
    kind: Schema.String,
    data: Schema.Record({ key: Schema.String, value: Schema.Unknown })
  }))
})

const Assessments = Schema.Struct({
  items: Schema.Array(Schema.Struct({ outcome: Schema.String, assessedAt: Instant.Instant }))
})

/** Asks the agents for the history of each order that differs. */
export const gather = (differences: ReadonlyArray<Difference>) =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    const found = yield* Effect.forEach(differences.flatMap(({ disturbed }) => disturbed ?? []), ({ orderId }) =>
      Effect.gen(function*() {
        const timeline = yield* api.get(`/order/orders/${orderId}/timeline?limit=200`, Timeline)
        const assessments = yield* api.get(`/fraud/assessments?orderId=${orderId}`, Assessments)
        const evidence: Evidence = {
          timeline: timeline.items,
          assessments: assessments.items.map(({ assessedAt, outcome }) => ({ outcome, at: assessedAt }))
        }
        return [orderId, evidence] as const
      }), { concurrency: 4 })
    const byOrder = new Map(found)
    return (orderId: string) =>
      byOrder.get(orderId)
  })

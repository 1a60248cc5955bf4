import * as Instant from "@holdfast/contracts/Instant"
import * as PostgresReader from "@holdfast/database/PostgresReader"
import { Effect, Redacted, Schema } from "effect"
import { ApiClient } from "../../src/ApiClient.ts"
import type { Difference, Evidence } from "./Explanation.ts"
import type { Stage } from "./Stage.ts"

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

const Rejections = Schema.Array(Schema.Struct({
  envelope: Schema.parseJson(Schema.Struct({
    data: Schema.Struct({
      orderId: Schema.String,
      shortages: Schema.Array(Schema.Struct({ sku: Schema.String, bounded: Schema.optional(Schema.Literal(true)) }))
    })
  }))
}))

/** What inventory has told of each order that it could not serve, read from what it has said. */
const rejections = (databaseUrl: string) =>
  Effect.scoped(Effect.gen(function*() {
    const reader = yield* PostgresReader.reader({ url: Redacted.make(databaseUrl) }, "inventory")
    const rows = yield* reader.query("select envelope from outbox where type = ? order by seq", [
      "ecom.inventory.reservation_rejected.v1"
    ])
    return yield* Schema.decodeUnknown(Rejections)(rows)
  }))

/** Asks the agents for the history of each order that differs. */
export const gather = (stage: Stage, differences: ReadonlyArray<Difference>) =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    const rejected = differences.length === 0 ? [] : yield* rejections(stage.databaseUrl)
    const found = yield* Effect.forEach(differences.flatMap(({ disturbed }) => disturbed ?? []), ({ orderId }) =>
      Effect.gen(function*() {
        const timeline = yield* api.get(`/order/orders/${orderId}/timeline?limit=200`, Timeline)
        const assessments = yield* api.get(`/fraud/assessments?orderId=${orderId}`, Assessments)
        const evidence: Evidence = {
          timeline: timeline.items,
          shortages: rejected.filter(({ envelope }) =>
            envelope.data.orderId === orderId
          )
            .flatMap(({ envelope }) => envelope.data.shortages),
          assessments: assessments.items.map(({ assessedAt, outcome }) => ({ outcome, at: assessedAt }))
        }
        return [orderId, evidence] as const
      }), { concurrency: 4 })
    const byOrder = new Map(found)
    return (orderId: string) =>
      byOrder.get(orderId)
  })

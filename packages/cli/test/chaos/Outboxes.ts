import * as PostgresReader from "@holdfast/database/PostgresReader"
import { Effect, Redacted, Schema } from "effect"

const Said = Schema.Array(Schema.Struct({
  event_id: Schema.String,
  topic: Schema.String,
  key: Schema.String,
  type: Schema.String,
  published_at: Schema.NullOr(Schema.Number)
}))

const Ids = Schema.Array(Schema.Struct({ id: Schema.String }))

/** What an agent has said, in order, and of which messages it has records, as Postgres has it. */
export const of = (databaseUrl: string, agent: string) =>
  Effect.scoped(Effect.gen(function*() {
    const reader = yield* PostgresReader.reader({ url: Redacted.make(databaseUrl) }, agent)
    const said = yield* reader.query("select event_id, topic, key, type, published_at from outbox order by seq")
    const heard = yield* reader.query("select id from operation where id like ?", [`msg:${agent}:%`])
    return {
      said: yield* Schema.decodeUnknown(Said)(said),
      heard: new Set((yield* Schema.decodeUnknown(Ids)(heard)).map(({ id }) => id.split(":").at(-1) ?? ""))
    }
  }))

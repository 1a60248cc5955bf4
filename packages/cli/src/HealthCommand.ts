import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ApiClient } from "./ApiClient.ts"
import { print, printJson, table } from "./Terminal.ts"
import { json, url } from "./Url.ts"

/** Health is asked once: who waits for agents has probes. */
const PATIENCE_MILLIS = 0

const AgentHealth = Schema.Struct({
  agent: Schema.String,
  phase: Schema.String,
  degradationLevel: Schema.Number,
  notes: Schema.Array(Schema.String)
})

const Detailed = Schema.Struct({ agents: Schema.Array(AgentHealth) })

/** `holdfast health` */
export const command = Command.make("health", { url, json }, (given) =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    const found = yield* api.getEach("/health/detailed", Schema.Record({ key: Schema.String, value: Schema.Unknown }))
    if (given.json) return yield* printJson(found.length === 1 ? found[0] : found)
    const processes = yield* Effect.forEach(found, (whole) => Schema.decodeUnknown(Detailed)(whole))
    yield* print(table([
      ["agent", "state", "level", ""],
      ...processes.flatMap(({ agents }) => agents).map((agent) => [
        agent.agent,
        agent.phase,
        String(agent.degradationLevel),
        agent.notes.join("; ")
      ])
    ]))
  }).pipe(Effect.provide(ApiClient.layerConfig({ url: given.url, patienceMillis: PATIENCE_MILLIS })))).pipe(
    Command.withDescription(
      "Show how running agents are: state, degradation level, and what an operator should know.\n\n" +
        "Examples:\n" +
        "  npm run -s holdfast -- health\n" +
        "  npm run -s holdfast -- health --url http://127.0.0.1:4001 --json"
    )
  )

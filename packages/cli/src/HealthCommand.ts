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
  status: Schema.String,
  degradation_level: Schema.Number,
  notes: Schema.optional(Schema.Array(Schema.String))
})

const ProcessHealth = Schema.Struct({ agents: Schema.Array(AgentHealth) })

/** `holdfast health` */
export const command = Command.make("health", { url, json }, (given) =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    const whole = yield* api.get("/health/detailed", Schema.Unknown)
    if (given.json) return yield* printJson(whole)
    const { agents } = yield* Effect.orElseSucceed(Schema.decodeUnknown(ProcessHealth)(whole), () => ({ agents: [] }))
    yield* print(table([
      ["agent", "state", "level", ""],
      ...agents.map((agent) => [
        agent.agent,
        agent.status,
        String(agent.degradation_level),
        (agent.notes ?? []).join("; ")
      ])
    ]))
  }).pipe(Effect.provide(ApiClient.layer({ url: given.url, patienceMillis: PATIENCE_MILLIS })))).pipe(
    Command.withDescription(
      "Show how running agents are: state, degradation level, and what an operator should know.\n\n" +
        "Examples:\n" +
        "  npm run -s holdfast -- health\n" +
        "  npm run -s holdfast -- health --url http://127.0.0.1:4001 --json"
    )
  )

import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { DrillView, Seconds } from "@holdfast/agent/Drill"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { ApiError } from "./ApiClient.ts"
import { ApiClient } from "./ApiClient.ts"
import * as Count from "./Count.ts"
import * as OperatorCommand from "./OperatorCommand.ts"
import { print, printJson, progress, table } from "./Terminal.ts"
import { json, url } from "./Url.ts"

/** A drill did not end well, or there was nothing to drill. */
export class DrillFailed extends Data.TaggedError("DrillFailed")<{ readonly detail: string }> {}

/** The arguments are not what a drill takes. */
export class DrillArgumentsInvalid extends Data.TaggedError("DrillArgumentsInvalid")<{ readonly detail: string }> {}

/** How long an agent may take to come back, beside the time of the drill itself, in milliseconds. */
const RETURN_MILLIS = 120_000

const LOOK = "100 millis"

/** What became of one agent's drill; an agent that cannot be drilled says why. */
type Outcome = { readonly agent: string } & (DrillView | { readonly state: "passed over"; readonly error: string })

/** Agents that have nothing to drill, or must not be. */
const cannot: ReadonlySet<string> = new Set(["primary_not_configured", "drill_forbidden", "drill_untimely"])

const drill = (agent: string, seconds: number): Effect.Effect<Outcome, ApiError | DrillFailed, ApiClient> =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    const path = `/${encodeURIComponent(agent)}/drill`
    const begun = yield* Effect.either(api.post(path, { seconds }, undefined, DrillView))
    if (Either.isLeft(begun)) {
      const error = begun.left
      if (error._tag === "AgentsUnreachable") return yield* error
      if (cannot.has(error.code)) return { agent, state: "passed over", error: `${error.title}. ${error.detail}` }
      // Else the answer to the first attempt was lost, or somebody else has begun one: its report is as good.
      if (error.code !== "drill_running") return yield* error
    }
    const until = (yield* Clock.currentTimeMillis) + seconds * 1_000 + RETURN_MILLIS
    let view = Either.isRight(begun) ? begun.right : yield* api.get(path, DrillView)
    while (view.state === "running") {
      if ((yield* Clock.currentTimeMillis) > until) {
        return yield* new DrillFailed({ detail: `${agent} has not come back to Postgres: holdfast health says why` })
      }
      yield* Effect.sleep(LOOK)
      view = yield* api.get(path, DrillView)
    }
    return { agent, ...view }
  })

const isGood = (outcome: Outcome): boolean =>
  outcome.state === "passed over" || (outcome.state === "done" && outcome.report?.isSound === true)

const cells = (outcome: Outcome): ReadonlyArray<string> => {
  if (!("report" in outcome) || outcome.report === undefined) {
    return [outcome.agent, outcome.state, "", "", "", "", "", outcome.error ?? ""]
  }
  const { compared, copied, differed, isSound, merged, returnMillis, withheld } = outcome.report
  return [
    outcome.agent,
    outcome.state,
    String(merged + withheld),
    String(merged),
    String(withheld),
    `${returnMillis} ms`,
    String(compared),
    isSound
      ? "both sides are the same"
      : `${Count.of(differed, "row differed and is", "rows differed and are")} set right${
        copied > 0 ? `, ${Count.of(copied, "was", "were")} copied anew` : ""
      }`
  ]
}

const header = ["agent", "drill", "taken alone", "merged", "withheld", "return", "rows compared", "result"]

/** `holdfast drill` */
export const command = Command.make("drill", {
  agents: Args.text({ name: "agent" }).pipe(
    Args.withDescription("Agents to drill; all of them when left out"),
    Args.repeated
  ),
  seconds: Options.float("seconds").pipe(
    Options.withDescription("How long each works without Postgres, 0.5 to 60; 5 when left out"),
    Options.withDefault(5)
  ),
  url,
  json
}, (given) =>
  Effect.gen(function*() {
    if (!Schema.is(Seconds)(given.seconds)) {
      return yield* new DrillArgumentsInvalid({ detail: "--seconds must be a number of seconds from 0.5 to 60" })
    }
    const shown = progress()
    const { agents, silent } = yield* OperatorCommand.chosen(given.agents)
    // One after the other: a drill of one is no outage of the others.
    const outcomes = yield* Effect.ensuring(
      Effect.forEach(agents, (agent) =>
        Effect.zipRight(
          Effect.sync(() => shown.show(`${agent} works without Postgres for ${given.seconds} s`)),
          drill(agent, given.seconds)
        )),
      Effect.sync(shown.end)
    )
    yield* given.json ? printJson(outcomes) : print(table([header, ...outcomes.map(cells)]))
    if (silent.length > 0) {
      return yield* new DrillFailed({ detail: `not drilled: ${silent.map(({ message }) => message).join("; ")}` })
    }
    if (outcomes.every(({ state }) => state === "passed over")) {
      return yield* new DrillFailed({ detail: "no agent could be drilled: a drill needs Postgres (DATABASE_URL)" })
    }
    const bad = outcomes.filter((outcome) => !isGood(outcome))
    if (bad.length > 0) {
      return yield* new DrillFailed({
        detail: `not as it should be: ${bad.map(({ agent }) => agent).join(", ")}; see the report and the agents' logs`
      })
    }
  }).pipe(
    Effect.provide(ApiClient.layerConfig({ url: given.url, patienceMillis: OperatorCommand.PATIENCE_MILLIS }))
  )).pipe(
    Command.withDescription(
      "Exercise the whole way without Postgres on a healthy system: each agent leaves Postgres, works on its file, comes\n" +
        "back, merges what it has taken and compares every row of both sides. Nothing is lost and nothing stops; while it\n" +
        "lasts, an agent is at level 1. Exit code 1 when rows differed (they are set right) or a drill failed.\n\n" +
        "Examples:\n" +
        "  npm run -s holdfast -- drill\n" +
        "  npm run -s holdfast -- drill order inventory --seconds 10\n" +
        "  npm run -s holdfast -- drill --json"
    )
  )

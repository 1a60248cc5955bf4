import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Variable from "@holdfast/agent/Variable"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Reading from "./Health/Reading.ts"
import * as Screen from "./Health/Screen.ts"
import { print, printJson, screen } from "./Terminal.ts"
import { addresses, json } from "./Url.ts"

/** Agents that are not as they should be, or do not answer. */
export class AgentsUnwell extends Data.TaggedError("AgentsUnwell")<{ readonly detail: string }> {}

const urls = Options.text("url").pipe(
  Options.withDescription(
    "Where agents answer, once for each process; if not at ORDER_URL and the like, HOLDFAST_PEER_URL or HOLDFAST_PORT"
  ),
  Options.repeated,
  Options.map((texts) => texts.map((text) => text.replace(/\/+$/, "")))
)

const watch = Options.boolean("watch").pipe(
  Options.withDescription("Look again and again: a live view on a terminal, elsewhere a line for each change")
)

const interval = Options.text("interval").pipe(
  Options.withDescription("How long to wait before looking again; 1s when left out"),
  Options.withDefault("1s")
)

const intervalOf = (text: string): Effect.Effect<Duration.Duration, AgentConfig.ConfigInvalid> => {
  const value = Variable.duration("100 millis", "1 hour")(text)
  return value === undefined
    ? new AgentConfig.ConfigInvalid({ variable: "--interval", problem: "must be a time from 100 ms to 1 h, e.g. 1s" })
    : Effect.succeed(value)
}

/** Where to look, and which agents are configured to be there. */
type Target = Pick<Screen.Place, "url" | "expected">

const placeAt = (target: Target): Effect.Effect<Screen.Place> =>
  Effect.map(Effect.either(Reading.agentsAt(target.url)), (outcome) =>
    Either.isRight(outcome)
      ? { ...target, agents: outcome.right, fault: undefined }
      : { ...target, agents: [], fault: outcome.left.detail })

const look = (targets: ReadonlyArray<Target>): Effect.Effect<ReadonlyArray<Screen.Place>> =>
  Effect.forEach(targets, placeAt, { concurrency: "unbounded" })

const follow = (targets: ReadonlyArray<Target>, pause: Duration.Duration, isJson: boolean): Effect.Effect<never> =>
  Effect.gen(function*() {
    let before: ReadonlyArray<Screen.Place> = []
    for (;;) {
      const after = yield* look(targets)
      const now = yield* Clock.currentTimeMillis
      const time = new Date(now).toISOString()
      for (const { change, subject } of Screen.changes(before, after, now)) {
        yield* print(isJson ? JSON.stringify({ time, subject, change }) : `${time}  ${subject}  ${change}`)
      }
      before = after
      yield* Effect.sleep(pause)
    }
  })

const live = (targets: ReadonlyArray<Target>, pause: Duration.Duration): Effect.Effect<never> =>
  Effect.scoped(Effect.gen(function*() {
    const draw = yield* screen
    for (;;) {
      const found = yield* look(targets)
      const now = yield* Clock.currentTimeMillis
      const title = `${new Date(now).toISOString().slice(11, 19)}  every ${Duration.format(pause)}, Ctrl-C ends`
      yield* draw([title, "", ...Screen.frame(found, now)])
      yield* Effect.sleep(pause)
    }
  }))

const unanswered = (urls: ReadonlyArray<string>): AgentsUnwell =>
  new AgentsUnwell({ detail: `no agents answer at ${urls.join(", ")} (start them with npm start, or give --url)` })

const once = (targets: ReadonlyArray<Target>): Effect.Effect<void, AgentsUnwell> =>
  Effect.gen(function*() {
    const found = yield* look(targets)
    const now = yield* Clock.currentTimeMillis
    yield* print(Screen.frame(found, now).join("\n"))
    const silent = found.filter(({ fault }) => fault !== undefined).map(({ url }) => url)
    if (silent.length > 0) return yield* unanswered(silent)
    const failed = found.flatMap(({ agents }) => agents).filter(({ level }) => level >= 4).map(({ agent }) => agent)
    if (failed.length > 0) return yield* new AgentsUnwell({ detail: `failed: ${failed.join(", ")}` })
  })

const asJson = (targets: ReadonlyArray<Target>): Effect.Effect<void, AgentsUnwell | Reading.HealthUnknown> =>
  Effect.gen(function*() {
    const [only, ...others] = targets
    if (only !== undefined && others.length === 0) return yield* printJson(yield* Reading.whole(only.url))
    const [silent, found] = yield* Effect.partition(
      targets,
      ({ url }) => Reading.whole(url),
      { concurrency: "unbounded" }
    )
    yield* printJson(found)
    if (silent.length > 0) return yield* unanswered(silent.map(({ url }) => url))
  })

/** `holdfast health` */
export const command = Command.make("health", { urls, watch, interval, json }, (given) =>
  Effect.gen(function*() {
    const pause = yield* intervalOf(given.interval)
    const targets = given.urls.length > 0
      ? given.urls.map((url) => ({ url, expected: [] }))
      : yield* Effect.map(
        addresses(Option.none()),
        ({ all, namedAt }) => all.map((url) => ({ url, expected: namedAt(url) }))
      )
    if (given.watch) {
      return yield* process.stdout.isTTY && !given.json ? live(targets, pause) : follow(targets, pause, given.json)
    }
    return yield* given.json ? asJson(targets) : once(targets)
  })).pipe(
    Command.withDescription(
      "Show how running agents are: phase, degradation level and since when, what they depend on, what waits (messages to\n" +
        "send and to hear, writes for Postgres), conflicts, dead letters, and what an operator should know. Exit code 1 when\n" +
        "an agent has failed (level 4) or does not answer.\n\n" +
        "Examples:\n" +
        "  npm run -s holdfast -- health\n" +
        "  npm run -s holdfast -- health --watch\n" +
        "  npm run -s holdfast -- health --url http://127.0.0.1:4001 --url http://127.0.0.1:4002 --watch --interval 5s\n" +
        "  npm run -s holdfast -- health --json"
    )
  )

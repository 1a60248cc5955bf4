import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { AgentUnknown } from "./Agents.ts"
import type { ApiError } from "./ApiClient.ts"
import { AgentsUnreachable, ApiClient } from "./ApiClient.ts"
import * as Reading from "./Health/Reading.ts"
import { print, printJson, table } from "./Terminal.ts"
import { json, url } from "./Url.ts"

/** How long an operator's command waits for agents that do not answer. */
export const PATIENCE_MILLIS = 2_000

/**
 * Some agents did not answer: what was listed is not all there is.
 *
 * @category errors
 */
export class ListIncomplete extends Data.TaggedError("ListIncomplete")<{ readonly detail: string }> {}

/**
 * Things of agents that wait for an operator, and how they are listed.
 *
 * @category models
 */
export interface Listed<A, I> {
  /** The command, which is also the route below each agent. */
  readonly name: string
  readonly item: Schema.Schema<A, I>
  /** Those of them that are not the end of it: what is listed unless all are asked for. */
  readonly open: ReadonlyArray<string>
  /** The query parameter that names the state. */
  readonly stateParameter: string
  readonly columns: ReadonlyArray<string>
  readonly cells: (item: A) => ReadonlyArray<string>
  /** Every agent has such things, or all but these; those that are not known here say so themselves. */
  readonly owners: "all" | { readonly except: ReadonlySet<string> }
}

/**
 * What can be done about one of them, too.
 *
 * @category models
 */
export interface Kind<A, I> extends Listed<A, I> {
  readonly description: string
  readonly states: readonly [string, ...ReadonlyArray<string>]
  readonly actions: readonly [Action, Action]
}

/** What an operator can do about one thing; also the last part of its route. */
interface Action {
  readonly name: string
  readonly description: string
}

/**
 * Everything of the kind that an agent lists, page after page.
 *
 * @category reading
 */
export const listOf = <A, I>(
  kind: Pick<Listed<A, I>, "name" | "item" | "stateParameter">,
  agent: string,
  state: string | undefined
): Effect.Effect<ReadonlyArray<A>, ApiError, ApiClient> =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    const Page = Schema.Struct({ items: Schema.Array(kind.item), next: Schema.optional(Schema.String) })
    const filter = state === undefined ? "" : `&${kind.stateParameter}=${state}`
    const items: Array<A> = []
    let after = ""
    for (;;) {
      const page = yield* api.get(`/${agent}/${kind.name}?limit=200${filter}${after}`, Page)
      items.push(...page.items)
      if (page.next === undefined) return items
      after = `&after=${page.next}`
    }
  })

/** Lists what has ended too. */
export const all = Options.boolean("all").pipe(Options.withDescription("Also those that need nothing any more"))

interface Wanted {
  readonly state: Option.Option<string>
  readonly all: boolean
}

/** What an agent lists: of the state that is asked for, else what is open, or everything. */
const wantedOf = <A, I>(
  kind: Listed<A, I>,
  agent: string,
  wanted: Wanted
): Effect.Effect<ReadonlyArray<A>, ApiError, ApiClient> => {
  const states = Option.isSome(wanted.state) ? [wanted.state.value] : wanted.all ? [undefined] : kind.open
  return Effect.map(Effect.forEach(states, (state) => listOf(kind, agent, state)), (found) => found.flat())
}

/** What to say where nothing is listed. */
const none = (kind: string, wanted: Wanted): string =>
  wanted.all || Option.isSome(wanted.state) ? `no ${kind}` : `no open ${kind}; --all lists those that have ended too`

/**
 * Who runs, of all that are configured.
 *
 * @category models
 */
export interface Running {
  /** The agents of every process that answers. */
  readonly agents: ReadonlyArray<string>
  /** The processes that do not answer, and those that lack an agent which is configured to be there. */
  readonly silent: ReadonlyArray<AgentsUnreachable>
}

/** Again and again as long as an operator's patience lasts. */
const patiently = Schedule.upTo(Schedule.spaced("100 millis"), PATIENCE_MILLIS)

/**
 * Asks every process which agents it runs.
 *
 * @category reading
 */
export const running: Effect.Effect<Running, never, ApiClient> = Effect.gen(function*() {
  const { addresses } = yield* ApiClient
  const found = yield* Effect.forEach(addresses.all, (url) =>
    Effect.map(
      Effect.either(Effect.retry(Reading.namesAt(url), patiently)),
      (outcome) => ({ url, outcome })
    ), { concurrency: "unbounded" })
  const silent = found.flatMap(({ outcome, url }) => {
    const expected = addresses.namedAt(url)
    if (Either.isLeft(outcome)) return [new AgentsUnreachable({ url, agents: expected, detail: outcome.left.detail })]
    const missing = expected.filter((agent) => !outcome.right.includes(agent))
    const there = outcome.right.join(", ")
    return missing.length === 0
      ? []
      : [new AgentsUnreachable({ url, agents: missing, detail: `what answers there runs ${there || "no agents"}` })]
  })
  const agents = new Set(found.flatMap(({ outcome }) => Either.isRight(outcome) ? outcome.right : []))
  return { agents: [...agents], silent }
})

/**
 * Which of these names nobody has; an agent whose process does not answer may well be there.
 *
 * @category reading
 */
const unknownOf = (
  names: ReadonlyArray<string>,
  { agents, silent }: Running
): Effect.Effect<ReadonlyArray<string>, never, ApiClient> =>
  Effect.map(
    ApiClient,
    ({ addresses }) =>
      names.filter((name) => !agents.includes(name) && !silent.some(({ url }) => url === addresses.of(name)))
  )

/** The fault of a command that names agents that nobody has. */
const noSuch = (unknown: ReadonlyArray<string>, { agents, silent }: Running): AgentUnknown =>
  AgentUnknown.among([...agents, ...silent.flatMap((one) => one.agents)], unknown)

/**
 * Says of a request to one agent that failed that there is no such agent, if that is why.
 *
 * @category combining
 */
export const knowing =
  (agent: string) =>
  <A, R>(request: Effect.Effect<A, ApiError, R>): Effect.Effect<A, ApiError | AgentUnknown, R | ApiClient> =>
    Effect.catchAll(request, (error) =>
      Effect.gen(function*() {
        if (error._tag === "RequestRefused" && error.status !== 404) return yield* error
        const found = yield* running
        const unknown = yield* unknownOf([agent], found)
        return yield* unknown.length === 0 ? error : noSuch(unknown, found)
      }))

/**
 * The agents that are named, or all that run where none is; before anything is done to one of them.
 *
 * @category reading
 */
export const chosen = (
  names: ReadonlyArray<string>
): Effect.Effect<Running, AgentsUnreachable | AgentUnknown, ApiClient> =>
  Effect.gen(function*() {
    const found = yield* running
    const { addresses } = yield* ApiClient
    const unknown = yield* unknownOf(names, found)
    if (unknown.length > 0) return yield* noSuch(unknown, found)
    const away = names.length === 0
      ? found.agents.length === 0 ? found.silent[0] : undefined
      : found.silent.find(({ url }) => names.some((name) => !found.agents.includes(name) && addresses.of(name) === url))
    if (away !== undefined) return yield* away
    return names.length === 0 ? found : { agents: names, silent: [] }
  })

/**
 * Lists what all agents have of the kind. Those that do not answer are named afterwards: their part is missing.
 *
 * @category reading
 */
export const list = <A, I>(
  kind: Listed<A, I>,
  wanted: Wanted & { readonly json: boolean }
): Effect.Effect<void, AgentsUnreachable | ListIncomplete, ApiClient> =>
  Effect.gen(function*() {
    const { owners } = kind
    const mayHave = (agent: string) => owners === "all" || !owners.except.has(agent)
    const { agents, silent } = yield* running
    const [only, ...others] = silent
    if (agents.length === 0 && only !== undefined && others.length === 0) return yield* only
    const found = yield* Effect.forEach(agents.filter(mayHave), (agent) => {
      const items = Effect.map(wantedOf(kind, agent, wanted), (all) => all.map((item) => ({ agent, item })))
      return Effect.either(
        owners === "all" ? items : Effect.catchTag(
          items,
          "RequestRefused",
          (error) => error.status === 404 ? Effect.succeed([]) : Effect.fail(error)
        )
      )
    }, { concurrency: "unbounded" })
    const faults = [
      ...silent.filter((one) => one.agents.length === 0 || one.agents.some(mayHave)),
      ...found.flatMap((outcome) => Either.isLeft(outcome) ? [outcome.left] : [])
    ]
    const listed = found.flatMap((outcome) => Either.isRight(outcome) ? outcome.right : [])
    if (wanted.json) yield* printJson(listed.map(({ agent, item }) => ({ agent, ...item })))
    else if (listed.length > 0) {
      yield* print(
        table([["agent", ...kind.columns], ...listed.map(({ agent, item }) => [agent, ...kind.cells(item)])])
      )
    } else if (faults.length === 0) yield* print(none(kind.name.replace("-", " "), wanted))
    if (faults.length > 0) {
      return yield* new ListIncomplete({
        detail: `the list is not whole: ${faults.map(({ message }) => message).join("; ")}`
      })
    }
  })

/**
 * Makes the command of a kind: alone it lists, its subcommands settle one thing.
 *
 * @category constructors
 */
export const make = <A, I>(kind: Kind<A, I>) => {
  const client = (url: Option.Option<string>) =>
    Effect.provide(ApiClient.layerConfig({ url, patienceMillis: PATIENCE_MILLIS }))
  const state = Options.choice("state", kind.states).pipe(
    Options.withDescription("Only those in this state"),
    Options.optional
  )
  const command = Command.make(
    kind.name,
    { state, all, url, json },
    (given) => list(kind, given).pipe(client(given.url))
  )
  const action = ({ description, name }: Action) =>
    Command.make(
      name,
      { agent: Args.text({ name: "agent" }), id: Args.text({ name: "id" }), url },
      (given) =>
        Effect.gen(function*() {
          const api = yield* ApiClient
          const path = `/${encodeURIComponent(given.agent)}/${kind.name}/${encodeURIComponent(given.id)}/${name}`
          const settled = yield* api.post(path, undefined, undefined, kind.item).pipe(knowing(given.agent))
          yield* print(table([kind.columns, kind.cells(settled)]))
        }).pipe(client(given.url))
    ).pipe(Command.withDescription(description))
  const [first, second] = kind.actions
  return command.pipe(
    Command.withDescription(kind.description),
    Command.withSubcommands([action(first), action(second)])
  )
}

import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ApiError } from "./ApiClient.ts"
import { ApiClient } from "./ApiClient.ts"
import { print, printJson, table } from "./Terminal.ts"
import { json, url } from "./Url.ts"

/** How long an operator's command waits for agents that do not answer. */
export const PATIENCE_MILLIS = 2_000

const Agents = Schema.Struct({ agents: Schema.Array(Schema.Struct({ agent: Schema.String })) })

/**
 * Things of agents that wait for an operator: how they are listed and what can be done about one.
 *
 * @category models
 */
export interface Kind<A, I> {
  /** The command, which is also the route below each agent. */
  readonly name: string
  readonly description: string
  readonly item: Schema.Schema<A, I>
  readonly states: readonly [string, ...ReadonlyArray<string>]
  /** Those of them that are not the end of it: what is listed unless all are asked for. */
  readonly open: ReadonlyArray<string>
  /** The query parameter that names the state. */
  readonly stateParameter: string
  readonly columns: ReadonlyArray<string>
  readonly cells: (item: A) => ReadonlyArray<string>
  /** Only agents that own such things answer the route; the others are passed over. */
  readonly owners: "all" | "some"
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
  kind: Pick<Kind<A, I>, "name" | "item" | "stateParameter">,
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

/**
 * What an agent lists: of the state that is asked for, else what is open, or everything.
 *
 * @category reading
 */
export const wantedOf = <A, I>(
  kind: Pick<Kind<A, I>, "name" | "item" | "stateParameter" | "open">,
  agent: string,
  wanted: { readonly state: Option.Option<string>; readonly all: boolean }
): Effect.Effect<ReadonlyArray<A>, ApiError, ApiClient> => {
  const states = Option.isSome(wanted.state) ? [wanted.state.value] : wanted.all ? [undefined] : kind.open
  return Effect.map(Effect.forEach(states, (state) => listOf(kind, agent, state)), (found) => found.flat())
}

/**
 * What to say where nothing is listed.
 *
 * @category reading
 */
export const none = (
  kind: string,
  wanted: { readonly state: Option.Option<string>; readonly all: boolean }
): string =>
  wanted.all || Option.isSome(wanted.state) ? `no ${kind}` : `no open ${kind}; --all lists those that have ended too`

/**
 * The agents of every process that is asked.
 *
 * @category reading
 */
export const agentsAt: Effect.Effect<ReadonlyArray<string>, ApiError, ApiClient> = Effect.flatMap(
  ApiClient,
  (api) =>
    Effect.map(
      api.getEach("/health/detailed", Agents),
      (processes) => processes.flatMap(({ agents }) => agents.map(({ agent }) => agent))
    )
)

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
  const list = Command.make(kind.name, { state, all, url, json }, (given) =>
    Effect.gen(function*() {
      const found = yield* Effect.forEach(yield* agentsAt, (agent) => {
        const items = Effect.map(wantedOf(kind, agent, given), (all) => all.map((item) => ({ agent, item })))
        return kind.owners === "all" ? items : Effect.catchTag(
          items,
          "RequestRefused",
          (error) => error.status === 404 ? Effect.succeed([]) : Effect.fail(error)
        )
      })
      const listed = found.flat()
      if (given.json) return yield* printJson(listed.map(({ agent, item }) => ({ agent, ...item })))
      yield* listed.length === 0
        ? print(none(kind.name.replace("-", " "), given))
        : print(table([["agent", ...kind.columns], ...listed.map(({ agent, item }) => [agent, ...kind.cells(item)])]))
    }).pipe(client(given.url)))
  const action = ({ description, name }: Action) =>
    Command.make(
      name,
      { agent: Args.text({ name: "agent" }), id: Args.text({ name: "id" }), url },
      (given) =>
        Effect.gen(function*() {
          const api = yield* ApiClient
          const path = `/${encodeURIComponent(given.agent)}/${kind.name}/${encodeURIComponent(given.id)}/${name}`
          const settled = yield* api.post(path, undefined, undefined, kind.item)
          yield* print(table([kind.columns, kind.cells(settled)]))
        }).pipe(client(given.url))
    ).pipe(Command.withDescription(description))
  const [first, second] = kind.actions
  return list.pipe(
    Command.withDescription(kind.description),
    Command.withSubcommands([action(first), action(second)])
  )
}

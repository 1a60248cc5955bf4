import * as Options from "@effect/cli/Options"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { agents } from "./Agents.ts"

/**
 * Where running agents answer, without a slash at the end.
 *
 * @category models
 */
export interface Addresses {
  readonly of: (agent: string) => string
  /** Each of them once: the processes that are running. */
  readonly all: readonly [string, ...ReadonlyArray<string>]
  /** The agents whose own variable says that they answer there. */
  readonly namedAt: (url: string) => ReadonlyArray<string>
}

/** Where running agents answer; what is not given is as this program's own configuration says. */
export const url = Options.text("url").pipe(
  Options.withDescription(
    "Where the agents answer, if not at ORDER_URL and the like, HOLDFAST_PEER_URL or HOLDFAST_PORT"
  ),
  Options.map((text) => text.replace(/\/+$/, "")),
  Options.optional
)

/** One address for all agents. */
export const at = (address: string): Addresses => ({ of: () => address, all: [address], namedAt: () => [] })

/** One address for all agents, or each agent's as configured. */
export const addresses = (
  given: Option.Option<string>
): Effect.Effect<Addresses, AgentConfig.ConfigInvalid> =>
  Option.match(given, {
    onSome: (address) => Effect.succeed(at(address)),
    onNone: () =>
      Effect.map(AgentConfig.load(), (config): Addresses => {
        const own = AgentConfig.ownUrl(config.host, config.port)
        const of = (agent: string) => AgentConfig.peerUrl(config, agent, own)
        const names = agents({ ...config, port: () => config.port }).map(({ name }) => name)
        const [first = own, ...others] = new Set(names.map(of))
        const namedAt = (url: string) => names.filter((name) => config.peers.of[name] !== undefined && of(name) === url)
        return { of, all: [first, ...others], namedAt }
      })
  })

/** Output for programs. */
export const json = Options.boolean("json").pipe(Options.withDescription("Print JSON"))

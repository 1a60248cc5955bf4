import type { Agent } from "@holdfast/agent/Agent"
import * as Agents from "@holdfast/agent/Agent"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import { Peer } from "@holdfast/agent/Peer"
import { agent as fraud } from "@holdfast/fraud/Agent"
import { agent as inventory } from "@holdfast/inventory/Agent"
import { agent as order } from "@holdfast/order/Agent"
import { HashKey } from "@holdfast/order/HashKey"
import { withSandbox } from "@holdfast/payment/Agent"
import { agent as product } from "@holdfast/product/Agent"
import * as Data from "effect/Data"
import * as Layer from "effect/Layer"

/**
 * The command names an agent that does not exist.
 *
 * @category errors
 */
export class AgentUnknown extends Data.TaggedError("AgentUnknown")<{ readonly detail: string }> {
  /** Names that are none of these. */
  static readonly among = (names: ReadonlyArray<string>, unknown: ReadonlyArray<string>): AgentUnknown =>
    new this({ detail: `there is no agent ${unknown.join(", ")}; there are ${names.join(", ")}` })
}

/**
 * What the agents need to know of the process they run in.
 *
 * @category models
 */
export interface Options {
  /** Where the sandboxes of outside parties keep their state. */
  readonly dataDir: string
  readonly host: string
  /** Read when an agent asks another one: a port may be chosen by the system. */
  readonly port: () => number
  /** Where agents of other processes answer. */
  readonly peers: AgentConfig.AgentConfig["peers"]
}

/** Every agent that this program can run, in the order in which they are listed. */
export const agents = (options: Options): ReadonlyArray<Agent> => [
  product,
  Agents.provide(
    order,
    Layer.merge(
      Layer.orDie(HashKey.layer),
      Peer.layer((agent) => AgentConfig.peerUrl(options, agent, AgentConfig.ownUrl(options.host, options.port())))
    )
  ),
  inventory,
  withSandbox({ directory: options.dataDir }),
  fraud
]

import * as Agent from "@holdfast/agent/Agent"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Main from "@holdfast/agent/Main"
import { Peer } from "@holdfast/agent/Peer"
import * as Layer from "effect/Layer"
import { agent } from "./Agent.ts"
import { HashKey } from "./HashKey.ts"

Main.run((config) => [
  Agent.provide(
    agent,
    Layer.merge(
      Layer.orDie(HashKey.layer),
      Peer.layer((peer) => AgentConfig.peerUrl(config, peer, AgentConfig.ownUrl(config.host, config.port)))
    )
  )
])

import { assert, it } from "@effect/vitest"
import * as Agent from "@holdfast/agent/Agent"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Holdfast from "@holdfast/agent/Holdfast"
import { Peer } from "@holdfast/agent/Peer"
import { OrderApi } from "@holdfast/contracts/OrderApi"
import * as HostileRequests from "@holdfast/testing/HostileRequests"
import { Effect, Layer, Redacted } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { agent } from "../src/Agent.ts"
import { HashKey } from "../src/HashKey.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "order-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

const ports = Layer.merge(
  Layer.succeed(HashKey, Redacted.make("test")),
  Peer.layer(() => "http://127.0.0.1:1")
)

it.scopedLive(
  "hostile requests on every route are refused with a known problem, and store nothing",
  () =>
    Effect.gen(function*() {
      const config = yield* AgentConfig.load({
        HOLDFAST_PORT: "0",
        HOLDFAST_DATA_DIR: yield* folder,
        LOG_LEVEL: "error"
      })
      const served = yield* Holdfast.serve({ agents: [Agent.provide(agent, ports)], config })
      yield* served.ready
      const report = yield* HostileRequests.attack({
        port: served.port,
        targets: [{ agent: "order", api: OrderApi }],
        seed: 5,
        rounds: 40,
        stored: Effect.promise(async () => (await fetch(`http://127.0.0.1:${served.port}/order/orders`)).json())
      })
      assert.deepStrictEqual(report.faults, [])
      assert.isAbove(report.requests, 300)
    }),
  120_000
)

import { assert, it } from "@effect/vitest"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Holdfast from "@holdfast/agent/Holdfast"
import { PaymentApi } from "@holdfast/contracts/PaymentApi"
import * as HostileRequests from "@holdfast/testing/HostileRequests"
import { Effect } from "effect"
import { withSandbox } from "../src/Agent.ts"
import * as World from "./World.ts"

it.scopedLive(
  "hostile requests on every route are refused with a known problem, and store nothing",
  () =>
    Effect.gen(function*() {
      const directory = yield* World.folder
      const config = yield* AgentConfig.load({
        HOLDFAST_PORT: "0",
        HOLDFAST_DATA_DIR: directory,
        LOG_LEVEL: "error"
      })
      const served = yield* Holdfast.serve({ agents: [withSandbox({ directory })], config })
      yield* served.ready
      const report = yield* HostileRequests.attack({
        port: served.port,
        targets: [{ agent: "payment", api: PaymentApi }],
        seed: 3,
        rounds: 40,
        stored: Effect.promise(async () => (await fetch(`http://127.0.0.1:${served.port}/payment/payments`)).json())
      })
      assert.deepStrictEqual(report.faults, [])
      assert.isAbove(report.requests, 300)
    }),
  120_000
)

import { assert, it } from "@effect/vitest"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Holdfast from "@holdfast/agent/Holdfast"
import { FraudApi } from "@holdfast/contracts/FraudApi"
import * as HostileRequests from "@holdfast/testing/HostileRequests"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { agent } from "../src/Agent.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "fraud-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
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
      const served = yield* Holdfast.serve({ agents: [agent], config })
      yield* served.ready
      const read = async (path: string) => (await fetch(`http://127.0.0.1:${served.port}/fraud${path}`)).json()
      const report = yield* HostileRequests.attack({
        port: served.port,
        targets: [{ agent: "fraud", api: FraudApi }],
        seed: 5,
        rounds: 40,
        stored: Effect.promise(() => Promise.all(["/assessments", "/cases", "/lists/deny", "/rulesets"].map(read)))
      })
      assert.deepStrictEqual(report.faults, [])
      assert.isAbove(report.requests, 300)
    }),
  120_000
)

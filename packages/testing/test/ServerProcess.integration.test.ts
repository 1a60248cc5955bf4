import { assert, describe, it } from "@effect/vitest"
import * as ServerProcess from "@holdfast/testing/ServerProcess"
import * as ServerSource from "@holdfast/testing/ServerSource"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Option } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, readdirSync } from "node:fs"
import { setTimeout as pause } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { descendants, isAlive } from "../src/internal/processTree.mjs"

const main = fileURLToPath(new URL("serversMain.ts", import.meta.url))

/** The servers' folders in this one. */
const data = (folder: string) => readdirSync(folder).filter((name) => name.startsWith("holdfast-"))

const isProgram = (server: ServerSource.ServerName) =>
  Option.exists(ServerSource.present(server), ({ _tag }) => _tag === "Program")

const missing = TestServers.isMissing("postgres", { faults: true }) || TestServers.isMissing("redis", { faults: true })

describe.skipIf(missing || !isProgram("postgres") || !isProgram("redis"))("servers of a test process that dies", () => {
  for (const { end, state } of [{ state: "running", end: "SIGKILL" }, { state: "stalled", end: "SIGTERM" }] as const) {
    it.scopedLive(`are gone with their children and folders, ${state} as they were`, () =>
      Effect.gen(function*() {
        const folder = yield* ServerProcess.temporaryFolder("orphans")
        // Postgres may run as another user.
        chmodSync(folder, 0o755)
        const child = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, ["--import", "tsx", main, state], {
              stdio: ["ignore", "pipe", "inherit"],
              env: { ...process.env, TMPDIR: folder }
            })
          ),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        yield* Effect.promise(() => once(child.stdout, "data"))
        const processes = descendants(child.pid ?? -1)
        // Two servers, a reaper for each, and those that Postgres starts.
        assert.isAtLeast(processes.length, 9)
        assert.strictEqual(data(folder).length, 2)
        child.kill(end)
        const deadline = performance.now() + 10_000
        while (processes.some(isAlive) && performance.now() < deadline) yield* Effect.promise(() => pause(20))
        assert.deepStrictEqual(processes.filter(isAlive), [])
        assert.deepStrictEqual(data(folder), [])
      }))
  }
})

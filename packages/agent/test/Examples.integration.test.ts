import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../..", import.meta.url))

/** The program of the README, run by its command on a port that the system chooses. */
const program = Effect.acquireRelease(
  Effect.sync(() => {
    const dataDir = mkdtempSync(join(tmpdir(), "holdfast-example-"))
    const child = spawn(process.execPath, ["--import", "tsx", "packages/agent/examples/main.ts"], {
      cwd: root,
      env: { PATH: process.env["PATH"], HOLDFAST_DATA_DIR: dataDir, HOLDFAST_PORT: "0", LOG_FORMAT: "json" },
      stdio: ["ignore", "ignore", "pipe"]
    })
    return { child, dataDir }
  }),
  ({ child, dataDir }) =>
    Effect.sync(() => {
      child.kill("SIGKILL")
      rmSync(dataDir, { recursive: true, force: true })
    })
)

describe("the example", () => {
  it.scopedLive("runs alone as a program, and drains when it is told to stop", () =>
    Effect.gen(function*() {
      const { child } = yield* program
      const exit = once(child, "exit")
      const url = yield* Effect.promise(async () => {
        const lines: Array<string> = []
        for await (const line of createInterface({ input: child.stderr })) {
          lines.push(line)
          const found = /listening on (http:[^"]+)"/.exec(line)?.[1]
          if (found !== undefined) return found
        }
        throw new Error(`it has ended: ${lines.join("\n")}`)
      })
      const answer = yield* Effect.promise(async () => {
        for (;;) {
          const response = await fetch(`${url}/giftcard/cards`, {
            method: "POST",
            headers: { "content-type": "application/json", "idempotency-key": "card-1" },
            body: JSON.stringify({ pence: 2500 })
          })
          // Not ready yet: the same key may be repeated.
          if (response.status !== 503) return { status: response.status, text: await response.text() }
        }
      })
      assert.strictEqual(answer.status, 201)
      assert.include(answer.text, "\"pence\":2500,\"version\":1")
      child.kill("SIGTERM")
      assert.deepStrictEqual(yield* Effect.promise(() => exit), [0, null])
    }), 30_000)
})

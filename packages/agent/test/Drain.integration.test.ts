import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import * as Http from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { ask, type Request } from "./Serving.ts"

interface Program {
  readonly child: ChildProcess
  readonly port: number
  readonly exit: Promise<number | null>
  readonly output: () => string
}

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const launch = (env: Record<string, string>): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Program>((resume) => {
      const child = spawn(
        process.execPath,
        ["--import", "tsx", fileURLToPath(new URL("giftCardMain.ts", import.meta.url))],
        { env: { ...process.env, HOLDFAST_PORT: "0", LOG_FORMAT: "json", ...env }, stdio: ["ignore", "ignore", "pipe"] }
      )
      let output = ""
      const exit = new Promise<number | null>((done) => child.once("exit", done))
      const started = (port: number) => resume(Effect.succeed({ child, port, exit, output: () => output }))
      child.stderr.on("data", (chunk: Buffer) => {
        output += chunk.toString()
        const port = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1]
        if (port !== undefined) started(Number(port))
      })
      void exit.then(() => started(0))
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const ready = (port: number) =>
  Effect.repeat(ask(port, { method: "GET", path: "/health/ready" }), { until: (reply) => reply.status === 200 })

/**
 * Asks until the server is gone; counts what was answered and what failed on a connection that the server had accepted.
 * Between the last look for connections and the end of listening the system may take one more, which it resets: the last
 * request, if it was not refused, may have gone that way.
 */
const client = (port: number, keepAlive: boolean, request: (n: number) => Request) =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Http.Agent({ keepAlive, maxSockets: 1 })),
    (agent) =>
      Effect.gen(function*() {
        const answered: Array<Record<string, unknown>> = []
        const failed: Array<string> = []
        for (let n = 0;; n++) {
          const reply = yield* Effect.either(ask(port, { ...request(n), agent }))
          if (reply._tag === "Left") {
            const { isNew, message } = reply.left
            if (!isNew || !/ECONNREFUSED|ECONNRESET|socket hang up/.test(message)) failed.push(message)
            return { answered, failed, last: request(n) }
          }
          if (reply.right.status >= 400) failed.push(`${reply.right.status} ${reply.right.text}`)
          else answered.push(reply.right.json)
        }
      }),
    (agent) => Effect.sync(() => agent.destroy())
  )

describe("SIGTERM", () => {
  it.live(
    "under load: no accepted request fails, exit 0 at once, and what was acknowledged is stored",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const directory = yield* folder
        const program = yield* launch({ HOLDFAST_DATA_DIR: directory })
        yield* ready(program.port)
        const issue = (name: string) => (n: number): Request => ({
          method: "POST",
          path: "/giftcard/cards",
          headers: { "content-type": "application/json", "idempotency-key": `${name}-${n}` },
          body: JSON.stringify({ amount: n + 1, note: name })
        })
        const clients = Effect.all([
          ...Array.from({ length: 16 }, (_, i) => client(program.port, true, issue(`alive-${i}`))),
          ...Array.from({ length: 4 }, (_, i) => client(program.port, false, issue(`new-${i}`))),
          ...Array.from(
            { length: 4 },
            () => client(program.port, true, () => ({ method: "GET", path: "/giftcard/slow" }))
          )
        ], { concurrency: "unbounded" })
        const load = yield* Effect.fork(clients)
        yield* Effect.sleep("1500 millis")
        const sent = performance.now()
        program.child.kill("SIGTERM")
        const code = yield* Effect.promise(() => program.exit)
        const took = performance.now() - sent
        const results = yield* load
        assert.deepStrictEqual(results.flatMap((result) => result.failed), [])
        assert.strictEqual(code, 0, program.output())
        assert.isBelow(took, 10_000)
        assert.match(program.output(), /"message":"stopped".*"cut":0\b/)

        const acknowledged = results.flatMap((result) => result.answered).flatMap((card) => card["id"] ?? [])
        assert.isAbove(acknowledged.length, 100)
        const again = yield* launch({ HOLDFAST_DATA_DIR: directory })
        yield* ready(again.port)
        for (const id of acknowledged.slice(-200)) {
          const reply = yield* ask(again.port, { method: "GET", path: `/giftcard/cards/${String(id)}` })
          assert.strictEqual(reply.status, 200)
        }
        // What was not answered was not accepted either: under its key nothing is known.
        for (const { last } of results) {
          if (last.method !== "POST") continue
          const reply = yield* ask(again.port, last)
          assert.deepStrictEqual([reply.status, reply.headers["idempotent-replayed"]], [201, undefined])
        }
      })),
    60_000
  )

  it.live(
    "a wrong configuration value stops the start with one line and exit code 1",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const program = yield* launch({ HOLDFAST_PORT: "many" })
        assert.strictEqual(yield* Effect.promise(() => program.exit), 1)
        assert.strictEqual(
          program.output(),
          "HOLDFAST_PORT must be a port from 0 to 65535, e.g. HOLDFAST_PORT=4000\n"
        )
      })),
    30_000
  )

  it.live(
    "a port in use stops the start with one line that says what to do",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const first = yield* launch({ HOLDFAST_DATA_DIR: yield* folder })
        const second = yield* launch({ HOLDFAST_DATA_DIR: yield* folder, HOLDFAST_PORT: String(first.port) })
        assert.strictEqual(yield* Effect.promise(() => second.exit), 1)
        assert.match(second.output(), /^port \d+ of 127\.0\.0\.1 is in use; .*HOLDFAST_PORT=\d+\n$/)
      })),
    30_000
  )
})

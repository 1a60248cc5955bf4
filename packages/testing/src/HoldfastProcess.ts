import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../..", import.meta.url))

const reaperProgram = fileURLToPath(new URL("internal/reaper.mjs", import.meta.url))

/** Characters of a process's output that are kept, of each kind. */
const OUTPUT_CHARACTERS = 4 * 1024 * 1024

let reaper: ChildProcess | undefined

/** Has the process ended when this one dies, by whatever cause: a worker of the test runner may be killed. */
const endAtDeath = (pid: number): { readonly forget: () => void } => {
  if (reaper === undefined) {
    reaper = spawn(process.execPath, [reaperProgram], {
      cwd: "/",
      stdio: ["pipe", "ignore", "ignore"],
      detached: true
    })
    reaper.stdin?.on("error", () => {})
    reaper.unref()
  }
  const { stdin } = reaper
  stdin?.write(`watch\t${pid}\tSIGKILL\n`)
  return { forget: () => void stdin?.write(`forget\t${pid}\n`) }
}

/**
 * A child process of the test did not do what it should in time.
 *
 * @category errors
 */
export class ProcessFailed extends Data.TaggedError("ProcessFailed")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

let bundled: Promise<unknown> | undefined

/**
 * Makes what the processes run, if a source is newer: a start that is timed must not be one that makes it first.
 *
 * @category constructors
 */
export const prepared: Effect.Effect<void> = Effect.asVoid(
  Effect.promise(() =>
    bundled ??= (import(new URL("../../../scripts/bundle.mjs", import.meta.url).href) as Promise<
      { readonly bundle: () => Promise<string> }
    >).then(({ bundle }) => bundle())
  )
)

/** A port on which nobody listens now, and that stays free of clients while an agent is down. */
export { freePort } from "./internal/ports.ts"

/**
 * A running `holdfast` command.
 *
 * @category models
 */
export interface HoldfastProcess {
  readonly pid: number
  /** Sends the signal; `SIGKILL` ends the process wherever it is. */
  readonly signal: (name: NodeJS.Signals) => void
  /** How it ended: the exit code, or the signal that ended it. */
  readonly exit: Effect.Effect<number | NodeJS.Signals>
  readonly hasExited: () => boolean
  /** What it wrote so far. */
  readonly output: () => { readonly stdout: string; readonly stderr: string }
}

/**
 * Runs `holdfast …` as a child of the test; it is killed when the scope closes. Node itself, without a shell between, so
 * that signals reach it.
 *
 * @category constructors
 */
export const run = (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<HoldfastProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child: ChildProcess = spawn(process.execPath, ["scripts/holdfast.mjs", ...args], {
        cwd: root,
        env: { PATH: process.env["PATH"], HOME: process.env["HOME"], LOG_FORMAT: "json", LOG_LEVEL: "warning", ...env },
        stdio: ["ignore", "pipe", "pipe"]
      })
      let stdout = ""
      let stderr = ""
      let ended: number | NodeJS.Signals | undefined
      const guard = child.pid === undefined ? undefined : endAtDeath(child.pid)
      child.stdout?.on("data", (chunk) => void (stdout = (stdout + String(chunk)).slice(-OUTPUT_CHARACTERS)))
      child.stderr?.on("data", (chunk) => void (stderr = (stderr + String(chunk)).slice(-OUTPUT_CHARACTERS)))
      const exited = new Promise<number | NodeJS.Signals>((resolve) =>
        child.on("close", (code, signal) => {
          ended = code ?? signal ?? 1
          guard?.forget()
          resolve(ended)
        })
      )
      return {
        pid: child.pid ?? -1,
        signal: (name: NodeJS.Signals) => void child.kill(name),
        exit: Effect.promise(() => exited),
        hasExited: () => ended !== undefined,
        output: () => ({ stdout, stderr })
      }
    }),
    (child) => Effect.zipRight(Effect.sync(() => child.signal("SIGKILL")), child.exit)
  )

/** How long a start may take before the test gives up, in milliseconds. */
const START_MILLIS = 30_000

/**
 * Runs `holdfast start` and waits until its agents are ready.
 *
 * @category constructors
 */
export const start = (options: {
  readonly port: number
  readonly dataDir: string
  readonly agents?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}): Effect.Effect<HoldfastProcess, ProcessFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const child = yield* run(
      ["start", ...options.agents ?? [], "--port", String(options.port), "--data-dir", options.dataDir],
      options.env
    )
    const isReady = Effect.promise(() =>
      fetch(`http://127.0.0.1:${options.port}/health/ready`, { signal: AbortSignal.timeout(1_000) })
        .then((response) => response.status === 200, () => false)
    )
    const deadline = performance.now() + START_MILLIS
    while (!(yield* isReady)) {
      if (child.hasExited() || performance.now() > deadline) {
        return yield* new ProcessFailed({ detail: `the agents did not get ready: ${child.output().stderr}` })
      }
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
    }
    return child
  })

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { continueTree, endTree, isAlive, killTree, stopTree } from "./internal/processTree.mjs"
import type { ServerControl } from "./ServerControl.ts"
import { ServerUnavailable } from "./ServerControl.ts"

const reaperProgram = fileURLToPath(new URL("internal/reaper.mjs", import.meta.url))

/** How long a start, and the end of a killed process, may take, in milliseconds. */
const START_MILLIS = 120_000
const END_MILLIS = 10_000

/** How much of what a server writes is kept, in characters. */
const LOG_CHARACTERS = 64 * 1024

/**
 * How a server is run: in the foreground, without a shell between, with only the environment named here.
 *
 * @category models
 */
export interface Command {
  readonly program: string
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  readonly uid?: number | undefined
  readonly gid?: number | undefined
}

/** Node's own spawn, with an environment that does not depend on who runs the tests. */
const spawned = (command: Command): ChildProcess =>
  spawn(command.program, command.args, {
    cwd: command.cwd ?? "/",
    env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC", ...command.env },
    stdio: ["ignore", "pipe", "pipe"],
    // Its own group: a Ctrl-C in the terminal ends the tests, and the tests end the server.
    detached: true,
    ...command.uid === undefined ? {} : { uid: command.uid },
    ...command.gid === undefined ? {} : { gid: command.gid }
  })

/**
 * Runs a command to its end and answers what it wrote to stdout.
 *
 * @category constructors
 */
export const output = (
  server: string,
  command: Command,
  millis: number = START_MILLIS
): Effect.Effect<string, ServerUnavailable> =>
  Effect.async<string, ServerUnavailable>((resume) => {
    const child = spawned(command)
    let stdout = ""
    let stderr = ""
    const failed = (detail: string) =>
      resume(Effect.fail(new ServerUnavailable({ server, detail: `${command.program} ${detail}\n${stderr}${stdout}` })))
    const timer = setTimeout(() => {
      child.kill("SIGKILL")
      failed(`did not end within ${millis} ms`)
    }, millis)
    child.stdout?.on("data", (chunk) => void (stdout += String(chunk)))
    child.stderr?.on("data", (chunk) => void (stderr += String(chunk)))
    child.on("error", (cause) => {
      clearTimeout(timer)
      failed(cause.message)
    })
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      if (code === 0) resume(Effect.succeed(stdout))
      else failed(`ended with ${code ?? signal}`)
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      child.kill("SIGKILL")
    })
  })

/**
 * A folder of its own, removed with the scope.
 *
 * @category constructors
 */
export const temporaryFolder = (name: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), `holdfast-${name}-`))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  )

/** The process that ends a server when this one dies: an own one for each, started before it. */
const reaper = Effect.acquireRelease(
  Effect.sync(() => {
    const child = spawn(process.execPath, [reaperProgram], {
      cwd: "/",
      stdio: ["pipe", "ignore", "ignore"],
      detached: true
    })
    child.stdin.on("error", () => {})
    child.unref()
    return {
      tell: (...words: ReadonlyArray<string | number>) => void child.stdin.write(`${words.join("\t")}\n`),
      end: () => void child.stdin.end()
    }
  }),
  (reaper) => Effect.sync(reaper.end)
)

/**
 * Removes a folder or a container of Docker when this process dies, by whatever cause, and when the scope closes.
 *
 * @category constructors
 */
export const removedAtDeath = (kind: "container" | "folder", name: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.map(reaper, (reaper) => reaper.tell(kind, name))

/**
 * A server that is a child of this process, not started yet. It ends with the scope, and when this process dies.
 *
 * @category constructors
 */
export const make = (options: {
  readonly server: string
  readonly command: Command
  /** Its data; removed when this process dies, by whatever cause. */
  readonly folder: string
  /** Before every start. */
  readonly prepare?: Effect.Effect<void, ServerUnavailable>
  /** Whether it answers; asked again and again after a start, each time with what it has written since. */
  readonly isReady: (log: string) => Effect.Effect<boolean>
  /** What it is sent when the scope closes, if it need not be killed at once; it has a few seconds. */
  readonly endSignal?: NodeJS.Signals
}): Effect.Effect<ServerControl, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { command, server } = options
    const endSignal = options.endSignal ?? "SIGKILL"
    const guard = yield* reaper
    guard.tell("folder", options.folder)
    let child: ChildProcess | undefined
    let log = ""
    const failure = (detail: string) =>
      new ServerUnavailable({
        server,
        detail: log === "" ? detail : `${detail}; the end of its log:\n${log.slice(-4_000)}`
      })

    const spawnChild = Effect.sync(() => {
      log = ""
      const started = spawned(command)
      child = started
      const gone = () => {
        if (child === started) child = undefined
        if (started.pid !== undefined) guard.tell("forget", started.pid)
      }
      const write = (text: string) => void (log = (log + text).slice(-LOG_CHARACTERS))
      if (started.pid !== undefined) guard.tell("watch", started.pid, endSignal)
      started.stdout?.on("data", (chunk) => write(String(chunk)))
      started.stderr?.on("data", (chunk) => write(String(chunk)))
      started.on("error", (cause) => {
        write(cause.message)
        gone()
      })
      started.on("exit", (code, signal) => {
        write(`[ended with ${code ?? signal}]\n`)
        gone()
      })
    })

    const kill = Effect.suspend(() => {
      const pid = child?.pid
      if (pid === undefined) return Effect.void
      const tree = killTree(pid)
      return Effect.promise(async () => {
        const deadline = performance.now() + END_MILLIS
        while ((child?.pid === pid || tree.some(isAlive)) && performance.now() < deadline) await pause(2)
        return child?.pid !== pid && !tree.some(isAlive)
      }).pipe(Effect.filterOrFail((ended) => ended, () => failure("it did not end after kill -9")), Effect.asVoid)
    })

    const awaitReady = Effect.gen(function*() {
      const deadline = performance.now() + START_MILLIS
      while (true) {
        if (child === undefined) return yield* failure("it ended while starting")
        if (yield* options.isReady(log)) return
        if (performance.now() > deadline) return yield* failure(`it was not ready within ${START_MILLIS} ms`)
        yield* Effect.promise(() => pause(10))
      }
    })

    const start = Effect.suspend(() =>
      child === undefined
        ? (options.prepare ?? Effect.void).pipe(
          Effect.zipRight(spawnChild),
          Effect.zipRight(awaitReady),
          Effect.tapError(() => Effect.ignore(kill))
        )
        : Effect.void
    )

    const signalled = (signal: (pid: number) => void) =>
      Effect.suspend(() => {
        const pid = child?.pid
        return pid === undefined ? Effect.fail(failure("it does not run")) : Effect.sync(() => signal(pid))
      })

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        const pid = child?.pid
        return pid === undefined ? Effect.void : Effect.promise(() => endTree(pid, endSignal))
      })
    )

    return {
      start,
      kill,
      restart: Effect.zipRight(kill, start),
      stall: signalled(stopTree),
      resume: signalled(continueTree),
      isRunning: Effect.sync(() => child !== undefined),
      log: Effect.sync(() => log)
    }
  })

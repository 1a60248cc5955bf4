import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { setTimeout as pause } from "node:timers/promises"
import type { ServerControl } from "./ServerControl.ts"
import { ServerUnavailable } from "./ServerControl.ts"
import * as ServerProcess from "./ServerProcess.ts"

/** How long one command of Docker's client may take, and one that may have to pull an image, in milliseconds. */
const COMMAND_MILLIS = 30_000
const PULL_MILLIS = 600_000

/** How long a start may take, in milliseconds. */
const START_MILLIS = 120_000

/**
 * A server in a container, not started yet: for machines with Docker and without the server. `kill` ends every process of
 * it at once, `stall` freezes them all. It goes with the scope, and when this process dies.
 *
 * @category constructors
 */
export const make = (options: {
  readonly server: string
  readonly image: string
  /** The same inside and outside. */
  readonly port: number
  readonly env: Readonly<Record<string, string>>
  readonly args: ReadonlyArray<string>
  /** Whether it answers; asked again and again after a start, each time with what it has written since. */
  readonly isReady: (log: string) => Effect.Effect<boolean>
}): Effect.Effect<ServerControl, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { image, port, server } = options
    const name = `holdfast-test-${randomBytes(6).toString("hex")}`
    const docker = (args: ReadonlyArray<string>, millis = COMMAND_MILLIS) =>
      ServerProcess.output(server, { program: "docker", args, env: process.env }, millis)
    yield* ServerProcess.removedAtDeath("container", name)
    yield* Effect.addFinalizer(() => Effect.ignore(docker(["rm", "--force", "--volumes", name])))

    let exists = false
    let startedAt = ""
    const create = Effect.suspend(() =>
      exists ? Effect.void : Effect.tap(
        docker([
          "create",
          "--name",
          name,
          "--publish",
          `127.0.0.1:${port}:${port}`,
          ...Object.entries(options.env).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
          image,
          ...options.args
        ], PULL_MILLIS),
        () => Effect.sync(() => void (exists = true))
      )
    )
    const state = (field: string) =>
      exists
        ? docker(["inspect", "--format", `{{.State.${field}}}`, name]).pipe(
          Effect.map((text) => text.trim()),
          Effect.orElseSucceed(() => "")
        )
        : Effect.succeed("")
    const isRunning = Effect.map(Effect.suspend(() => state("Running")), (text) => text === "true")
    // Both of its outputs: the client keeps them apart.
    const log = Effect.suspend(() => {
      const args = ["-c", "exec docker logs \"$@\" 2>&1", "sh", ...startedAt === "" ? [] : ["--since", startedAt], name]
      return exists
        ? ServerProcess.output(server, { program: "sh", args, env: process.env }, COMMAND_MILLIS).pipe(
          Effect.orElseSucceed(() => "")
        )
        : Effect.succeed("")
    })

    const kill = Effect.gen(function*() {
      if (!(yield* isRunning)) return
      // A frozen container takes no signal.
      yield* Effect.ignore(docker(["unpause", name]))
      yield* docker(["kill", name])
      yield* docker(["wait", name])
    })

    const start = Effect.gen(function*() {
      if (yield* isRunning) return
      yield* create
      yield* docker(["start", name])
      startedAt = yield* state("StartedAt")
      const deadline = performance.now() + START_MILLIS
      while (true) {
        const written = yield* log
        if (yield* options.isReady(written)) return
        const isOver = performance.now() > deadline || !(yield* isRunning)
        if (isOver) {
          yield* Effect.ignore(kill)
          const detail = `it did not get ready; the end of its log:\n${written.slice(-4_000)}`
          return yield* new ServerUnavailable({ server, detail })
        }
        yield* Effect.promise(() => pause(50))
      }
    })

    return {
      start,
      kill,
      restart: Effect.zipRight(kill, start),
      stall: Effect.asVoid(docker(["pause", name])),
      resume: Effect.asVoid(docker(["unpause", name])),
      isRunning,
      log
    }
  })

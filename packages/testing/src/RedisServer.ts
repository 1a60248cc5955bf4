import * as Effect from "effect/Effect"
import * as Match from "effect/Match"
import type * as Scope from "effect/Scope"
import { connect } from "node:net"
import { freePort } from "./internal/ports.ts"
import * as ServerContainer from "./ServerContainer.ts"
import type { ServerControl, ServerUnavailable } from "./ServerControl.ts"
import * as Control from "./ServerControl.ts"
import * as ServerProcess from "./ServerProcess.ts"
import * as TestServers from "./TestServers.ts"

const SERVER = "Redis"

/** How long an answer to one PING may take, in milliseconds. */
const PING_MILLIS = 1_000

/**
 * A Redis server for tests, on 127.0.0.1 alone. It keeps nothing over a kill, as a cache may; with the settings
 * `{ appendonly: "yes", appendfsync: "always" }` it does.
 *
 * @category models
 */
export interface RedisServer extends ServerControl {
  readonly host: string
  readonly port: number
  readonly url: string
}

/**
 * @category models
 */
export interface Options {
  /** What `redis.conf` could hold, as `{ maxmemory: "1mb" }`. */
  readonly settings?: Readonly<Record<string, string>>
}

const answersPing = (port: number): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const socket = connect({ host: "127.0.0.1", port })
    const answer = (isReady: boolean) => {
      socket.destroy()
      resume(Effect.succeed(isReady))
    }
    socket.setTimeout(PING_MILLIS, () => answer(false))
    socket.on("error", () => answer(false))
    socket.on("close", () => answer(false))
    socket.on("connect", () => void socket.write("PING\r\n"))
    socket.on("data", (chunk) => answer(String(chunk).startsWith("+PONG")))
    return Effect.sync(() => void socket.destroy())
  })

const settingsOf = (port: number, options: Options): Readonly<Record<string, string>> => ({
  port: String(port),
  bind: "127.0.0.1",
  save: "",
  appendonly: "no",
  daemonize: "no",
  ...options.settings
})

const asArguments = (settings: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])

const at = (port: number, control: ServerControl): RedisServer => ({
  ...control,
  host: "127.0.0.1",
  port,
  url: `redis://127.0.0.1:${port}`
})

const program = (path: string, libraries: ReadonlyArray<string>, options: Options) =>
  Effect.gen(function*() {
    const folder = yield* ServerProcess.temporaryFolder("redis")
    const port = yield* freePort
    const control = yield* ServerProcess.make({
      server: SERVER,
      folder,
      command: {
        program: path,
        args: asArguments({ dir: folder, ...settingsOf(port, options) }),
        ...libraries.length === 0 ? {} : { env: { LD_LIBRARY_PATH: libraries.join(":") } }
      },
      isReady: () => answersPing(port)
    })
    return at(port, control)
  })

const container = (image: string, options: Options) =>
  Effect.gen(function*() {
    const port = yield* freePort
    const control = yield* ServerContainer.make({
      server: SERVER,
      image,
      port,
      env: {},
      args: [
        "redis-server",
        ...asArguments({ ...settingsOf(port, options), "bind": "0.0.0.0", "protected-mode": "no" })
      ],
      isReady: () => answersPing(port)
    })
    return at(port, control)
  })

/**
 * A Redis server that is not started yet; its port is known. It ends with the scope, and when the test process dies.
 *
 * @category constructors
 */
export const reserve = (options: Options = {}): Effect.Effect<RedisServer, ServerUnavailable, Scope.Scope> =>
  Effect.flatMap(
    TestServers.source("redis"),
    Match.valueTags({
      Address: ({ address, variable }) => {
        const { hostname, port } = new URL(address)
        const control = Control.given(SERVER, variable)
        return Effect.succeed({ ...control, host: hostname, port: Number(port || 6379), url: address })
      },
      Program: ({ libraries, path }) => program(path, libraries, options),
      Image: ({ image }) => container(image, options)
    })
  )

/**
 * A Redis server that answers.
 *
 * @category constructors
 */
export const start = (options: Options = {}): Effect.Effect<RedisServer, ServerUnavailable, Scope.Scope> =>
  Effect.tap(reserve(options), (server) => server.start)

import * as Effect from "effect/Effect"
import * as Match from "effect/Match"
import type * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { chownSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import Pg from "pg"
import { freePort } from "./internal/ports.ts"
import * as ServerContainer from "./ServerContainer.ts"
import type { ServerControl } from "./ServerControl.ts"
import * as Control from "./ServerControl.ts"
import { ServerUnavailable } from "./ServerControl.ts"
import * as ServerProcess from "./ServerProcess.ts"
import * as TestServers from "./TestServers.ts"

const SERVER = "Postgres"

/** How long a connection, and one statement of this module, may take, in milliseconds. */
const CONNECT_MILLIS = 2_000
const STATEMENT_MILLIS = 30_000

/** Where root runs it and no user `postgres` exists: nobody. */
const NOBODY = 65_534

/**
 * A Postgres server for tests: `fsync` is on, everybody is trusted, it listens on 127.0.0.1 alone.
 *
 * @category models
 */
export interface PostgresServer extends ServerControl {
  readonly host: string
  readonly port: number
  /** The address of a database; without a name, of the one that is always there. */
  readonly url: (database?: string) => string
  /** Makes an empty database whose name begins with this one and was never used before; answers its address. */
  readonly createDatabase: (name: string) => Effect.Effect<string, ServerUnavailable>
}

/**
 * @category models
 */
export interface Options {
  /** What `postgresql.conf` could hold, as `{ fsync: "off" }`. */
  readonly settings?: Readonly<Record<string, string>>
}

/** Runs statements on a connection of their own, with a deadline that holds where the server is stalled. */
const query = (url: string, ...statements: ReadonlyArray<string>): Effect.Effect<void, ServerUnavailable> =>
  Effect.tryPromise({
    try: async () => {
      const client = new Pg.Client({
        connectionString: url,
        connectionTimeoutMillis: CONNECT_MILLIS,
        query_timeout: STATEMENT_MILLIS
      })
      client.on("error", () => {})
      try {
        await client.connect()
        for (const statement of statements) await client.query(statement)
      } finally {
        void client.end().catch(() => {})
      }
    },
    catch: (cause) => new ServerUnavailable({ server: SERVER, detail: String(cause) })
  })

/** A root's Postgres runs as somebody else: it refuses to run as root. */
const owner = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const fields = (existsSync("/etc/passwd") ? readFileSync("/etc/passwd", "utf8") : "").split("\n")
    .map((line) => line.split(":")).find(([name]) => name === "postgres")
  return fields === undefined ? { uid: NOBODY, gid: NOBODY } : { uid: Number(fields[2]), gid: Number(fields[3]) }
}

/**
 * The segment of shared memory by which a killed Postgres is known to its successor in the same folder; where there will
 * be none, it has to go, for the kernel has only so many.
 */
const removeSharedMemory = (data: string) => {
  const file = join(data, "postmaster.pid")
  const segment = existsSync(file) ? readFileSync(file, "utf8").split("\n")[6]?.trim().split(/\s+/)[1] : undefined
  if (segment !== undefined) spawnSync("ipcrm", ["-m", segment], { stdio: "ignore", timeout: 5_000 })
}

/** The programs, where their user can reach them: a checkout may lie in a folder that only root may enter. */
const reachable = (folder: string, scratch: string, as: ReturnType<typeof owner>) =>
  ServerProcess.output(SERVER, { program: join(folder, "initdb"), args: ["--version"], ...as }).pipe(
    Effect.as(folder),
    Effect.catchAll(() =>
      Effect.sync(() => {
        const copy = join(scratch, "programs")
        if (!existsSync(copy)) cpSync(dirname(folder), copy, { recursive: true, verbatimSymlinks: true })
        return join(copy, "bin")
      })
    )
  )

const withDatabases = (
  host: string,
  port: number,
  base: string,
  control: ServerControl,
  onCreated: (name: string) => void = () => {}
): PostgresServer => {
  const url = (database?: string) => {
    if (database === undefined) return base
    const address = new URL(base)
    address.pathname = `/${database}`
    return address.href
  }
  return {
    ...control,
    host,
    port,
    url,
    createDatabase: (name) =>
      Effect.suspend(() => {
        const unique = `${name.toLowerCase().replaceAll(/[^a-z0-9_]/g, "_")}_${randomBytes(6).toString("hex")}`
        onCreated(unique)
        return Effect.as(query(base, `create database "${unique}"`), url(unique))
      })
  }
}

const settingsOf = (port: number, options: Options): Readonly<Record<string, string>> => ({
  port: String(port),
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  // In the data folder: in /dev/shm it would outlive a killed server.
  dynamic_shared_memory_type: "mmap",
  ...options.settings
})

const asArguments = (settings: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])

const addressOf = (port: number): string => `postgres://postgres@127.0.0.1:${port}/postgres`

const program = (folder: string, options: Options) =>
  Effect.gen(function*() {
    const scratch = yield* ServerProcess.temporaryFolder("postgres")
    const port = yield* freePort
    const as = owner()
    if (as !== undefined) chownSync(scratch, as.uid, as.gid)
    const programs = yield* reachable(folder, scratch, as)
    const data = join(scratch, "data")
    const url = addressOf(port)
    yield* Effect.addFinalizer(() => Effect.sync(() => removeSharedMemory(data)))
    const control = yield* ServerProcess.make({
      server: SERVER,
      folder: scratch,
      command: {
        program: join(programs, "postgres"),
        args: ["-D", data, ...asArguments(settingsOf(port, options))],
        ...as
      },
      prepare: Effect.suspend(() => {
        if (existsSync(join(data, "PG_VERSION"))) {
          return Effect.sync(() => rmSync(join(data, "postmaster.pid"), { force: true }))
        }
        mkdirSync(data, { recursive: true, mode: 0o700 })
        if (as !== undefined) chownSync(data, as.uid, as.gid)
        return ServerProcess.output(SERVER, {
          program: join(programs, "initdb"),
          args: ["-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"],
          ...as
        })
      }),
      isReady: () => Effect.isSuccess(query(url, "select 1")),
      endSignal: "SIGQUIT"
    })
    return withDatabases("127.0.0.1", port, url, control)
  })

const container = (image: string, options: Options) =>
  Effect.gen(function*() {
    const port = yield* freePort
    const url = addressOf(port)
    const control = yield* ServerContainer.make({
      server: SERVER,
      image,
      port,
      env: { POSTGRES_HOST_AUTH_METHOD: "trust" },
      args: [
        "postgres",
        ...asArguments({
          ...settingsOf(port, options),
          listen_addresses: "*",
          // The image's own set-up goes through it.
          unix_socket_directories: "/var/run/postgresql"
        })
      ],
      isReady: () => Effect.isSuccess(query(url, "select 1"))
    })
    return withDatabases("127.0.0.1", port, url, control)
  })

/** Somebody else's server is left as it was: the databases go with the scope. */
const given = (address: string, variable: string) =>
  Effect.gen(function*() {
    const created: Array<string> = []
    yield* Effect.addFinalizer(() =>
      Effect.ignore(query(address, ...created.map((name) => `drop database if exists "${name}" with (force)`)))
    )
    const { hostname, port } = new URL(address)
    const control = Control.given(SERVER, variable)
    return withDatabases(hostname, Number(port || 5432), address, control, (name) => void created.push(name))
  })

/**
 * A Postgres server that is not started yet; its port is known. It ends with the scope, and when the test process dies.
 *
 * @category constructors
 */
export const reserve = (options: Options = {}): Effect.Effect<PostgresServer, ServerUnavailable, Scope.Scope> =>
  Effect.flatMap(
    TestServers.source("postgres"),
    Match.valueTags({
      Address: ({ address, variable }) => given(address, variable),
      Program: ({ path }) => program(path, options),
      Image: ({ image }) => container(image, options)
    })
  )

/**
 * A Postgres server that answers.
 *
 * @category constructors
 */
export const start = (options: Options = {}): Effect.Effect<PostgresServer, ServerUnavailable, Scope.Scope> =>
  Effect.tap(reserve(options), (server) => server.start)

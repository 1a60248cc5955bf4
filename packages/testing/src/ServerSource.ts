import * as Data from "effect/Data"
import * as Option from "effect/Option"
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, realpathSync } from "node:fs"
import { delimiter, dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

/**
 * The servers that tests may want.
 *
 * @category models
 */
export type ServerName = "postgres" | "redis" | "kafka"

/**
 * Where a server comes from: an address somebody gave, a program on this machine, or an image for Docker.
 *
 * @category models
 */
export type ServerSource = Data.TaggedEnum<{
  Address: { readonly address: string; readonly variable: string }
  /**
   * `path` is the folder of Postgres' programs, the Redis server program, or the folder of Kafka's jars; `libraries` are
   * what it needs beside the system's.
   */
  Program: { readonly path: string; readonly libraries: ReadonlyArray<string> }
  Image: { readonly image: string }
}>

/**
 * @category constructors
 */
export const ServerSource = Data.taggedEnum<ServerSource>()

const root = fileURLToPath(new URL("../../..", import.meta.url))

/** The project's own cache of servers; nothing of the system is changed. */
export const cacheFolder = join(root, "node_modules", ".cache", "servers")

/**
 * The versions that are fetched where the machine has none, and the folders they are fetched into.
 *
 * @category constants
 */
export const fetched = {
  postgres: { version: "17.10.0-beta.17", folder: join(cacheFolder, "postgres-17.10.0-beta.17") },
  redis: { version: "7", folder: join(cacheFolder, "redis") },
  kafka: { version: "4.1.1", folder: join(cacheFolder, "kafka-4.1.1") }
} as const

/**
 * The environment variables that give a server's address.
 *
 * @category constants
 */
export const addressVariable: Readonly<Record<ServerName, string>> = {
  postgres: "TEST_DATABASE_URL",
  redis: "TEST_REDIS_URL",
  kafka: "TEST_KAFKA_BROKERS"
}

const images: Readonly<Record<ServerName, string>> = {
  postgres: "postgres:17",
  redis: "redis:7",
  kafka: "apache/kafka:4.1.1"
}

const entries = (folder: string): ReadonlyArray<string> => existsSync(folder) ? readdirSync(folder) : []

const onPath = (program: string): ReadonlyArray<string> =>
  (process.env["PATH"] ?? "").split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, program))
    .filter((path) => existsSync(path))
    .map((path) => realpathSync(path))

/** The newest first: `17` before `9.6`. */
const newestFirst = (names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.toSorted((one, other) => other.localeCompare(one, "en", { numeric: true }))

/** Debian and its kin keep Postgres' server programs off PATH. */
const postgresFolders = (): ReadonlyArray<string> => [
  ...onPath("postgres").map((path) => dirname(path)),
  ...newestFirst(entries("/usr/lib/postgresql")).map((version) => join("/usr/lib/postgresql", version, "bin")),
  ...newestFirst(entries("/usr").filter((name) => name.startsWith("pgsql-"))).map((name) => join("/usr", name, "bin")),
  join(fetched.postgres.folder, "native", "bin")
]

/**
 * The folders of libraries in Debian packages that were unpacked into this one.
 *
 * @category constructors
 */
export const sharedLibraries = (folder: string): ReadonlyArray<string> =>
  entries(join(folder, "usr", "lib")).filter((name) => name.endsWith("-linux-gnu"))
    .map((name) => join(folder, "usr", "lib", name))

/** Kafka's jars beside its start script. */
const kafkaFolders = (): ReadonlyArray<string> => [
  ...onPath("kafka-server-start.sh").map((path) => join(dirname(path), "..", "libs")),
  join(fetched.kafka.folder, "libs")
]

const program = {
  postgres: () =>
    postgresFolders()
      .filter((folder) => existsSync(join(folder, "postgres")) && existsSync(join(folder, "initdb")))
      .map((path) => ServerSource.Program({ path, libraries: [] })),
  redis: () => [
    ...[...onPath("redis-server"), ...onPath("valkey-server")].map((path) =>
      ServerSource.Program({ path, libraries: [] })
    ),
    ...existsSync(join(fetched.redis.folder, "usr", "bin", "redis-server"))
      ? [ServerSource.Program({
        path: join(fetched.redis.folder, "usr", "bin", "redis-server"),
        libraries: sharedLibraries(fetched.redis.folder)
      })]
      : []
  ],
  kafka: () =>
    onPath("java").length === 0
      ? []
      : kafkaFolders()
        .filter((folder) => entries(folder).some((jar) => /^kafka_2\.13-[34]\..*\.jar$/.test(jar)))
        .map((path) => ServerSource.Program({ path, libraries: [] }))
}

/**
 * A server that is there already: the address given by its environment variable, else a program of the machine, else one
 * in the project's cache.
 *
 * @category constructors
 */
export const present = (server: ServerName): Option.Option<ServerSource> => {
  const variable = addressVariable[server]
  const address = process.env[variable]
  return address === undefined || address === ""
    ? Option.fromNullable(program[server]()[0])
    : Option.some(ServerSource.Address({ address, variable }))
}

/**
 * The image of a server, where a Docker engine answers.
 *
 * @category constructors
 */
export const image = (server: ServerName): Option.Option<ServerSource> =>
  onPath("docker").length > 0 && spawnSync("docker", ["info"], { stdio: "ignore", timeout: 5_000 }).status === 0
    ? Option.some(ServerSource.Image({ image: images[server] }))
    : Option.none()

/**
 * A source in a few words.
 *
 * @category conversions
 */
export const describe: (source: ServerSource) => string = ServerSource.$match({
  Address: ({ address, variable }) => `${address.replace(/\/\/.*@/, "//")} (${variable})`,
  Program: ({ path }) => path.startsWith(root) ? relative(root, path) : path,
  Image: ({ image }) => `${image}, by Docker`
})

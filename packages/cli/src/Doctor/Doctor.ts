import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as KafkaConfig from "@holdfast/agent/KafkaConfig"
import * as PostgresConfig from "@holdfast/agent/PostgresConfig"
import * as RedisConfig from "@holdfast/agent/RedisConfig"
import * as Variable from "@holdfast/agent/Variable"
import { openWriter } from "@holdfast/database/SqliteConnection"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { agents } from "../Agents.ts"
import * as DataFolder from "./DataFolder.ts"
import type { Finding, Report } from "./Finding.ts"
import { fail, ok, warn } from "./Finding.ts"
import * as Kafka from "./Kafka.ts"
import * as Listener from "./Listener.ts"
import { within } from "./Network.ts"
import * as Postgres from "./Postgres.ts"
import * as Redis from "./Redis.ts"

/** What is looked at side by side ends by this time. */
const DEADLINE = "8 seconds"

const OLDEST_NODE = [20, 19] as const

const nodeVersion = (): Finding => {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  return major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])
    ? ok("node", process.versions.node)
    : fail("node", "node_too_old", process.versions.node, `install Node ${OLDEST_NODE.join(".")} or newer`)
}

const sqliteVersion: Effect.Effect<Finding> = Effect.try(() => {
  const store = openWriter(":memory:")
  try {
    return ok("sqlite", String(store.prepare("select sqlite_version()").pluck().get()))
  } finally {
    store.close()
  }
}).pipe(
  Effect.catchAll(({ error }) =>
    Effect.succeed(fail(
      "sqlite",
      "sqlite_unusable",
      error instanceof Error && "detail" in error ? String(error.detail) : String(error),
      "install the dependencies again (remove node_modules and start)"
    ))
  )
)

/** What the configuration says of itself holds no secret, and an example that looks like one. */
const invalid = ({ message, variable }: AgentConfig.ConfigInvalid): Finding => ({
  check: "config",
  status: "fail",
  code: "config_invalid",
  seen: message,
  fix: `correct ${variable}`
})

/** Everything but the servers: what is wrong with one of them hides nothing of the rest. */
const withoutServers = Object.fromEntries(
  [...PostgresConfig.variables, ...KafkaConfig.variables, ...RedisConfig.variables].map((name) => [name, ""])
)

/** A server that may be configured. */
interface Server<A> {
  readonly name: string
  /** What serves in its place when it is not configured. */
  readonly instead: string
  readonly setting: Config.Config<Option.Option<A>>
  readonly examine: (config: A, report: Report) => Effect.Effect<void, Finding>
}

/** The server's own settings, then what is to be looked at by them. */
const server = <A>(
  { examine, instead, name, setting }: Server<A>,
  overrides: Readonly<Record<string, string>>
) =>
(report: Report): Effect.Effect<void> =>
  Effect.gen(function*() {
    const read = yield* Effect.either(AgentConfig.read(setting, overrides))
    if (Either.isLeft(read)) return report(invalid(read.left))
    if (Option.isNone(read.right)) return report(ok(name, `not configured: ${instead}`))
    yield* Effect.catchAll(examine(read.right.value, report), (finding) => Effect.sync(() => report(finding)))
  })

/** What the check found, also when it would not end. */
const collect = (
  check: string,
  examine: (report: Report) => Effect.Effect<void>
): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.suspend(() => {
    const findings: Array<Finding> = []
    const late = () => fail(check, "deadline", `not done within ${DEADLINE}`, "look what its last line names")
    return examine((finding) => findings.push(finding)).pipe(
      within(late, DEADLINE),
      Effect.match({ onFailure: (finding) => [...findings, finding], onSuccess: () => findings })
    )
  })

const machine = (
  overrides: Readonly<Record<string, string>>,
  names: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.gen(function*() {
    const loaded = yield* Effect.either(AgentConfig.load({ ...overrides, ...withoutServers }))
    const hashKey = yield* Effect.either(AgentConfig.read(Variable.given("HOLDFAST_HASH_KEY"), overrides))
    const stray = Either.isRight(loaded) ? AgentConfig.stray(loaded.right, names) : loaded.left
    const around = Either.isLeft(loaded) ? [] : yield* Effect.all([
      collect("data.folder", (report) => DataFolder.examine(loaded.right.dataDir, report)),
      collect("port", (report) =>
        Effect.map(Listener.examine(loaded.right.host, loaded.right.port), (found) => found.forEach(report)))
    ], { concurrency: "unbounded" })
    return [
      nodeVersion(),
      yield* sqliteVersion,
      stray === undefined ? ok("config", "can be read") : invalid(stray),
      ...(Either.isRight(hashKey) && Option.isNone(hashKey.right)
        ? [warn(
          "config.hash_key",
          "development_key",
          "HOLDFAST_HASH_KEY is not set: who has this program can undo the hashes of e-mail addresses",
          "set it to a secret of your own before the first order, and keep it"
        )]
        : []),
      ...around.flat()
    ]
  })

/**
 * Looks at everything that the agents need here, side by side, in less than ten seconds whatever stalls. `overrides` come
 * before the variables of the environment.
 *
 * @category running
 */
export const run = (overrides: Readonly<Record<string, string>>): Effect.Effect<ReadonlyArray<Finding>> => {
  const names = agents({ dataDir: "", host: "", port: () => 0, peers: { of: {}, others: undefined } })
    .map((agent) => agent.name)
  const groups = Effect.all([
    machine(overrides, names),
    collect(
      "postgres",
      server({
        name: "postgres",
        instead: "SQLite is the primary",
        setting: PostgresConfig.config,
        examine: (config, report) => Postgres.examine(config, names, report)
      }, overrides)
    ),
    collect(
      "kafka",
      server({
        name: "kafka",
        instead: "the bus of this process carries messages",
        setting: KafkaConfig.config,
        examine: (config, report) => Kafka.examine(config, names, report)
      }, overrides)
    ),
    collect(
      "redis",
      server({
        name: "redis",
        instead: "memory is the cache",
        setting: RedisConfig.config,
        examine: Redis.examine
      }, overrides)
    )
  ], { concurrency: "unbounded" })
  return Effect.map(groups, (found) => found.flat())
}

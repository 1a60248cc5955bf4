import { agents } from "@holdfast/contracts/Agents"
import type * as RateLimit from "@holdfast/resilience/RateLimit"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import { readFileSync } from "node:fs"
import { parseEnv } from "node:util"
import * as KafkaConfig from "./KafkaConfig.ts"
import * as PostgresConfig from "./PostgresConfig.ts"
import * as RedisConfig from "./RedisConfig.ts"
import * as ServerUrl from "./ServerUrl.ts"
import * as Variable from "./Variable.ts"

/**
 * What an operator can set (DESIGN §9).
 *
 * @category models
 */
export interface AgentConfig {
  /** The folder of the stores. */
  readonly dataDir: string
  readonly host: string
  readonly port: number
  readonly logLevel: LogLevel.LogLevel
  readonly logFormat: "pretty" | "json"
  /** How long to go on as before after the stop signal, so that a load balancer sees `ready` fail first. */
  readonly drainSettle: Duration.Duration
  /** How long requests in flight may take to end after the stop signal. */
  readonly drainDeadline: Duration.Duration
  readonly requestDeadline: Duration.Duration
  readonly maxInFlight: number
  /** What each principal may ask; none: as much as it likes. */
  readonly rateLimit: Option.Option<RateLimit.Config>
  readonly maxBodyBytes: number
  /** None: SQLite is the primary, by choice. */
  readonly postgres: Option.Option<PostgresConfig.PostgresConfig>
  /** None: the bus embedded in the process serves, by choice. */
  readonly kafka: Option.Option<KafkaConfig.KafkaConfig>
  /** None: memory serves, by choice. */
  readonly redis: Option.Option<RedisConfig.RedisConfig>
  /** Whether SQLite may serve in place of Postgres; ask `fallbackOf`. */
  readonly fallback: PerAgent<Fallback, Fallback>
  /** What may wait for Postgres; beyond it an agent goes read-only. */
  readonly backlog: {
    readonly maxOperations: number
    readonly maxAge: Duration.Duration
  }
  /** Where agents of other processes answer; ask `peerUrl`. */
  readonly peers: PerAgent<string, string | undefined>
}

/**
 * Whether an agent may go on with SQLite while Postgres is away. Where it is forbidden, the agent fails (level 4).
 *
 * @category models
 */
export type Fallback = "allowed" | "forbidden"

/**
 * A setting that agents may have each for themselves.
 *
 * @category models
 */
export interface PerAgent<A, B> {
  readonly of: Readonly<Record<string, A>>
  /** Of those that `of` does not name. */
  readonly others: B
}

/**
 * A variable has a value that cannot be used; the message is one line that names it, says what is wrong and gives an
 * example.
 *
 * @category errors
 */
export class ConfigInvalid extends Data.TaggedError("ConfigInvalid")<{
  readonly variable: string
  readonly problem: string
}> {
  override get message() {
    return `${this.variable} ${this.problem}`
  }
}

const known: ReadonlySet<string> = new Set(agents)

const levels: Readonly<Record<string, LogLevel.LogLevel>> = {
  trace: LogLevel.Trace,
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warning: LogLevel.Warning,
  warn: LogLevel.Warning,
  error: LogLevel.Error,
  fatal: LogLevel.Fatal,
  none: LogLevel.None
}

const fallback = (name: string): Config.Config<Fallback | undefined> =>
  Variable.make<Fallback | undefined>({
    name,
    fallback: undefined,
    expected: "allowed or forbidden",
    example: "forbidden",
    parse: (text) => text === "allowed" || text === "forbidden" ? text : undefined
  })

const baseUrl = (name: string, example: string): Config.Config<string | undefined> =>
  Variable.make<string | undefined>({
    name,
    fallback: undefined,
    expected: "an http:// or https:// address without a user",
    example,
    parse: (text) => {
      if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined
      const { hash, password, search, username } = new URL(text)
      return `${hash}${password}${search}${username}` === "" ? text.replace(/\/+$/, "") : undefined
    }
  })

const prefix = (agent: string): string => agent.toUpperCase().replaceAll("-", "_")

/** The variable by which an agent's own fallback is decided. */
export const fallbackVariable = (agent: string): string => `${prefix(agent)}_FALLBACK`

/** A variable of each agent, by the agent's name; without those that are not set. */
const each = <A>(
  agents: ReadonlyArray<string>,
  read: (prefix: string) => Config.Config<A | undefined>
): Config.Config<Readonly<Record<string, A>>> =>
  Config.map(
    Config.all(agents.map((agent) => Config.map(read(prefix(agent)), (value) => [agent, value] as const))),
    (entries) =>
      Object.fromEntries(entries.filter((entry): entry is readonly [string, A & {}] => entry[1] !== undefined))
  )

const settings = (agents: ReadonlyArray<string>): Config.Config<AgentConfig> =>
  Config.map(
    Config.all({
      dataDir: Variable.make({
        name: "HOLDFAST_DATA_DIR",
        fallback: ".holdfast",
        expected: "a folder",
        example: ".holdfast",
        parse: (text) => text.includes("\0") ? undefined : text
      }),
      host: Variable.make({
        name: "HOLDFAST_HOST",
        fallback: "127.0.0.1",
        expected: "a host name or an IP address",
        example: "127.0.0.1",
        parse: (text) => /^[\w.:-]{1,253}$/.test(text) ? text : undefined
      }),
      port: Variable.make({
        name: "HOLDFAST_PORT",
        fallback: 4000,
        expected: "a port from 0 to 65535",
        example: "4000",
        parse: Variable.wholeNumber(0, 65_535)
      }),
      postgres: PostgresConfig.config,
      kafka: KafkaConfig.config,
      redis: RedisConfig.config,
      fallback: Config.all({
        others: Config.map(fallback("HOLDFAST_FALLBACK"), (value) => value ?? "allowed"),
        of: each(agents, (name) => fallback(`${name}_FALLBACK`))
      }),
      backlog: Config.all({
        maxOperations: Variable.make({
          name: "HOLDFAST_BACKLOG_MAX_OPERATIONS",
          fallback: 100_000,
          expected: "a number of operations from 1 to 100000000",
          example: "100000",
          parse: Variable.wholeNumber(1, 100_000_000)
        }),
        maxAge: Variable.make({
          name: "HOLDFAST_BACKLOG_MAX_AGE",
          fallback: Duration.hours(24),
          expected: "a time from 1 s to 720 h",
          example: "24h",
          parse: Variable.duration("1 second", "30 days")
        })
      }),
      peers: Config.all({
        others: baseUrl("HOLDFAST_PEER_URL", "http://127.0.0.1:4000"),
        of: each(
          agents.filter((agent) => known.has(agent)),
          (name) => baseUrl(`${name}_URL`, "http://127.0.0.1:4003")
        )
      }),
      logLevel: Variable.make({
        name: "LOG_LEVEL",
        fallback: LogLevel.Info,
        expected: "one of trace, debug, info, warning, error, fatal, none",
        example: "info",
        parse: (text) => Object.hasOwn(levels, text.toLowerCase()) ? levels[text.toLowerCase()] : undefined
      }),
      logFormat: Variable.make<"pretty" | "json">({
        name: "LOG_FORMAT",
        fallback: process.stderr.isTTY ? "pretty" : "json",
        expected: "pretty or json",
        example: "json",
        parse: (text) => text === "pretty" || text === "json" ? text : undefined
      }),
      drainSettle: Variable.make({
        name: "HOLDFAST_DRAIN_SETTLE",
        fallback: Duration.zero,
        expected: "a time of at most 5 s",
        example: "5s",
        parse: Variable.duration(0, "5 seconds")
      }),
      drainDeadline: Config.succeed(Duration.seconds(20)),
      requestDeadline: Variable.make({
        name: "HOLDFAST_REQUEST_DEADLINE",
        fallback: Duration.seconds(5),
        expected: "a time from 100 ms to 1 minute",
        example: "5s",
        parse: Variable.duration("100 millis", "1 minute")
      }),
      maxInFlight: Variable.make({
        name: "HOLDFAST_MAX_IN_FLIGHT",
        fallback: 512,
        expected: "a number of requests from 1 to 100000",
        example: "512",
        parse: Variable.wholeNumber(1, 100_000)
      }),
      rateLimit: Variable.make<Option.Option<RateLimit.Config>>({
        name: "HOLDFAST_RATE_LIMIT",
        fallback: Option.none(),
        expected: "a number of requests from 1 to 1000000 in a time from 1 s to 24 h",
        example: "1000/1s",
        parse: (text) => {
          const [permits = "", interval = "", ...rest] = text.split("/").map((part) => part.trim())
          const rate = {
            permits: Variable.wholeNumber(1, 1_000_000)(permits),
            interval: Variable.duration("1 second", "24 hours")(interval)
          }
          return rate.permits === undefined || rate.interval === undefined || rest.length > 0
            ? undefined
            : Option.some({ permits: rate.permits, interval: rate.interval })
        }
      }),
      maxBodyBytes: Variable.make({
        name: "HOLDFAST_MAX_BODY_BYTES",
        fallback: 1024 * 1024,
        expected: "a number of bytes from 1024 to 67108864",
        example: "1048576",
        parse: Variable.wholeNumber(1024, 64 * 1024 * 1024)
      }),
      // Read by the fraud agent itself; looked at here so that a wrong value stops the start.
      fraudExplore: Variable.make({
        name: "HOLDFAST_FRAUD_EXPLORE",
        fallback: false,
        expected: "true or false",
        example: "false",
        parse: Variable.boolean
      })
    }),
    ({ fraudExplore: _fraudExplore, ...settings }) => settings
  )

/**
 * The settings as an Effect `Config`, for providers of one's own.
 *
 * @category configuration
 */
export const config: Config.Config<AgentConfig> = settings(agents)

/** The first fault: the operator corrects one at a time anyway, and one line can be read. */
const first = (error: ConfigError.ConfigError): ConfigInvalid => {
  switch (error._op) {
    case "And":
    case "Or":
      return first(error.left)
    case "InvalidData":
    case "MissingData":
    case "SourceUnavailable":
    case "Unsupported":
      return new ConfigInvalid({ variable: error.path.join("_"), problem: error.message })
  }
}

/**
 * Where the settings of agents and their ports come from: environment, then `.env`. Give it to what runs them:
 * `Effect.provide(AgentConfig.layerProvider)`.
 *
 * @category configuration
 */
export const layerProvider = Layer.unwrapEffect(
  Effect.map(
    Effect.suspend(() => environment),
    (variables) => Layer.setConfigProvider(ConfigProvider.fromMap(variables))
  )
)

/** The `.env` file of the working folder; the environment's own variables come first. */
const environment = Effect.sync(() => {
  let file: Record<string, string | undefined> = {}
  try {
    file = parseEnv(readFileSync(".env", "utf8"))
  } catch {
    // No file, or none that can be read: the environment alone counts.
  }
  return new Map(
    Object.entries({ ...file, ...process.env }).filter((entry): entry is [string, string] => entry[1] !== undefined)
  )
})

const withOverrides = (overrides: Readonly<Record<string, string>>) =>
  Effect.map(environment, (variables) => new Map([...variables, ...Object.entries(overrides)]))

/** Agents that only an operator's variable names: those of a program of one's own. */
const namedBy = (variables: ReadonlyMap<string, string>): ReadonlyArray<string> =>
  [...variables.keys()].flatMap((name) => {
    const agent = /^([A-Z][A-Z0-9_]{0,62})_FALLBACK$/.exec(name)?.[1]?.toLowerCase().replaceAll("_", "-")
    return agent === undefined || agent === "holdfast" || known.has(agent) ? [] : [agent]
  })

/**
 * The settings of this process: environment, then `.env`, then defaults. `overrides` come before all, e.g. from flags.
 *
 * @category configuration
 */
export const load = (overrides: Readonly<Record<string, string>> = {}): Effect.Effect<AgentConfig, ConfigInvalid> =>
  Effect.flatMap(withOverrides(overrides), (variables) =>
    Effect.mapError(
      ConfigProvider.fromMap(variables).load(settings([...agents, ...namedBy(variables)])),
      first
    ))

/**
 * One setting as this process has it, for those who need not have all of them right.
 *
 * @category configuration
 */
export const read = <A>(
  setting: Config.Config<A>,
  overrides: Readonly<Record<string, string>> = {}
): Effect.Effect<A, ConfigInvalid> =>
  Effect.flatMap(
    withOverrides(overrides),
    (variables) => Effect.mapError(ConfigProvider.fromMap(variables).load(setting), first)
  )

/**
 * A variable for an agent that is neither one of the fifteen nor among `running`: mistyped, it would say nothing, and the
 * agent that was meant would keep its default.
 *
 * @category configuration
 */
export const stray = (
  { fallback }: Pick<AgentConfig, "fallback">,
  running: ReadonlyArray<string>
): ConfigInvalid | undefined => {
  const name = Object.keys(fallback.of).find((agent) => !known.has(agent) && !running.includes(agent))
  return name === undefined ? undefined : new ConfigInvalid({
    variable: fallbackVariable(name),
    problem: `names no agent; there are ${running.join(", ")}`
  })
}

/**
 * Whether SQLite may serve the agent in place of Postgres.
 *
 * @category accessors
 */
export const fallbackOf = ({ fallback }: Pick<AgentConfig, "fallback">, agent: string): Fallback =>
  fallback.of[agent] ?? fallback.others

/**
 * Where this process answers its own agents, whatever addresses it listens on.
 *
 * @category accessors
 */
export const ownUrl = (host: string, port: number): string => {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host
  return `http://${ServerUrl.hostInUrl(reachable)}:${port}`
}

/**
 * Below which URL an agent answers, without a slash at the end: its own variable, then the one for all, then this process.
 *
 * @category accessors
 */
export const peerUrl = ({ peers }: Pick<AgentConfig, "peers">, agent: string, own: string): string =>
  peers.of[agent] ?? peers.others ?? own

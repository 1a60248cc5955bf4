import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import { readFileSync } from "node:fs"
import { parseEnv } from "node:util"

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
  readonly maxBodyBytes: number
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

interface Variable<A> {
  readonly name: string
  readonly fallback: A
  /** Completes "must be …". */
  readonly expected: string
  readonly example: string
  readonly parse: (text: string) => A | undefined
}

/** A value as it may be shown: short, on one line. */
const shown = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)

// An empty variable is what a template leaves behind for one that is not set.
const given = (name: string): Config.Config<Option.Option<string>> =>
  Config.map(Config.option(Config.string(name)), Option.filter((text) => text.trim() !== ""))

const variable = <A>(options: Variable<A>): Config.Config<A> =>
  Config.mapOrFail(
    given(options.name),
    Option.match({
      onNone: () => Either.right(options.fallback),
      onSome: (text) => {
        const value = options.parse(text.trim())
        return value === undefined
          ? Either.left(ConfigError.InvalidData(
            [options.name],
            `must be ${options.expected}, e.g. ${options.name}=${options.example}; it is ${shown(text)}`
          ))
          : Either.right(value)
      }
    })
  )

const wholeNumber = (from: number, to: number) => (text: string): number | undefined => {
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN
  return value >= from && value <= to ? value : undefined
}

const duration = (text: string): Duration.Duration | undefined => {
  const [, amount, unit] = /^(\d{1,9})\s*(ms|s|m)$/.exec(text) ?? []
  if (amount === undefined) return undefined
  return Duration.millis(Number(amount) * (unit === "ms" ? 1 : unit === "s" ? 1000 : 60_000))
}

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

/** A server that this version cannot use yet: to set its variable and hear nothing would be worse than an error. */
const notYet = (name: string, instead: string): Config.Config<undefined> =>
  Config.mapOrFail(
    given(name),
    Option.match({
      onNone: () => Either.right(undefined),
      onSome: () =>
        Either.left(ConfigError.InvalidData(
          [name],
          `is set, but this version does not support it yet and uses ${instead}; unset ${name} to start`
        ))
    })
  )

/**
 * The settings as an Effect `Config`, for providers of one's own.
 *
 * @category configuration
 */
export const config: Config.Config<AgentConfig> = Config.map(
  Config.all({
    postgres: notYet("DATABASE_URL", "SQLite"),
    kafka: notYet("KAFKA_BROKERS", "the embedded bus"),
    redis: notYet("REDIS_URL", "memory"),
    dataDir: variable({
      name: "HOLDFAST_DATA_DIR",
      fallback: ".holdfast",
      expected: "a folder",
      example: ".holdfast",
      parse: (text) => text.includes("\0") ? undefined : text
    }),
    host: variable({
      name: "HOLDFAST_HOST",
      fallback: "127.0.0.1",
      expected: "a host name or an IP address",
      example: "127.0.0.1",
      parse: (text) => /^[\w.:-]{1,253}$/.test(text) ? text : undefined
    }),
    port: variable({
      name: "HOLDFAST_PORT",
      fallback: 4000,
      expected: "a port from 0 to 65535",
      example: "4000",
      parse: wholeNumber(0, 65_535)
    }),
    logLevel: variable({
      name: "LOG_LEVEL",
      fallback: LogLevel.Info,
      expected: "one of trace, debug, info, warning, error, fatal, none",
      example: "info",
      parse: (text) => Object.hasOwn(levels, text.toLowerCase()) ? levels[text.toLowerCase()] : undefined
    }),
    logFormat: variable<"pretty" | "json">({
      name: "LOG_FORMAT",
      fallback: process.stderr.isTTY ? "pretty" : "json",
      expected: "pretty or json",
      example: "json",
      parse: (text) => text === "pretty" || text === "json" ? text : undefined
    }),
    drainSettle: variable({
      name: "HOLDFAST_DRAIN_SETTLE",
      fallback: Duration.zero,
      expected: "a time of at most 5 s",
      example: "5s",
      parse: (text) => {
        const value = duration(text)
        return value !== undefined && Duration.toMillis(value) <= 5_000 ? value : undefined
      }
    }),
    requestDeadline: variable({
      name: "HOLDFAST_REQUEST_DEADLINE",
      fallback: Duration.seconds(5),
      expected: "a time from 100 ms to 1 minute",
      example: "5s",
      parse: (text) => {
        const value = duration(text)
        const millis = value === undefined ? 0 : Duration.toMillis(value)
        return millis >= 100 && millis <= 60_000 ? value : undefined
      }
    }),
    maxInFlight: variable({
      name: "HOLDFAST_MAX_IN_FLIGHT",
      fallback: 512,
      expected: "a number of requests from 1 to 100000",
      example: "512",
      parse: wholeNumber(1, 100_000)
    }),
    // Read by the fraud agent itself; looked at here so that a wrong value stops the start.
    fraudExplore: variable({
      name: "HOLDFAST_FRAUD_EXPLORE",
      fallback: false,
      expected: "true or false",
      example: "false",
      parse: (text) => text === "true" ? true : text === "false" ? false : undefined
    }),
    maxBodyBytes: variable({
      name: "HOLDFAST_MAX_BODY_BYTES",
      fallback: 1024 * 1024,
      expected: "a number of bytes from 1024 to 67108864",
      example: "1048576",
      parse: wholeNumber(1024, 64 * 1024 * 1024)
    })
  }),
  ({ fraudExplore: _fraudExplore, kafka: _kafka, postgres: _postgres, redis: _redis, ...settings }) => ({
    ...settings,
    drainDeadline: Duration.seconds(20)
  })
)

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

/**
 * The settings of this process: environment, then `.env`, then defaults. `overrides` come before all, e.g. from flags.
 *
 * @category configuration
 */
export const load = (overrides: Readonly<Record<string, string>> = {}): Effect.Effect<AgentConfig, ConfigInvalid> =>
  Effect.flatMap(environment, (variables) =>
    Effect.mapError(
      ConfigProvider.fromMap(new Map([...variables, ...Object.entries(overrides)])).load(config),
      first
    ))

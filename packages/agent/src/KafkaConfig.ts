import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Tls from "./Tls.ts"
import * as Variable from "./Variable.ts"

/** The ways of proving who one is that are understood. */
const mechanisms = ["plain", "scram-sha-256", "scram-sha-512"] as const

/**
 * Who the agents are to the brokers.
 *
 * @category models
 */
export interface Sasl {
  readonly mechanism: (typeof mechanisms)[number]
  readonly username: string
  readonly password: Redacted.Redacted
}

/**
 * Where Kafka is and how to get in.
 *
 * @category models
 */
export interface KafkaConfig {
  /** `host:port` each; the others of the cluster are learnt from any of them. */
  readonly brokers: NonEmptyReadonlyArray<string>
  readonly ssl: false | Tls.Tls
  readonly sasl: Sasl | undefined
  /** After so long without a sign of life another process, or the next one, takes over what a process was to hear. */
  readonly session: Duration.Duration
}

const isBroker = (text: string): boolean => {
  const [, port] = /^[\w.-]{1,253}:(\d{1,5})$/.exec(text) ?? []
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535
}

const brokersOf = (text: string): NonEmptyReadonlyArray<string> | undefined => {
  const brokers = text.split(",").map((part) => part.trim())
  return Arr.isNonEmptyReadonlyArray(brokers) && brokers.every(isBroker) ? Arr.dedupe(brokers) : undefined
}

const names = ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"] as const

/**
 * Every variable that says something of it.
 *
 * @category constants
 */
export const variables = [
  "KAFKA_BROKERS",
  "KAFKA_SSL",
  "KAFKA_CA_FILE",
  ...names,
  "KAFKA_SASL_PASSWORD_FILE",
  "KAFKA_SESSION_TIMEOUT"
] as const

const sasl: Config.Config<Sasl | undefined> = Config.mapOrFail(
  Config.all([
    Variable.make<Sasl["mechanism"] | undefined>({
      name: names[0],
      fallback: undefined,
      expected: `one of ${mechanisms.join(", ")}`,
      example: "scram-sha-512",
      parse: (text) => mechanisms.find((one) => one === text.toLowerCase())
    }),
    Variable.given(names[1]),
    Variable.secret(names[2])
  ]),
  ([mechanism, username, password]) => {
    if (mechanism !== undefined && Option.isSome(username) && Option.isSome(password)) {
      return Either.right({ mechanism, username: username.value, password: password.value })
    }
    const set = [mechanism !== undefined, Option.isSome(username), Option.isSome(password)]
    const present = names.filter((_, index) => set[index])
    const missing = names.filter((_, index) => !set[index])
    return present[0] === undefined
      ? Either.right(undefined)
      : Either.left(Variable.fault(
        present[0],
        `is set without ${missing.join(" and ")}; set all of ${names.join(", ")}, or none of them`
      ))
  }
)

/**
 * `KAFKA_BROKERS` with `KAFKA_SSL`, `KAFKA_CA_FILE`, `KAFKA_SASL_MECHANISM`, `KAFKA_SASL_USERNAME` and
 * `KAFKA_SASL_PASSWORD` (or `KAFKA_SASL_PASSWORD_FILE`), and `KAFKA_SESSION_TIMEOUT`; none where the embedded bus serves by
 * choice.
 *
 * @category configuration
 */
export const config: Config.Config<Option.Option<KafkaConfig>> = Config.mapOrFail(
  Config.all({
    alone: Variable.needs(variables),
    brokers: Variable.make<NonEmptyReadonlyArray<string> | undefined>({
      name: "KAFKA_BROKERS",
      fallback: undefined,
      expected: "a list of HOST:PORT",
      example: "kafka-1:9092,kafka-2:9092",
      parse: brokersOf
    }),
    isEncrypted: Variable.make<boolean | undefined>({
      name: "KAFKA_SSL",
      fallback: undefined,
      expected: "true or false",
      example: "true",
      parse: Variable.boolean
    }),
    ca: Tls.caFile("KAFKA_CA_FILE"),
    sasl,
    session: Variable.make({
      name: "KAFKA_SESSION_TIMEOUT",
      fallback: Duration.seconds(10),
      expected: "a time from 1 s to 5 minutes",
      example: "10s",
      parse: Variable.duration("1 second", "5 minutes")
    })
  }),
  ({ brokers, ca, isEncrypted, sasl, session }) => {
    if (brokers === undefined) return Either.right(Option.none())
    if (isEncrypted === false && Option.isSome(ca)) {
      return Either.left(Variable.fault("KAFKA_SSL", "is false beside KAFKA_CA_FILE; unset one of them"))
    }
    const ssl = (isEncrypted ?? Option.isSome(ca)) && Tls.verified(ca)
    return Either.right(Option.some({ brokers, ssl, sasl, session }))
  }
)

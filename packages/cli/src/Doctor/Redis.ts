import type { RedisConfig } from "@holdfast/agent/RedisConfig"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Redis } from "ioredis"
import type { Finding, Report } from "./Finding.ts"
import { fail, ok, warn } from "./Finding.ts"
import * as Network from "./Network.ts"

const variables = {
  address: "REDIS_URL",
  authorities: "REDIS_CA_FILE",
  encrypted: "rediss:// in REDIS_URL"
}

/** A connection, and one command, end by this time. */
const STEP_MILLIS = 2_000

/** A whole session on a server that answers, but slowly. */
const QUESTIONS = "3 seconds"

const OLDEST_VERSION = 6

/** The agents wait at most 250 ms for an answer. */
const SLOW_MILLIS = 50

const ASKED_FOR_LATENCY = 5

const networkFail = (check: string, fault: Network.NetworkFault): Finding =>
  fail(check, fault.code, fault.detail, Network.fixOf(fault, variables))

/** The first word of a refusal: what it is called here, and what to do. */
const refusals: Readonly<Record<string, readonly [code: string, fix: string]>> = {
  WRONGPASS: ["wrong_password", "correct user and password: REDIS_PASSWORD, or those in REDIS_URL"],
  NOAUTH: ["password_missing", "set REDIS_PASSWORD"],
  NOPERM: ["permission_denied", "give the user the commands and keys it needs (ACL SETUSER … +@all ~holdfast:*)"],
  LOADING: ["server_starting", "wait until the server has loaded its data"],
  MASTERDOWN: ["replica", "name the primary in REDIS_URL"],
  MISCONF: ["cannot_save", "make room for the server's files, or switch saving off: it is only a cache"],
  DENIED: ["protected_mode", "set a password in the server, or switch its protected-mode off"]
}

/**
 * Why there is no session, or no answer in one.
 *
 * @category errors
 */
export const findingOf = (check: string, thrown: unknown): Finding => {
  const fault = Network.faultOf(thrown)
  if (fault !== undefined) return networkFail(check, fault)
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  if (message.includes("called without any password")) {
    return fail(check, "password_unexpected", message, "unset REDIS_PASSWORD: the server asks for none")
  }
  const known = refusals[/^-?([A-Z]+)\b/.exec(message)?.[1] ?? ""]
  if (known !== undefined) return fail(check, known[0], message, known[1])
  if (/timed? ?out/i.test(message)) {
    return fail(
      check,
      "server_silent",
      `connected, and no answer within ${STEP_MILLIS} ms`,
      "the server accepts connections and does not answer: look whether it is stalled, and restart it"
    )
  }
  if (/DB index|invalid DB/i.test(message)) {
    return fail(check, "database_missing", message, "name a database in REDIS_URL that the server has, e.g. 0")
  }
  if (message.includes("Connection is closed")) {
    return fail(
      check,
      "connection_closed",
      message,
      "look into the server's log, and whether REDIS_URL names the right port"
    )
  }
  return fail(check, "redis_error", message, "look into the server's log")
}

const connected = (config: RedisConfig, report: Report) =>
  Effect.gen(function*() {
    let fault: unknown
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const client = new Redis({
          host: config.host,
          port: config.port,
          ...(config.tls === false ? {} : { tls: Network.tlsOptions(config.host, config.tls) }),
          lazyConnect: true,
          connectTimeout: STEP_MILLIS,
          commandTimeout: STEP_MILLIS,
          enableOfflineQueue: false,
          maxRetriesPerRequest: 0,
          retryStrategy: null,
          disableClientInfo: true,
          enableReadyCheck: false
        })
        // Says more than the rejection that follows it.
        client.on("error", (error: Error) => void (fault ??= error))
        return client
      }),
      (client) => Effect.sync(() => client.disconnect())
    )
    const ask = (command: () => Promise<unknown>) =>
      Effect.tryPromise({ try: command, catch: (thrown) => findingOf("redis.login", fault ?? thrown) })
    yield* ask(() => client.connect())
    // Not left to the client: what the server says to it must be seen.
    const { password, user } = config
    if (password !== undefined) {
      yield* ask(() => client.call("AUTH", ...(user === undefined ? [] : [user]), Redacted.value(password))).pipe(
        Effect.catchIf(
          ({ code }) => code === "password_unexpected",
          (finding) => Effect.sync(() => report({ ...finding, status: "warn" }))
        )
      )
    }
    yield* ask(() => client.select(config.database))
    yield* ask(() => client.ping())
    return client
  })

/** The lines `name:value` of INFO. */
const valuesOf = (info: string): ReadonlyMap<string, string> =>
  new Map([...info.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name = "", value = ""]) => [name, value]))

const versionOf = (version: string): Finding =>
  Number(version.split(".")[0]) >= OLDEST_VERSION
    ? ok("redis.version", version)
    : fail("redis.version", "version_too_old", version, `update the server to ${OLDEST_VERSION} or newer`)

const memoryOf = (info: ReadonlyMap<string, string>): Finding => {
  const limit = Number(info.get("maxmemory") ?? 0)
  const policy = info.get("maxmemory_policy") ?? "unknown"
  if (limit === 0) return ok("redis.memory", "no limit of its own (maxmemory 0)")
  const seen = `at most ${Math.round(limit / 1024 / 1024)} MiB, then ${policy}`
  return policy === "noeviction"
    ? warn("redis.memory", "no_eviction", seen, "set maxmemory-policy to allkeys-lru: a full cache refuses what is new")
    : ok("redis.memory", seen)
}

const roleOf = (info: ReadonlyMap<string, string>): ReadonlyArray<Finding> =>
  info.get("role") === "slave"
    ? [fail("redis.role", "replica", "a replica, which can only be read", "name the primary in REDIS_URL")]
    : []

const encryptionOf = ({ host, port, tls }: RedisConfig, isLocal: boolean): Effect.Effect<Finding, Finding> =>
  tls !== false
    ? Effect.mapBoth(Network.shakeHands(host, port, tls), {
      onFailure: (fault) => networkFail("redis.encryption", fault),
      onSuccess: (seen) => ok("redis.encryption", seen)
    })
    : Effect.succeed(
      isLocal
        ? ok("redis.encryption", "not encrypted, and does not leave this machine")
        : warn(
          "redis.encryption",
          "not_encrypted",
          "not encrypted",
          "begin REDIS_URL with rediss://, and set REDIS_CA_FILE when the authority is your own"
        )
    )

const questions = (config: RedisConfig, report: Report): Effect.Effect<void, Finding> =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* connected(config, report)
    report(ok("redis.login", `database ${config.database} answers PING`))
    const ask = <A>(command: () => Promise<A>) =>
      Effect.tryPromise({ try: command, catch: (thrown) => findingOf("redis.facts", thrown) })
    const info = valuesOf(yield* ask(() => client.info()))
    report(versionOf(info.get("redis_version") ?? "0"))
    roleOf(info).forEach(report)
    report(memoryOf(info))
    const samples = yield* Effect.replicateEffect(
      Effect.suspend(() => {
        const started = performance.now()
        return Effect.map(ask(() => client.ping()), () => performance.now() - started)
      }),
      ASKED_FOR_LATENCY
    )
    const median = samples.toSorted((one, other) => one - other)[Math.floor(samples.length / 2)] ?? 0
    const seen = `${Network.millis(median)} for a PING`
    report(
      median > SLOW_MILLIS
        ? warn("redis.latency", "slow", seen, "bring the agents and the server closer together")
        : ok("redis.latency", seen)
    )
  }))

/**
 * Looks at Redis: way, login, what it is and how it is set up.
 *
 * @category checks
 */
export const examine = (config: RedisConfig, report: Report): Effect.Effect<void, Finding> =>
  Effect.gen(function*() {
    const atAddress = (fault: Network.NetworkFault) => networkFail("redis.address", fault)
    const addresses = yield* Effect.mapError(Network.resolve(config.host), atAddress)
    const reached = yield* Effect.mapError(Network.reach(config.host, config.port), atAddress)
    report(ok(
      "redis.address",
      `${config.host}:${config.port} answers (${reached.address}, ${Network.millis(reached.millis)})`
    ))
    report(yield* encryptionOf(config, Network.isLocal(addresses)))
    yield* questions(config, report).pipe(
      Network.within(
        () =>
          fail(
            "redis.facts",
            "server_slow",
            `not all answers came within ${QUESTIONS}`,
            "look what keeps the server busy"
          ),
        QUESTIONS
      )
    )
  })

import type { PostgresConfig } from "@holdfast/agent/PostgresConfig"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Socket } from "node:net"
import pg from "pg"
import * as Count from "../Count.ts"
import type { Finding, Report } from "./Finding.ts"
import { fail, ok, warn } from "./Finding.ts"
import * as Network from "./Network.ts"

const variables = { address: "DATABASE_URL", authorities: "DATABASE_CA_FILE", encrypted: "sslmode in DATABASE_URL" }

/** A connection, and one question, end by this time. */
const STEP_MILLIS = 2_000

/** A whole session on a server that answers, but slowly. */
const QUESTIONS = "3 seconds"

const OLDEST_VERSION = 13

/** An operation asks a few times: with more than this between question and answer, each takes long. */
const SLOW_MILLIS = 20

/** Between the clocks of server and agents. */
const SKEW_WARN_MILLIS = 1_000
const SKEW_FAIL_MILLIS = 30_000

const ASKED_FOR_LATENCY = 5

const networkFail = (check: string, fault: Network.NetworkFault): Finding =>
  fail(check, fault.code, fault.detail, Network.fixOf(fault, variables))

/** SQLSTATE: what it is called here, and what to do. */
const states = (config: PostgresConfig): Readonly<Record<string, readonly [code: string, fix: string]>> => ({
  "28P01": ["wrong_password", `correct the password of ${config.user}: DATABASE_PASSWORD, or the one in DATABASE_URL`],
  "28000": ["login_refused", `let ${config.user} in from this machine (pg_hba.conf), or correct DATABASE_URL`],
  "3D000": ["database_missing", `create the database ${config.database}, or correct its name in DATABASE_URL`],
  "42501": ["permission_denied", `grant ${config.user} the right to connect to ${config.database}`],
  "53300": ["connections_exhausted", "raise max_connections of the server, or close connections of others"],
  "57P03": ["server_starting", "wait until the server has started; look into its log if it does not"],
  "57P01": ["server_stopping", "start the server again"],
  "55000": ["database_closed", `let connections to ${config.database} in (ALTER DATABASE … ALLOW_CONNECTIONS true)`]
})

/**
 * Why there is no session, or no answer in one.
 *
 * @category errors
 */
export const findingOf = (check: string, config: PostgresConfig, thrown: unknown): Finding => {
  const fault = Network.faultOf(thrown)
  if (fault !== undefined) return networkFail(check, fault)
  const { message } = thrown instanceof Error ? thrown : { message: String(thrown) }
  const sqlState = thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : ""
  if (sqlState === "28000" && /^no pg_hba.conf entry.*no encryption$/.test(message)) {
    return fail(check, "encryption_required", message, "write sslmode=verify-full in DATABASE_URL")
  }
  const known = states(config)[sqlState]
  if (known !== undefined) return fail(check, known[0], message, known[1])
  if (/timeout/i.test(message)) {
    return fail(
      check,
      "server_silent",
      `connected, and no answer within ${STEP_MILLIS} ms`,
      "the server accepts connections and does not answer: look whether it is stalled, and restart it"
    )
  }
  // The driver's own words have no code.
  if (message.includes("does not support SSL")) {
    return fail(
      check,
      "tls_not_spoken",
      message,
      "switch ssl on in the server, or write sslmode=disable in DATABASE_URL"
    )
  }
  if (message.includes("password must be")) {
    return fail(check, "password_missing", "the server asks for a password", "set DATABASE_PASSWORD")
  }
  if (message.includes("Connection terminated")) {
    return fail(check, "connection_closed", message, "look into the server's log for why it hangs up")
  }
  return fail(
    check,
    sqlState === "" ? "postgres_error" : `sqlstate_${sqlState}`,
    message,
    "look the error up in the server's log"
  )
}

const connected = (config: PostgresConfig): Effect.Effect<pg.Client, Finding, Scope.Scope> =>
  Effect.gen(function*() {
    // Ours, so that a stalled session can be left: the driver's own way out waits for the server.
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new Socket()),
      (socket) => Effect.sync(() => socket.destroy())
    )
    const client = new pg.Client({
      connectionString: Redacted.value(config.url),
      ssl: config.ssl,
      stream: () => socket,
      application_name: "holdfast-doctor",
      connectionTimeoutMillis: STEP_MILLIS,
      query_timeout: STEP_MILLIS,
      statement_timeout: STEP_MILLIS
    })
    // What breaks later is seen by the question under way.
    client.on("error", () => {})
    yield* Effect.tryPromise({
      try: () => client.connect(),
      catch: (thrown) => findingOf("postgres.login", config, thrown)
    })
    return client
  })

const Facts = Schema.Struct({
  version: Schema.String,
  versionNumber: Schema.Number,
  isReadOnly: Schema.Boolean,
  isStandby: Schema.Boolean,
  encoding: Schema.String,
  fsync: Schema.String,
  fullPageWrites: Schema.String,
  synchronousCommit: Schema.String,
  connections: Schema.Number,
  mayCreate: Schema.Boolean,
  /** Schemas of agents that are there, and those of them that the user may use. */
  present: Schema.Array(Schema.String),
  usable: Schema.Array(Schema.String),
  tls: Schema.NullOr(Schema.String),
  nowMillis: Schema.NumberFromString
})
type Facts = typeof Facts.Type

const FACTS = `
  select current_setting('server_version') as version,
    current_setting('server_version_num')::int as "versionNumber",
    pg_is_in_recovery() as "isStandby",
    current_setting('transaction_read_only')::boolean as "isReadOnly",
    current_setting('server_encoding') as encoding,
    current_setting('fsync') as fsync,
    current_setting('full_page_writes') as "fullPageWrites",
    current_setting('synchronous_commit') as "synchronousCommit",
    least(
      current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0),
      (select nullif(rolconnlimit, -1) from pg_roles where rolname = current_user),
      (select nullif(datconnlimit, -1) from pg_database where datname = current_database())
    ) as connections,
    has_database_privilege(current_database(), 'CREATE') as "mayCreate",
    array(select nspname::text from pg_namespace where nspname = any($1)) as present,
    array(select nspname::text from pg_namespace where nspname = any($1)
      and has_schema_privilege(oid, 'CREATE') and has_schema_privilege(oid, 'USAGE')) as usable,
    (select version from pg_stat_ssl where pid = pg_backend_pid()) as tls,
    (extract(epoch from clock_timestamp()) * 1000)::bigint::text as "nowMillis"`

const versionOf = ({ version, versionNumber }: Facts): Finding =>
  versionNumber >= OLDEST_VERSION * 10_000
    ? ok("postgres.version", version)
    : fail("postgres.version", "version_too_old", version, `update the server to ${OLDEST_VERSION} or newer`)

const roleOf = ({ isReadOnly, isStandby }: Facts): ReadonlyArray<Finding> =>
  isStandby
    ? [fail("postgres.role", "standby", "a standby, which can only be read", "name the primary in DATABASE_URL")]
    : isReadOnly
    ? [fail("postgres.role", "read_only", "transactions are read-only", "set default_transaction_read_only to off")]
    : []

const rightsOf = (facts: Facts, config: PostgresConfig, agents: ReadonlyArray<string>): Finding => {
  const missing = agents.filter((agent) => !facts.present.includes(agent))
  const closed = facts.present.filter((schema) => !facts.usable.includes(schema))
  if (closed.length > 0) {
    return fail(
      "postgres.rights",
      "schema_closed",
      `${config.user} may not use the ${Count.noun(closed.length, "schema")} ${closed.join(", ")}`,
      `make ${config.user} the owner (ALTER SCHEMA … OWNER TO "${config.user}")`
    )
  }
  if (missing.length > 0 && !facts.mayCreate) {
    return fail(
      "postgres.rights",
      "schema_not_creatable",
      `${config.user} may not create the ${Count.noun(missing.length, "schema")} ${missing.join(", ")}`,
      `GRANT CREATE ON DATABASE "${config.database}" TO "${config.user}"`
    )
  }
  return ok(
    "postgres.rights",
    missing.length === 0
      ? `${Count.of(agents.length, "schema of an agent is", "schemas of agents are")} there`
      : `${missing.length} of ${Count.of(agents.length, "schema")} will be made at the start`
  )
}

/** Each agent writes through one session and migrates through another; the process watches through one more. */
const connectionsOf = ({ connections }: Facts, config: PostgresConfig, agents: number): Finding => {
  const needed = 2 * agents + 1
  const seen = `${Count.of(connections, "connection")} for ${config.user}; ${
    Count.of(agents, "agent opens", "agents open")
  } up to ${needed}`
  return connections >= needed
    ? ok("postgres.connections", seen)
    : warn(
      "postgres.connections",
      "connections_scarce",
      seen,
      "raise max_connections, or the limit of the user or the database"
    )
}

const durabilityOf = (facts: Facts): Finding => {
  const off = [
    ["fsync", facts.fsync],
    ["full_page_writes", facts.fullPageWrites],
    ["synchronous_commit", facts.synchronousCommit]
  ].flatMap(([name = "", value]) => value === "off" ? [name] : [])
  return off.length === 0
    ? ok("postgres.durability", "commits are on disk when they are acknowledged")
    : warn(
      "postgres.durability",
      "commits_can_be_lost",
      `${off.join(", ")} off: what was acknowledged can be lost with the server`,
      `switch ${off.join(" and ")} on`
    )
}

const clockOf = (skewMillis: number): Finding => {
  const seen = `${Math.abs(skewMillis) < 10 ? "the same time" : `${Network.millis(Math.abs(skewMillis))} apart`}`
  const fix = "keep the clocks of both machines right (NTP)"
  return Math.abs(skewMillis) > SKEW_FAIL_MILLIS
    ? fail("postgres.clock", "clock_skew", seen, fix)
    : Math.abs(skewMillis) > SKEW_WARN_MILLIS
    ? warn("postgres.clock", "clock_skew", seen, fix)
    : ok("postgres.clock", seen)
}

const encryptionOf = ({ tls }: Facts, config: PostgresConfig, isLocal: boolean): Finding => {
  const fix = "write sslmode=verify-full in DATABASE_URL, and set DATABASE_CA_FILE when the authority is your own"
  if (tls === null) {
    return isLocal
      ? ok("postgres.encryption", "not encrypted, and does not leave this machine")
      : warn("postgres.encryption", "not_encrypted", "not encrypted", fix)
  }
  return config.ssl === false || config.ssl.rejectUnauthorized
    ? ok("postgres.encryption", `${tls}, the server is verified`)
    : warn("postgres.encryption", "not_verified", `${tls}, but anybody can pose as the server`, fix)
}

/** Half the time of a question is how old its answer is. */
const timed = <A, E>(question: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const started = performance.now()
    const answer = yield* question
    return { answer, millis: performance.now() - started, at: yield* Clock.currentTimeMillis }
  })

const latencyOf = (samples: ReadonlyArray<number>): Finding => {
  const median = samples.toSorted((one, other) => one - other)[Math.floor(samples.length / 2)] ?? 0
  const seen = `${Network.millis(median)} for a question and its answer`
  return median > SLOW_MILLIS
    ? warn("postgres.latency", "slow", seen, "bring the agents and the server closer together")
    : ok("postgres.latency", seen)
}

const questions = (
  config: PostgresConfig,
  agents: ReadonlyArray<string>,
  isLocal: boolean,
  report: Report
): Effect.Effect<void, Finding> =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* connected(config)
    report(ok("postgres.login", `${config.user} is let into ${config.database}`))
    const ask = (text: string, values: ReadonlyArray<unknown> = []) =>
      Effect.tryPromise({
        try: () => client.query<Record<string, unknown>>(text, [...values]),
        catch: (thrown) => findingOf("postgres.facts", config, thrown)
      })
    const { answer, at, millis } = yield* timed(ask(FACTS, [agents]))
    const facts = yield* Schema.decodeUnknown(Facts)(answer.rows[0]).pipe(
      Effect.mapError((error) =>
        fail(
          "postgres.facts",
          "not_postgres",
          error.message,
          "use a server that is Postgres, or fully compatible with it"
        )
      )
    )
    report(versionOf(facts))
    roleOf(facts).forEach(report)
    report(encryptionOf(facts, config, isLocal))
    report(
      facts.encoding === "UTF8"
        ? ok("postgres.encoding", facts.encoding)
        : fail("postgres.encoding", "encoding", facts.encoding, "create the database with ENCODING 'UTF8'")
    )
    report(rightsOf(facts, config, agents))
    report(connectionsOf(facts, config, agents.length))
    report(durabilityOf(facts))
    report(clockOf(facts.nowMillis - (at - millis / 2)))
    const samples = yield* Effect.replicateEffect(timed(ask("select 1")), ASKED_FOR_LATENCY)
    report(latencyOf(samples.map((sample) => sample.millis)))
  }))

/**
 * Looks at Postgres: way, login, what it is and how it is set up.
 *
 * @category checks
 */
export const examine = (
  config: PostgresConfig,
  agents: ReadonlyArray<string>,
  report: Report
): Effect.Effect<void, Finding> =>
  Effect.gen(function*() {
    const atAddress = (fault: Network.NetworkFault) => networkFail("postgres.address", fault)
    const addresses = yield* Effect.mapError(Network.resolve(config.host), atAddress)
    const reached = yield* Effect.mapError(Network.reach(config.host, config.port), atAddress)
    report(ok(
      "postgres.address",
      `${config.host}:${config.port} answers (${reached.address}, ${Network.millis(reached.millis)})`
    ))
    yield* questions(config, agents, Network.isLocal(addresses), report).pipe(
      Network.within(
        () =>
          fail(
            "postgres.facts",
            "server_slow",
            `not all answers came within ${QUESTIONS}`,
            "look what keeps the server busy"
          ),
        QUESTIONS
      )
    )
  })

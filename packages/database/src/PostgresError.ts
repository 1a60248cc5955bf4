import * as Failure from "@holdfast/resilience/Failure"
import * as Schema from "effect/Schema"

/**
 * Postgres cannot be used now: nobody listens, the connection broke, no answer came in time, the server starts, stops, is
 * full or reads only. What was under way may have happened or not.
 *
 * @category errors
 */
export class PostgresUnavailable extends Schema.TaggedError<PostgresUnavailable>()("PostgresUnavailable", {
  reason: Schema.Literal("refused", "lost", "timeout", "starting", "stopping", "saturated", "full", "read_only"),
  detail: Schema.String,
  code: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return withAdvice(this)
  }
}

/**
 * Postgres answers, and refuses what the configuration asks for: `fix` says what to change.
 *
 * @category errors
 */
export class PostgresMisconfigured extends Schema.TaggedError<PostgresMisconfigured>()("PostgresMisconfigured", {
  reason: Schema.Literal("password", "database", "permission", "tls", "host", "schema"),
  detail: Schema.String,
  fix: Schema.String,
  code: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return `${this.detail}; ${this.fix}`
  }
}

/**
 * Another transaction was in the way; the same one may succeed now.
 *
 * @category errors
 */
export class PostgresContended extends Schema.TaggedError<PostgresContended>()("PostgresContended", {
  reason: Schema.Literal("lock_timeout", "deadlock", "serialization", "cancelled"),
  detail: Schema.String,
  code: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return withAdvice(this)
  }
}

/**
 * A row breaks a constraint: the transaction has had no effect.
 *
 * @category errors
 */
export class PostgresConstraint extends Schema.TaggedError<PostgresConstraint>()("PostgresConstraint", {
  kind: Schema.Literal("unique", "check", "not_null", "foreign_key"),
  table: Schema.String,
  constraint: Schema.String,
  detail: Schema.String,
  code: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * A statement that no data can make right: a bug, or a schema that somebody else changed.
 *
 * @category errors
 */
export class PostgresStatementInvalid
  extends Schema.TaggedError<PostgresStatementInvalid>()("PostgresStatementInvalid", {
    detail: Schema.String,
    code: Schema.optional(Schema.String)
  })
{
  override get message(): string {
    return withAdvice(this)
  }
}

/** Everything that a call to Postgres can meet. */
export type PostgresError =
  | PostgresUnavailable
  | PostgresMisconfigured
  | PostgresContended
  | PostgresConstraint
  | PostgresStatementInvalid

/**
 * How bad each failure is and what is done about it.
 *
 * @category classification
 */
export const failures: Failure.Classifier<PostgresError> = Failure.classifier<PostgresError>({
  PostgresUnavailable: { severity: "high", recovery: "fallback" },
  PostgresMisconfigured: { severity: "critical", recovery: "fallback" },
  PostgresContended: { severity: "low", recovery: "retry" },
  PostgresConstraint: { severity: "medium", recovery: "fail" },
  PostgresStatementInvalid: { severity: "critical", recovery: "fail" }
})

/** What the driver throws, as far as it says what happened. */
interface Thrown {
  readonly code?: unknown
  readonly message?: unknown
  readonly table?: unknown
  readonly constraint?: unknown
  readonly errors?: unknown
}

type Make = (detail: string, code: string, thrown: Thrown) => PostgresError

const unavailable = (reason: PostgresUnavailable["reason"]): Make => (detail, code) =>
  new PostgresUnavailable({ reason, detail, code })
const misconfigured =
  (reason: PostgresMisconfigured["reason"], fix: string | ((detail: string) => string)): Make => (detail, code) =>
    new PostgresMisconfigured({ reason, detail, fix: typeof fix === "string" ? fix : fix(detail), code })
const contended = (reason: PostgresContended["reason"]): Make => (detail, code) =>
  new PostgresContended({ reason, detail, code })
const constraint = (kind: PostgresConstraint["kind"]): Make => (detail, code, thrown) =>
  new PostgresConstraint({
    kind,
    detail,
    code,
    table: String(thrown.table ?? ""),
    constraint: String(thrown.constraint ?? "")
  })
const invalid: Make = (detail, code) => new PostgresStatementInvalid({ detail, code })

const rightsFor = (detail: string): string =>
  /for (?:table|sequence|relation)/.test(detail)
    ? "grant the user SELECT, INSERT, UPDATE and DELETE on it, or make it the owner of the schema and of all in it"
    : /for schema/.test(detail)
    ? "grant the user USAGE and CREATE on the schema"
    : "grant the user CREATE on the database, or make it the owner of the schema"

/** What to do about what does not pass by itself, by SQLSTATE. */
const advice: Readonly<Record<string, string>> = {
  "25006": "name the primary in DATABASE_URL, or set default_transaction_read_only to off",
  "53100": "make room on the disk of Postgres",
  "53300": "close sessions of others, or raise max_connections",
  "55P03": "another session holds a lock: pg_stat_activity and pg_blocking_pids() name it",
  "57014": "it took too long, perhaps behind another session's lock: pg_stat_activity and pg_blocking_pids() name it",
  "42P01": "restore the table, or drop the agent's whole schema, which it makes and fills anew",
  "42703": "restore the column, or drop the agent's whole schema, which it makes and fills anew"
}

/** What happened, and what to do about it where somebody must. */
const withAdvice = ({ code, detail }: { readonly detail: string; readonly code?: string | undefined }): string => {
  const fix = code === undefined ? undefined : advice[code]
  return fix === undefined ? detail : `${detail}; ${fix}`
}

/** By SQLSTATE (five characters, or its class of two) and by the code of the socket; the longest that fits decides. */
const byCode: Readonly<Record<string, Make>> = {
  ECONNREFUSED: unavailable("refused"),
  EHOSTUNREACH: unavailable("refused"),
  ENETUNREACH: unavailable("refused"),
  ECONNRESET: unavailable("lost"),
  EPIPE: unavailable("lost"),
  ETIMEDOUT: unavailable("timeout"),
  ENOTFOUND: misconfigured("host", "correct the host in DATABASE_URL"),
  EAI_AGAIN: unavailable("refused"),
  "08": unavailable("lost"),
  "57P01": unavailable("stopping"),
  "57P02": unavailable("stopping"),
  "57P03": unavailable("starting"),
  "57P05": unavailable("lost"),
  "57014": contended("cancelled"),
  "53": unavailable("saturated"),
  "53100": unavailable("full"),
  "25006": unavailable("read_only"),
  "25P03": unavailable("lost"),
  "25P02": unavailable("lost"),
  "58": unavailable("lost"),
  "XX": unavailable("lost"),
  "28": misconfigured("password", "correct the user and password of DATABASE_URL"),
  "3D000": misconfigured("database", "create the database, or correct its name in DATABASE_URL"),
  "3F000": misconfigured(
    "schema",
    "grant the user USAGE and CREATE on the agent's schema; one that is gone the agent makes"
  ),
  "42501": misconfigured("permission", rightsFor),
  "40001": contended("serialization"),
  "40P01": contended("deadlock"),
  "55P03": contended("lock_timeout"),
  "23505": constraint("unique"),
  "23514": constraint("check"),
  "23502": constraint("not_null"),
  "23503": constraint("foreign_key"),
  "22": invalid,
  "42": invalid
}

const tlsCode = /^(?:ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/
const tlsWords = /SSL|TLS|certificate/i

const textOf = (thrown: unknown): string =>
  thrown instanceof Error && thrown.message !== "" ? thrown.message : String(thrown)

/**
 * The typed failure of what the driver threw.
 *
 * @category errors
 */
export const classify = (thrown: unknown): PostgresError => {
  if (isPostgresError(thrown)) return thrown
  const given: Thrown = typeof thrown === "object" && thrown !== null ? thrown : {}
  // A host with several addresses that all refuse.
  if (Array.isArray(given.errors) && given.errors.length > 0) return classify(given.errors[0])
  const code = typeof given.code === "string" ? given.code : ""
  const detail = textOf(thrown)
  const known = byCode[code] ?? byCode[code.slice(0, 2)]
  if (known !== undefined) return known(detail, code, given)
  if (tlsCode.test(code) || (code === "" && tlsWords.test(detail))) {
    return new PostgresMisconfigured({
      reason: "tls",
      detail,
      fix: "set sslmode in DATABASE_URL and DATABASE_CA_FILE as the server wants them",
      code
    })
  }
  // The driver's own words for a connection that ended or did not come about have no code.
  if (code === "" || !/^[0-9A-Z]{5}$/.test(code)) {
    return new PostgresUnavailable({ reason: detail.includes("timeout") ? "timeout" : "lost", detail, code })
  }
  return new PostgresStatementInvalid({ detail, code })
}

const isPostgresError = (value: unknown): value is PostgresError =>
  value instanceof PostgresUnavailable || value instanceof PostgresMisconfigured ||
  value instanceof PostgresContended || value instanceof PostgresConstraint ||
  value instanceof PostgresStatementInvalid

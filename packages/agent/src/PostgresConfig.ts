import * as Config from "effect/Config"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as ServerUrl from "./ServerUrl.ts"
import * as Tls from "./Tls.ts"
import * as Variable from "./Variable.ts"

/**
 * Where Postgres is and how to get in.
 *
 * @category models
 */
export interface PostgresConfig {
  /** Everything but TLS, which drivers read from a URL each in their own way: give them `ssl` beside it. */
  readonly url: Redacted.Redacted
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  /** Undefined where the server asks for none. */
  readonly password: Redacted.Redacted | undefined
  readonly ssl: false | Tls.Tls
}

/**
 * Every variable that says something of it.
 *
 * @category constants
 */
export const variables = [
  "DATABASE_URL",
  "DATABASE_PASSWORD",
  "DATABASE_PASSWORD_FILE",
  "DATABASE_CA_FILE"
] as const

const EXAMPLE = "postgres://holdfast@127.0.0.1:5432/holdfast"

const invalid = (problem: string) =>
  Either.left(Variable.fault(
    "DATABASE_URL",
    `must be postgres://USER@HOST:PORT/DATABASE, e.g. DATABASE_URL=${EXAMPLE}; it ${problem}`
  ))

const sslOf = (mode: string | undefined, ca: Option.Option<string>): Either.Either<false | Tls.Tls, string> => {
  switch (mode) {
    case undefined:
      return Either.right(Option.isSome(ca) && Tls.verified(ca))
    case "disable":
      return Option.isSome(ca) ? Either.left("has sslmode=disable beside DATABASE_CA_FILE") : Either.right(false)
    case "require":
      return Either.right(Option.isSome(ca) ? Tls.verified(ca) : { rejectUnauthorized: false })
    case "verify-full":
      return Either.right(Tls.verified(ca))
    default:
      return Either.left("has an sslmode other than disable, require and verify-full")
  }
}

/**
 * `DATABASE_URL` with `DATABASE_PASSWORD` (or `DATABASE_PASSWORD_FILE`) and `DATABASE_CA_FILE`; none where SQLite is the
 * primary by choice.
 *
 * @category configuration
 */
export const config: Config.Config<Option.Option<PostgresConfig>> = Config.mapOrFail(
  Config.all({
    alone: Variable.needs(variables),
    text: Variable.given("DATABASE_URL"),
    password: Variable.secret("DATABASE_PASSWORD"),
    ca: Tls.caFile("DATABASE_CA_FILE")
  }),
  ({ ca, password: given, text }) => {
    if (Option.isNone(text)) return Either.right(Option.none())
    const parsed = ServerUrl.parse(text.value.trim(), ["postgres:", "postgresql:"])
    if (Either.isLeft(parsed)) return invalid(parsed.left)
    const { host, parameters, path: database, port = 5432, user } = parsed.right
    if (user === "") return invalid("names no user")
    if (database === "" || database.includes("/")) return invalid("names no database")
    const unknown = [...parameters.keys()].find((name) => name !== "sslmode")
    if (unknown !== undefined) {
      return invalid(
        /^[a-zA-Z_]{1,40}$/.test(unknown)
          ? `has the parameter ${unknown}; only sslmode is understood`
          : "has parameters other than sslmode"
      )
    }
    const ssl = sslOf(parameters.get("sslmode"), ca)
    if (Either.isLeft(ssl)) return invalid(ssl.left)
    const inUrl = parsed.right.password === "" ? undefined : parsed.right.password
    const password = Option.match(given, { onNone: () => inUrl, onSome: Redacted.value })
    return Either.right(Option.some({
      url: Redacted.make(
        `postgresql://${ServerUrl.userInfo(user, password)}${ServerUrl.hostInUrl(host)}:${port}/` +
          encodeURIComponent(database)
      ),
      host,
      port,
      database,
      user,
      password: password === undefined ? undefined : Variable.secretOf(password),
      ssl: ssl.right
    }))
  }
)

import * as Config from "effect/Config"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as ServerUrl from "./ServerUrl.ts"
import * as Tls from "./Tls.ts"
import * as Variable from "./Variable.ts"

/**
 * Where Redis is and how to get in.
 *
 * @category models
 */
export interface RedisConfig {
  /** Everything but the certificates to trust: give `tls` beside it. */
  readonly url: Redacted.Redacted
  readonly host: string
  readonly port: number
  /** The number of the database. */
  readonly database: number
  /** Undefined for Redis' default user. */
  readonly user: string | undefined
  /** Undefined where the server asks for none. */
  readonly password: Redacted.Redacted | undefined
  readonly tls: false | Tls.Tls
}

/**
 * Every variable that says something of it.
 *
 * @category constants
 */
export const variables = ["REDIS_URL", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE", "REDIS_CA_FILE"] as const

const invalid = (problem: string) =>
  Either.left(Variable.fault(
    "REDIS_URL",
    `must be redis://HOST:PORT or rediss://HOST:PORT, e.g. REDIS_URL=redis://127.0.0.1:6379; it ${problem}`
  ))

/**
 * `REDIS_URL` with `REDIS_PASSWORD` (or `REDIS_PASSWORD_FILE`) and `REDIS_CA_FILE`; none where memory serves by choice.
 *
 * @category configuration
 */
export const config: Config.Config<Option.Option<RedisConfig>> = Config.mapOrFail(
  Config.all({
    alone: Variable.needs(variables),
    text: Variable.given("REDIS_URL"),
    password: Variable.secret("REDIS_PASSWORD"),
    ca: Tls.caFile("REDIS_CA_FILE")
  }),
  ({ ca, password: given, text }) => {
    if (Option.isNone(text)) return Either.right(Option.none())
    const parsed = ServerUrl.parse(text.value.trim(), ["redis:", "rediss:"])
    if (Either.isLeft(parsed)) return invalid(parsed.left)
    const { host, parameters, path, port = 6379, protocol } = parsed.right
    const database = path === "" ? 0 : Variable.wholeNumber(0, 999_999)(path)
    if (database === undefined) return invalid("names a database that is not a number")
    if (parameters.size > 0) return invalid("has parameters; none is understood")
    if (protocol === "redis:" && Option.isSome(ca)) {
      return invalid("is not encrypted, and REDIS_CA_FILE is set: begin it with rediss://")
    }
    const user = parsed.right.user === "" ? undefined : parsed.right.user
    const inUrl = parsed.right.password === "" ? undefined : parsed.right.password
    const password = Option.match(given, { onNone: () => inUrl, onSome: Redacted.value })
    if (user !== undefined && password === undefined) {
      return invalid(
        "names a user and no password: set REDIS_PASSWORD, or write a password alone as redis://:PASSWORD@HOST"
      )
    }
    return Either.right(Option.some({
      url: Redacted.make(
        `${protocol}//${ServerUrl.userInfo(user ?? "", password)}${ServerUrl.hostInUrl(host)}:${port}/${database}`
      ),
      host,
      port,
      database,
      user,
      password: password === undefined ? undefined : Variable.secretOf(password),
      tls: protocol === "rediss:" && Tls.verified(ca)
    }))
  }
)

import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { readFileSync } from "node:fs"
import * as Redaction from "./Redaction.ts"

/**
 * A variable of the environment: what it may be, and what it is when nobody sets it.
 *
 * @category models
 */
export interface Variable<A> {
  readonly name: string
  readonly fallback: A
  /** Completes "must be …". */
  readonly expected: string
  readonly example: string
  readonly parse: (text: string) => A | undefined
}

/** A short number, alone or with a unit of time. Everything else may be a password, put into the wrong variable. */
const harmless = /^-?\d{1,6}(?:\.\d{1,3})?(?: ?(?:ms|s|m|h|d))?$/

/**
 * A fault of the variable. `problem` follows its name and makes a sentence of one line.
 *
 * @category errors
 */
export const fault = (name: string, problem: string): ConfigError.ConfigError =>
  ConfigError.InvalidData([name], problem.replaceAll(/\s+/g, " "))

/**
 * The text of a variable. An empty one counts as not set: that is what a template leaves behind.
 *
 * @category constructors
 */
export const given = (name: string): Config.Config<Option.Option<string>> =>
  Config.map(Config.option(Config.string(name)), Option.filter((text) => text.trim() !== ""))

/**
 * The value of a variable, its fallback when it is not set, a fault of one line when it is not what was expected.
 *
 * @category constructors
 */
export const make = <A>(options: Variable<A>): Config.Config<A> =>
  Config.mapOrFail(
    given(options.name),
    Option.match({
      onNone: () => Either.right(options.fallback),
      onSome: (text) => {
        const value = options.parse(text.trim())
        return value === undefined
          ? Either.left(fault(
            options.name,
            `must be ${options.expected}, e.g. ${options.name}=${options.example}` +
              (harmless.test(text.trim()) ? `; it is "${text.trim()}"` : "")
          ))
          : Either.right(value)
      }
    })
  )

/**
 * What a variable that names a file finds in it. The name of the file is not shown: it may be the secret itself, put into
 * the wrong variable.
 *
 * @category constructors
 */
export const file = (name: string, what: string, example: string): Config.Config<Option.Option<string>> =>
  Config.mapOrFail(
    given(name),
    Option.match({
      onNone: () => Either.right(Option.none<string>()),
      onSome: (path) => {
        try {
          return Either.right(Option.some(readFileSync(path.trim(), "utf8")))
        } catch (cause) {
          const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unreadable"
          return Either.left(
            fault(name, `must be a file with ${what} that can be read, e.g. ${name}=${example}; ${code}`)
          )
        }
      }
    })
  )

/**
 * A secret that no log shows from now on, in whatever text it appears.
 *
 * @category constructors
 */
export const secretOf = (text: string): Redacted.Redacted => {
  Redaction.hide(text)
  return Redacted.make(text)
}

/**
 * A secret: in the variable itself, or in the file that `<name>_FILE` names, whose last line break does not count.
 *
 * @category constructors
 */
export const secret = (name: string): Config.Config<Option.Option<Redacted.Redacted>> =>
  Config.mapOrFail(
    Config.all([given(name), file(`${name}_FILE`, "the password", "/run/secrets/password")]),
    ([direct, filed]) => {
      if (Option.isSome(direct) && Option.isSome(filed)) {
        return Either.left(fault(name, `and ${name}_FILE are both set; unset one of them`))
      }
      const text = Option.orElse(direct, () => Option.map(filed, (content) => content.replace(/\r?\n$/, "")))
      if (Option.isSome(text) && text.value === "") {
        return Either.left(fault(`${name}_FILE`, "names an empty file; put the password into it"))
      }
      return Either.right(Option.map(text, secretOf))
    }
  )

/**
 * Reads a whole number within bounds.
 *
 * @category parsing
 */
export const wholeNumber = (from: number, to: number) => (text: string): number | undefined => {
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN
  return value >= from && value <= to ? value : undefined
}

const unitMillis: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/**
 * Reads a time such as `250ms`, `5s`, `10m` or `24h` within bounds; `0` needs no unit.
 *
 * @category parsing
 */
export const duration = (from: Duration.DurationInput, to: Duration.DurationInput) =>
(
  text: string
): Duration.Duration | undefined => {
  const [, amount, unit] = /^(\d{1,9})\s*(ms|s|m|h)$/.exec(text === "0" ? "0s" : text) ?? []
  if (amount === undefined || unit === undefined) return undefined
  const value = Duration.millis(Number(amount) * (unitMillis[unit] ?? 1))
  return Duration.between(value, { minimum: from, maximum: to }) ? value : undefined
}

/**
 * Reads `true` or `false`.
 *
 * @category parsing
 */
export const boolean = (text: string): boolean | undefined =>
  text === "true" ? true : text === "false" ? false : undefined

/**
 * Refuses what says something of a server that the first variable does not name: who sets it believes that the server is
 * used.
 *
 * @category combining
 */
export const needs = ([server, ...companions]: readonly [string, ...ReadonlyArray<string>]): Config.Config<void> =>
  Config.mapOrFail(
    Config.all([given(server), Config.all(companions.map((name) => Config.map(given(name), Option.map(() => name))))]),
    ([main, set]) => {
      const [lonely] = set.filter(Option.isSome)
      return Option.isSome(main) || lonely === undefined
        ? Either.right(undefined)
        : Either.left(fault(lonely.value, `is set and ${server} is not; set ${server}, or unset ${lonely.value}`))
    }
  )

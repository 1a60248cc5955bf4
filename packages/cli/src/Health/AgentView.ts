import * as Degradation from "@holdfast/resilience/Degradation"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** Who answers may be another version than who asks: what is not there, or not as expected, is left out. */
const lenient = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeUnknownOption(schema)
  return (value: unknown): A | undefined => Option.getOrUndefined(decode(value))
}

/** A terminal obeys control characters, whoever wrote them. */
const plain = (text: string): string => text.replaceAll(/\p{Cc}+/gu, " ")

const anyText = lenient(Schema.String)
const textOf = (value: unknown): string | undefined => {
  const text = anyText(value)
  return text === undefined ? undefined : plain(text)
}
const numberOf = lenient(Schema.Number)
const listOf = lenient(Schema.Array(Schema.Unknown))
const recordOf = lenient(Schema.Record({ key: Schema.String, value: Schema.Unknown }))

type Fields = Readonly<Record<string, unknown>>

/**
 * How one thing is that an agent depends on.
 *
 * @category models
 */
export interface Dependency {
  readonly name: string
  readonly status: string
  readonly cause: string | undefined
  readonly breaker: string | undefined
  readonly nextProbeAt: string | undefined
  /** What was measured, as `0.8 ms`. */
  readonly observed: string | undefined
}

/**
 * What an agent says of its health.
 *
 * @category models
 */
export interface AgentView {
  readonly agent: string
  readonly phase: string
  readonly level: number
  readonly levelName: string
  readonly since: string | undefined
  readonly notes: ReadonlyArray<string>
  readonly dependencies: ReadonlyArray<Dependency>
  /** Undefined: the agent says nothing of it. */
  readonly outbox: number | undefined
  readonly lag: number | undefined
  readonly backlog: number | undefined
  /** Since when the oldest write waits for Postgres, milliseconds since 1970. */
  readonly oldestAt: number | undefined
  readonly conflicts: number | undefined
  readonly deadLetters: number | undefined
}

/** Checks of these, and all with a breaker, are about something outside of the agent's own code; the word before the colon. */
const dependencies: ReadonlySet<string> = new Set(["postgres", "sqlite", "kafka", "bus", "redis", "cache"])

const names: Readonly<Record<number, string>> = Degradation.names

interface Check {
  readonly group: string
  readonly name: string
  readonly fields: Fields
}

const checksOf = (health: Fields): ReadonlyArray<Check> =>
  Object.entries(recordOf(health["checks"]) ?? {}).flatMap(([name, entries]) =>
    (listOf(entries) ?? []).flatMap((entry) => {
      const fields = recordOf(entry)
      return fields === undefined ? [] : [{ group: name.split(":")[0] ?? name, name, fields }]
    })
  )

const order = ["pass", "warn", "fail"]

const worse = (one: Check, other: Check): number =>
  order.indexOf(textOf(other.fields["status"]) ?? "") - order.indexOf(textOf(one.fields["status"]) ?? "")

const dependencyOf = (name: string, checks: ReadonlyArray<Check>): Dependency => {
  const sorted = checks.toSorted(worse)
  const first = (field: string) =>
    sorted.map(({ fields }) => textOf(fields[field])).find((value) => value !== undefined)
  const measured = checks.find((check) => check.name.endsWith(":responseTime") || check.name.endsWith(":commitTime"))
  const value = numberOf(measured?.fields["observedValue"])
  return {
    name,
    status: textOf(sorted[0]?.fields["status"]) ?? "unknown",
    cause: first("output"),
    breaker: first("breaker"),
    nextProbeAt: first("nextProbeAt"),
    observed: value === undefined
      ? undefined
      : `${Math.round(value * 10) / 10} ${textOf(measured?.fields["observedUnit"]) ?? "ms"}`
  }
}

const sumOf = (checks: ReadonlyArray<Check>, names: RegExp): number | undefined => {
  const values = checks.flatMap(({ fields, name }) => names.test(name) ? numberOf(fields["observedValue"]) ?? [] : [])
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value)
}

/** Said as a time, or as an age in seconds; of an empty backlog nothing is the oldest. */
const oldestOf = (checks: ReadonlyArray<Check>, now: number): number | undefined => {
  const time = Date.parse(textOf(checks.find(({ name }) => name === "backlog:pending")?.fields["oldestAt"]) ?? "")
  const age = sumOf(checks, /^backlog:oldestAge$/) ?? 0
  return Number.isFinite(time) ? time : age > 0 ? now - age * 1_000 : undefined
}

/**
 * Reads the detailed health of one agent, as it was `now`.
 *
 * @category conversions
 */
export const make = (agent: string, health: Fields, now: number): AgentView => {
  const checks = checksOf(health)
  const level = numberOf(health["degradationLevel"]) ?? 0
  const groups = new Set(
    checks.filter(({ fields, group }) => dependencies.has(group) || fields["breaker"] !== undefined)
      .map(({ group }) => group)
  )
  return {
    agent,
    phase: textOf(health["phase"]) ?? textOf(health["status"]) ?? "unknown",
    level,
    levelName: textOf(health["degradationName"]) ?? names[level] ?? "",
    since: textOf(health["degradationSince"]),
    notes: (listOf(health["notes"]) ?? []).flatMap((note) => textOf(note) ?? []),
    dependencies: [...groups].map((group) => dependencyOf(group, checks.filter((check) => check.group === group))),
    outbox: sumOf(checks, /^outbox:depth$/),
    lag: sumOf(checks, /^(?:bus:lag|kafka:consumerLag)$/),
    backlog: sumOf(checks, /^backlog:pending$/),
    oldestAt: oldestOf(checks, now),
    conflicts: sumOf(checks, /^conflicts:/),
    deadLetters: sumOf(checks, /^deadLetters:open$/)
  }
}

/**
 * Whether an operator need not look at it.
 *
 * @category accessors
 */
export const isWell = (view: AgentView): boolean =>
  view.phase === "ready" && view.level === 0 && view.notes.length === 0 &&
  view.dependencies.every(({ status }) => status === "pass")

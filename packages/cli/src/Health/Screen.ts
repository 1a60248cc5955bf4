import { table } from "../Terminal.ts"
import type { AgentView, Dependency } from "./AgentView.ts"
import { isWell } from "./AgentView.ts"

/**
 * What was read below one URL: agents, or why there are none.
 *
 * @category models
 */
export interface Place {
  readonly url: string
  /** The agents that are configured to answer there; empty where that is not known. */
  readonly expected: ReadonlyArray<string>
  readonly agents: ReadonlyArray<AgentView>
  readonly fault: string | undefined
}

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** `12 s`, `3 min`, `2 h`; empty when the text is no time. */
const distance = (from: number, to: number): string => {
  const millis = Math.max(0, to - from)
  if (Number.isNaN(millis)) return ""
  return millis < MINUTE
    ? `${Math.round(millis / SECOND)} s`
    : millis < HOUR
    ? `${Math.floor(millis / MINUTE)} min`
    : `${Math.floor(millis / HOUR)} h`
}

const ago = (time: string | undefined, now: number): string => time === undefined ? "" : distance(Date.parse(time), now)

const number = (value: number | undefined): string => value === undefined ? "-" : String(value)

const dependencyLine = ({ breaker, cause, name, nextProbeAt, observed, status }: Dependency, now: number): string =>
  [
    `${name} ${status}`,
    ...(cause === undefined ? [] : [cause]),
    ...(breaker === undefined ? [] : [`breaker ${breaker}`]),
    ...(nextProbeAt === undefined ? [] : [`next probe in ${distance(now, Date.parse(nextProbeAt))}`]),
    ...(status !== "pass" || observed === undefined ? [] : [observed])
  ].join(", ")

const summary = (dependencies: ReadonlyArray<Dependency>): string =>
  dependencies.map(({ name, observed, status }) =>
    status === "pass" ? `${name}${observed === undefined ? "" : ` ${observed}`}` : `${name} ${status.toUpperCase()}`
  ).join("  ")

/** A dependency that a note speaks of is not said again. */
const isSaid = (view: AgentView, { cause, status }: Dependency): boolean =>
  status === "pass" || (cause !== undefined && view.notes.some((note) => note.includes(cause)))

/** What is the same for several agents is said once, of all of them. */
const details = (views: ReadonlyArray<AgentView>, now: number): ReadonlyArray<string> => {
  const agents = new Map<string, Array<string>>()
  for (const view of views) {
    if (isWell(view)) continue
    const lines = [
      ...view.notes,
      ...view.dependencies.filter((one) => !isSaid(view, one)).map((one) => dependencyLine(one, now))
    ]
    for (const line of new Set(lines)) agents.set(line, [...agents.get(line) ?? [], view.agent])
  }
  return [...agents].map(([line, names]) => `  ${names.join(", ")}: ${line}`)
}

/** The agents that are configured to answer there, if it is known, and the address. */
const nameOf = ({ expected, url }: Pick<Place, "expected" | "url">): string =>
  expected.length === 0 ? url : `${expected.join(", ")} at ${url}`

/**
 * Everything at one moment: a row for each agent, and below the rows what is not as it should be.
 *
 * @category formatting
 */
export const frame = (places: ReadonlyArray<Place>, now: number): ReadonlyArray<string> => {
  const views = places.flatMap(({ agents }) => agents)
  const rows = views.map((view) => [
    view.agent,
    view.phase,
    `${view.level} ${view.levelName}`,
    ago(view.since, now),
    number(view.outbox),
    number(view.lag),
    `${number(view.backlog)}${view.oldestAt === undefined ? "" : ` (${distance(view.oldestAt, now)})`}`,
    number(view.conflicts),
    number(view.deadLetters),
    summary(view.dependencies)
  ])
  const heads = ["agent", "phase", "level", "for", "outbox", "lag", "backlog", "conflicts", "dead", "dependencies"]
  const below = [
    ...places.flatMap((place) => place.fault === undefined ? [] : [`  ${nameOf(place)}: ${place.fault}`]),
    ...details(views, now)
  ]
  return views.length === 0 ? below : [
    ...table([heads, ...rows]).split("\n"),
    ...(below.length === 0 ? [] : ["", ...below])
  ]
}

/** Numbers grow, and what follows the first clause comes and goes: neither makes another note of it. */
const wordsOf = (note: string): string => (note.split(";")[0] ?? "").replaceAll(/\d[\d.,]*/g, "#")

const dependencyChanges = (
  before: ReadonlyArray<Dependency>,
  after: ReadonlyArray<Dependency>,
  now: number
): ReadonlyArray<string> =>
  after.flatMap((dependency) => {
    const old = before.find(({ name }) => name === dependency.name)
    const same = old !== undefined && old.status === dependency.status && old.breaker === dependency.breaker &&
      wordsOf(old.cause ?? "") === wordsOf(dependency.cause ?? "")
    return same ? [] : [dependencyLine(dependency, now)]
  })

const counts = [
  ["dead letters", (view: AgentView) => view.deadLetters],
  ["conflicts", (view: AgentView) => view.conflicts]
] as const

const agentChanges = (before: AgentView, after: AgentView, now: number): ReadonlyArray<string> => [
  ...(before.phase === after.phase ? [] : [`${before.phase} → ${after.phase}`]),
  ...(before.level === after.level
    ? []
    : [`level ${before.level} ${before.levelName} → ${after.level} ${after.levelName}`]),
  ...dependencyChanges(before.dependencies, after.dependencies, now),
  ...after.notes.filter((note) => !before.notes.some((old) => wordsOf(old) === wordsOf(note))),
  ...counts.flatMap(([name, of]) =>
    of(before) === of(after) ? [] : [`${name} ${number(of(before))} → ${number(of(after))}`]
  ),
  // What it is does not matter on the way, only that it begins and ends.
  ...((before.backlog ?? 0) === 0 && (after.backlog ?? 0) > 0 ? [`backlog ${number(after.backlog)}`] : []),
  ...((before.backlog ?? 0) > 0 && (after.backlog ?? 0) === 0 ? ["backlog merged"] : [])
]

const introduction = (view: AgentView, now: number): string =>
  [
    `${view.phase}, level ${view.level} ${view.levelName}`,
    ...view.dependencies.map((dependency) => dependencyLine(dependency, now)),
    ...view.notes
  ].join("; ")

/**
 * What became different, and of whom: an agent by its name, a process by its URL.
 *
 * @category formatting
 */
export const changes = (
  before: ReadonlyArray<Place>,
  after: ReadonlyArray<Place>,
  now: number
): ReadonlyArray<{ readonly subject: string; readonly change: string }> =>
  after.flatMap((place) => {
    const old = before.find(({ url }) => url === place.url)
    const fault = place.fault !== undefined && old?.fault === undefined
      ? [{ subject: nameOf(place), change: `does not answer: ${place.fault}` }]
      : []
    return [
      ...fault,
      ...place.agents.flatMap((view) => {
        const known = old?.agents.find(({ agent }) => agent === view.agent)
        return (known === undefined ? [introduction(view, now)] : agentChanges(known, view, now))
          .map((change) => ({ subject: view.agent, change }))
      })
    ]
  })

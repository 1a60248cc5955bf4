import type { WriteClass } from "@holdfast/contracts/CommandPolicy"
import type { FailbackReport, PrimaryStatus } from "@holdfast/database/Database"
import type { Lane } from "@holdfast/messaging/EventBus"
import * as Degradation from "@holdfast/resilience/Degradation"
import type { Dependency, State } from "@holdfast/resilience/Dependency"
import * as AgentConfig from "./AgentConfig.ts"
import type { AgentStatus, Command } from "./AgentStatus.ts"
import * as CommandFate from "./CommandFate.ts"
import * as Outside from "./Outside.ts"

/**
 * How an agent, or a part of it, does.
 *
 * @category models
 */
export type Verdict = "pass" | "warn" | "fail"

/** The worst of them. */
export const worst = (verdicts: ReadonlyArray<Verdict>): Verdict =>
  verdicts.includes("fail") ? "fail" : verdicts.includes("warn") ? "warn" : "pass"

/**
 * What the probes of a process know of the moment, besides its agents.
 *
 * @category models
 */
export interface Moment {
  readonly now: number
  /** Every agent of the process: their consumers say how far an agent's messages have been heard. */
  readonly agents: ReadonlyArray<AgentStatus>
}

const iso = (millis: number): string => new Date(millis).toISOString()

const rounded = (value: number, digits: number): number => Math.round(value * 10 ** digits) / 10 ** digits

/** A span of time for people. */
const span = (millis: number): string => {
  const seconds = Math.max(0, millis) / 1_000
  if (seconds < 120) return `${seconds.toFixed(1)} s`
  const minutes = seconds / 60
  return minutes < 120 ? `${Math.round(minutes)} min` : `${(minutes / 60).toFixed(1)} h`
}

const counted = (n: number, one: string, many: string): string => `${n} ${n === 1 ? one : many}`

/** The file stands in for the primary. */
const isAlone = (agent: AgentStatus): boolean =>
  agent.database?.primary === undefined ? agent.facts().primary !== "absent" : agent.database.primary.mode() === "alone"

/**
 * What becomes of the agent's commands now.
 *
 * @category accessors
 */
export const fateOf = (agent: AgentStatus, writeClass: WriteClass): CommandFate.CommandFate =>
  CommandFate.of(writeClass, { level: agent.degradation().level, isAlone: isAlone(agent) })

const endpoint = ({ method, path }: Command): string => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`

/** Commands that do not run as they would at level 0. */
const affected = (agent: AgentStatus): ReadonlyArray<string> =>
  agent.commands.filter(({ writeClass }) => fateOf(agent, writeClass) !== "runs").map(endpoint)

/**
 * The word for the agent's stores in the plain form of the readiness probe.
 *
 * @category accessors
 */
export const databaseWord = (agent: AgentStatus): "connected" | "degraded" | "failed" => {
  const { level, reasons } = agent.degradation()
  if (agent.database === undefined || level === 4) return "failed"
  return reasons.every((reason) => reason === "bus_away" || reason === "bus_joining") && !isAlone(agent)
    ? "connected"
    : "degraded"
}

/** The word for the broker. */
export const kafkaWord = ({ broker }: AgentStatus): "connected" | "degraded" | "embedded" =>
  broker === undefined ? "embedded" : broker.current().status === "up" ? "connected" : "degraded"

/** The word for the cache: memory stands in for it, by choice or while it is away. */
export const redisWord = ({ cache }: AgentStatus): "connected" | "memory" =>
  cache?.current().status === "up" ? "connected" : "memory"

/**
 * How the agent does as a whole.
 *
 * @category accessors
 */
export const verdictOf = (agent: AgentStatus): Verdict => {
  const { level, memoryCache } = agent.degradation()
  if (agent.dead || level === 4 || agent.phase === "stopped") return "fail"
  const waits = agent.deadLetters.open + agent.sagasWaiting + (agent.database?.primary?.backlog().withheld ?? 0)
  return level > 0 || memoryCache || agent.phase !== "ready" || waits > 0 ||
      agent.outside.some(Outside.isHeldUp) ||
      agent.database?.primary?.persistence === "memory"
    ? "warn"
    : "pass"
}

/** The supervision of a dependency in the words of circuit breakers. */
const breakerOf = ({ status }: State): "closed" | "open" | "half_open" =>
  status === "up" ? "closed" : status === "away" ? "open" : "half_open"

const since = (millis: number | undefined, name: string) => millis === undefined ? {} : { [name]: iso(millis) }

const dependencyOf = (dependency: Pick<Dependency, "current">) => {
  const state = dependency.current()
  return {
    status: state.status,
    since: iso(state.since),
    ...(state.cause === undefined ? {} : { cause: state.cause }),
    breaker: breakerOf(state),
    ...(state.recoveryError === undefined ? {} : { recoveryError: state.recoveryError }),
    ...(state.lastError === undefined ? {} : { lastError: state.lastError }),
    ...since(state.lastErrorAt, "lastErrorAt"),
    ...since(state.answeredAt, "answeredAt"),
    ...(state.roundTripMillis === undefined ? {} : { responseMillis: rounded(state.roundTripMillis, 2) }),
    ...since(state.nextProbeAt, "nextProbeAt")
  }
}

const failbackOf = ({ at, millis, ...report }: FailbackReport) => ({
  at: iso(at),
  ...report,
  millis: rounded(millis, 1)
})

const backlogOf = (agent: AgentStatus, { now }: Moment) => {
  const backlog = agent.database?.primary?.backlog()
  return backlog === undefined ? undefined : {
    pending: backlog.pending,
    ...(backlog.oldestAt === undefined ? {} : {
      oldestAt: iso(backlog.oldestAt),
      oldestSeconds: rounded(Math.max(0, now - backlog.oldestAt) / 1_000, 1)
    }),
    isFull: backlog.isFull,
    conflicts: backlog.withheld,
    intents: agent.intentsWaiting
  }
}

/**
 * Committed messages that a broker has not acknowledged; without one, that some consumer of this process has not settled.
 *
 * @category accessors
 */
export const outboxDepth = (agent: AgentStatus, { agents }: Moment): number =>
  agent.broker === undefined
    ? agents.flatMap((other) => other.lanes()).filter(({ source }) => source === agent.name)
      .reduce((most, { lag = 0 }) => Math.max(most, lag), 0)
    : agent.database?.relay.depth() ?? 0

/**
 * The agent's lanes. While the broker is away nobody knows how many messages there are.
 *
 * @category accessors
 */
export const lanesOf = (agent: AgentStatus): ReadonlyArray<Lane> =>
  agent.broker === undefined || agent.broker.current().status === "up"
    ? agent.lanes()
    : agent.lanes().map((lane) => ({ ...lane, lag: undefined }))

/** Messages that the agent has not heard yet; undefined while that is not known of all its sources. */
const lagOf = (agent: AgentStatus): number | undefined => {
  const lags = lanesOf(agent).map(({ lag }) => lag)
  // Without a broker an agent that has joined and hears nobody has nothing before it.
  if (lags.length === 0) return agent.broker === undefined && agent.standing() !== undefined ? 0 : undefined
  return lags.reduce((sum, lag) => sum === undefined || lag === undefined ? undefined : sum + lag, 0)
}

const dependenciesOf = (agent: AgentStatus, moment: Moment) => {
  const { broker, cache, database, file } = agent
  const primary = database?.primary
  const lag = lagOf(agent)
  return {
    ...(agent.facts().primary === "absent" ? {} : {
      postgres: primary === undefined ? { status: "away", since: iso(agent.phaseSince) } : {
        ...dependencyOf(primary.dependency),
        mode: primary.mode(),
        roundTripMillis: rounded(primary.roundTripMillis(), 2),
        connections: primary.connections(),
        epoch: primary.epoch(),
        replicas: primary.replicas(),
        failovers: primary.stats.failovers,
        failbacks: primary.stats.failbacks,
        unknownCommits: primary.stats.unknownCommits
      }
    }),
    sqlite: {
      ...(file === undefined ? { status: "away", since: iso(agent.phaseSince) } : dependencyOf(file)),
      ...(agent.fault === undefined ? {} : { lastError: agent.fault }),
      role: agent.facts().primary === "absent" ? "primary" : "shadow",
      commitMillis: rounded(database?.stats.lastCommitMillis ?? 0, 2),
      queued: database?.stats.queued ?? 0
    },
    ...(broker === undefined ? {} : {
      kafka: {
        ...dependencyOf(broker),
        ...(lag === undefined ? {} : { lag }),
        outbox: outboxDepth(agent, moment),
        ...(agent.publishing()?.lastError === undefined ? {} : { publishError: agent.publishing()?.lastError })
      }
    }),
    ...(cache === undefined ? {} : { redis: dependencyOf(cache) }),
    ...Object.fromEntries(agent.outside.map((party) => {
      const { calls, oldestMillis } = party.waiting()
      return [party.name, {
        ...dependencyOf(party),
        waitingCalls: calls,
        oldestWaitingSeconds: rounded(oldestMillis / 1_000, 1)
      }]
    }))
  }
}

const CLASSES = ["mergeable", "bounded", "provisional", "refused"] as const

const fateInWords: Readonly<Record<CommandFate.CommandFate, string>> = {
  runs: "run",
  bounded: "run within a bound",
  kept: "are kept and answered 202; they run when Postgres is back",
  refused: "are answered 503 with Retry-After; nothing is stored"
}

/** Reasons for which the store takes nothing, so that what is heard cannot be handled. */
const unstorable: ReadonlyArray<Degradation.Reason> = [
  "primary_away_fallback_forbidden",
  "nothing_can_be_served",
  "no_store_answers",
  "standby_unwritable",
  "backlog_full"
]

/** What becomes of messages, by what is so now, whatever the level. */
const messagesOf = (agent: AgentStatus): string => {
  const standing = agent.standing()
  if (standing === undefined) return "are neither heard nor sent yet; the agent has not joined the bus"
  const { isHearing, isSending } = standing
  const isHandling = !agent.degradation().reasons.some((reason) => unstorable.includes(reason))
  if (isHearing && isHandling) {
    return isSending
      ? isAlone(agent)
        ? "are heard and sent; commands whose class is provisional or refused wait for Postgres"
        : "are heard and sent"
      : "are heard; its own wait in the outbox"
  }
  const where = agent.broker === undefined ? "with who sent them" : "on the broker"
  if (isSending) {
    return isHandling
      ? `are sent, and not heard${agent.facts().bus === "recovering" ? " yet" : ""}; those of others wait ${where}`
      : `are sent; those of others wait ${where} until they can be stored`
  }
  return `wait in the outbox and ${where}`
}

/** What still works, and what of the agent's commands does not. */
const worksOf = (agent: AgentStatus) => {
  const { level } = agent.degradation()
  const of = (fate: CommandFate.CommandFate) =>
    agent.commands.filter(({ writeClass }) => fateOf(agent, writeClass) === fate).map(endpoint)
  const replicas = agent.database?.primary?.replicas() ?? 1
  return {
    reads: level === 4
      ? "are answered 503"
      : level === 3 || (isAlone(agent) && replicas > 1)
      ? `are answered from ${
        agent.database?.primary?.persistence === "memory" ? "memory" : "the file"
      } as of some time ago, with X-Data-As-Of`
      : "are answered",
    commands: Object.fromEntries(CLASSES.map((writeClass) => [writeClass, fateInWords[fateOf(agent, writeClass)]])),
    messages: messagesOf(agent),
    affectedEndpoints: { kept: of("kept"), bounded: of("bounded"), refused: of("refused") }
  }
}

/** That the file is none, and why. */
const inMemory = ({ inMemoryBecause = "the data folder cannot be used" }: PrimaryStatus): string =>
  `what the file should hold is in memory (${inMemoryBecause})`

const fileFault = ({ database, fault, file }: AgentStatus): string =>
  fault ?? (database?.primary?.persistence === "memory" ? inMemory(database.primary) : undefined) ??
    file?.current().lastError ?? "not opened yet"

const toMerge = (agent: AgentStatus, { now }: Moment): string => {
  const { oldestAt = now, pending = 0 } = agent.database?.primary?.backlog() ?? {}
  return `${counted(pending, "operation", "operations")} to merge, oldest ${span(now - oldestAt)}`
}

/** Why a dependency is away, behind its name. */
const because = (dependency: Pick<Dependency, "current"> | undefined): string => {
  const error = dependency?.current().lastError
  return error === undefined ? "" : ` (${error})`
}

/** It has neither answered nor failed since the start. */
const isUnreached = (dependency: Pick<Dependency, "current"> | undefined): boolean => {
  const state = dependency?.current()
  return state === undefined || (state.status === "away" && state.lastError === undefined)
}

/** That it does not serve, and why. */
const awayInWords = (name: string, dependency: Pick<Dependency, "current"> | undefined): string => {
  const { lastError, recoveryError, status } = dependency?.current() ?? { status: "away" }
  if (recoveryError !== undefined && (status === "recovering" || lastError === recoveryError)) {
    return `${name} answers, but the last return to it failed (${recoveryError})`
  }
  if (status === "recovering") return `${name} is coming back`
  return lastError === undefined ? `${name} is not reached yet` : `${name} is away (${lastError})`
}

const postgres = (agent: AgentStatus): string => awayInWords("Postgres", agent.database?.primary?.dependency)

const kafka = (agent: AgentStatus): string => awayInWords("Kafka", agent.broker)

const withoutStore = (agent: AgentStatus, consequence: string): string =>
  agent.facts().primary === "absent" ? consequence : `${postgres(agent)}; ${consequence}`

const reasonInWords: Readonly<Record<Degradation.Reason, (agent: AgentStatus) => string>> = {
  primary_away_fallback_forbidden: (agent) =>
    `${postgres(agent)}; nothing works without Postgres, because ${
      AgentConfig.fallbackVariable(agent.name)
    } (or HOLDFAST_FALLBACK) is forbidden; make Postgres answer, or allow the fallback and start again`,
  nothing_can_be_served: (agent) => withoutStore(agent, "no store can be opened"),
  no_store_answers: (agent) => withoutStore(agent, "no store answers; reads come from memory"),
  standby_unwritable: (agent) =>
    agent.facts().primary === "absent"
      ? `SQLite cannot be written, reads only${because(agent.file)}`
      : `${postgres(agent)}; SQLite cannot be written in its place, reads only${because(agent.file)}`,
  primary_and_bus_away: (agent) => {
    const each = `${postgres(agent)}, ${kafka(agent)}`
    return isUnreached(agent.broker) || isUnreached(agent.database?.primary?.dependency)
      ? `${each}: reads only, and messages wait in the outbox`
      : `Postgres and Kafka are both away: reads only, and messages wait in the outbox; ${each}`
  },
  backlog_full: () => "the backlog is full: reads only until Postgres has taken it",
  bus_away: (agent) =>
    agent.standing()?.isSending === true
      ? `Kafka answers, but not to every agent of this process${because(agent.broker)}; messages of others wait there`
      : `${kafka(agent)}; messages wait in the outbox`,
  bus_joining: (agent) =>
    agent.broker?.current().status === "up"
      ? "Kafka answers, and the agent has not joined it yet; messages of others wait there"
      : `${kafka(agent)}; messages wait in the outbox`,
  standby_serves: (agent) =>
    agent.isDrilling()
      ? "a drill; SQLite serves in place of Postgres"
      : `${postgres(agent)}; SQLite serves in its place`,
  merging: (agent) =>
    agent.phase === "starting"
      ? "Postgres answers; both sides are brought to the same"
      : `${agent.isDrilling() ? "a drill: " : ""}Postgres is back and takes what SQLite has taken meanwhile`
}

/** What held until lately and still counts. */
const pastInWords: Readonly<Record<Degradation.Reason, string>> = {
  primary_away_fallback_forbidden: "Postgres was away",
  nothing_can_be_served: "no store could be opened",
  no_store_answers: "no store answered",
  standby_unwritable: "SQLite could not be written",
  primary_and_bus_away: "Postgres and Kafka were both away",
  backlog_full: "the backlog was full",
  bus_away: "Kafka was away",
  bus_joining: "the agent had not joined Kafka",
  standby_serves: "Postgres was away",
  merging: "Postgres was taking what SQLite had taken"
}

const ofPrimary: ReadonlyArray<Degradation.Reason> = ["primary_and_bus_away", "standby_serves"]

/** What the words of a reason say already. */
const covered: Readonly<Partial<Record<Degradation.Reason, ReadonlyArray<Degradation.Reason>>>> = {
  primary_away_fallback_forbidden: [
    ...ofPrimary,
    "nothing_can_be_served",
    "no_store_answers",
    "standby_unwritable",
    "merging"
  ],
  nothing_can_be_served: [...ofPrimary, "no_store_answers", "standby_unwritable"],
  no_store_answers: [...ofPrimary, "standby_unwritable"],
  standby_unwritable: ["standby_serves"],
  primary_and_bus_away: ["standby_serves", "bus_away"]
}

/**
 * Why the level is what it is, each cause once.
 *
 * @category accessors
 */
export const reasonsOf = (agent: AgentStatus): ReadonlyArray<string> =>
  uncovered(agent.degradation().reasons).map((reason) => reasonInWords[reason](agent))

/** Each cause once. */
const uncovered = (reasons: ReadonlyArray<Degradation.Reason>): ReadonlyArray<Degradation.Reason> => {
  const said = new Set<Degradation.Reason>()
  return reasons.filter((reason) => {
    if (said.has(reason)) return false
    for (const other of covered[reason] ?? []) said.add(other)
    return true
  })
}

/**
 * That the level is kept worse than what is wrong now deserves, for how long and why.
 *
 * @category accessors
 */
export const keptOf = (agent: AgentStatus, now: number): ReadonlyArray<string> => {
  const { held, level } = agent.degradation()
  if (held === undefined) return []
  const was = uncovered(held.reasons).map((reason) => pastInWords[reason]).join(", ")
  return [
    `level ${level} is kept for ${
      span(held.until - now)
    } more: ${was} until lately, again within a minute of the return`
  ]
}

/**
 * What waits for a person, and where it is listed.
 *
 * @category accessors
 */
export const waitingOf = (
  agent: AgentStatus
): Readonly<Record<Waiting, { readonly n: number; readonly says: string }>> => {
  const conflicts = agent.database?.primary?.backlog().withheld ?? 0
  const { deadLetters: { open }, sagasWaiting } = agent
  return {
    conflicts: {
      n: conflicts,
      says: `${counted(conflicts, "operation of an outage waits", "operations of an outage wait")} for a decision: ` +
        `GET /${agent.name}/conflicts?status=open`
    },
    sagas: {
      n: sagasWaiting,
      says: `${counted(sagasWaiting, "saga needs", "sagas need")} an operator: ` +
        `GET /${agent.name}/sagas?state=needs_operator`
    },
    "dead-letters": {
      n: open,
      says: `${counted(open, "dead letter waits", "dead letters wait")} for a decision: GET /${agent.name}/dead-letters`
    }
  }
}

/** Kinds of what waits for a person, each named as the command that lists it. */
export type Waiting = "conflicts" | "sagas" | "dead-letters"

/**
 * That agents hear others which nothing connects them with; `who` they are.
 *
 * @category accessors
 */
export const unheardIn = (who: string, unheard: ReadonlyArray<string>): string =>
  `${unheard.join(", ")} ${
    unheard.length === 1 ? "does" : "do"
  } not run in this process and KAFKA_BROKERS is not set: ` +
  `what they and ${who} tell each other is not heard; run all of them in one process, or set KAFKA_BROKERS for each`

/** What a party outside leaves to wait. */
const heldUp = (party: Outside.Party): string => {
  const { calls, oldestMillis } = party.waiting()
  const waits = `${counted(calls, "call waits", "calls wait")} for the ${party.name}`
  const waiting = calls === 0 ? [] : [`${waits}, the oldest for ${span(oldestMillis)}`]
  const silence = party.current().status === "up" ? [] : [`the ${party.name} does not answer${because(party)}`]
  return [...silence, ...waiting].join("; ")
}

/**
 * What an operator should know, in sentences.
 *
 * @category accessors
 */
export const notesOf = (agent: AgentStatus, moment: Moment): ReadonlyArray<string> => {
  const { memoryCache } = agent.degradation()
  const primary = agent.database?.primary
  const repaired = primary?.stats.lastFailback?.repaired ?? 0
  const waiting = waitingOf(agent)
  const waits = (kind: Waiting) => waiting[kind].n > 0 ? [waiting[kind].says] : []
  return [
    ...(agent.fault === undefined ? [] : [agent.fault]),
    ...reasonsOf(agent),
    ...(agent.unheard.length === 0 ? [] : [unheardIn(agent.name, agent.unheard)]),
    ...((primary?.backlog().pending ?? 0) > 0 ? [`writes wait for Postgres; ${toMerge(agent, moment)}`] : []),
    ...keptOf(agent, moment.now),
    ...(primary?.persistence === "memory"
      ? [`${inMemory(primary)}: while Postgres is away nothing can be written`]
      : []),
    ...(memoryCache ? [`memory stands in for Redis${because(agent.cache) || " (not reached yet)"}`] : []),
    ...agent.outside.filter(Outside.isHeldUp).map(heldUp),
    ...waits("conflicts"),
    ...(agent.intentsWaiting > 0
      ? [`${counted(agent.intentsWaiting, "accepted request runs", "accepted requests run")} when Postgres is back`]
      : []),
    ...(repaired > 0
      ? [`the last return to Postgres found ${counted(repaired, "row", "rows")} that differed, and set them right`]
      : []),
    ...waits("sagas"),
    ...waits("dead-letters"),
    ...agent.lanes().filter((lane) => lane.paused).map((lane) =>
      `does not hear ${lane.source} now: ${lane.lastError ?? "unknown"}`
    ),
    ...agent.jobs.filter((job) => job.failing > 0).map((job) =>
      `job ${job.name} has failed ${job.failing} times in a row`
    )
  ]
}

/**
 * One check of the IETF form; without a value where nothing was measured.
 *
 * @category models
 */
export interface Check {
  readonly componentType: "datastore" | "component" | "system"
  readonly status: Verdict
  readonly observedValue?: number
  readonly observedUnit?: string
  readonly time?: string
  readonly output?: string
  readonly breaker?: string
  readonly nextProbeAt?: string
  readonly affectedEndpoints?: ReadonlyArray<string>
}

const observed = (value: number | undefined, unit: string, digits = 0) =>
  value === undefined ? {} : { observedValue: rounded(value, digits), observedUnit: unit }

/** A dependency as a check; `observed` is what it measures. */
const dependencyCheck = (
  componentType: Check["componentType"],
  dependency: Pick<Dependency, "current">,
  measured: object,
  affectedEndpoints: ReadonlyArray<string> = []
): Check => {
  const state = dependency.current()
  const at = state.status === "away" ? state.lastErrorAt : state.answeredAt
  return {
    componentType,
    status: state.status === "up" ? "pass" : state.status === "away" ? "fail" : "warn",
    ...measured,
    ...since(at, "time"),
    breaker: breakerOf(state),
    ...(state.status === "up" || state.lastError === undefined ? {} : { output: state.lastError }),
    ...since(state.nextProbeAt, "nextProbeAt"),
    ...(affectedEndpoints.length === 0 ? {} : { affectedEndpoints })
  }
}

const postgresChecks = (agent: AgentStatus, { now }: Moment): Readonly<Record<string, Check>> => {
  const primary = agent.database?.primary
  if (primary === undefined) return {}
  const isUp = primary.dependency.current().status === "up"
  const backlog = primary.backlog()
  return {
    "postgres:responseTime": dependencyCheck(
      "datastore",
      primary.dependency,
      observed(isUp ? primary.roundTripMillis() : undefined, "ms", 2),
      affected(agent)
    ),
    "postgres:connections": {
      componentType: "datastore",
      status: isUp ? "pass" : "fail",
      ...observed(primary.connections(), "connections")
    },
    "backlog:pending": {
      componentType: "datastore",
      status: backlog.isFull ? "fail" : backlog.pending > 0 ? "warn" : "pass",
      ...observed(backlog.pending, "operations"),
      ...(backlog.isFull ? { output: "the backlog is full" } : {})
    },
    "backlog:oldestAge": {
      componentType: "datastore",
      status: backlog.isFull ? "fail" : backlog.pending > 0 ? "warn" : "pass",
      ...observed(backlog.oldestAt === undefined ? 0 : Math.max(0, now - backlog.oldestAt) / 1_000, "s", 1)
    },
    "conflicts:open": {
      componentType: "component",
      status: backlog.withheld > 0 ? "warn" : "pass",
      ...observed(backlog.withheld, "operations")
    }
  }
}

const busChecks = (agent: AgentStatus, moment: Moment): Readonly<Record<string, Check>> => {
  const lag = lagOf(agent)
  const broker = agent.broker?.current()
  const paused = agent.lanes().find((lane) => lane.paused)
  const depth = outboxDepth(agent, moment)
  const outbox: Check = {
    componentType: "component",
    status: agent.publishing()?.lastError === undefined ? "pass" : "warn",
    ...observed(depth, "messages"),
    ...(agent.publishing()?.lastError === undefined ? {} : { output: agent.publishing()?.lastError ?? "" })
  }
  const heard: Check = {
    componentType: "component",
    status: paused === undefined && (broker === undefined || broker.status === "up") ? "pass" : "warn",
    ...observed(lag, "messages"),
    ...(paused?.lastError === undefined ? {} : { output: paused.lastError })
  }
  return agent.broker === undefined
    ? { "bus:lag": heard, "outbox:depth": outbox }
    : {
      "kafka:responseTime": dependencyCheck(
        "component",
        agent.broker,
        observed(
          agent.broker.current().status === "up" ? agent.broker.current().roundTripMillis : undefined,
          "ms",
          2
        )
      ),
      "kafka:consumerLag": heard,
      "outbox:depth": outbox
    }
}

/**
 * The agent's checks, by name.
 *
 * @category accessors
 */
export const checksOf = (agent: AgentStatus, moment: Moment): Readonly<Record<string, Check>> => {
  const store = agent.database?.stats
  const isFileLost = agent.database === undefined || agent.facts().standby !== "ok"
  return {
    ...postgresChecks(agent, moment),
    "sqlite:commitTime": {
      componentType: "datastore",
      status: agent.database === undefined ? "fail" : isFileLost ? "warn" : "pass",
      ...observed(store?.lastCommitMillis ?? 0, "ms", 2),
      ...(isFileLost ? { output: fileFault(agent) } : {})
    },
    "sqlite:queued": {
      componentType: "datastore",
      status: "pass",
      ...observed(store?.queued ?? 0, "operations")
    },
    ...busChecks(agent, moment),
    ...(agent.cache === undefined ? {} : {
      "redis:responseTime": dependencyCheck(
        "datastore",
        agent.cache,
        observed(
          agent.cache.current().status === "up" ? agent.cache.current().roundTripMillis : undefined,
          "ms",
          2
        )
      )
    }),
    ...Object.fromEntries(agent.outside.map((party): readonly [string, Check] => {
      const check = dependencyCheck("component", party, observed(party.waiting().calls, "calls"))
      const isLate = check.status === "pass" && Outside.isHeldUp(party)
      return [`${party.name}:waitingCalls`, isLate ? { ...check, status: "warn", output: heldUp(party) } : check]
    })),
    "deadLetters:open": {
      componentType: "component",
      status: agent.deadLetters.open > 0 ? "warn" : "pass",
      ...observed(agent.deadLetters.open, "messages")
    },
    "sagas:needsOperator": {
      componentType: "component",
      status: agent.sagasWaiting > 0 ? "warn" : "pass",
      ...observed(agent.sagasWaiting, "sagas")
    },
    ...Object.fromEntries(agent.jobs.map((job): readonly [string, Check] => [`job:${job.name}`, {
      componentType: "component",
      status: job.failing > 0 ? "warn" : "pass",
      ...observed(job.runs, "runs")
    }]))
  }
}

/**
 * All that is known of an agent, for people and programs.
 *
 * @category accessors
 */
export const detailOf = (agent: AgentStatus, moment: Moment) => {
  const { held, level, reasons, since: levelSince } = agent.degradation()
  const backlog = backlogOf(agent, moment)
  const lastFailback = agent.database?.primary?.stats.lastFailback
  return {
    agent: agent.name,
    status: verdictOf(agent),
    phase: agent.phase,
    degradationLevel: level,
    degradationName: Degradation.names[level],
    degradationSince: iso(levelSince),
    reasons,
    ...(held === undefined ? {} : { held: { until: iso(held.until), reasons: held.reasons } }),
    notes: notesOf(agent, moment),
    persistence: agent.database?.primary?.persistence ?? "file",
    fallback: agent.fallback,
    works: worksOf(agent),
    dependencies: dependenciesOf(agent, moment),
    ...(backlog === undefined ? {} : { backlog }),
    ...(lastFailback === undefined ? {} : { lastFailback: failbackOf(lastFailback) }),
    outbox: { depth: outboxDepth(agent, moment), lastSeq: agent.database?.outbox.lastSeq() ?? 0 },
    lanes: lanesOf(agent).map(({ lag, lastError, paused, position, source }) => ({
      source,
      position,
      ...(lag === undefined ? {} : { lag }),
      paused,
      ...(lastError === undefined ? {} : { lastError })
    }))
  }
}

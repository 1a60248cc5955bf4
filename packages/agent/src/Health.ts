import * as Degradation from "@holdfast/resilience/Degradation"
import { type AgentStatus, isReady } from "./AgentStatus.ts"
import * as HttpAnswer from "./HttpAnswer.ts"
import type { Mount, PageRequest } from "./HttpRoute.ts"

/**
 * What the probes of a process know.
 *
 * @category models
 */
export interface Process {
  readonly version: string
  readonly startedAt: number
  readonly now: () => number
  readonly agents: ReadonlyArray<AgentStatus>
  /** The 99th percentile of the event loop's delay, in milliseconds. */
  readonly loopDelayMillis: () => number
}

/** The worst level of the agents. */
export const worstLevel = (agents: ReadonlyArray<AgentStatus>): Degradation.Level =>
  agents.reduce<Degradation.Level>((worst, agent) => {
    const { level } = agent.degradation()
    return level > worst ? level : worst
  }, 0)

const IETF = "application/health+json"

const NO_STORE = { "cache-control": "no-store" }

/** A stalled event loop answers no probe in time either; this is for the one that comes after the stall. */
const LOOP_DELAY_LIMIT_MILLIS = 1_000

type Verdict = "pass" | "warn" | "fail"

const verdictOf = (agent: AgentStatus): Verdict => {
  if (agent.dead || agent.degradation().level === 4 || agent.phase === "stopped") return "fail"
  const { memoryCache, level } = agent.degradation()
  return level > 0 || memoryCache || agent.phase !== "ready" || agent.deadLetters.open > 0 || agent.sagasWaiting > 0
    ? "warn"
    : "pass"
}

const worst = (verdicts: ReadonlyArray<Verdict>): Verdict =>
  verdicts.includes("fail") ? "fail" : verdicts.includes("warn") ? "warn" : "pass"

const databaseWord = (agent: AgentStatus): "connected" | "degraded" | "failed" =>
  agent.database === undefined || agent.degradation().level === 4
    ? "failed"
    : agent.degradation().level === 0
    ? "connected"
    : "degraded"

/** What an operator should know that the level does not say. */
const notesOf = (agent: AgentStatus): ReadonlyArray<string> => [
  ...(agent.fault === undefined ? [] : [agent.fault]),
  ...agent.degradation().reasons.map((reason) => reason.replaceAll("_", " ")),
  ...(agent.degradation().memoryCache ? ["memory stands in for Redis"] : []),
  ...(agent.sagasWaiting > 0
    ? [`${agent.sagasWaiting} sagas need an operator: GET /${agent.name}/sagas?state=needs_operator`]
    : []),
  ...(agent.deadLetters.open > 0
    ? [`${agent.deadLetters.open} dead letters wait for a decision: GET /${agent.name}/dead-letters`]
    : []),
  ...agent.lanes().filter((lane) => lane.paused).map((lane) =>
    `does not hear ${lane.source} now: ${lane.lastError ?? "unknown"}`
  ),
  ...agent.jobs.filter((job) => job.failing > 0).map((job) =>
    `job ${job.name} has failed ${job.failing} times in a row`
  )
]

interface Check {
  readonly componentType: "datastore" | "component" | "system"
  readonly status: Verdict
  readonly observedValue: number
  readonly observedUnit: string
  readonly output?: string
}

const checksOf = (agent: AgentStatus): Readonly<Record<string, ReadonlyArray<Check>>> => {
  const store = agent.database?.stats
  const lag = agent.lanes().reduce((sum, lane) => sum + lane.lag, 0)
  const paused = agent.lanes().find((lane) => lane.paused)
  return {
    "sqlite:commitTime": [{
      componentType: "datastore",
      status: databaseWord(agent) === "failed" ? "fail" : databaseWord(agent) === "degraded" ? "warn" : "pass",
      observedValue: Math.round((store?.lastCommitMillis ?? 0) * 100) / 100,
      observedUnit: "ms",
      ...(agent.fault === undefined ? {} : { output: agent.fault })
    }],
    "sqlite:queued": [{
      componentType: "datastore",
      status: "pass",
      observedValue: store?.queued ?? 0,
      observedUnit: "operations"
    }],
    "bus:lag": [{
      componentType: "component",
      status: paused === undefined ? "pass" : "warn",
      observedValue: lag,
      observedUnit: "messages",
      ...(paused?.lastError === undefined ? {} : { output: paused.lastError })
    }],
    "deadLetters:open": [{
      componentType: "component",
      status: agent.deadLetters.open > 0 ? "warn" : "pass",
      observedValue: agent.deadLetters.open,
      observedUnit: "messages"
    }],
    "sagas:needsOperator": [{
      componentType: "component",
      status: agent.sagasWaiting > 0 ? "warn" : "pass",
      observedValue: agent.sagasWaiting,
      observedUnit: "sagas"
    }],
    ...Object.fromEntries(agent.jobs.map((job) => [`job:${job.name}`, [{
      componentType: "component" as const,
      status: job.failing > 0 ? "warn" as const : "pass" as const,
      observedValue: job.runs,
      observedUnit: "runs"
    }]]))
  }
}

const wantsIetf = (request: PageRequest): boolean => request.headers.accept?.includes(IETF) === true

const page = (status: number, request: PageRequest, plain: unknown, verdict: Verdict, description: string) => {
  const headers = status === 503 ? { ...NO_STORE, "retry-after": "1" } : NO_STORE
  return wantsIetf(request)
    ? { ...HttpAnswer.json(status, { status: verdict, version: "1", description }, headers), contentType: IETF }
    : HttpAnswer.json(status, plain, headers)
}

/** The probes of some agents under a prefix: one agent under its own, all of them at the root. */
const probes = (
  prefix: "" | `/${string}`,
  subject: string,
  agents: ReadonlyArray<AgentStatus>,
  process: Process
): ReadonlyArray<Mount> => {
  const level = () => worstLevel(agents)

  const alive = (request: PageRequest) => {
    if (request.search.verbose !== undefined) return detailed(request)
    const healthy = process.loopDelayMillis() < LOOP_DELAY_LIMIT_MILLIS && !agents.some((agent) => agent.dead)
    return page(
      healthy ? 200 : 503,
      request,
      { status: healthy ? "alive" : "dead", agent: subject },
      healthy ? "pass" : "fail",
      subject
    )
  }

  const ready = (request: PageRequest) => {
    const isUp = agents.every(isReady)
    const waiting = agents.filter((agent) => !isReady(agent))
    return page(
      isUp ? 200 : 503,
      request,
      {
        status: isUp ? "ready" : "not_ready",
        agent: subject,
        database: agents.every((agent) => databaseWord(agent) === "connected")
          ? "connected"
          : agents.some((agent) => databaseWord(agent) === "failed")
          ? "failed"
          : "degraded",
        kafka: "embedded",
        redis: "memory",
        degradation_level: level(),
        ...(isUp ? {} : {
          waiting_for: waiting.map((agent) => ({ agent: agent.name, phase: agent.phase, reason: agent.fault }))
        })
      },
      worst(agents.map(verdictOf)),
      subject
    )
  }

  const started = (request: PageRequest) => {
    const isStarted = agents.every((agent) => agent.phase !== "starting")
    return page(
      isStarted ? 200 : 503,
      request,
      { status: isStarted ? "started" : "starting", agent: subject },
      isStarted ? "pass" : "fail",
      subject
    )
  }

  const detailed = (request: PageRequest) => {
    const up = agents.every((agent) => agent.phase !== "draining" && agent.phase !== "stopped") && level() < 4
    const single = agents.length === 1
    const since = Math.max(...agents.map((agent) => agent.degradation().since))
    const body = {
      status: worst(agents.map(verdictOf)),
      version: "1",
      releaseId: process.version,
      serviceId: subject,
      description: agents.map((agent) => agent.title).join(", "),
      phase: agents.find((agent) => agent.phase !== "ready")?.phase ?? "ready",
      degradationLevel: level(),
      degradationName: Degradation.names[level()],
      degradationSince: new Date(since).toISOString(),
      persistence: "file",
      agents: agents.map((agent) => ({
        agent: agent.name,
        status: verdictOf(agent),
        phase: agent.phase,
        degradationLevel: agent.degradation().level,
        notes: notesOf(agent)
      })),
      notes: agents.flatMap((agent) => notesOf(agent).map((note) => single ? note : `${agent.name}: ${note}`)),
      checks: {
        ...Object.fromEntries(
          agents.flatMap((agent) =>
            Object.entries(checksOf(agent)).map(([name, check]) => [single ? name : `${agent.name}:${name}`, check])
          )
        ),
        uptime: [{
          componentType: "system",
          status: "pass",
          observedValue: Math.round((process.now() - process.startedAt) / 100) / 10,
          observedUnit: "s"
        }],
        "eventLoop:delayP99": [{
          componentType: "system",
          status: process.loopDelayMillis() < LOOP_DELAY_LIMIT_MILLIS ? "pass" : "fail",
          observedValue: Math.round(process.loopDelayMillis() * 10) / 10,
          observedUnit: "ms"
        }]
      },
      links: { self: `${prefix}/health/detailed`, metrics: "/metrics" }
    }
    const headers = up ? NO_STORE : { ...NO_STORE, "retry-after": "1" }
    const answer = HttpAnswer.json(up ? 200 : 503, body, headers)
    return wantsIetf(request) ? { ...answer, contentType: IETF } : answer
  }

  return ([
    ["/health", alive],
    ["/livez", alive],
    ["/health/live", alive],
    ["/health/ready", ready],
    ["/readyz", ready],
    ["/health/started", started],
    ["/startupz", started],
    ["/health/detailed", detailed]
  ] as const).map(([path, answer]) => ({ _tag: "Page", path: `${prefix}${path}` as const, level, answer }))
}

/**
 * Liveness, readiness, start and detail (guides: plain form, IETF health+json by `Accept`), for each agent under its name
 * and for the process at the root.
 *
 * @category routes
 */
export const mounts = (process: Process): ReadonlyArray<Mount> => [
  ...probes(
    "",
    process.agents.length === 1 ? process.agents[0]?.name ?? "holdfast" : "holdfast",
    process.agents,
    process
  ),
  ...process.agents.flatMap((agent) => probes(`/${agent.name}`, agent.name, [agent], process))
]

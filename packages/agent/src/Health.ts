import * as Degradation from "@holdfast/resilience/Degradation"
import * as AgentHealth from "./AgentHealth.ts"
import { type AgentStatus, isReady } from "./AgentStatus.ts"
import * as HttpAnswer from "./HttpAnswer.ts"
import type { Mount, PageRequest } from "./HttpRoute.ts"
import * as Redaction from "./Redaction.ts"

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

const databaseWord = (agents: ReadonlyArray<AgentStatus>): ReturnType<typeof AgentHealth.databaseWord> => {
  const words = agents.map(AgentHealth.databaseWord)
  return words.includes("failed") ? "failed" : words.includes("degraded") ? "degraded" : "connected"
}

/** What is kept: what one agent keeps in memory is lost with the process. */
const persistence = (agents: ReadonlyArray<AgentStatus>): "file" | "memory" =>
  agents.some((agent) => agent.database?.primary?.persistence === "memory") ? "memory" : "file"

/** Why an agent is not ready, and what to do about it. */
const reasonOf = (agent: AgentStatus, process: Process): string | undefined =>
  agent.fault ?? AgentHealth.notesOf(agent, { now: process.now(), agents: process.agents })[0]

const wantsIetf = (request: PageRequest): boolean => request.headers.accept?.includes(IETF) === true

const page = (
  status: number,
  request: PageRequest,
  plain: unknown,
  verdict: AgentHealth.Verdict,
  description: string
) => {
  const headers = status === 503 ? { ...NO_STORE, "retry-after": "1" } : NO_STORE
  return wantsIetf(request)
    ? { ...HttpAnswer.json(status, { status: verdict, version: "1", description }, headers), contentType: IETF }
    : HttpAnswer.json(status, Redaction.texts(plain), headers)
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
        database: databaseWord(agents),
        // The agents of a process share the broker and the cache.
        kafka: agents[0] === undefined ? "embedded" : AgentHealth.kafkaWord(agents[0]),
        redis: agents[0] === undefined ? "memory" : AgentHealth.redisWord(agents[0]),
        degradation_level: level(),
        ...(isUp ? {} : {
          waiting_for: waiting.map((agent) => ({
            agent: agent.name,
            phase: agent.phase,
            reason: reasonOf(agent, process)
          }))
        })
      },
      AgentHealth.worst(agents.map(AgentHealth.verdictOf)),
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
    const moment = { now: process.now(), agents: process.agents }
    const since = Math.max(...agents.map((agent) => agent.degradation().since))
    const body = {
      status: AgentHealth.worst(agents.map(AgentHealth.verdictOf)),
      version: "1",
      releaseId: process.version,
      serviceId: subject,
      description: agents.map((agent) => agent.title).join(", "),
      phase: agents.find((agent) => agent.phase !== "ready")?.phase ?? "ready",
      degradationLevel: level(),
      degradationName: Degradation.names[level()],
      degradationSince: new Date(since).toISOString(),
      persistence: persistence(agents),
      agents: agents.map((agent) => AgentHealth.detailOf(agent, moment)),
      notes: agents.flatMap((agent) =>
        AgentHealth.notesOf(agent, moment).map((note) => single ? note : `${agent.name}: ${note}`)
      ),
      checks: {
        ...Object.fromEntries(
          agents.flatMap((agent) =>
            Object.entries(AgentHealth.checksOf(agent, moment)).map(([name, check]) => [
              single ? name : `${agent.name}:${name}`,
              [check]
            ])
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
    // What servers answered stands in it, and a server may repeat what it was sent.
    const answer = HttpAnswer.json(up ? 200 : 503, Redaction.texts(body), headers)
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

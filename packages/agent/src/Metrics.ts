import * as Degradation from "@holdfast/resilience/Degradation"
import type { Dependency } from "@holdfast/resilience/Dependency"
import * as AgentHealth from "./AgentHealth.ts"
import type { AgentStatus } from "./AgentStatus.ts"
import type { Process } from "./Health.ts"
import * as HttpAnswer from "./HttpAnswer.ts"
import { BUCKETS, type Histogram, type RouteMetric } from "./HttpMetrics.ts"
import type { Mount } from "./HttpRoute.ts"
import * as PrometheusText from "./PrometheusText.ts"

/**
 * Where the figures come from.
 *
 * @category models
 */
export interface Sources {
  readonly process: Process
  readonly routes: () => ReadonlyArray<RouteMetric>
  readonly inFlight: () => number
}

const httpSamples = (routes: ReadonlyArray<RouteMetric>): ReadonlyArray<PrometheusText.Sample> =>
  routes.flatMap((route) =>
    [...route.byStatus].flatMap(([status, histogram]) =>
      histogramSamples(
        { http_request_method: route.method, http_route: route.route, http_response_status_code: status },
        histogram
      )
    )
  )

/** What is watched of an agent's dependencies, with the cause of the file's own trouble among it. */
const dependenciesOf = (
  agent: AgentStatus
): ReadonlyArray<readonly [string, Pick<Dependency, "current"> | undefined, boolean]> => {
  const { standby } = agent.facts()
  const primary = agent.database?.primary
  return [
    ["sqlite", agent.file, agent.database !== undefined && standby === "ok" && primary?.persistence !== "memory"],
    ...(agent.facts().primary === "absent"
      ? []
      : [["postgres", primary?.dependency, primary?.dependency.current().status === "up"] as const]),
    ...(agent.broker === undefined
      ? []
      : [["kafka", agent.broker, agent.broker.current().status === "up"] as const]),
    ...(agent.cache === undefined ? [] : [["redis", agent.cache, agent.cache.current().status === "up"] as const]),
    ...agent.outside.map((party) => [party.name, party, party.current().status === "up"] as const)
  ]
}

/** A dependency's supervision in the words of circuit breakers. */
const breakerStates = { up: "closed", away: "open", recovering: "half_open" } as const

const histogramSamples = (
  labels: PrometheusText.Sample["labels"],
  histogram: Histogram
): ReadonlyArray<PrometheusText.Sample> => {
  let sum = 0
  return [
    ...histogram.buckets.map((count, at) => {
      sum += count
      return {
        suffix: "_bucket" as const,
        labels: { ...labels, le: at < BUCKETS.length ? BUCKETS[at] ?? 0 : "+Inf" },
        value: sum
      }
    }),
    { suffix: "_sum" as const, labels, value: histogram.sumSeconds },
    { suffix: "_count" as const, labels, value: histogram.count }
  ]
}

/** What an agent on Postgres says of it and of its backlog. */
const primaryFamilies = (sources: Sources): ReadonlyArray<PrometheusText.Family> => {
  const agents = sources.process.agents.flatMap((agent) =>
    agent.database?.primary === undefined ? [] : [{ agent, primary: agent.database.primary }]
  )
  const one = (value: (of: (typeof agents)[number]) => number): ReadonlyArray<PrometheusText.Sample> =>
    agents.map((of) => ({ labels: { agent: of.agent.name }, value: value(of) }))
  return [
    {
      name: "holdfast_backlog_pending",
      help: "Operations that the file has taken alone and Postgres does not have yet.",
      type: "gauge",
      samples: one(({ primary }) => primary.backlog().pending)
    },
    {
      name: "holdfast_backlog_oldest_age_seconds",
      help: "Age of the oldest of them; 0 without any.",
      type: "gauge",
      samples: one(({ primary }) => {
        const { oldestAt } = primary.backlog()
        return oldestAt === undefined ? 0 : Math.max(0, sources.process.now() - oldestAt) / 1000
      })
    },
    {
      name: "holdfast_backlog_full",
      help: "1 while the bound of the backlog is reached: the agent reads only.",
      type: "gauge",
      samples: one(({ primary }) => primary.backlog().isFull ? 1 : 0)
    },
    {
      name: "holdfast_backlog_conflict",
      help: "Operations of an outage that could not merge and wait for a person.",
      type: "gauge",
      samples: one(({ primary }) => primary.backlog().withheld)
    },
    {
      name: "holdfast_backlog_replayed_total",
      help: "Operations of outages by what the merge made of them.",
      type: "counter",
      samples: agents.flatMap(({ agent, primary }) => [
        { labels: { agent: agent.name, resolution: "merged" }, value: primary.stats.merged },
        { labels: { agent: agent.name, resolution: "withheld" }, value: primary.stats.withheld }
      ])
    },
    {
      name: "holdfast_intent_waiting",
      help: "Requests accepted during an outage that run when it is over.",
      type: "gauge",
      samples: one(({ agent }) => agent.intentsWaiting)
    },
    {
      name: "holdfast_failback_duration_seconds",
      help: "Duration of returns to Postgres that had something to merge.",
      type: "histogram",
      samples: agents.flatMap(({ agent }) =>
        (["merged", "withheld"] as const).flatMap((result) =>
          histogramSamples({ agent: agent.name, result }, agent.failbackTimes[result])
        )
      )
    },
    {
      name: "holdfast_failback_compared_rows",
      help: "Rows compared on both sides at the last return.",
      type: "gauge",
      samples: one(({ primary }) => primary.stats.lastFailback?.compared ?? 0)
    },
    {
      name: "holdfast_failback_repaired_rows",
      help: "Rows that differed at the last return and were set right.",
      type: "gauge",
      samples: one(({ primary }) => primary.stats.lastFailback?.repaired ?? 0)
    },
    {
      name: "holdfast_failover_total",
      help: "How often the file took over from Postgres.",
      type: "counter",
      samples: one(({ primary }) => primary.stats.failovers)
    },
    {
      name: "holdfast_commit_unknown_total",
      help: "Commits whose answer was lost.",
      type: "counter",
      samples: one(({ primary }) => primary.stats.unknownCommits)
    },
    {
      name: "holdfast_postgres_alone",
      help: "1 while operations count in the file alone.",
      type: "gauge",
      samples: one(({ primary }) => primary.mode() === "alone" ? 1 : 0)
    },
    {
      name: "holdfast_postgres_round_trip_seconds",
      help: "The last heartbeat's round trip.",
      type: "gauge",
      samples: one(({ primary }) => primary.roundTripMillis() / 1000)
    },
    {
      name: "holdfast_postgres_connection_count",
      help: "Open sessions: the writer's, and the watch's, which all agents of the process share.",
      type: "gauge",
      samples: one(({ primary }) => primary.connections())
    },
    {
      name: "holdfast_postgres_replica_count",
      help: "Living processes that run the agent on the same schema.",
      type: "gauge",
      samples: one(({ primary }) => primary.replicas())
    },
    {
      name: "holdfast_postgres_epoch",
      help: "How many outages have been merged into the schema.",
      type: "gauge",
      samples: one(({ primary }) => primary.epoch())
    },
    {
      name: "holdfast_operation_pulled_total",
      help: "Operations of other processes that were taken over into the file.",
      type: "counter",
      samples: one(({ primary }) => primary.stats.pulled)
    }
  ]
}

const families = (sources: Sources): ReadonlyArray<PrometheusText.Family> => {
  const { agents } = sources.process
  const each = (
    samples: (agent: AgentStatus) => ReadonlyArray<PrometheusText.Sample>
  ): ReadonlyArray<PrometheusText.Sample> => agents.flatMap(samples)
  const one = (value: (agent: AgentStatus) => number) =>
    each((agent) => [{ labels: { agent: agent.name }, value: value(agent) }])
  const memory = process.memoryUsage()
  const cpu = process.cpuUsage()
  return [
    {
      name: "http_server_request_duration_seconds",
      help: "Duration of answered HTTP requests.",
      type: "histogram",
      samples: httpSamples(sources.routes())
    },
    {
      name: "http_server_active_requests",
      help: "HTTP requests accepted and not yet answered.",
      type: "gauge",
      samples: [{ labels: {}, value: sources.inFlight() }]
    },
    {
      name: "holdfast_degradation_level",
      help: "0 full, 1 fallback, 2 isolated, 3 minimal, 4 failed.",
      type: "gauge",
      samples: one((agent) => agent.degradation().level)
    },
    {
      name: "holdfast_degradation_reason",
      help: "1 for each reason of the level, what held until lately and still counts among them.",
      type: "gauge",
      samples: each((agent) =>
        Degradation.causes(agent.degradation()).map((reason) => ({
          labels: { agent: agent.name, reason, name: Degradation.names[agent.degradation().level] },
          value: 1
        }))
      )
    },
    {
      name: "holdfast_agent_phase",
      help: "1 for the phase the agent is in.",
      type: "gauge",
      samples: each((agent) => [{ labels: { agent: agent.name, phase: agent.phase }, value: 1 }])
    },
    {
      name: "holdfast_dependency_up",
      help: "1 if the dependency answers and is in use.",
      type: "gauge",
      samples: each((agent) =>
        dependenciesOf(agent).map(([dependency, , isUp]) => ({
          labels: { agent: agent.name, dependency },
          value: isUp ? 1 : 0
        }))
      )
    },
    {
      name: "holdfast_circuit_breaker_state",
      help: "1 for the state of the dependency's supervision: half_open is answering again and not in use yet.",
      type: "gauge",
      samples: each((agent) =>
        dependenciesOf(agent).flatMap(([dependency, watched]) =>
          watched === undefined ? [] : Object.entries(breakerStates).map(([status, state]) => ({
            labels: { agent: agent.name, dependency, state },
            value: watched.current().status === status ? 1 : 0
          }))
        )
      )
    },
    {
      name: "holdfast_dependency_response_seconds",
      help: "How long the dependency took to answer its last good probe; a party outside, its last answered call.",
      type: "gauge",
      samples: each((agent) =>
        dependenciesOf(agent).flatMap(([dependency, watched]) => {
          const millis = watched?.current().roundTripMillis
          return millis === undefined || dependency === "sqlite"
            ? []
            : [{ labels: { agent: agent.name, dependency }, value: millis / 1000 }]
        })
      )
    },
    {
      name: "holdfast_dependency_waiting_calls",
      help: "Calls of a party outside that are to be made, or made and without an answer.",
      type: "gauge",
      samples: each((agent) =>
        agent.outside.map((party) => ({
          labels: { agent: agent.name, dependency: party.name },
          value: party.waiting().calls
        }))
      )
    },
    {
      name: "holdfast_dependency_waiting_oldest_age_seconds",
      help: "Age of the oldest of them; 0 without any.",
      type: "gauge",
      samples: each((agent) =>
        agent.outside.map((party) => ({
          labels: { agent: agent.name, dependency: party.name },
          value: party.waiting().oldestMillis / 1000
        }))
      )
    },
    {
      name: "holdfast_degradation_time_seconds_total",
      help: "Time spent at each level since the start.",
      type: "counter",
      samples: each((agent) =>
        agent.levelTimes.seconds().map((value, level) => ({ labels: { agent: agent.name, level }, value }))
      )
    },
    {
      name: "holdfast_degradation_transition_total",
      help: "Changes of the level, with the worst reason of the new one.",
      type: "counter",
      samples: each((agent) =>
        agent.levelTimes.transitions().map(({ count, from, reason, to }) => ({
          labels: { agent: agent.name, from, to, reason },
          value: count
        }))
      )
    },
    ...primaryFamilies(sources),
    {
      name: "holdfast_operation_total",
      help: "Operations by outcome: done, refused, or known before and answered from the record.",
      type: "counter",
      samples: each((agent) => [
        { labels: { agent: agent.name, outcome: "done" }, value: agent.database?.stats.operations ?? 0 },
        { labels: { agent: agent.name, outcome: "refused" }, value: agent.database?.stats.refused ?? 0 },
        { labels: { agent: agent.name, outcome: "replayed" }, value: agent.database?.stats.replayed ?? 0 }
      ])
    },
    {
      name: "holdfast_transaction_total",
      help: "Commits of the store; operations that wait together share one.",
      type: "counter",
      samples: one((agent) => agent.database?.stats.transactions ?? 0)
    },
    {
      name: "holdfast_operation_queued",
      help: "Operations waiting for the next transaction.",
      type: "gauge",
      samples: one((agent) => agent.database?.stats.queued ?? 0)
    },
    {
      name: "holdfast_commit_batch_operations",
      help: "Operations in the last transaction.",
      type: "gauge",
      samples: one((agent) => agent.database?.stats.lastBatch ?? 0)
    },
    {
      name: "holdfast_commit_duration_seconds",
      help: "Duration of the last transaction.",
      type: "gauge",
      samples: one((agent) => (agent.database?.stats.lastCommitMillis ?? 0) / 1000)
    },
    {
      name: "holdfast_outbox_last_seq",
      help: "Number of the last committed message.",
      type: "gauge",
      samples: one((agent) => agent.database?.outbox.lastSeq() ?? 0)
    },
    {
      name: "holdfast_outbox_pending",
      help: "Committed messages that the broker has not acknowledged; without one, that some consumer has not settled.",
      type: "gauge",
      samples: one((agent) => AgentHealth.outboxDepth(agent, { now: sources.process.now(), agents }))
    },
    {
      name: "holdfast_outbox_published_seq",
      help: "Number of the last message that the broker has acknowledged to this process.",
      type: "gauge",
      samples: each((agent) => {
        const position = agent.publishing()?.position
        return position === undefined ? [] : [{ labels: { agent: agent.name }, value: position }]
      })
    },
    {
      name: "holdfast_outbox_oldest_age_seconds",
      help: "Age of the oldest message that the broker is offered and has not acknowledged; 0 where there is none.",
      type: "gauge",
      samples: each((agent) => {
        const publishing = agent.publishing()
        if (publishing === undefined) return []
        const now = sources.process.now()
        const { oldestAt = now } = publishing
        return [{ labels: { agent: agent.name }, value: Math.max(0, now - oldestAt) / 1000 }]
      })
    },
    {
      name: "holdfast_outbox_failing",
      help: "1 while the broker does not take the agent's messages.",
      type: "gauge",
      samples: each((agent) => {
        const publishing = agent.publishing()
        return publishing === undefined
          ? []
          : [{ labels: { agent: agent.name }, value: publishing.lastError === undefined ? 0 : 1 }]
      })
    },
    {
      name: "holdfast_consumer_lag",
      help: "Messages of the source behind the consumer's position; none while it is not known.",
      type: "gauge",
      samples: each((agent) =>
        AgentHealth.lanesOf(agent).flatMap(({ lag, source }) =>
          lag === undefined ? [] : [{ labels: { agent: agent.name, source }, value: lag }]
        )
      )
    },
    {
      name: "holdfast_consumer_paused",
      help: "1 while a dependency keeps the consumer from hearing the source.",
      type: "gauge",
      samples: each((agent) =>
        agent.lanes().map((lane) => ({
          labels: { agent: agent.name, source: lane.source },
          value: lane.paused ? 1 : 0
        }))
      )
    },
    {
      name: "holdfast_message_total",
      help: "Messages by what became of them.",
      type: "counter",
      samples: each((agent) =>
        Object.entries(agent.consumer?.stats ?? {}).map(([outcome, value]) => ({
          labels: { agent: agent.name, outcome },
          value
        }))
      )
    },
    {
      name: "holdfast_inbox_duplicate_total",
      help: "Messages that came again after they had been settled.",
      type: "counter",
      samples: one((agent) => agent.consumer?.stats.duplicates ?? 0)
    },
    {
      name: "holdfast_dlq_depth",
      help: "Dead letters: open wait for a person, parked for their next attempt.",
      type: "gauge",
      samples: each((agent) => [
        { labels: { agent: agent.name, status: "open" }, value: agent.deadLetters.open },
        { labels: { agent: agent.name, status: "parked" }, value: agent.deadLetters.parked }
      ])
    },
    {
      name: "holdfast_saga_waiting",
      help: "Sagas that wait for a person.",
      type: "gauge",
      samples: one((agent) => agent.sagasWaiting)
    },
    {
      name: "holdfast_job_run_total",
      help: "Runs of jobs.",
      type: "counter",
      samples: each((agent) =>
        agent.jobs.flatMap((job) => [
          { labels: { agent: agent.name, job: job.name, outcome: "success" }, value: job.runs - job.failures },
          { labels: { agent: agent.name, job: job.name, outcome: "failure" }, value: job.failures }
        ])
      )
    },
    {
      name: "holdfast_job_last_duration_seconds",
      help: "Duration of the job's last run.",
      type: "gauge",
      samples: each((agent) =>
        agent.jobs.map((job) => ({ labels: { agent: agent.name, job: job.name }, value: job.lastMillis / 1000 }))
      )
    },
    {
      name: "nodejs_eventloop_delay_p99_seconds",
      help: "99th percentile of the event loop's delay.",
      type: "gauge",
      samples: [{ labels: {}, value: sources.process.loopDelayMillis() / 1000 }]
    },
    {
      name: "process_resident_memory_bytes",
      help: "Resident memory.",
      type: "gauge",
      samples: [{ labels: {}, value: memory.rss }]
    },
    {
      name: "nodejs_heap_used_bytes",
      help: "Used heap.",
      type: "gauge",
      samples: [{ labels: {}, value: memory.heapUsed }]
    },
    {
      name: "process_cpu_seconds_total",
      help: "CPU time, user and system.",
      type: "counter",
      samples: [{ labels: {}, value: (cpu.user + cpu.system) / 1e6 }]
    },
    {
      name: "process_start_time_seconds",
      help: "When the process started, seconds since 1970.",
      type: "gauge",
      samples: [{ labels: {}, value: sources.process.startedAt / 1000 }]
    },
    {
      name: "holdfast_build_info",
      help: "Always 1; what runs is in the labels.",
      type: "gauge",
      samples: [{ labels: { version: sources.process.version, node: process.versions.node }, value: 1 }]
    }
  ]
}

/**
 * `/metrics`: Prometheus text, written when asked for from plain numbers.
 *
 * @category routes
 */
export const mount = (sources: Sources, level: () => number): Mount => ({
  _tag: "Page",
  path: "/metrics",
  level,
  answer: () =>
    HttpAnswer.text(PrometheusText.CONTENT_TYPE, PrometheusText.render(families(sources)), {
      "cache-control": "no-store"
    })
})

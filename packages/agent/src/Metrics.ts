import * as Degradation from "@holdfast/resilience/Degradation"
import type { AgentStatus } from "./AgentStatus.ts"
import type { Process } from "./Health.ts"
import * as HttpAnswer from "./HttpAnswer.ts"
import { BUCKETS, type RouteMetric } from "./HttpMetrics.ts"
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
    [...route.byStatus].flatMap(([status, histogram]) => {
      const labels = {
        http_request_method: route.method,
        http_route: route.route,
        http_response_status_code: status
      }
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
    })
  )

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
      help: "1 for each reason of the level.",
      type: "gauge",
      samples: each((agent) =>
        agent.degradation().reasons.map((reason) => ({
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
      help: "1 if the dependency answers.",
      type: "gauge",
      samples: each((agent) => [{
        labels: { agent: agent.name, dependency: "sqlite" },
        value: agent.database !== undefined && agent.degradation().level < 3 ? 1 : 0
      }])
    },
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
      help: "Committed messages that some consumer has not settled yet.",
      type: "gauge",
      samples: one((agent) =>
        agents.flatMap((other) => other.lanes()).filter((lane) => lane.source === agent.name)
          .reduce((most, lane) => Math.max(most, lane.lag), 0)
      )
    },
    {
      name: "holdfast_consumer_lag",
      help: "Messages of the source behind the consumer's position.",
      type: "gauge",
      samples: each((agent) =>
        agent.lanes().map((lane) => ({ labels: { agent: agent.name, source: lane.source }, value: lane.lag }))
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

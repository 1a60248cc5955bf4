import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as HoldfastFleet from "@holdfast/testing/HoldfastFleet"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as RedisServer from "@holdfast/testing/RedisServer"
import type { ServerControl } from "@holdfast/testing/ServerControl"
import * as ServerProcess from "@holdfast/testing/ServerProcess"
import { Effect } from "effect"
import { agents } from "../../src/Agents.ts"
import { ApiClient } from "../../src/ApiClient.ts"
import * as Finding from "../../src/Verify/Finding.ts"
import * as Verification from "../../src/Verify/Verification.ts"

/** How long a client goes on without an answer, in milliseconds. */
const PATIENCE_MILLIS = 240_000

/** Every agent that there is. */
export const names = ["product", "order", "inventory", "payment", "fraud"] as const

/** The three servers, and one process for each agent. */
export interface Stage {
  readonly postgres: PostgresServer.PostgresServer
  readonly kafka: KafkaServer.KafkaServer
  readonly redis: RedisServer.RedisServer
  readonly servers: Readonly<Record<"postgres" | "kafka" | "redis", ServerControl>>
  readonly databaseUrl: string
  readonly fleet: HoldfastFleet.Fleet
}

/** Real time. */
export const pause = (millis: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, millis)))

/** Starts the servers; of the agents none runs yet. */
export const open = (options: {
  readonly agents?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Servers that are not to be started. */
  readonly absent?: ReadonlyArray<"postgres" | "kafka" | "redis">
} = {}) =>
  Effect.gen(function*() {
    const isAbsent = (name: "postgres" | "kafka" | "redis") => options.absent?.includes(name) === true
    const [postgres, kafka, redis] = yield* Effect.all([
      isAbsent("postgres") ? PostgresServer.reserve() : PostgresServer.start(),
      isAbsent("kafka") ? KafkaServer.reserve() : KafkaServer.start(),
      isAbsent("redis") ? RedisServer.reserve() : RedisServer.start()
    ], { concurrency: "unbounded" })
    const databaseUrl = isAbsent("postgres") ? postgres.url() : yield* postgres.createDatabase("shop")
    const directory = yield* ServerProcess.temporaryFolder("fleet")
    const fleet = yield* HoldfastFleet.make({
      agents: options.agents ?? names,
      directory,
      env: {
        DATABASE_URL: databaseUrl,
        KAFKA_BROKERS: kafka.brokers.join(","),
        REDIS_URL: redis.url,
        ...options.env
      }
    })
    return { postgres, kafka, redis, servers: { postgres, kafka, redis }, databaseUrl, fleet } satisfies Stage
  })

/** Starts all agents and waits until they are ready. */
export const start = ({ fleet }: Stage) =>
  Effect.gen(function*() {
    yield* Effect.forEach(fleet.members, (member) => member.start, { discard: true })
    yield* Effect.forEach(fleet.members, (member) => HoldfastFleet.ready(member), { concurrency: "unbounded" })
  })

/** A client that knows where each agent is. */
export const client = ({ fleet }: Stage) => {
  const [first = "", ...others] = fleet.members.map(({ url }) => url)
  return ApiClient.layer({
    addresses: { of: (agent) => fleet.of(agent).url, all: [first, ...others] },
    patienceMillis: PATIENCE_MILLIS
  })
}

/** What an agent says of itself. */
export interface Detail {
  readonly status: number
  readonly millis: number
  readonly level: number
  readonly notes: ReadonlyArray<string>
  readonly checks: Readonly<Record<string, ReadonlyArray<{ readonly status: string; readonly output?: string }>>>
}

export const detail = (member: HoldfastFleet.Member, within = 1_000): Effect.Effect<Detail | undefined> =>
  Effect.map(HoldfastFleet.probe(`${member.url}/health/detailed`, within), (probed) => {
    if (probed === undefined) return undefined
    // What the agent's own health page says; its form is asserted in the agent's tests.
    const body = probed.body as {
      readonly degradationLevel: number
      readonly notes: Detail["notes"]
      readonly checks: Detail["checks"]
    }
    return {
      status: probed.status,
      millis: probed.millis,
      level: body.degradationLevel,
      notes: body.notes,
      checks: body.checks
    }
  })

/** Waits until all agents that run are ready at this level. */
export const atLevel = ({ fleet }: Stage, level: number, within?: number) =>
  Effect.forEach(fleet.members.filter((member) => member.isRunning()), (member) =>
    HoldfastFleet.until(
      `${member.agent} is ready at level ${level}`,
      Effect.gen(function*() {
        const seen = yield* detail(member)
        if (seen?.level !== level) return undefined
        return (yield* HoldfastFleet.probe(`${member.url}/health/ready`))?.status === 200 ? true : undefined
      }),
      within
    ), { concurrency: "unbounded", discard: true })

/** Everything that must hold, read from Postgres and from the files of all processes. */
export const verify = (stage: Stage) =>
  Effect.gen(function*() {
    const config = yield* AgentConfig.load(stage.fleet.env)
    const wanted = new Set(stage.fleet.members.map(({ agent }) => agent))
    return yield* Verification.run({
      agents: agents({ ...config, port: () => config.port }).filter(({ name }) => wanted.has(name)),
      config,
      directories: stage.fleet.members.map(({ dataDir }) => dataDir),
      isShadowCompared: true
    })
  })

/** Verifies until all that was said has been heard, at most as long as given; what is left then is found. */
export const settled = (stage: Stage, within = 60_000) =>
  Effect.gen(function*() {
    const deadline = performance.now() + within
    for (;;) {
      const found = yield* verify(stage)
      if (found.findings.length === 0 || performance.now() > deadline) {
        return { ...found, lines: Finding.format(found.findings, 5) }
      }
      yield* pause(500)
    }
  })

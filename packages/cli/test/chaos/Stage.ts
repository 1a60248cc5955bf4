import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as HoldfastFleet from "@holdfast/testing/HoldfastFleet"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as RedisServer from "@holdfast/testing/RedisServer"
import type { ServerControl } from "@holdfast/testing/ServerControl"
import * as ServerProcess from "@holdfast/testing/ServerProcess"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import { Effect } from "effect"
import { agents } from "../../src/Agents.ts"
import { ApiClient } from "../../src/ApiClient.ts"
import * as Finding from "../../src/Verify/Finding.ts"
import * as Verification from "../../src/Verify/Verification.ts"

/** How long a client goes on without an answer, in milliseconds. */
const PATIENCE_MILLIS = 240_000

/** A killed agent is given up by its broker after so long; the default is made for networks. */
const SESSION = "3s"

/** Every agent that there is. */
export const names = ["product", "order", "inventory", "payment", "fraud"] as const

type ServerName = "postgres" | "kafka" | "redis"

/** The three servers, and one process for each agent. */
export interface Stage {
  readonly postgres: PostgresServer.PostgresServer
  readonly kafka: KafkaServer.KafkaServer
  readonly redis: RedisServer.RedisServer
  readonly servers: Readonly<Record<ServerName, ServerControl>>
  /** Between the agents and the broker, which then names no other way to itself; used by those who want it. */
  readonly proxy: TcpProxy.TcpProxy
  readonly databaseUrl: string
  readonly fleet: HoldfastFleet.Fleet
}

/** Real time. */
export const pause = (millis: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, millis)))

/** Starts the servers; of the agents none runs yet. */
export const open = (options: {
  readonly agents?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Servers that are not started. */
  readonly absent?: ReadonlyArray<ServerName>
  /** Servers that the agents are not told of. */
  readonly unconfigured?: ReadonlyArray<ServerName>
  /** Whether the agents speak to the broker through the proxy. */
  readonly isProxied?: boolean
} = {}) =>
  Effect.gen(function*() {
    const isLeftOut = (name: ServerName) =>
      options.absent?.includes(name) === true || options.unconfigured?.includes(name) === true
    const proxy = yield* TcpProxy.make({ host: "127.0.0.1", port: 1 })
    const broker = options.isProxied === true
      ? { settings: { "advertised.listeners": `PLAINTEXT://127.0.0.1:${proxy.port}` } }
      : {}
    const [postgres, kafka, redis] = yield* Effect.all([
      isLeftOut("postgres") ? PostgresServer.reserve() : PostgresServer.start(),
      isLeftOut("kafka") ? KafkaServer.reserve(broker) : Effect.gen(function*() {
        const server = yield* KafkaServer.reserve(broker)
        yield* proxy.setTarget(server)
        yield* server.start
        return server
      }),
      isLeftOut("redis") ? RedisServer.reserve() : RedisServer.start()
    ], { concurrency: "unbounded" })
    yield* proxy.setTarget(kafka)
    const databaseUrl = isLeftOut("postgres") ? postgres.url() : yield* postgres.createDatabase("shop")
    const directory = yield* ServerProcess.temporaryFolder("fleet")
    yield* ServerProcess.removedAtDeath("folder", directory)
    const addresses: Readonly<Record<ServerName, Readonly<Record<string, string>>>> = {
      postgres: { DATABASE_URL: databaseUrl },
      kafka: {
        KAFKA_BROKERS: options.isProxied === true ? `${proxy.host}:${proxy.port}` : kafka.brokers.join(","),
        KAFKA_SESSION_TIMEOUT: SESSION
      },
      redis: { REDIS_URL: redis.url }
    }
    const env = Object.assign(
      {},
      ...(["postgres", "kafka", "redis"] as const)
        .filter((name) => options.unconfigured?.includes(name) !== true)
        .map((name) => addresses[name])
    ) as Readonly<Record<string, string>>
    const fleet = yield* HoldfastFleet.make({
      agents: options.agents ?? names,
      directory,
      env: { ...env, ...options.env }
    })
    const servers = { postgres, kafka, redis }
    return { ...servers, servers, proxy, databaseUrl, fleet } satisfies Stage
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
    addresses: { of: (agent) => fleet.of(agent).url, all: [first, ...others], namedAt: () => [] },
    patienceMillis: PATIENCE_MILLIS
  })
}

/** What an agent says of itself. */
export interface Detail {
  readonly status: number
  readonly millis: number
  readonly level: number
  readonly notes: ReadonlyArray<string>
  /** Of the process's one agent, by name. */
  readonly dependencies: Readonly<Record<string, { readonly status: string; readonly lastError?: string }>>
}

export const detail = (member: HoldfastFleet.Member, within = 1_000): Effect.Effect<Detail | undefined> =>
  Effect.map(HoldfastFleet.probe(`${member.url}/health/detailed`, within), (probed) => {
    if (probed === undefined) return undefined
    // What the agent's own health page says; its form is asserted in the agent's tests.
    const body = probed.body as {
      readonly degradationLevel: number
      readonly notes: Detail["notes"]
      readonly agents: ReadonlyArray<Pick<Detail, "dependencies">>
    }
    return {
      status: probed.status,
      millis: probed.millis,
      level: body.degradationLevel,
      notes: body.notes,
      dependencies: body.agents[0]?.dependencies ?? {}
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

/**
 * Verifies until all that was said has been heard. What a look finds that began later than given is left. Each look that
 * finds something is told of: what never comes to rest looks different each time, or the same.
 */
export const settled = (stage: Stage, within = 60_000) =>
  Effect.gen(function*() {
    const deadline = performance.now() + within
    for (;;) {
      const begun = performance.now()
      const found = yield* verify(stage)
      const lines = Finding.format(found.findings, 5)
      if (lines.length === 0 || begun > deadline) return { ...found, lines }
      const seconds = ((performance.now() - begun) / 1_000).toFixed(1)
      process.stdout.write(`not at rest after a look of ${seconds} s:\n${lines.map((line) => `  ${line}\n`).join("")}`)
      yield* pause(500)
    }
  })

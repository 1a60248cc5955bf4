import * as Effect from "effect/Effect"
import * as Match from "effect/Match"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "./internal/ports.ts"
import * as ServerContainer from "./ServerContainer.ts"
import type { ServerControl, ServerUnavailable } from "./ServerControl.ts"
import * as Control from "./ServerControl.ts"
import * as ServerProcess from "./ServerProcess.ts"
import * as TestServers from "./TestServers.ts"

const SERVER = "Kafka"

/**
 * A Kafka broker for tests, on 127.0.0.1 alone: one node, its own controller. Topics are not made by themselves; right
 * after the first start its group coordinator is still loading for some 100 ms, which is a retriable error. It takes two
 * to three seconds to start and 350 MB: tests share one in a file.
 *
 * @category models
 */
export interface KafkaServer extends ServerControl {
  readonly host: string
  readonly port: number
  readonly brokers: ReadonlyArray<string>
}

/**
 * @category models
 */
export interface Options {
  /** What `server.properties` could hold, as `{ "num.partitions": "1" }`. */
  readonly settings?: Readonly<Record<string, string>>
}

const log4j2 = `status=warn
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.raft.name=kafka.server.KafkaRaftServer
logger.raft.level=info
`

/** The same for Kafka 3. */
const log4j = `log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.logger.kafka.server.KafkaRaftServer=INFO
`

const properties = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings).map(([name, value]) => `${name}=${value}\n`).join("")

const settingsOf = (port: number, controllerPort: number, options: Options): Readonly<Record<string, string>> => ({
  "process.roles": "broker,controller",
  "node.id": "1",
  "controller.quorum.voters": `1@127.0.0.1:${controllerPort}`,
  "listeners": `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
  "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}`,
  "controller.listener.names": "CONTROLLER",
  "inter.broker.listener.name": "PLAINTEXT",
  "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
  "num.partitions": "3",
  "auto.create.topics.enable": "false",
  "offsets.topic.num.partitions": "1",
  "offsets.topic.replication.factor": "1",
  "transaction.state.log.num.partitions": "1",
  "transaction.state.log.replication.factor": "1",
  "transaction.state.log.min.isr": "1",
  "group.initial.rebalance.delay.ms": "0",
  // After kill -9 a restart waits until the dead broker's session is over.
  "broker.session.timeout.ms": "1500",
  "broker.heartbeat.interval.ms": "300",
  // The members of a killed process hold their group for a session; a test may want a short one.
  "group.min.session.timeout.ms": "1000",
  ...options.settings
})

const at = (port: number, control: ServerControl): KafkaServer => ({
  ...control,
  host: "127.0.0.1",
  port,
  brokers: [`127.0.0.1:${port}`]
})

const isStarted = (log: string) => Effect.sync(() => log.includes("Kafka Server started"))

const program = (jars: string, options: Options) =>
  Effect.gen(function*() {
    const folder = yield* ServerProcess.temporaryFolder("kafka")
    const port = yield* freePort
    const controllerPort = yield* freePort
    const settings = { "log.dirs": join(folder, "data"), ...settingsOf(port, controllerPort, options) }
    const file = (name: string) => join(folder, name)
    writeFileSync(file("server.properties"), properties(settings))
    writeFileSync(file("log4j2.properties"), log4j2)
    writeFileSync(file("log4j.properties"), log4j)
    const java = (heap: ReadonlyArray<string>, ...args: ReadonlyArray<string>) => ({
      program: "java",
      cwd: folder,
      args: [
        ...heap,
        "-Djava.awt.headless=true",
        `-Dkafka.logs.dir=${file("logs")}`,
        `-Dlog4j2.configurationFile=${file("log4j2.properties")}`,
        `-Dlog4j.configuration=file:${file("log4j.properties")}`,
        "-cp",
        join(jars, "*"),
        ...args
      ],
      env: process.env["JAVA_HOME"] === undefined ? {} : { JAVA_HOME: process.env["JAVA_HOME"] }
    })
    const cluster = `H${randomBytes(16).toString("base64url").slice(1)}`
    const control = yield* ServerProcess.make({
      server: SERVER,
      folder,
      command: java(["-Xms256m", "-Xmx512m", "-XX:+UseG1GC"], "kafka.Kafka", file("server.properties")),
      prepare: Effect.suspend(() =>
        existsSync(join(folder, "data", "meta.properties"))
          ? Effect.void
          : ServerProcess.output(
            SERVER,
            java(["-Xmx128m"], "kafka.tools.StorageTool", "format", "-t", cluster, "-c", file("server.properties"))
          )
      ),
      isReady: isStarted
    })
    return at(port, control)
  })

/** The image's names for settings: `num.partitions` is `KAFKA_NUM_PARTITIONS`. */
const asEnvironment = (settings: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [`KAFKA_${name.toUpperCase().replaceAll(".", "_")}`, value])
  )

const container = (image: string, options: Options) =>
  Effect.gen(function*() {
    const port = yield* freePort
    const controllerPort = yield* freePort
    const control = yield* ServerContainer.make({
      server: SERVER,
      image,
      port,
      env: {
        ...asEnvironment({
          ...settingsOf(port, controllerPort, options),
          listeners: `PLAINTEXT://0.0.0.0:${port},CONTROLLER://127.0.0.1:${controllerPort}`
        }),
        KAFKA_HEAP_OPTS: "-Xms256m -Xmx512m"
      },
      args: [],
      isReady: isStarted
    })
    return at(port, control)
  })

/** The first of several brokers stands for them all. */
const given = (address: string, variable: string): KafkaServer => {
  const brokers = address.split(",").map((broker) => broker.trim())
  const { hostname, port } = new URL(`kafka://${brokers[0] ?? ""}`)
  return { ...Control.given(SERVER, variable), host: hostname, port: Number(port || 9092), brokers }
}

/**
 * A Kafka broker that is not started yet; its port is known. It ends with the scope, and when the test process dies.
 *
 * @category constructors
 */
export const reserve = (options: Options = {}): Effect.Effect<KafkaServer, ServerUnavailable, Scope.Scope> =>
  Effect.flatMap(
    TestServers.source("kafka"),
    Match.valueTags({
      Address: ({ address, variable }) => Effect.succeed(given(address, variable)),
      Program: ({ path }) => program(path, options),
      Image: ({ image }) => container(image, options)
    })
  )

/**
 * A Kafka broker that answers.
 *
 * @category constructors
 */
export const start = (options: Options = {}): Effect.Effect<KafkaServer, ServerUnavailable, Scope.Scope> =>
  Effect.tap(reserve(options), (server) => server.start)

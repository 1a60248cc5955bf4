import type { KafkaConfig } from "@holdfast/agent/KafkaConfig"
import * as Topics from "@holdfast/messaging/Topics"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { Admin, ITopicMetadata, SASLOptions } from "kafkajs"
import KafkaJS from "kafkajs"
import * as Count from "../Count.ts"
import type { Finding, Report } from "./Finding.ts"
import { fail, ok, warn } from "./Finding.ts"
import { type ApiVersions, apiVersions } from "./KafkaHandshake.ts"
import * as Network from "./Network.ts"

const variables = { address: "KAFKA_BROKERS", authorities: "KAFKA_CA_FILE", encrypted: "KAFKA_SSL" }

/** One request to a broker ends by this time. */
const STEP_MILLIS = 2_000

/** Everything that is asked of the cluster. */
const QUESTIONS = "4 seconds"

/** What a broker must understand: the newest version that is spoken here of each request that is used. */
const spoken: ReadonlyArray<readonly [key: number, name: string, oldest: number, newest: number]> = [
  // Headers came with these; below them the messages cannot be carried.
  [0, "Produce", 3, 7],
  [1, "Fetch", 4, 11],
  [2, "ListOffsets", 0, 3],
  [3, "Metadata", 0, 6],
  [8, "OffsetCommit", 0, 5],
  [9, "OffsetFetch", 1, 4],
  [10, "FindCoordinator", 0, 2],
  [11, "JoinGroup", 0, 5],
  [12, "Heartbeat", 0, 3],
  [13, "LeaveGroup", 0, 3],
  [14, "SyncGroup", 0, 3],
  [19, "CreateTopics", 0, 3]
]

const hostAndPort = (broker: string): readonly [string, number] => {
  const at = broker.lastIndexOf(":")
  return [broker.slice(0, at), Number(broker.slice(at + 1))]
}

const brokerFail = (broker: string, code: string, detail: string, fix: string): Finding =>
  fail("kafka.broker", code, `${broker}: ${detail}`, fix)

/** Whether one of the brokers that were named can be talked to. */
const handshake = (broker: string, config: KafkaConfig): Effect.Effect<Finding, Finding> =>
  Effect.gen(function*() {
    const [host, port] = hostAndPort(broker)
    const onNetwork = (fault: Network.NetworkFault) =>
      brokerFail(broker, fault.code, fault.detail, Network.fixOf(fault, variables))
    yield* Effect.mapError(Network.resolve(host), onNetwork)
    const reached = yield* Effect.mapError(Network.reach(host, port), onNetwork)
    const encryption = config.ssl === false
      ? ""
      : `, ${yield* Effect.mapError(Network.shakeHands(host, port, config.ssl), onNetwork)}`
    const versions = yield* Effect.catchTags(apiVersions(host, port, config.ssl), {
      NetworkFault: (fault) => Effect.fail(onNetwork(fault)),
      NotKafka: ({ detail }) =>
        Effect.fail(brokerFail(
          broker,
          "not_kafka",
          detail,
          config.ssl === false
            ? "name the port of a broker in KAFKA_BROKERS, and set KAFKA_SSL=true if that port is encrypted"
            : "name the port of a broker in KAFKA_BROKERS"
        )),
      BrokerSilent: ({ detail }) =>
        Effect.fail(brokerFail(
          broker,
          "server_silent",
          detail,
          "the broker accepts connections and does not answer: look whether it is stalled, and restart it"
        ))
    })
    yield* spokenBy(broker, versions)
    return ok("kafka.broker", `${broker} answers (${Network.millis(reached.millis)}${encryption})`)
  })

const spokenBy = (broker: string, versions: ApiVersions): Effect.Effect<void, Finding> => {
  const apart = spoken.filter(([key, , oldest, newest]) => {
    const [from, to] = versions.get(key) ?? [Infinity, -Infinity]
    return from > newest || to < oldest
  })
  return apart.length === 0 ? Effect.void : Effect.fail(brokerFail(
    broker,
    "version_unsupported",
    `does not understand ${apart.map(([, name]) => name).join(", ")} as it is spoken here`,
    "use brokers from 1.0 to 4.x"
  ))
}

/** The error at the bottom: what is thrown wraps it, and says that it cannot be retried when it can. */
const rootOf = (thrown: unknown): unknown => {
  let error = thrown
  for (let depth = 0; depth < 8; depth++) {
    const cause = error instanceof KafkaJS.KafkaJSAggregateError
      ? error.errors[0]
      : error instanceof Error && "cause" in error
      ? error.cause
      : undefined
    if (!(cause instanceof Error)) return error
    error = cause
  }
  return error
}

/**
 * Why a request to the cluster has no answer.
 *
 * @category errors
 */
export const findingOf = (check: string, config: KafkaConfig, thrown: unknown): Finding => {
  const root = rootOf(thrown)
  const fault = Network.faultOf(root)
  const { message, name } = root instanceof Error ? root : { message: String(root), name: "" }
  const type = root instanceof Error && "type" in root ? String(root.type) : ""
  const broker = root instanceof Error && "broker" in root ? String(root.broker) : ""
  if (fault !== undefined && broker !== "" && !config.brokers.includes(broker)) {
    return fail(
      "kafka.cluster",
      "advertised_unreachable",
      `a broker says that it is at ${broker}, which cannot be used from here: ${fault.detail}`,
      "correct advertised.listeners of the broker, or open the way to it"
    )
  }
  if (/not valid given the current SASL state/.test(message)) {
    return fail(
      check,
      "login_unexpected",
      "the broker asks for no login on this port",
      "name a port in KAFKA_BROKERS that asks for one, or unset KAFKA_SASL_MECHANISM and what belongs to it"
    )
  }
  if (name === "KafkaJSSASLAuthenticationError" || /SASL|authentication/i.test(`${type} ${message}`)) {
    return /mechanism/i.test(message)
      ? fail(check, "mechanism_refused", message, "set KAFKA_SASL_MECHANISM to one that the brokers offer")
      : fail(check, "wrong_password", message, "correct KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
  }
  if (type.endsWith("_AUTHORIZATION_FAILED")) {
    return fail(check, "permission_denied", message, "give the user the rights (ACLs) to do this")
  }
  if (name === "KafkaJSRequestTimeoutError") {
    return fail(
      check,
      "server_silent",
      `no answer within ${STEP_MILLIS} ms`,
      "look whether the brokers are stalled or without a controller"
    )
  }
  if (name === "KafkaJSConnectionClosedError" || fault?.code === "connection_closed" || /closed/i.test(message)) {
    return config.sasl === undefined
      ? fail(
        check,
        "login_required",
        "the broker hangs up on who does not log in",
        "set KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, or name a port that asks for no login"
      )
      : fail(check, "connection_closed", "the broker hangs up during the login", "look into the broker's log")
  }
  if (fault !== undefined) return fail(check, fault.code, fault.detail, Network.fixOf(fault, variables))
  return fail(check, type === "" ? "kafka_error" : type.toLowerCase(), message, "look into the brokers' logs")
}

const saslOf = ({ sasl }: KafkaConfig): { readonly sasl?: SASLOptions } =>
  sasl === undefined
    ? {}
    : { sasl: { mechanism: sasl.mechanism, username: sasl.username, password: Redacted.value(sasl.password) } }

const adminOf = (config: KafkaConfig, brokers: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      new KafkaJS.Kafka({
        clientId: "holdfast-doctor",
        brokers: [...brokers],
        connectionTimeout: STEP_MILLIS,
        authenticationTimeout: STEP_MILLIS,
        requestTimeout: STEP_MILLIS,
        enforceRequestTimeout: true,
        retry: { retries: 0 },
        logLevel: KafkaJS.logLevel.NOTHING,
        ssl: config.ssl === false ? false : { ...config.ssl },
        ...saslOf(config)
      }).admin()
    ),
    // A stalled broker would be waited for.
    (admin) => Effect.sync(() => void admin.disconnect().catch(() => {}))
  )

type Ask = <A>(check: string, request: (admin: Admin) => Promise<A>) => Effect.Effect<A, Finding>

/** Clients are sent on to the addresses that the brokers give of themselves. */
const cluster = (ask: Ask, config: KafkaConfig, report: Report): Effect.Effect<number, Finding> =>
  Effect.gen(function*() {
    const { brokers, controller } = yield* ask("kafka.login", (admin) => admin.describeCluster())
    report(ok(
      "kafka.login",
      config.sasl === undefined ? "no login is asked for" : `${config.sasl.username} is let in`
    ))
    const reached = yield* Effect.forEach(
      brokers,
      ({ host, port }) =>
        Effect.map(Effect.either(Network.reach(host, port)), (outcome) => ({ name: `${host}:${port}`, outcome })),
      { concurrency: "unbounded" }
    )
    for (const { name, outcome } of reached) {
      if (Either.isLeft(outcome)) {
        report(fail(
          "kafka.cluster",
          "advertised_unreachable",
          `a broker says that it is at ${name}, which cannot be reached from here: ${outcome.left.detail}`,
          "correct advertised.listeners of the broker, or open the way to it"
        ))
      }
    }
    if (controller === null) {
      return yield* Effect.fail(
        fail("kafka.cluster", "no_controller", "no broker is the controller", "look into the brokers' logs")
      )
    }
    report(
      ok("kafka.cluster", `${Count.of(brokers.length, "broker")}, one is the controller`)
    )
    return brokers.length
  })

const faultsOf = ({ name, partitions }: ITopicMetadata, wanted: number): ReadonlyArray<Finding> => [
  ...(partitions.length === wanted ? [] : [fail(
    "kafka.topics",
    "wrong_partitions",
    `${name} has ${Count.of(partitions.length, "partition")}, not ${wanted}`,
    "move what the topic holds, delete it and start the agents, which make it anew: partitions cannot be changed without " +
      "breaking the order of its messages"
  )]),
  ...(partitions.every(({ leader }) => leader >= 0) ? [] : [fail(
    "kafka.topics",
    "no_leader",
    `${name} has partitions without a leader`,
    "start the brokers that hold it"
  )])
]

const topics = (
  ask: Ask,
  agents: ReadonlyArray<string>,
  brokers: number,
  report: Report
): Effect.Effect<void, Finding> =>
  Effect.gen(function*() {
    const declared = Topics.declared(agents)
    const names = new Set(yield* ask("kafka.topics", (admin) => admin.listTopics()))
    const missing = declared.filter(({ name }) => !names.has(name))
    const present = declared.filter(({ name }) => names.has(name))
    if (missing.length > 0) {
      yield* ask("kafka.topics", (admin) =>
        admin.createTopics({
          validateOnly: true,
          // There will be none.
          waitForLeaders: false,
          timeout: STEP_MILLIS,
          topics: missing.map(({ name, partitions }) => ({
            topic: name,
            numPartitions: partitions,
            replicationFactor: -1
          }))
        }))
    }
    const found = present.length === 0
      ? { topics: [] }
      : yield* ask("kafka.topics", (admin) => admin.fetchTopicMetadata({ topics: present.map(({ name }) => name) }))
    const faults = present.flatMap(({ name, partitions }) => {
      const topic = found.topics.find((one) => one.name === name)
      return topic === undefined ? [] : faultsOf(topic, partitions)
    })
    faults.forEach(report)
    if (faults.length === 0) {
      report(ok(
        "kafka.topics",
        missing.length === 0
          ? `${Count.of(present.length, "topic is", "topics are")} there`
          : `${
            Count.of(present.length, "topic is", "topics are")
          } there, ${missing.length} can and will be made at the start`
      ))
    }
    const single = found.topics.filter(({ partitions }) => partitions.some(({ replicas }) => replicas.length < 2))
    if (single.length > 0 && brokers > 1) {
      report(warn(
        "kafka.replication",
        "not_replicated",
        `${Count.of(single.length, "topic is", "topics are")} on one broker alone`,
        "raise default.replication.factor of the brokers, and reassign the partitions of these topics"
      ))
    }
  })

const questions = (
  config: KafkaConfig,
  brokers: ReadonlyArray<string>,
  agents: ReadonlyArray<string>,
  report: Report
): Effect.Effect<void, Finding> =>
  Effect.scoped(Effect.gen(function*() {
    const admin = yield* adminOf(config, brokers)
    const ask: Ask = (check, request) =>
      Effect.tryPromise({ try: () => request(admin), catch: (thrown) => findingOf(check, config, thrown) })
    yield* ask("kafka.login", (admin) => admin.connect())
    const size = yield* cluster(ask, config, report)
    yield* topics(ask, agents, size, report)
  }))

const encryptionOf = (config: KafkaConfig, isLocal: boolean): Finding =>
  config.ssl !== false
    ? ok("kafka.encryption", "encrypted, the brokers are verified")
    : isLocal
    ? ok("kafka.encryption", "not encrypted, and does not leave this machine")
    : warn(
      "kafka.encryption",
      config.sasl?.mechanism === "plain" ? "password_not_encrypted" : "not_encrypted",
      config.sasl?.mechanism === "plain" ? "the password is sent as it is" : "not encrypted",
      "set KAFKA_SSL=true, and KAFKA_CA_FILE when the authority is your own"
    )

/**
 * Looks at Kafka: every broker that is named, then the cluster they lead to, and the topics.
 *
 * @category checks
 */
export const examine = (
  config: KafkaConfig,
  agents: ReadonlyArray<string>,
  report: Report
): Effect.Effect<void, Finding> =>
  Effect.gen(function*() {
    const outcomes = yield* Effect.forEach(
      config.brokers,
      (broker) => Effect.map(Effect.either(handshake(broker, config)), (outcome) => ({ broker, outcome })),
      { concurrency: "unbounded" }
    )
    const usable = outcomes.filter(({ outcome }) => Either.isRight(outcome)).map(({ broker }) => broker)
    for (const { outcome } of outcomes) {
      const finding = Either.merge(outcome)
      // With one of several away, the others carry on.
      report(finding.status === "fail" && usable.length > 0 ? { ...finding, status: "warn" } : finding)
    }
    if (usable.length === 0) return
    const hosts = yield* Effect.forEach(usable, (broker) => Effect.option(Network.resolve(hostAndPort(broker)[0])))
    report(encryptionOf(config, Network.isLocal(hosts.flatMap((host) => host._tag === "Some" ? host.value : []))))
    yield* questions(config, usable, agents, report).pipe(
      Network.within(
        () =>
          fail(
            "kafka.cluster",
            "server_slow",
            `not all answers came within ${QUESTIONS}`,
            "look what keeps the brokers busy"
          ),
        QUESTIONS
      )
    )
  })

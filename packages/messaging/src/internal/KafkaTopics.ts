import * as Deadline from "@holdfast/resilience/Deadline"
import * as Effect from "effect/Effect"
import KafkaJS from "kafkajs"
import type { Admin, ITopicConfig } from "kafkajs"
import * as KafkaConfig from "../KafkaConfig.ts"
import type { KafkaError } from "../KafkaError.ts"
import { BrokerAway, TopicMismatch } from "../KafkaError.ts"
import * as Topics from "../Topics.ts"
import type { KafkaSession } from "./KafkaSession.ts"

/**
 * The topics of a cluster, compared with what is declared.
 *
 * @category models
 */
export interface KafkaTopics {
  /** Sees to it that these topics exist and can be used; looks at each once. */
  readonly ensure: (names: Iterable<string>) => Effect.Effect<void, KafkaError>
  /** The next `ensure` looks again: the cluster may be another one. */
  readonly forget: () => void
}

/** Copies of each partition, where there are as many brokers. */
const REPLICAS = 3

/**
 * A topic as it is.
 *
 * @category models
 */
export interface Existing {
  readonly name: string
  readonly partitions: number
  readonly replicas: number
  readonly config: Readonly<Record<string, string>>
}

/** Time without end, as Kafka says it. */
const FOR_EVER = "-1"

const retentionOf = (topic: Topics.Topic): string => String(topic.retentionMillis ?? FOR_EVER)

/**
 * How a topic is made.
 *
 * @category conversions
 */
export const creation = (topic: Topics.Topic, name: string, brokers: number): ITopicConfig => {
  const replicationFactor = Math.min(REPLICAS, brokers)
  return {
    topic: name,
    numPartitions: topic.partitions,
    replicationFactor,
    configEntries: [
      { name: "cleanup.policy", value: topic.cleanup },
      { name: "retention.ms", value: retentionOf(topic) },
      // With two copies, one broker away would stop all writing.
      ...(replicationFactor < REPLICAS ? [] : [{ name: "min.insync.replicas", value: "2" }])
    ]
  }
}

/**
 * What is wrong with a topic: `fatal` where using it loses messages or their order, else for the operator to know.
 *
 * @category comparing
 */
export const compare = (
  topic: Topics.Topic,
  found: Existing
): { readonly fatal: string | undefined; readonly warnings: ReadonlyArray<string> } => {
  const cleanup = found.config["cleanup.policy"] ?? topic.cleanup
  const retention = Number(found.config["retention.ms"] ?? FOR_EVER)
  const wanted = Number(retentionOf(topic))
  const inSync = Number(found.config["min.insync.replicas"] ?? 2)
  const fatal = found.partitions !== topic.partitions
    ? `has ${found.partitions} partitions, ${topic.partitions} are declared: the messages of a key may lie in two ` +
      "partitions, in no order; make it anew with the declared number when its messages are no longer needed"
    : topic.cleanup === "delete" && cleanup.includes("compact")
    ? `is compacted (cleanup.policy=${cleanup}), which throws messages away that nobody may have heard; set ` +
      "cleanup.policy=delete"
    : undefined
  return {
    fatal,
    warnings: [
      ...(topic.cleanup === "compact" && cleanup !== "compact"
        ? [`has cleanup.policy=${cleanup}: states older than its retention are lost; set cleanup.policy=compact`]
        : []),
      ...(topic.cleanup === "delete" && retention >= 0 && retention < wanted
        ? [`keeps messages ${retention} ms, ${wanted} ms are declared: an agent that is away longer misses some`]
        : []),
      ...(found.replicas >= REPLICAS && inSync < 2
        ? ["acknowledges what one broker alone has (min.insync.replicas=1); set it to 2"]
        : [])
    ]
  }
}

const declared = (name: string): Effect.Effect<Topics.Topic, TopicMismatch> => {
  const topic = Topics.find(name)
  return topic === undefined
    ? new TopicMismatch({ topic: name, detail: "is not declared: only ecom.<agent>.events.v1 and its like are used" })
    : Effect.succeed(topic)
}

/** Made topics are looked for this often, until the broker that is asked knows them. */
const KNOWN_WITHIN = "50 millis"

/**
 * @category constructors
 */
export const make = (config: KafkaConfig.KafkaConfig, admin: KafkaSession<Admin>): KafkaTopics => {
  const { timing } = config
  const checked = new Set<string>()
  /** What somebody wants and nobody has found well: who has the turn looks at all of it, so that many wait for few looks. */
  const wanted = new Map<string, Topics.Topic>()
  const turn = Effect.unsafeMakeSemaphore(1)
  const onCluster = (topic: Topics.Topic) => `${config.prefix}${topic.name}`

  const list = Effect.map(
    admin.use("list topics", timing.request, (kafka) => kafka.listTopics()),
    (names): ReadonlySet<string> => new Set(names)
  )

  const create = (topics: ReadonlyArray<Topics.Topic>) =>
    Effect.gen(function*() {
      const { brokers } = yield* admin.use("describe cluster", timing.request, (kafka) => kafka.describeCluster())
      yield* admin.use("create topics", timing.request, (kafka) =>
        kafka.createTopics({
          topics: topics.map((topic) => creation(topic, onCluster(topic), brokers.length)),
          timeout: KafkaConfig.millis(config, "request"),
          // It would not wait for topics that are not known yet, but fail.
          waitForLeaders: false
        }))
      yield* Effect.repeat(Effect.zipRight(Effect.sleep(KNOWN_WITHIN), list), {
        until: (there) => topics.every((topic) => there.has(onCluster(topic)))
      }).pipe(
        Deadline.within(timing.request, "create topics"),
        Effect.catchTag("DeadlineExceeded", () =>
          Effect.fail(new BrokerAway({ operation: "create topics", detail: "made, but not known to all brokers yet" })))
      )
      yield* Effect.logInfo(`made topics ${topics.map(onCluster).join(", ")}`)
    })

  const describe = (topics: ReadonlyArray<Topics.Topic>) =>
    Effect.gen(function*() {
      const names = topics.map(onCluster)
      const { topics: found } = yield* admin.use(
        "read topics",
        timing.request,
        (kafka) => kafka.fetchTopicMetadata({ topics: names })
      )
      const { resources } = yield* admin.use("read settings of topics", timing.request, (kafka) =>
        kafka.describeConfigs({
          includeSynonyms: false,
          resources: names.map((name) => ({
            type: KafkaJS.ConfigResourceTypes.TOPIC,
            name,
            configNames: ["cleanup.policy", "retention.ms", "min.insync.replicas"]
          }))
        }))
      return new Map(found.map(({ name, partitions }): [string, Existing] => [name, {
        name,
        partitions: partitions.length,
        replicas: Math.min(...partitions.map(({ replicas }) => replicas.length)),
        config: Object.fromEntries(
          resources.find((resource) => resource.resourceName === name)?.configEntries
            .map((entry) => [entry.configName, entry.configValue]) ?? []
        )
      }]))
    })

  /** Answers what is wrong with each, if anything is. */
  const check = (topics: ReadonlyArray<Topics.Topic>) =>
    Effect.gen(function*() {
      const faults = new Map<string, TopicMismatch>()
      const found = topics.length === 0 ? new Map<string, Existing>() : yield* describe(topics)
      for (const topic of topics) {
        const existing = found.get(onCluster(topic))
        if (existing === undefined) {
          return yield* new BrokerAway({ operation: "read topics", detail: `${onCluster(topic)} is gone again` })
        }
        const { fatal, warnings } = compare(topic, existing)
        if (fatal !== undefined) {
          faults.set(topic.name, new TopicMismatch({ topic: onCluster(topic), detail: fatal }))
        }
        yield* Effect.forEach(warnings, (warning) => Effect.logWarning(`topic ${onCluster(topic)} ${warning}`))
      }
      return faults
    })

  /** Deals with all that is asked for, and answers what is wrong with it. */
  const look = Effect.gen(function*() {
    const topics = [...wanted.values()]
    const there = yield* list
    const missing = topics.filter((topic) => !there.has(onCluster(topic)))
    if (missing.length > 0) yield* create(missing)
    const faults = yield* check(topics.filter((topic) => there.has(onCluster(topic))))
    for (const { name } of topics) {
      if (faults.has(name)) continue
      checked.add(name)
      wanted.delete(name)
    }
    return faults
  })

  return {
    forget: () => checked.clear(),
    ensure: (names) =>
      Effect.gen(function*() {
        const open = [...new Set(names)].filter((name) => !checked.has(name))
        for (const topic of yield* Effect.forEach(open, declared)) wanted.set(topic.name, topic)
        yield* turn.withPermits(1)(Effect.suspend(() => {
          if (open.every((name) => checked.has(name))) return Effect.void
          return Effect.flatMap(look, (faults) => {
            const fault = open.flatMap((name) => faults.get(name) ?? [])[0]
            return fault === undefined ? Effect.void : Effect.fail(fault)
          })
        }))
      })
  }
}

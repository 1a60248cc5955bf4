import * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"

/**
 * Who the agents are to the brokers.
 *
 * @category models
 */
export interface Sasl {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
  readonly username: string
  readonly password: Redacted.Redacted
}

/**
 * How a connection is encrypted, in the words of Node's `tls.connect`.
 *
 * @category models
 */
export interface Tls {
  readonly rejectUnauthorized?: boolean
  readonly servername?: string
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

/**
 * How long things may take, and how often they are done.
 *
 * @category models
 */
export interface Timing {
  /** Until a connection stands. */
  readonly connect: Duration.DurationInput
  /** Until one request of the protocol is answered. */
  readonly request: Duration.DurationInput
  /** Until a batch of the outbox is acknowledged, its connection and metadata included. */
  readonly send: Duration.DurationInput
  /** Until the broker has proved that it is there, and how often it must. */
  readonly probe: Duration.DurationInput
  readonly probeEvery: Duration.DurationInput
  /**
   * A consumer that has not sent a heartbeat for so long loses its partitions to the others of its group. A process that
   * was killed holds them for as long: what takes its place hears nothing until then.
   */
  readonly session: Duration.DurationInput
  readonly heartbeat: Duration.DurationInput
  /** How long the members of a group may take to join it anew. */
  readonly rebalance: Duration.DurationInput
  /** How long the broker holds a question for messages when there are none. */
  readonly fetchWait: Duration.DurationInput
  /** A consumer that has neither fetched nor sent a heartbeat for so long does not count as alive. */
  readonly silence: Duration.DurationInput
  /** Until a batch of messages is settled; then the delivery is repeated. */
  readonly delivery: Duration.DurationInput
  /** How long an agent that leaves may take to settle what it has in hands, and to publish what is committed. */
  readonly stop: Duration.DurationInput
  readonly flush: Duration.DurationInput
  /** The outbox is looked at this often besides being woken: another process of the agent may have written to it. */
  readonly poll: Duration.DurationInput
  /** How often it is asked whether the brokers still have what they have acknowledged, and topics their partitions. */
  readonly compareEvery: Duration.DurationInput
  /** How often the lag of partitions is measured that nothing has come from. */
  readonly measureEvery: Duration.DurationInput
}

/**
 * The brokers, and how to use them.
 *
 * @category models
 */
export interface KafkaConfig {
  /** `host:port` each; the others of the cluster are learnt from any of them. */
  readonly brokers: ReadonlyArray<string>
  /** What the brokers call these agents in their logs and quotas. */
  readonly clientId: string
  readonly ssl: boolean | Tls
  readonly sasl: Sasl | undefined
  /** Goes before the names of topics and groups, so that several shops can use one cluster; e.g. `staging.`. */
  readonly prefix: string
  readonly timing: Timing
}

/**
 * The time limits that are used where none are given.
 *
 * @category constants
 */
export const timing: Timing = {
  connect: "2 seconds",
  request: "5 seconds",
  send: "5 seconds",
  probe: "2 seconds",
  probeEvery: "5 seconds",
  session: "10 seconds",
  heartbeat: "3 seconds",
  rebalance: "60 seconds",
  fetchWait: "500 millis",
  silence: "10 seconds",
  delivery: "30 seconds",
  stop: "5 seconds",
  flush: "3 seconds",
  poll: "500 millis",
  compareEvery: "30 seconds",
  measureEvery: "5 seconds"
}

/**
 * The limits of a consumer whose session lasts so long: it gives a sign of life three times in it, at least every three
 * seconds.
 *
 * @category constructors
 */
export const withSession = (session: Duration.Duration): Partial<Timing> => ({
  session,
  heartbeat: Duration.min(Duration.times(session, 0.3), Duration.seconds(3))
})

/**
 * The configuration with what it leaves open.
 *
 * @category constructors
 */
export const make = (
  options: Pick<KafkaConfig, "brokers"> & Partial<Omit<KafkaConfig, "timing">> & { readonly timing?: Partial<Timing> }
): KafkaConfig => ({
  clientId: "holdfast",
  ssl: false,
  sasl: undefined,
  prefix: "",
  ...options,
  timing: { ...timing, ...options.timing }
})

/**
 * A time limit in milliseconds.
 *
 * @category accessors
 */
export const millis = (config: KafkaConfig, what: keyof Timing): number => Duration.toMillis(config.timing[what])

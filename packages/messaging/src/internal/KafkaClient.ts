import * as Deadline from "@holdfast/resilience/Deadline"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import KafkaJS from "kafkajs"
import type { ISocketFactory, Kafka, KafkaConfig as Options, SASLOptions } from "kafkajs"
import { connect as connectTcp, isIP, type Socket } from "node:net"
import { connect as connectTls } from "node:tls"
import * as KafkaConfig from "../KafkaConfig.ts"
import * as KafkaError from "../KafkaError.ts"

/**
 * The client was closed; whoever still waits for it hears so at once.
 *
 * @category errors
 */
export class ClientClosed extends Data.TaggedError("ClientClosed")<{ readonly why: string }> {
  override get message(): string {
    return `given up: ${this.why}`
  }
}

/**
 * A client with sockets of its own. Closing it destroys them, and it can make no new ones: whatever of the library still
 * runs can neither send nor hear anything any more. Nothing less ends a consumer or a send for certain.
 *
 * @category models
 */
export interface KafkaClient {
  readonly kafka: Kafka
  readonly close: (why: string) => void
}

/** One owner of retries, and it is not the library; the times make no difference then, but have other values in tests. */
const once = { retries: 0, initialRetryTime: 100, maxRetryTime: 1_000, factor: 0.2, multiplier: 2 }

/**
 * How the library repeats things itself.
 *
 * @category constants
 */
export const retry = {
  once,
  /** Joining a group meets others who join it at the same time: to begin anew each time would disturb them for ever. */
  join: { ...once, retries: 4, restartOnFailure: () => Promise.resolve(false) }
}

const KEEP_ALIVE_MILLIS = 60_000

const sslOf = (ssl: KafkaConfig.KafkaConfig["ssl"]): boolean | Record<string, unknown> =>
  typeof ssl === "boolean" ? ssl : { ...ssl }

const saslOf = (sasl: KafkaConfig.Sasl): SASLOptions => {
  const { mechanism, username } = sasl
  const password = Redacted.value(sasl.password)
  switch (mechanism) {
    case "plain":
      return { mechanism, username, password }
    case "scram-sha-256":
      return { mechanism, username, password }
    case "scram-sha-512":
      return { mechanism, username, password }
  }
}

/**
 * A client that is not connected yet. `disconnected` is called when a connection ends that stood and was not closed here.
 *
 * @category constructors
 */
export const open = (config: KafkaConfig.KafkaConfig, disconnected: () => void): Effect.Effect<KafkaClient> =>
  Effect.map(Effect.runtime<never>(), (runtime) => {
    const sockets = new Set<Socket>()
    let closed: ClientClosed | undefined
    const socketFactory: ISocketFactory = ({ host, onConnect, port, ssl }) => {
      if (closed !== undefined) throw closed
      const socket = ssl
        ? connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...ssl }, onConnect)
        : connectTcp({ host, port }, onConnect)
      socket.setKeepAlive(true, KEEP_ALIVE_MILLIS)
      sockets.add(socket)
      let connected = false
      socket.once("connect", () => {
        connected = true
      })
      socket.once("close", () => {
        sockets.delete(socket)
        if (connected && closed === undefined) disconnected()
      })
      return socket
    }
    const log = Runtime.runFork(runtime)
    const options: Options = {
      brokers: [...config.brokers],
      clientId: config.clientId,
      ssl: sslOf(config.ssl),
      ...(config.sasl === undefined ? {} : { sasl: saslOf(config.sasl) }),
      connectionTimeout: KafkaConfig.millis(config, "connect"),
      authenticationTimeout: KafkaConfig.millis(config, "request"),
      requestTimeout: KafkaConfig.millis(config, "request"),
      enforceRequestTimeout: true,
      // One attempt for each broker that may be the dead one.
      retry: { ...once, retries: config.brokers.length - 1 },
      socketFactory,
      logLevel: KafkaJS.logLevel.WARN,
      // What matters of it comes as a failure too, once and not once a second.
      logCreator: () => ({ log: { message, ...rest }, namespace }) => {
        log(
          Effect.annotateLogs(Effect.logDebug(`kafkajs ${namespace}: ${message}`), "error", String(rest["error"] ?? ""))
        )
      }
    }
    return {
      kafka: new KafkaJS.Kafka(options),
      close: (why) => {
        closed ??= new ClientClosed({ why })
        for (const socket of sockets) socket.destroy(closed)
      }
    }
  })

/**
 * A call of the library. It cannot be taken back: past its time nobody waits for it any more, and what it asked for may
 * still happen.
 *
 * @category combinators
 */
export const call = <A>(
  operation: string,
  within: Duration.DurationInput,
  run: () => Promise<A>
): Effect.Effect<A, KafkaError.BrokerAway | KafkaError.BrokerRefused> =>
  Effect.tryPromise({ try: run, catch: (thrown) => KafkaError.of(operation, thrown) }).pipe(
    Deadline.within(within, operation),
    Effect.catchTag("DeadlineExceeded", () =>
      Effect.fail(
        new KafkaError.BrokerAway({ operation, detail: `no answer within ${Duration.format(within)}` })
      ))
  )

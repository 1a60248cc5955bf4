import type { KafkaConfig } from "@holdfast/agent/KafkaConfig"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { connect } from "node:net"
import { connect as secure } from "node:tls"
import * as Network from "./Network.ts"

/**
 * What answers is no Kafka broker, or refuses the question.
 *
 * @category errors
 */
export class NotKafka extends Data.TaggedError("NotKafka")<{ readonly detail: string }> {}

/**
 * The broker has accepted the connection and says nothing.
 *
 * @category errors
 */
export class BrokerSilent extends Data.TaggedError("BrokerSilent")<{ readonly detail: string }> {}

/** The question and its answer end by this time. */
const ANSWER = "2 seconds"

/** ApiVersions, the one question that a broker answers before it knows who asks. */
const API_VERSIONS = 18

const CLIENT = "holdfast-doctor"

const CORRELATION = 1

/** An answer has a few hundred bytes; what announces more is something else. */
const MAX_ANSWER_BYTES = 65_536

const question = (): Buffer => {
  const body = Buffer.alloc(10 + CLIENT.length)
  body.writeInt16BE(API_VERSIONS, 0)
  body.writeInt16BE(0, 2)
  body.writeInt32BE(CORRELATION, 4)
  body.writeInt16BE(CLIENT.length, 8)
  body.write(CLIENT, 10, "ascii")
  const size = Buffer.alloc(4)
  size.writeInt32BE(body.length)
  return Buffer.concat([size, body])
}

/** For each API by its key: the versions that the broker understands. */
export type ApiVersions = ReadonlyMap<number, readonly [oldest: number, newest: number]>

/** The versions once they are complete, undefined before. */
const read = (answer: Buffer): ApiVersions | NotKafka | undefined => {
  if (answer.length < 4) return undefined
  const size = answer.readInt32BE(0)
  if (size < 10 || size > MAX_ANSWER_BYTES) return new NotKafka({ detail: "the answer is not that of a Kafka broker" })
  if (answer.length < size + 4) return undefined
  const count = answer.readInt32BE(10)
  if (answer.readInt32BE(4) !== CORRELATION || answer.readInt16BE(8) !== 0 || 14 + count * 6 > size + 4) {
    return new NotKafka({ detail: "the answer is not that of a Kafka broker" })
  }
  return new Map(Array.from({ length: count }, (_, index) => {
    const at = 14 + index * 6
    return [answer.readInt16BE(at), [answer.readInt16BE(at + 2), answer.readInt16BE(at + 4)]]
  }))
}

/**
 * Asks one broker which requests it understands; without logging in, and within two seconds.
 *
 * @category checks
 */
export const apiVersions = (
  host: string,
  port: number,
  ssl: KafkaConfig["ssl"]
): Effect.Effect<ApiVersions, NotKafka | BrokerSilent | Network.NetworkFault> =>
  Effect.async<ApiVersions, NotKafka | Network.NetworkFault>((resume) => {
    const socket = ssl === false
      ? connect({ host, port })
      : secure({ ...Network.tlsOptions(host, ssl), port })
    let answer = Buffer.alloc(0)
    const end = (outcome: Effect.Effect<ApiVersions, NotKafka | Network.NetworkFault>) => {
      resume(outcome)
      socket.destroy()
    }
    socket.on("error", (error) =>
      end(Effect.fail(
        Network.faultOf(error) ?? new Network.NetworkFault({ code: "network_error", detail: error.message })
      )))
    socket.on("close", () => end(new NotKafka({ detail: "the connection was closed in place of an answer" })))
    socket.once(ssl === false ? "connect" : "secureConnect", () => socket.write(question()))
    socket.on("data", (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk])
      const versions = read(answer)
      if (versions instanceof NotKafka) end(versions)
      else if (versions !== undefined) end(Effect.succeed(versions))
    })
    return Effect.sync(() => void socket.destroy())
  }).pipe(Network.within(() => new BrokerSilent({ detail: `connected, and no answer within ${ANSWER}` }), ANSWER))

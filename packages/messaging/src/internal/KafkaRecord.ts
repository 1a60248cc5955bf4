import type { Envelope } from "@holdfast/contracts/Envelope"
import * as Either from "effect/Either"
import type { IHeaders, KafkaMessage, Message, TopicMessages } from "kafkajs"
import * as CloudEvents from "../CloudEvents.ts"
import * as DeadLetterRecord from "../DeadLetterRecord.ts"

/** Bytes as text that every store can hold: what is no UTF-8 comes as U+FFFD, and so does NUL. */
const storable = (bytes: Buffer | string): string => bytes.toString().replaceAll("\0", "\ufffd")

const textOf = (header: IHeaders[string]): string | undefined => {
  const last = Array.isArray(header) ? header.at(-1) : header
  return last === undefined ? undefined : storable(last)
}

/**
 * A record as others use the word.
 *
 * @category conversions
 */
export const fromMessage = (topic: string, message: KafkaMessage): CloudEvents.TopicRecord => ({
  topic,
  key: storable(message.key ?? ""),
  headers: Object.fromEntries(
    Object.entries(message.headers ?? {}).flatMap(([name, header]) => {
      const text = textOf(header)
      return text === undefined ? [] : [[storable(name), text] as const]
    })
  ),
  value: message.value === null ? null : storable(message.value)
})

/**
 * What a record says; what is none stands for itself, so that it can be dead-lettered.
 *
 * @category conversions
 */
export const decode = (topic: string, partition: number, message: KafkaMessage): Envelope => {
  const record = fromMessage(topic, message)
  const position = `${partition}:${message.offset}`
  return {
    ...Either.getOrElse(
      CloudEvents.decode(record),
      (error) => CloudEvents.standIn(record, position, error, new Date(Number(message.timestamp)).toISOString())
    ),
    position
  }
}

const toMessage = ({ headers, key, value }: CloudEvents.TopicRecord): Message => ({
  key,
  value,
  headers: { ...headers }
})

const sizeOf = ({ headers, key, value }: CloudEvents.TopicRecord): number =>
  Object.entries(headers).reduce(
    (bytes, [name, header]) => bytes + name.length + Buffer.byteLength(header),
    key.length + (value === null ? 0 : Buffer.byteLength(value))
  )

const recordOf = (envelope: Envelope): CloudEvents.TopicRecord =>
  DeadLetterRecord.of(envelope) ?? CloudEvents.toBinary(envelope)

/**
 * How large the record of a message is, but for its framing.
 *
 * @category queries
 */
export const bytesOf = (envelope: Envelope): number => sizeOf(recordOf(envelope))

/**
 * Messages of an outbox as one request to the brokers: as many of the first ones as fit into `bytes`, at least one.
 *
 * @category conversions
 */
export const batchOf = (
  envelopes: ReadonlyArray<Envelope>,
  prefix: string,
  bytes: number
): { readonly taken: number; readonly topics: ReadonlySet<string>; readonly topicMessages: Array<TopicMessages> } => {
  const byTopic = new Map<string, Array<Message>>()
  let taken = 0
  let size = 0
  for (const envelope of envelopes) {
    const record = recordOf(envelope)
    size += sizeOf(record)
    if (taken > 0 && size > bytes) break
    const messages = byTopic.get(record.topic)
    if (messages === undefined) byTopic.set(record.topic, [toMessage(record)])
    else messages.push(toMessage(record))
    taken++
  }
  return {
    taken,
    topics: new Set(byTopic.keys()),
    topicMessages: [...byTopic].map(([topic, messages]) => ({ topic: `${prefix}${topic}`, messages }))
  }
}

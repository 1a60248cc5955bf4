import type { Envelope } from "@holdfast/contracts/Envelope"
import { isUnstorable } from "@holdfast/database/SqliteTransaction"
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/**
 * A record of a topic, as any broker's client has it; `value` is null for a tombstone.
 *
 * @category models
 */
export interface TopicRecord {
  readonly topic: string
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
  readonly value: string | null
}

/**
 * The record is no CloudEvent 1.0 with JSON data; `detail` says what is wrong with it.
 *
 * @category errors
 */
export class Undecodable extends Data.TaggedError("Undecodable")<{ readonly detail: string }> {}

/** What is part of an index: Postgres takes no more than 2704 bytes of all its columns. */
const MAX_NAME = 255

/** As much of a text as is a name; not through the middle of a character. */
const nameOf = (text: string): string => text.slice(0, MAX_NAME).replace(/[\ud800-\udbff]$/, "")

const Name = Schema.NonEmptyString.pipe(Schema.maxLength(MAX_NAME))

/** What is handed on with every message that follows from this one, whose size is limited. */
const Text = Schema.String.pipe(Schema.maxLength(1_024))

/** The context attributes and extensions that an envelope consists of (spec §19.1). */
const Attributes = Schema.Struct({
  specversion: Schema.Literal("1.0"),
  id: Name,
  source: Name,
  type: Name,
  time: Text.pipe(Schema.minLength(1)),
  subject: Schema.optional(Text),
  partitionkey: Schema.optional(Text),
  correlationid: Schema.optional(Text),
  causationid: Schema.optional(Text),
  traceparent: Schema.optional(Text),
  datacontenttype: Schema.optional(Text)
})

const decodeAttributes = Schema.decodeUnknownEither(Attributes)
const parseObject = Schema.decodeUnknownEither(
  Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
)
const parseValue = Schema.decodeUnknownEither(Schema.parseJson())

const undecodable = (error: ParseResult.ParseError): Undecodable =>
  new Undecodable({ detail: ParseResult.TreeFormatter.formatErrorSync(error) })

const structuredType = "application/cloudevents+json"
const jsonType = "application/json"

/** `ecom.order.placed.v1` → `urn:ecom:schema:order:placed:1.0`; minors only add, so that the major names the schema. */
const dataSchema = (type: string): string => {
  const [, agent = "", name = "", major = ""] = /^ecom\.([^.]+)\.(.+)\.v(\d+)$/.exec(type) ?? []
  return `urn:ecom:schema:${agent}:${name}:${major}.0`
}

const attributesOf = (envelope: Envelope) => ({
  specversion: "1.0",
  id: envelope.id,
  source: envelope.source,
  type: envelope.type,
  subject: envelope.subject,
  time: envelope.time,
  datacontenttype: jsonType,
  dataschema: dataSchema(envelope.type),
  partitionkey: envelope.key,
  correlationid: envelope.correlationId,
  causationid: envelope.causationId,
  ...(envelope.traceparent === undefined ? {} : { traceparent: envelope.traceparent })
})

/** What every hop may read without decoding the event: plain headers, in both modes. */
const headersOf = ({ deadline, traceparent }: Envelope) => ({
  ...(traceparent === undefined ? {} : { traceparent }),
  ...(deadline === undefined ? {} : { deadline: String(deadline) })
})

/**
 * Binary mode: attributes as headers `ce_…`, the data as the value. For events, commands and compacted state.
 *
 * @category encoding
 */
export const toBinary = (envelope: Envelope): TopicRecord => {
  const { datacontenttype, ...attributes } = attributesOf(envelope)
  return {
    topic: envelope.topic,
    key: envelope.key,
    headers: {
      "content-type": datacontenttype,
      ...headersOf(envelope),
      ...Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce_${name}`, value]))
    },
    value: envelope.data === undefined ? null : JSON.stringify(envelope.data)
  }
}

/**
 * Structured mode: the whole event as one JSON value. For dead letters, webhooks and archives.
 *
 * @category encoding
 */
export const toStructured = (envelope: Envelope): TopicRecord => ({
  topic: envelope.topic,
  key: envelope.key,
  headers: { "content-type": `${structuredType}; charset=UTF-8`, ...headersOf(envelope) },
  value: JSON.stringify({ ...attributesOf(envelope), data: envelope.data })
})

const envelopeOf = (record: TopicRecord, attributes: unknown, data: unknown): Either.Either<Envelope, Undecodable> =>
  Either.flatMap(Either.mapLeft(decodeAttributes(attributes), undecodable), (decoded) => {
    if (decoded.datacontenttype !== undefined && !isJson(decoded.datacontenttype)) {
      return Either.left(new Undecodable({ detail: `the data is ${decoded.datacontenttype}, not JSON` }))
    }
    const key = decoded.partitionkey ?? record.key
    if (key.length > MAX_NAME) return Either.left(new Undecodable({ detail: `the key has ${key.length} characters` }))
    const traceparent = decoded.traceparent ?? headerOf(record, "traceparent")
    const deadline = headerOf(record, "deadline")
    return Either.right({
      id: decoded.id,
      source: decoded.source,
      type: decoded.type,
      topic: record.topic,
      key,
      subject: decoded.subject ?? key,
      time: decoded.time,
      correlationId: decoded.correlationid ?? decoded.id,
      causationId: decoded.causationid ?? decoded.id,
      ...(traceparent === undefined || traceparent.length > MAX_NAME ? {} : { traceparent }),
      ...(deadline === undefined || !/^\d{1,15}$/.test(deadline) ? {} : { deadline: Number(deadline) }),
      data
    })
  })

const headerOf = (record: TopicRecord, name: string): string | undefined =>
  Object.entries(record.headers).find(([header]) => header.toLowerCase() === name)?.[1]

const isJson = (contentType: string): boolean => /^application\/(.+\+)?json\s*(;|$)/i.test(contentType)

const fromStructured = (record: TopicRecord) =>
  Either.flatMap(
    Either.mapLeft(parseObject(record.value ?? ""), undecodable),
    ({ data, ...attributes }) =>
      "data_base64" in attributes
        ? Either.left(new Undecodable({ detail: "the data is binary, not JSON" }))
        : envelopeOf(record, attributes, data)
  )

const fromBinary = (record: TopicRecord, contentType: string | undefined) => {
  const attributes = Object.fromEntries(
    Object.entries(record.headers).flatMap(([name, value]) =>
      name.toLowerCase().startsWith("ce_") ? [[name.slice(3).toLowerCase(), value] as const] : []
    )
  )
  const data = record.value === null ? Either.right(undefined) : Either.mapLeft(parseValue(record.value), undecodable)
  return Either.flatMap(data, (value) => envelopeOf(record, { ...attributes, datacontenttype: contentType }, value))
}

/** Its dead letter could not be stored either. Bytes that are no UTF-8 come as U+FFFD: only an escape can say so. */
const storable = (record: TopicRecord, envelope: Envelope): Either.Either<Envelope, Undecodable> =>
  record.value?.includes("\\u") === true && isUnstorable(JSON.stringify(envelope))
    ? Either.left(new Undecodable({ detail: "a text holds NUL or half of a character" }))
    : Either.right(envelope)

/**
 * Reads both modes, told apart by the `content-type` header.
 *
 * @category decoding
 */
export const decode = (record: TopicRecord): Either.Either<Envelope, Undecodable> => {
  const contentType = headerOf(record, "content-type")
  const decoded = contentType?.toLowerCase().startsWith("application/cloudevents") === true
    ? /^application\/cloudevents\+json\s*(;|$)/i.test(contentType)
      ? fromStructured(record)
      : Either.left(new Undecodable({ detail: `${contentType} is not read here` }))
    : fromBinary(record, contentType)
  return Either.flatMap(decoded, (envelope) => storable(record, envelope))
}

/** The type of what stands for a record that could not be decoded. */
export const undecodableType = "ecom.undecodable"

/**
 * An envelope for a record that is none, so that it can be dead-lettered like any other message; `position` names the
 * record within its topic for good.
 *
 * @category constructors
 */
export const standIn = (record: TopicRecord, position: string, error: Undecodable, time: string): Envelope => ({
  id: position,
  source: `urn:ecom:topic:${record.topic}`,
  type: undecodableType,
  topic: record.topic,
  key: nameOf(record.key),
  subject: nameOf(record.key),
  time,
  correlationId: position,
  causationId: position,
  data: { detail: error.detail, headers: record.headers, value: record.value }
})

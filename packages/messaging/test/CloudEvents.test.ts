import { assert, it } from "@effect/vitest"
import type { Envelope } from "@holdfast/contracts/Envelope"
import * as CloudEvents from "@holdfast/messaging/CloudEvents"
import { Either, FastCheck as fc } from "effect"

const word = fc.string({ minLength: 1 })
const envelopes: fc.Arbitrary<Envelope> = fc.record({
  id: word,
  source: word,
  type: fc.oneof(word, fc.constant("ecom.order.placed.v1")),
  topic: word,
  key: fc.string(),
  subject: fc.string(),
  time: fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  correlationId: fc.string(),
  causationId: fc.string(),
  data: fc.oneof(fc.jsonValue(), fc.constant(undefined)),
  traceparent: fc.string(),
  deadline: fc.nat()
}, {
  requiredKeys: ["id", "source", "type", "topic", "key", "subject", "time", "correlationId", "causationId", "data"]
})

const json = (value: unknown) => value === undefined ? undefined : JSON.parse(JSON.stringify(value))

it.prop("an envelope survives both modes unchanged", [envelopes], ([envelope]) => {
  const same = { ...envelope, data: json(envelope.data) }
  assert.deepStrictEqual(CloudEvents.decode(CloudEvents.toBinary(envelope)), Either.right(same))
  assert.deepStrictEqual(CloudEvents.decode(CloudEvents.toStructured(envelope)), Either.right(same))
})

const placed: Envelope = {
  id: "evt_1",
  source: "urn:ecom:agent:order",
  type: "ecom.order.placed.v1",
  topic: "ecom.order.events.v1",
  key: "ord_1",
  subject: "ord_1",
  time: "2026-11-23T10:00:00.000Z",
  correlationId: "saga_1",
  causationId: "request_1",
  data: { orderId: "ord_1" }
}

it("binary mode has the attributes of CloudEvents 1.0 as headers and the data as the value", () => {
  assert.deepStrictEqual(CloudEvents.toBinary(placed), {
    topic: "ecom.order.events.v1",
    key: "ord_1",
    headers: {
      "content-type": "application/json",
      ce_specversion: "1.0",
      ce_id: "evt_1",
      ce_source: "urn:ecom:agent:order",
      ce_type: "ecom.order.placed.v1",
      ce_subject: "ord_1",
      ce_time: "2026-11-23T10:00:00.000Z",
      ce_dataschema: "urn:ecom:schema:order:placed:1.0",
      ce_partitionkey: "ord_1",
      ce_correlationid: "saga_1",
      ce_causationid: "request_1"
    },
    value: "{\"orderId\":\"ord_1\"}"
  })
})

it("trace context and deadline are plain headers, for every hop to read", () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
  const command: Envelope = { ...placed, traceparent, deadline: 1_700_000_000_000 }
  for (const record of [CloudEvents.toBinary(command), CloudEvents.toStructured(command)]) {
    assert.deepInclude(record.headers, { traceparent, deadline: "1700000000000" })
    assert.deepStrictEqual(CloudEvents.decode(record), Either.right(command))
  }
  const { ce_traceparent: _, ...plain } = CloudEvents.toBinary(command).headers
  const decoded = CloudEvents.decode({ ...CloudEvents.toBinary(placed), headers: { ...plain, deadline: "soon" } })
  assert.deepStrictEqual(decoded, Either.right({ ...placed, traceparent }))
})

it("what others send is read: other case, no extensions, a tombstone", () => {
  assert.deepStrictEqual(
    CloudEvents.decode({
      topic: "t",
      key: "k",
      headers: {
        "Content-Type": "Application/JSON; charset=utf-8",
        CE_specversion: "1.0",
        CE_ID: "1",
        ce_source: "s",
        ce_type: "x",
        ce_time: "2026-11-23T10:00:00Z"
      },
      value: null
    }),
    Either.right({
      id: "1",
      source: "s",
      type: "x",
      topic: "t",
      key: "k",
      subject: "k",
      time: "2026-11-23T10:00:00Z",
      correlationId: "1",
      causationId: "1",
      data: undefined
    })
  )
})

/** The record's key counts then. */
const withoutKey = ({ ce_partitionkey: _, ...headers }: Readonly<Record<string, string>>) => headers
const binary = CloudEvents.toBinary(placed)
const structured = CloudEvents.toStructured(placed)

it.each([
  ["no attributes", { ...binary, headers: {} }],
  ["another version", { ...binary, headers: { ...binary.headers, ce_specversion: "0.3" } }],
  ["data that is no JSON", { ...binary, value: "{" }],
  ["data of another type", { ...binary, headers: { ...binary.headers, "content-type": "application/avro" } }],
  ["a structured event that is no object", { ...structured, value: "[]" }],
  ["a structured event without a value", { ...structured, value: null }],
  ["an id that no index takes", { ...binary, headers: { ...binary.headers, ce_id: "x".repeat(5_000) } }],
  ["a key that no index takes", { ...binary, key: "k".repeat(5_000), headers: withoutKey(binary.headers) }],
  ["a correlation id that every message after it would carry", {
    ...binary,
    headers: { ...binary.headers, ce_correlationid: "c".repeat(5_000) }
  }],
  ["NUL in its data", { ...binary, value: "{\"a\":[\"x\\u0000\"]}" }],
  ["half of a character in its data", { ...binary, value: "{\"\\uD83D\":1}" }],
  ["NUL in an attribute", { ...structured, value: (structured.value ?? "").replace("ord_1", "ord\\u0000") }],
  ["binary data", { ...structured, value: "{\"data_base64\":\"AA==\"}" }],
  ["a batch", { ...structured, headers: { "content-type": "application/cloudevents-batch+json" } }]
])("a record is refused for %s", (_, record) => {
  assert.instanceOf(Either.getOrThrow(Either.flip(CloudEvents.decode(record))), CloudEvents.Undecodable)
})

it("an escape that says a character is no fault, and neither is one that says nothing", () => {
  const value = "{\"a\":\"\\uD83D\\uDE00\",\"b\":\"\\\\u0000\"}"
  const decoded = Either.getOrThrow(CloudEvents.decode({ ...binary, value }))
  assert.deepStrictEqual(decoded.data, { a: "\ud83d\ude00", b: "\\u0000" })
})

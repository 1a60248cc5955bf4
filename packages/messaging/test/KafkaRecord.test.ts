import { assert, it } from "@effect/vitest"
import type { Envelope } from "@holdfast/contracts/Envelope"
import { sourceOf } from "@holdfast/contracts/Envelope"
import { isUnstorable } from "@holdfast/database/SqliteTransaction"
import * as CloudEvents from "@holdfast/messaging/CloudEvents"
import * as DeadLetterRecord from "@holdfast/messaging/DeadLetterRecord"
import { Either } from "effect"
import * as KafkaRecord from "../src/internal/KafkaRecord.ts"

const envelope = (n: number, topic = "ecom.shop.events.v1", data: unknown = { n }): Envelope => ({
  id: `evt_${n}`,
  source: sourceOf("shop"),
  type: "ecom.shop.told.v1",
  topic,
  key: `k${n % 3}`,
  subject: "s",
  time: "2026-11-23T10:00:00.000Z",
  correlationId: "c",
  causationId: "c",
  data
})

/** A message as the broker gives it back. */
const back = ({ headers, key, value }: CloudEvents.TopicRecord) => ({
  key: Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
  headers: Object.fromEntries(Object.entries(headers).map(([name, header]) => [name, Buffer.from(header)])),
  offset: "17",
  timestamp: "1700000000000",
  attributes: 0
})

it("a message comes back as it was, with its place", () => {
  for (const mode of [CloudEvents.toBinary, CloudEvents.toStructured]) {
    for (const data of [{ n: 1 }, undefined, "é", null]) {
      const sent = envelope(1, "ecom.shop.events.v1", data)
      assert.deepStrictEqual(KafkaRecord.decode(sent.topic, 2, back(mode(sent))), { ...sent, position: "2:17" })
    }
  }
})

it("what is no event stands for itself under its place, whatever of it is missing", () => {
  const decoded = KafkaRecord.decode("ecom.shop.events.v1", 2, {
    ...back(CloudEvents.toBinary(envelope(1))),
    key: null,
    headers: { several: ["a", Buffer.from("b")], none: undefined }
  })
  assert.deepInclude(decoded, {
    id: "2:17",
    source: "urn:ecom:topic:ecom.shop.events.v1",
    type: CloudEvents.undecodableType,
    key: "",
    position: "2:17",
    time: "2023-11-14T22:13:20.000Z"
  })
  assert.deepInclude(decoded.data, { headers: { several: "b" }, value: "{\"n\":1}" })
})

it("what stands for a record can be stored, whatever its bytes", () => {
  const bytes = Buffer.from([0x61, 0, 0xff, 0xed, 0xa0, 0xbd])
  const decoded = KafkaRecord.decode("ecom.shop.events.v1", 2, {
    ...back(CloudEvents.toBinary(envelope(1))),
    key: Buffer.concat([Buffer.from("k".repeat(254)), Buffer.from("\ud83d\ude00")]),
    headers: { "content-type": bytes, "na\0me": bytes },
    value: bytes
  })
  assert.strictEqual(decoded.type, CloudEvents.undecodableType)
  assert.strictEqual(decoded.key, "k".repeat(254))
  assert.isFalse(isUnstorable(JSON.stringify(decoded)))
})

it("a batch is the first messages that fit, each topic's in their order; one that is too large goes alone", () => {
  const [events, commands] = ["ecom.shop.events.v1", "ecom.ledger.commands.v1"]
  const all = [envelope(0, events), envelope(1, commands), envelope(2, events), envelope(3, events)]
  const whole = KafkaRecord.batchOf(all, "test.", 1_000_000)
  assert.strictEqual(whole.taken, 4)
  assert.deepStrictEqual([...whole.topics], [events, commands])
  assert.deepStrictEqual(
    whole.topicMessages.map(({ messages, topic }) => [topic, messages.map(({ value }) => String(value))]),
    [[`test.${events}`, ["{\"n\":0}", "{\"n\":2}", "{\"n\":3}"]], [`test.${commands}`, ["{\"n\":1}"]]]
  )
  const large = envelope(9, events, "é".repeat(600))
  assert.strictEqual(KafkaRecord.batchOf([large, ...all], "", 1_000).taken, 1)
  assert.strictEqual(KafkaRecord.batchOf([envelope(0), large, envelope(1)], "", 1_000).taken, 1)
  assert.strictEqual(KafkaRecord.batchOf([], "", 1_000).taken, 0)
})

it("a dead letter is the message itself, with the reason in headers; other messages are none", () => {
  const letter = { ...envelope(1), position: "2:17" }
  const notice: Envelope = {
    ...envelope(2, "ecom.ledger.dlq.v1"),
    source: sourceOf("ledger"),
    type: DeadLetterRecord.notice("ledger").type,
    data: { envelope: letter, errorCode: "refused", errorMessage: "never: é", attempts: 9 }
  }
  const record = DeadLetterRecord.of(notice)
  if (record === undefined) return assert.fail("no dead letter")
  assert.deepStrictEqual([record.topic, record.key], ["ecom.ledger.dlq.v1", "k1"])
  assert.deepInclude(record.headers, {
    "x-error-code": "refused",
    "x-error-message": "never: é",
    "x-original-topic": "ecom.shop.events.v1",
    "x-original-partition": "2",
    "x-original-offset": "17",
    "x-attempts": "9",
    "x-consumer": "ledger"
  })
  const { position: _, ...original } = letter
  assert.deepStrictEqual(CloudEvents.decode({ ...record, topic: letter.topic }), Either.right(original))
  assert.isUndefined(DeadLetterRecord.of(envelope(1)))
  assert.isUndefined(DeadLetterRecord.of({ ...notice, topic: "ecom.shop.events.v1" }))
  assert.isUndefined(DeadLetterRecord.of({ ...notice, source: sourceOf("shop") }))
})

it("the stand-in of a message that no index takes fits one", () => {
  const { headers, ...sent } = back(CloudEvents.toBinary(envelope(1)))
  const decoded = KafkaRecord.decode("ecom.shop.events.v1", 2, {
    ...sent,
    key: Buffer.from("k".repeat(5_000)),
    headers: { ...headers, ce_id: Buffer.from("x".repeat(5_000)) }
  })
  assert.isBelow(decoded.id.length + decoded.key.length, 600)
})

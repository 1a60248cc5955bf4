import { assert, it } from "@effect/vitest"
import * as KafkaError from "@holdfast/messaging/KafkaError"
import KafkaJS from "kafkajs"

const protocol = (type: string, retriable: boolean) =>
  Object.assign(new KafkaJS.KafkaJSProtocolError(new Error(`${type}: the broker's words`)), { type, retriable })

/** As the library wraps an error that it takes for the end of its own attempts. */
const wrapped = (error: Error) =>
  Object.assign(new KafkaJS.KafkaJSNonRetriableError("outer"), {
    cause: Object.assign(new KafkaJS.KafkaJSNumberOfRetriesExceeded(error, { retryCount: 1, retryTime: 1 }), {
      cause: error
    })
  })

/** Its types know no such constructor. */
const authentication = Object.assign(new Error("SASL PLAIN authentication failed"), {
  name: "KafkaJSSASLAuthenticationError"
})

it.each([
  ["a refused connection", new KafkaJS.KafkaJSConnectionError("connect ECONNREFUSED"), "connect ECONNREFUSED"],
  [
    "an answer that says to come again",
    protocol("NOT_LEADER_FOR_PARTITION", true),
    "NOT_LEADER_FOR_PARTITION: the broker's words"
  ],
  ["a broker that does not know either", protocol("UNKNOWN", false), "UNKNOWN: the broker's words"],
  [
    "the library's own stumbling",
    new TypeError("x is undefined"),
    "the broker's answer was incomplete: it starts, or stops"
  ],
  [
    "its words alone",
    new KafkaJS.KafkaJSNonRetriableError(
      "Cannot destructure property 'brokers' of '(intermediate value)' as it is null"
    ),
    "the broker's answer was incomplete: it starts, or stops"
  ],
  ["what is no error at all", "boom", "boom"]
])("%s is a broker that is away, whatever the library wraps it in", (_, thrown, detail) => {
  for (const error of typeof thrown === "string" ? [thrown] : [thrown, wrapped(thrown)]) {
    const found = KafkaError.of("publish", error)
    assert.deepStrictEqual([found._tag, found.detail], ["BrokerAway", detail])
    assert.deepStrictEqual(KafkaError.failures.severity(found), "high")
  }
})

it.each([
  ["permission", protocol("TOPIC_AUTHORIZATION_FAILED", false), "TOPIC_AUTHORIZATION_FAILED"],
  ["size", protocol("MESSAGE_TOO_LARGE", false), "MESSAGE_TOO_LARGE"],
  [
    "password",
    authentication,
    "SASL_AUTHENTICATION_FAILED"
  ]
])("a refusal for %s keeps the broker's word for it", (_, thrown, code) => {
  for (const error of [thrown, wrapped(thrown), Object.assign(new Error("several"), { errors: [thrown] })]) {
    const found = KafkaError.of("publish", error)
    assert.deepInclude(found, { _tag: "BrokerRefused", code })
    assert.match(found.message, new RegExp(`^publish: .+ \\(${code}\\)$`))
    assert.strictEqual(KafkaError.failures.severity(found), "critical")
  }
})

import { EventBus } from "@holdfast/messaging/EventBus"
import * as KafkaConfig from "@holdfast/messaging/KafkaConfig"
import type { Status } from "@holdfast/resilience/Dependency"
import { Data, Effect, Stream } from "effect"
import { randomBytes } from "node:crypto"

/** Short enough for tests to wait for, long enough for a busy machine. */
export const timing: Partial<KafkaConfig.Timing> = {
  connect: "1 second",
  request: "2 seconds",
  send: "2 seconds",
  probe: "1 second",
  probeEvery: "200 millis",
  session: "3 seconds",
  heartbeat: "300 millis",
  rebalance: "4 seconds",
  fetchWait: "50 millis",
  silence: "2 seconds",
  stop: "2 seconds",
  compareEvery: "300 millis",
  measureEvery: "100 millis"
}

/** A part of the cluster that is the test's own. */
export const ownPrefix = () => `test${randomBytes(6).toString("hex")}.`

/** A bus that no other test hears. */
export const configOf = (
  brokers: ReadonlyArray<string>,
  prefix = ownPrefix(),
  overrides: Partial<KafkaConfig.Timing> = {}
): KafkaConfig.KafkaConfig => KafkaConfig.make({ brokers, prefix, timing: { ...timing, ...overrides } })

/** What a test waits for has not come. */
export class NotInTime extends Data.TaggedError("NotInTime")<{ readonly waitedFor: string; readonly seen: unknown }> {
  override get message(): string {
    return `${this.waitedFor} has not come; seen last: ${JSON.stringify(this.seen)}`
  }
}

/** A test that waits for ever says nothing. */
export const inTime =
  (waitedFor: string, seen: () => unknown = () => undefined) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.timeoutFail(self, { duration: "30 seconds", onTimeout: () => new NotInTime({ waitedFor, seen: seen() }) })

/** Ends as soon as the bus finds its broker so. */
export const brokerIs = (status: Status) =>
  Effect.flatMap(
    EventBus,
    ({ broker }) =>
      broker === undefined ? Effect.dieMessage("the bus has no broker") : broker.changes.pipe(
        Stream.filter((state) => state.status === status),
        Stream.runHead,
        inTime(`the broker is ${status}`, broker.current)
      )
  )

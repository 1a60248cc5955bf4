import { assert, describe, it } from "@effect/vitest"
import { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { Outbox } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import type { Lane } from "@holdfast/messaging/EventBus"
import * as Dependency from "@holdfast/resilience/Dependency"
import { Effect, TestClock } from "effect"
import * as Housekeeping from "../src/Housekeeping.ts"
import { CardIssued, giftCards } from "./GiftCards.ts"

const store = Sqlite.layerTemporary({ agent: "giftcard", migrations: giftCards.migrations })

let operations = 0
const emit = Effect.flatMap(Database, (database) =>
  database.execute({
    id: `emit ${operations++}`,
    command: "test",
    writeClass: "mergeable",
    fingerprint: "",
    cause: { correlationId: "c", causationId: "c" },
    keepMillis: 1000,
    handler: Transaction.emit(CardIssued, { cardId: "card", amount: 1 }),
    answer: () => "",
    refusal: () => undefined
  }))

const heardBy = (consumer: string, position: number): Lane => ({
  consumer,
  source: "giftcard",
  position,
  lag: 0,
  paused: false,
  lastError: undefined
})

/** One run of the cleaning while these consumers are here. */
const clean = (...lanes: ReadonlyArray<Lane>) =>
  Effect.suspend(() => Housekeeping.job("giftcard", { lanes: () => lanes, broker: undefined }).run)

/** One run of the cleaning where a broker carries the messages. */
const cleanWithBroker = Effect.scoped(Effect.flatMap(
  Dependency.make({ name: "kafka", probe: Effect.void }),
  (broker) => Housekeeping.job("giftcard", { lanes: () => [], broker }).run
))

const publish = (seq: number) => Effect.flatMap(Database, (database) => database.relay.published(seq))

const seqs = Effect.flatMap(Database, (database) =>
  Effect.map(
    database.read(Transaction.select(Outbox, { orderBy: [["seq", "asc"]] })),
    (rows) => rows.map(({ seq }) => seq)
  ))

describe("cleaning of the outbox", () => {
  it.effect("the last message stays, however old: its number is not given again", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(emit, 3)
      yield* TestClock.adjust("8 days")
      yield* clean(heardBy("ledger", 3))
      assert.deepStrictEqual(yield* seqs, [3])
      yield* emit
      assert.deepStrictEqual(yield* seqs, [3, 4])
    }).pipe(Effect.provide(store)))

  it.effect("messages younger than a week, or not yet heard by all, stay", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(emit, 3)
      yield* TestClock.adjust("6 days")
      yield* clean(heardBy("ledger", 3), heardBy("stock", 1))
      assert.deepStrictEqual(yield* seqs, [1, 2, 3])
      yield* TestClock.adjust("2 days")
      yield* clean(heardBy("ledger", 3), heardBy("stock", 1))
      assert.deepStrictEqual(yield* seqs, [2, 3])
    }).pipe(Effect.provide(store)))

  it.effect("messages that a consumer has not heard wait for it, also while it is not here", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(emit, 3)
      yield* clean(heardBy("ledger", 3), heardBy("stock", 1))
      yield* TestClock.adjust("8 days")
      yield* clean(heardBy("ledger", 3))
      assert.deepStrictEqual(yield* seqs, [2, 3])
      yield* clean()
      assert.deepStrictEqual(yield* seqs, [2, 3])
      yield* clean(heardBy("ledger", 3), heardBy("stock", 3))
      assert.deepStrictEqual(yield* seqs, [3])
    }).pipe(Effect.provide(store)))

  it.effect("what a broker has not acknowledged stays, however old; consumers of another bus do not matter", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(emit, 3)
      yield* clean(heardBy("ledger", 1))
      yield* TestClock.adjust("8 days")
      yield* cleanWithBroker
      assert.deepStrictEqual(yield* seqs, [1, 2, 3])
      yield* publish(2)
      yield* cleanWithBroker
      assert.deepStrictEqual(yield* seqs, [3])
      yield* emit
      yield* publish(4)
      yield* cleanWithBroker
      assert.deepStrictEqual(yield* seqs, [4])
    }).pipe(Effect.provide(store)))

  it.effect("what a broker acknowledged less than a week ago stays", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(emit, 3)
      yield* publish(3)
      yield* TestClock.adjust("6 days")
      yield* cleanWithBroker
      assert.deepStrictEqual(yield* seqs, [1, 2, 3])
    }).pipe(Effect.provide(store)))
})

import { assert, describe, it } from "@effect/vitest"
import { Database, type DatabaseShape, type PrimaryStatus } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { Backlog, Changes, Operations, Outbox } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import type { Lane } from "@holdfast/messaging/EventBus"
import * as Dependency from "@holdfast/resilience/Dependency"
import { Effect, TestClock } from "effect"
import * as Housekeeping from "../src/Housekeeping.ts"
import { Card, CardIssued, giftCards } from "./GiftCards.ts"

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

describe("cleaning of records", () => {
  const count = Effect.flatMap(Database, (database) =>
    database.read(Effect.all({
      operations: Effect.map(Transaction.select(Operations, { orderBy: [["n", "asc"]] }), (rows) =>
        rows.map(({ id }) => id)),
      changes: Effect.map(Transaction.select(Changes, {}), (rows) =>
        rows.length),
      messages: Effect.map(Transaction.select(Outbox, {}), (rows) => rows.length),
      backlog: Effect.map(Transaction.select(Backlog, {}), (rows) => rows.map(({ operationId }) => operationId))
    })))

  /** A card issued under this id. */
  const issue = (id: string) =>
    Effect.flatMap(Database, (database) =>
      database.execute({
        id,
        command: "test",
        writeClass: "mergeable",
        fingerprint: "",
        cause: { correlationId: "c", causationId: "c" },
        keepMillis: 60_000,
        handler: Effect.zipRight(
          Transaction.insert(Card, { id, amount: 1, note: "", state: "active", expiresAt: 0 }),
          Transaction.emit(CardIssued, { cardId: id, amount: 1 })
        ),
        answer: () => "",
        refusal: () => undefined
      }))

  const list = (operationId: string, n: number, status: "pending" | "merged") =>
    Effect.flatMap(Database, (database) =>
      database.housekeep(
        "backlog",
        Transaction.insert(Backlog, {
          n,
          operationId,
          acceptedAt: 0,
          firstChange: n,
          lastChange: n,
          firstMessage: n,
          lastMessage: n,
          status,
          mergedAt: status === "pending" ? null : 0
        })
      ))

  it.effect("what an outage has taken stays until it is merged, with its changes and its messages, however old", () =>
    Effect.gen(function*() {
      for (const id of ["merged", "pending", "other"]) yield* issue(id)
      yield* list("merged", 1, "merged")
      yield* list("pending", 2, "pending")
      yield* TestClock.adjust("8 days")
      yield* clean(heardBy("ledger", 3))
      assert.deepStrictEqual(yield* count, { operations: ["pending"], changes: 1, messages: 2, backlog: ["pending"] })
    }).pipe(Effect.provide(store)))

  it.effect("an id that was merged once and may come again is not taken for merged", () =>
    Effect.gen(function*() {
      yield* issue("again")
      yield* list("again", 1, "merged")
      yield* TestClock.adjust("2 minutes")
      yield* clean()
      assert.deepInclude(yield* count, { operations: [], backlog: [] })
    }).pipe(Effect.provide(store)))

  /** The store with a primary of which only its cleaning is looked at. */
  const withPrimary = (purge: PrimaryStatus["purge"], mode: () => "primary" | "alone" = () => "primary") =>
    Effect.map(Database, (database): DatabaseShape => ({
      ...database,
      stats: database.stats,
      // The rest of it is not asked by the job.
      primary: { mode, purge } as PrimaryStatus
    }))

  it.effect("the file forgets an id an hour after the primary at the earliest, and not at all while that does not", () =>
    Effect.gen(function*() {
      yield* issue("id")
      let expiredBefore: number | undefined
      const nothing = { operations: 0, messages: 0, changes: 0, deadLetters: 0, replicas: 0 }
      const database = yield* withPrimary(() => Effect.succeed({ ...nothing, expiredBefore }))
      const { run } = Housekeeping.job("giftcard", { lanes: () => [], broker: undefined })
      const cleaned = Effect.provideService(run, Database, database)
      yield* TestClock.adjust("1 day")
      yield* cleaned
      assert.deepInclude(yield* count, { operations: ["id"] })
      expiredBefore = 60_001 + 3_600_000 - 1
      yield* cleaned
      assert.deepInclude(yield* count, { operations: ["id"] })
      expiredBefore++
      yield* cleaned
      assert.deepInclude(yield* count, { operations: [] })
    }).pipe(Effect.provide(store)))

  it.effect("while the primary is away nothing is asked of it, and the file keeps what that may know", () =>
    Effect.gen(function*() {
      yield* issue("id")
      yield* TestClock.adjust("1 day")
      const database = yield* withPrimary(() => Effect.dieMessage("asked"), () => "alone")
      yield* Effect.provideService(
        Housekeeping.job("giftcard", { lanes: () => [], broker: undefined }).run,
        Database,
        database
      )
      assert.deepInclude(yield* count, { operations: ["id"] })
    }).pipe(Effect.provide(store)))
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off unsafeEffectTypeAssertion:off
import { assert, it } from "@effect/vitest"
import { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { Sagas } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import { Degradation } from "@holdfast/resilience/Degradation"
import { Effect, Exit, Option, Schema, TestClock } from "effect"
import { Peer } from "../src/Peer.ts"
import * as Saga from "../src/Saga.ts"
import * as SagaMachine from "../src/SagaMachine.ts"
import { giftCards } from "./GiftCards.ts"

interface Data {
  readonly n: number
}

/** Waits for nothing, and ends when that does not come. */
const waiting = Saga.make<Data, Data, "end", never>(
  {
    type: "waiting",
    version: 1,
    first: "wait",
    steps: {
      wait: {
        answers: [],
        waitMillis: () => 1_000,
        onMiss: (data) => SagaMachine.done(data, "end"),
        exhausted: "park"
      }
    },
    always: [],
    late: [],
    compensated: () => []
  },
  {
    data: Schema.Struct({ n: Schema.Int }),
    act: () => Effect.void
  }
)

it.effect("a saga whose deadline cannot be handled keeps no other from its own", () =>
  Effect.gen(function*() {
    const database = yield* Database
    const keys = Array.from({ length: 40 }, (_, n) => n)
    const write = <A, E, R>(id: string, handler: Effect.Effect<A, E, R>) =>
      database.execute({
        id,
        command: "test",
        writeClass: "mergeable",
        fingerprint: "",
        cause: { correlationId: "c", causationId: "c" },
        keepMillis: 60_000,
        handler,
        answer: () => "",
        refusal: () => undefined
      })
    for (const n of keys) yield* write(`start ${n}`, waiting.start(`k${n}`, { n }))
    // As a later version of the saga might find it.
    const first = yield* database.read(waiting.find("k0"))
    yield* write(
      "spoil",
      Transaction.update(Sagas, { id: Option.getOrThrow(first).id }, (row) => ({ ...row, data: "unreadable" }))
    )
    const [sweep] = waiting.jobs
    if (sweep?._tag !== "Worker") return assert.fail("a saga looks at its deadlines")
    // The sweep opens its own transactions; the type is that of all parts of a saga.
    const run = sweep.run as Effect.Effect<void, unknown, Database | Peer>
    let failed = 0
    for (let second = 0; second < 15; second++) {
      if (Exit.isFailure(yield* Effect.exit(run))) failed++
      yield* TestClock.adjust("1 second")
    }
    const states = yield* Effect.forEach(keys, (n) =>
      Effect.map(database.read(waiting.find(`k${n}`)), (row) => Option.getOrThrow(row).state))
    assert.deepStrictEqual(
      states,
      keys.map((n) =>
        n === 0 ? "running" : "done"
      )
    )
    assert.isAbove(failed, 0, "the failure is seen")
  }).pipe(
    Effect.provide(Sqlite.layerTemporary({ agent: "giftcard", migrations: giftCards.migrations })),
    Effect.provideService(Peer, { get: () => Effect.void })
  ))

it.scoped("no deadline counts while the agent is degraded, and each does again soon after", () =>
  Effect.gen(function*() {
    const database = yield* Database
    const degradation = yield* Degradation.make({ fallback: "allowed" }, {
      primary: "absent",
      standby: "ok",
      bus: "up",
      cache: "absent",
      backlogFull: false,
      memoryAnswers: false
    })
    yield* database.execute({
      id: "start",
      command: "test",
      writeClass: "mergeable",
      fingerprint: "",
      cause: { correlationId: "c", causationId: "c" },
      keepMillis: 60_000,
      handler: waiting.start("k", { n: 1 }),
      answer: () => "",
      refusal: () => undefined
    })
    const [sweep] = waiting.jobs
    if (sweep?._tag !== "Worker") return assert.fail("a saga looks at its deadlines")
    // As above; the runtime provides the level to all jobs.
    const run = Effect.provideService(
      sweep.run as Effect.Effect<void, unknown, Database | Peer>,
      Degradation,
      degradation
    )
    const seconds = (amount: number) =>
      Effect.gen(function*() {
        for (let second = 0; second < amount; second++) {
          yield* run
          yield* TestClock.adjust("1 second")
        }
        return Option.getOrThrow(yield* database.read(waiting.find("k"))).state
      })
    degradation.unsafeReport({ bus: "away" })
    assert.strictEqual(yield* seconds(60), "running")
    degradation.unsafeReport({ bus: "up" })
    assert.strictEqual(yield* seconds(5), "running")
    assert.strictEqual(yield* seconds(10), "done")
  }).pipe(
    Effect.provide(Sqlite.layerTemporary({ agent: "giftcard", migrations: giftCards.migrations })),
    Effect.provideService(Peer, { get: () => Effect.void })
  ))

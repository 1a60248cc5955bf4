// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { Operations } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import { Cause, Effect, Exit, Layer, Logger, Option } from "effect"
import { Accounts, deposit, migrations, Moved, open, operation, Refused } from "./Bank.ts"

const store = Layer.provideMerge(
  Sqlite.layerTemporary({ agent: "bank", migrations }),
  Logger.remove(Logger.defaultLogger)
)

/** What never comes counts as hanging. */
const ended = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.timeoutFail(Effect.exit(effect), { duration: "2 seconds", onTimeout: () => "it hangs" as const })

const balance = (id: string) =>
  Effect.flatMap(
    Database,
    (database) => database.read(Effect.map(Transaction.get(Accounts, { id }), (row) => Option.getOrThrow(row).balance))
  )

/** More than the file may hold from now on. */
const tooMuch = Effect.zipRight(
  Transaction.query("pragma max_page_count = 40"),
  Effect.forEach(
    Array.from({ length: 100 }, (_, n) => n),
    (n) =>
      Transaction.insert(Accounts, { id: `n${n}`, balance: 0, frozen: false, tags: ["y".repeat(4_000)], note: null }),
    { discard: true }
  )
)

const test = <E>(title: string, body: Effect.Effect<void, E, Database>) =>
  it.live(title, () => Effect.provide(body, store))

describe("the writer of a SQLite store", () => {
  test(
    "a message that was undone leaves no place in the log: the next one has it, and none before",
    Effect.gen(function*() {
      const database = yield* Database
      yield* database.execute(operation(open("a", 0)))
      yield* Effect.exit(database.execute(operation(Effect.zipRight(deposit("a", 1), new Refused({ why: "no" })))))
      assert.strictEqual(database.outbox.lastSeq(), 0)
      yield* database.execute(operation(deposit("a", 1)))
      const [message] = yield* database.outbox.readAfter(0, [Moved.topic], 1)
      assert.strictEqual(message?.seq, database.outbox.lastSeq())
    })
  )

  for (const which of ["answer", "refusal"] as const) {
    test(
      `a bug in writing down an ${which} fails its operation, which leaves nothing, and no other`,
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 0)))
        const bug = () => {
          throw new Error("a bug")
        }
        const handler = which === "answer"
          ? deposit("a", 100)
          : Effect.zipRight(deposit("a", 100), new Refused({ why: "no" }))
        const [before, broken, after] = yield* Effect.all([
          ended(database.execute(operation(deposit("a", 1)))),
          ended(database.execute({ ...operation(handler, { id: "broken" }), [which]: bug })),
          ended(database.execute(operation(deposit("a", 1))))
        ], { concurrency: "unbounded" })
        assert.isTrue(Exit.isSuccess(before) && Exit.isSuccess(after))
        assert.isTrue(Exit.isFailure(broken) && Cause.isDie(broken.cause))
        assert.strictEqual(yield* balance("a"), 2)
        assert.isTrue(Option.isNone(yield* database.read(Transaction.get(Operations, { id: "broken" }))))
        assert.strictEqual(database.outbox.lastSeq(), 2)
      })
    )
  }

  test(
    "a listener that throws keeps neither callers nor other listeners from hearing of the commit",
    Effect.gen(function*() {
      const database = yield* Database
      let heard = 0
      database.onCommit(() => {
        throw new Error("a bug")
      })
      database.outbox.onAppend(() => {
        throw new Error("a bug")
      })
      database.onCommit(() => heard++)
      assert.isTrue(Exit.isSuccess(yield* ended(database.execute(operation(open("a", 0))))))
      assert.isTrue(Exit.isSuccess(yield* ended(database.execute(operation(deposit("a", 1))))))
      assert.strictEqual(heard, 2)
    })
  )

  const handlings = {
    "lets the failure pass": tooMuch,
    "makes a defect of it": Effect.orDie(tooMuch),
    "makes a refusal of it": Effect.mapError(tooMuch, () => new Refused({ why: "full" })),
    "swallows it and writes on": Effect.zipRight(Effect.catchAll(tooMuch, () => Effect.void), open("b", 1))
  }
  for (const [how, handler] of Object.entries(handlings)) {
    test(
      `a full disk breaks the whole transaction though a handler ${how}: nobody is told that it is done, all is well later`,
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 0)))
        const [before, full] = yield* Effect.all([
          ended(database.execute(operation(deposit("a", 1), { id: "before" }))),
          ended(database.execute(operation<unknown, unknown, Transaction.Transaction | Transaction.Reader>(handler)))
        ], { concurrency: "unbounded" })
        for (const exit of [before, full]) {
          assert.isTrue(Exit.isFailure(exit))
          if (Exit.isFailure(exit)) assert.propertyVal(Cause.squash(exit.cause), "_tag", "StoreUnavailable")
        }
        assert.strictEqual(yield* balance("a"), 0)
        assert.lengthOf(yield* database.read(Transaction.select(Accounts, {})), 1)
        const again = yield* ended(database.execute(operation(deposit("a", 1), { id: "before" })))
        assert.isTrue(Exit.isSuccess(again))
        assert.strictEqual(yield* balance("a"), 1)
        assert.strictEqual(database.outbox.lastSeq(), 1)
      })
    )
  }
})

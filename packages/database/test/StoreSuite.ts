// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { Database } from "@holdfast/database/Database"
import { MAX_MESSAGE_BYTES } from "@holdfast/database/SqliteTransaction"
import type { StoreUnavailable } from "@holdfast/database/StoreError"
import * as SystemTables from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import { Effect, Exit, type Layer, Option } from "effect"
import { Accounts, deposit, Entries, Moved, open, operation, Refused } from "./Bank.ts"

const account = (id: string) => Effect.map(Transaction.get(Accounts, { id }), Option.getOrThrow)
const messages = Effect.flatMap(Database, (database) => database.outbox.readAfter(0, [Moved.topic], 1_000))

/**
 * What every store promises. Run it against each implementation: the layer must migrate {@link migrations} and start
 * empty.
 */
export const suite = (name: string, store: Layer.Layer<Database, StoreUnavailable>) =>
  describe(name, () => {
    const test = (title: string, body: Effect.Effect<void, unknown, Database>) =>
      it.live(title, () => Effect.provide(body, store))

    test(
      "rows, messages and the record of the operation commit together",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 10)))
        yield* database.execute(operation(deposit("a", 5), { id: "deposit" }))
        const row = yield* database.read(account("a"))
        assert.deepStrictEqual(row, { id: "a", balance: 15, frozen: false, tags: ["a", "b"], note: null, version: 2 })
        const [message] = yield* messages
        assert.deepInclude(message?.envelope, {
          type: "ecom.bank.moved.v1",
          key: "a",
          correlationId: "c",
          causationId: "r"
        })
        assert.deepStrictEqual(message?.envelope.data, { account: "a", amount: 5 })
        const known = yield* database.read(Transaction.get(SystemTables.Operations, { id: "deposit" }))
        assert.strictEqual(Option.getOrThrow(known).answer, "15")
        const changes = yield* database.read(Transaction.select(SystemTables.Changes, {
          where: [["operationId", "=", "deposit"]],
          orderBy: [["n", "asc"]]
        }))
        assert.deepStrictEqual(
          changes.map(({ after, before, tableName }) => [tableName, before !== null, after !== null]),
          [
            ["account", true, true],
            ["entry", false, true]
          ]
        )
      })
    )

    test(
      "an operation that fails leaves nothing, and its neighbours in the same transaction stay",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 0)))
        const exits = yield* Effect.forEach(
          Array.from({ length: 50 }, (_, i) => i),
          (i) =>
            Effect.exit(database.execute(operation(
              i % 5 === 3 ?
                Effect.zipRight(deposit("a", 1_000), new Refused({ why: "no" }))
                : i % 5 === 4 ?
                Effect.zipRight(deposit("a", 1_000), Effect.die("bug"))
                : deposit("a", 1)
            ))),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(exits.filter(Exit.isSuccess).length, 30)
        assert.strictEqual((yield* database.read(account("a"))).balance, 30)
        assert.strictEqual((yield* messages).length, 30)
        assert.isBelow(database.stats.transactions, 20)
      })
    )

    test(
      "the same id takes effect once and is answered from the record",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 0)))
        const outcomes = yield* Effect.all(
          Array.from({ length: 8 }, () => database.execute(operation(deposit("a", 7), { id: "once" }))),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(outcomes.filter((outcome) => outcome._tag === "Done").length, 1)
        assert.isTrue(
          outcomes.every((outcome) => outcome._tag === "Done" ? outcome.value === 7 : outcome.answer === "7")
        )
        assert.strictEqual((yield* database.read(account("a"))).balance, 7)
      })
    )

    test(
      "an id under another fingerprint is refused",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 0), { id: "x" }))
        const failure = yield* Effect.flip(database.execute(operation(open("b", 0), { id: "x", fingerprint: "other" })))
        assert.strictEqual(failure._tag, "OperationIdReused")
        assert.isTrue(Option.isNone(yield* database.read(Transaction.get(Accounts, { id: "b" }))))
      })
    )

    test(
      "a refusal is remembered with its answer and without its effects",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 0)))
        const refused = operation(Effect.zipRight(deposit("a", 1), new Refused({ why: "poor" })), { id: "no" })
        assert.strictEqual((yield* Effect.flip(database.execute(refused)))._tag, "Refused")
        assert.deepStrictEqual(yield* database.execute(refused), { _tag: "Known", answer: "poor" })
        assert.strictEqual((yield* database.read(account("a"))).balance, 0)
        assert.strictEqual((yield* messages).length, 0)
      })
    )

    test(
      "constraints of the table refuse the operation by type",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 1)))
        const overdrawn = yield* Effect.flip(database.execute(operation(deposit("a", -2))))
        assert.deepInclude(overdrawn, { _tag: "ConstraintViolated", kind: "check", table: "account" })
        const twice = yield* Effect.flip(database.execute(operation(open("a", 1))))
        assert.deepInclude(twice, { _tag: "ConstraintViolated", kind: "unique" })
        assert.strictEqual((yield* Effect.flip(database.execute(operation(deposit("nobody", 1)))))._tag, "RowMissing")
        assert.strictEqual((yield* database.read(account("a"))).balance, 1)
      })
    )

    test(
      "text that not every store can hold is refused, wherever it would be written, and leaves nothing",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 1)))
        const note = (text: string) =>
          Transaction.update(Accounts, { id: "a" }, (row) => ({ ...row, balance: row.balance + 1, note: text }))
        for (const text of ["a\u0000b", "half \ud83d", "\\\u0000"]) {
          const caught = Effect.catchTag(note(text), "ConstraintViolated", ({ kind }) => Effect.succeed(kind))
          assert.deepStrictEqual((yield* database.execute(operation(caught)))._tag, "Done")
          assert.strictEqual((yield* Effect.flip(database.execute(operation(note(text)))))._tag, "ConstraintViolated")
          const told = operation(Transaction.emit(Moved, { account: text, amount: 1 }))
          assert.strictEqual((yield* Effect.flip(database.execute(told)))._tag, "ConstraintViolated")
          const raw = { ...operation(deposit("a", 1)), answer: () => text }
          const answered = yield* Effect.exit(database.execute(text.startsWith("\\") ? { ...raw, id: text } : raw))
          assert.isTrue(Exit.isFailure(answered))
        }
        assert.deepInclude(yield* database.read(account("a")), { balance: 1, note: null })
        const whole = "\\u0000 \ud83d\ude00 \ud83d"
        yield* database.execute(operation(note(whole.slice(0, -1))))
        assert.deepInclude(yield* database.read(account("a")), { balance: 2, note: whole.slice(0, -1) })
      })
    )

    test(
      "a message larger than a broker takes refuses the operation and leaves nothing, whatever its characters",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 1)))
        const said = yield* messages
        const tell = (account: string) =>
          Effect.zipRight(deposit("a", 1), Transaction.emit(Moved, { account, amount: 1 }))
        // The key and the subject are the account too.
        for (const text of ["x".repeat(MAX_MESSAGE_BYTES / 3), "\ud83d\ude00".repeat(MAX_MESSAGE_BYTES / 12)]) {
          const failure = yield* Effect.flip(database.execute(operation(tell(text))))
          assert.deepInclude(failure, { _tag: "MessageTooLarge", type: Moved.type, limitBytes: MAX_MESSAGE_BYTES })
          assert.isAbove(failure._tag === "MessageTooLarge" ? failure.bytes : 0, MAX_MESSAGE_BYTES)
        }
        assert.deepInclude(yield* database.read(account("a")), { balance: 1 })
        assert.deepStrictEqual(yield* messages, said)
        const caught = Effect.catchTag(tell("x".repeat(MAX_MESSAGE_BYTES)), "MessageTooLarge", () => Effect.void)
        yield* database.execute(operation(caught))
        assert.deepInclude(yield* database.read(account("a")), { balance: 2 })
        yield* database.execute(operation(tell("x".repeat(MAX_MESSAGE_BYTES / 3 - 1_000))))
        assert.lengthOf(yield* messages, said.length + 3)
      })
    )

    test(
      "the version grows by one for each operation, however often it touches the row",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(Effect.zipRight(open("a", 0), deposit("a", 1))))
        assert.strictEqual((yield* database.read(account("a"))).version, 1)
        yield* database.execute(operation(Effect.zipRight(deposit("a", 1), deposit("a", 1))))
        assert.deepInclude(yield* database.read(account("a")), { balance: 3, version: 2 })
      })
    )

    test(
      "ids made inside an operation are the same when it runs again, and of nobody else",
      Effect.gen(function*() {
        const database = yield* Database
        const ids = Effect.all(Array.from({ length: 40 }, () => Transaction.nextId("ord")))
        const failing = operation(Effect.flatMap(ids, (made) => Effect.fail(made)), { id: "again" })
        const first = yield* Effect.flip(database.execute(failing))
        assert.deepStrictEqual(yield* Effect.flip(database.execute(failing)), first)
        const other = yield* Effect.flip(database.execute({ ...failing, id: "other" }))
        assert.isTrue(Array.isArray(first) && Array.isArray(other) && new Set([...first, ...other]).size === 80)
        assert.match(String(Array.isArray(first) ? first[0] : ""), /^ord_[0-9A-HJKMNP-TV-Z]{26}$/)
      })
    )

    test(
      "operations see each other in the order of submission, within one transaction too",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 0)))
        const seen = yield* Effect.all(
          Array.from({ length: 300 }, () => database.execute(operation(deposit("a", 1)))),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          seen.map((outcome) => outcome._tag === "Done" ? outcome.value : -1),
          Array.from({ length: 300 }, (_, i) => i + 1)
        )
        const log = yield* messages
        assert.deepStrictEqual(log.map(({ seq }) => seq), [...log.map(({ seq }) => seq)].sort((a, b) => a - b))
      })
    )

    test(
      "an interrupted caller withdraws what still waits and never half of what runs",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(open("a", 0)))
        const fibers = yield* Effect.forEach(
          Array.from({ length: 200 }, (_, i) => i),
          () => Effect.fork(database.execute(operation(deposit("a", 1))))
        )
        yield* Effect.yieldNow()
        yield* Effect.forEach(fibers.slice(100), (fiber) => Effect.fork(fiber.interruptAsFork(fiber.id())), {
          discard: true
        })
        yield* Effect.forEach(fibers.slice(0, 100), (fiber) => fiber.await)
        yield* database.execute(operation(Effect.void))
        const { balance } = yield* database.read(account("a"))
        const entries = yield* database.read(Transaction.select(Entries, {}))
        assert.strictEqual(entries.length, balance)
        assert.strictEqual((yield* messages).length, balance)
        assert.isAtLeast(balance, 100)
      })
    )

    test(
      "queries compare, page by key and count",
      Effect.gen(function*() {
        const database = yield* Database
        yield* database.execute(operation(Effect.forEach(["a", "b", "c", "d", "e"], (id, i) => open(id, i))))
        const page = (after?: ReadonlyArray<string | number>) =>
          database.read(Transaction.select(Accounts, {
            where: [["balance", ">", 0], ["frozen", "=", false]],
            orderBy: [["balance", "desc"], ["id", "asc"]],
            limit: 2,
            ...(after === undefined ? {} : { after })
          }))
        assert.deepStrictEqual((yield* page()).map(({ id }) => id), ["e", "d"])
        assert.deepStrictEqual((yield* page([3, "d"])).map(({ id }) => id), ["c", "b"])
        const oneWay = Transaction.select(Accounts, {
          orderBy: [["balance", "desc"], ["id", "desc"]],
          after: [3, "d"]
        })
        assert.deepStrictEqual((yield* database.read(oneWay)).map(({ id }) => id), ["c", "b", "a"])
        const named = yield* database.read(
          Transaction.select(Accounts, { where: [["id", "in", ["a", "e"]], ["note", "is null"]] })
        )
        assert.strictEqual(named.length, 2)
        const sums = yield* database.read(
          Transaction.query("select sum(balance) as total from account where id <> ?", ["a"])
        )
        assert.strictEqual(Number(sums[0]?.["total"]), 10)
      })
    )

    test(
      "a large operation is one operation",
      Effect.gen(function*() {
        const database = yield* Database
        const large = Effect.forEach(Array.from({ length: 5_000 }, (_, i) => i), (i) => open(`n${i}`, i), {
          discard: true
        })
        const failed = yield* Effect.exit(
          database.execute(operation(Effect.zipRight(large, new Refused({ why: "late" }))))
        )
        assert.isTrue(Exit.isFailure(failed))
        assert.strictEqual((yield* database.read(Transaction.select(Accounts, {}))).length, 0)
        yield* database.execute(operation(large))
        assert.strictEqual((yield* database.read(Transaction.select(Accounts, {}))).length, 5_000)
      })
    )

    test(
      "listeners hear of commits after they are readable",
      Effect.gen(function*() {
        const database = yield* Database
        const heard: Array<number> = []
        const stop = database.outbox.onAppend(() => heard.push(database.outbox.lastSeq()))
        const tables: Array<string> = []
        database.onCommit((names) => tables.push(...names))
        yield* database.execute(operation(open("a", 0)))
        yield* database.execute(operation(deposit("a", 1)))
        stop()
        yield* database.execute(operation(deposit("a", 1)))
        assert.deepStrictEqual(heard, [1])
        assert.includeMembers(tables, ["account", "entry", "outbox"])
      })
    )
  })

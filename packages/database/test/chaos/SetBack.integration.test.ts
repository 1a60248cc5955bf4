// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@holdfast/database/Transaction"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TestServers from "@holdfast/testing/TestServers"
import Sqlite3 from "better-sqlite3"
import { Effect, Logger, LogLevel } from "effect"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { Accounts, deposit, Moved, open as openAccount, operation } from "../Bank.ts"
import { ask, cutOff, letBack, pair, pause } from "../Outage.ts"
import { areEqual, fill } from "./Traffic.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))(
  "a Postgres that has forgotten what a file remembers",
  () => {
    const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

    const logged = new Set(["change", "operation", "outbox"])
    const tables = ["account", "entry", "operation", "outbox", "change", "replication"]
    /** What Postgres has now, so that it can be set back to it, as by a backup or a standby that was behind. */
    const save = (url: string) =>
      Effect.zipRight(
        ask(url, "create schema saved"),
        Effect.forEach(tables, (table) => ask(url, `create table saved.${table} as table bank.${table}`), {
          discard: true
        })
      )
    const setBack = (url: string) =>
      Effect.forEach(tables, (table) =>
        Effect.zipRight(
          ask(url, `delete from bank.${table}`),
          ask(
            url,
            `insert into bank.${table} ${logged.has(table) ? "overriding system value" : ""} table saved.${table}`
          )
        ), { discard: true })

    it.scopedLive("each process brings back what it has done, also when another has gone on before", () =>
      Effect.gen(function*() {
        const { one, two, url } = yield* pair(server())
        yield* fill(one.store, "a", 5)
        yield* save(url)
        yield* one.store.execute(operation(deposit("a", 100), { id: "of-one" }))
        // Only a record that is kept for long shows by its absence that it was forgotten.
        yield* two.store.execute({ ...operation(deposit("a", 1_000), { id: "of-two" }), keepMillis: 24 * 3_600_000 })
        yield* areEqual(one.store, url)
        yield* areEqual(two.store, url)
        yield* cutOff(one)
        yield* cutOff(two)
        yield* setBack(url)
        yield* letBack(one)
        // Beyond the place at which the other one stands.
        for (let n = 0; n < 5; n++) yield* one.store.execute(operation(deposit("a", 1), { id: `later-${n}` }))
        yield* letBack(two)
        yield* two.store.fresh
        const known = yield* ask(url, "select id from operation where id like 'of-%' order by id")
        assert.deepStrictEqual(known.map(({ id }) => id), ["of-one", "of-two"])
        assert.deepStrictEqual(yield* ask(url, "select balance from account where id = 'a'"), [{ balance: 1_110 }])
        yield* areEqual(two.store, url)
        yield* one.store.fresh
        yield* areEqual(one.store, url)
      }).pipe(quiet))

    it.scopedLive("set back twice, the second time it gets the same back from a file that was copied anew meanwhile", () =>
      Effect.gen(function*() {
        const { one, url } = yield* pair(server())
        yield* fill(one.store, "a", 3)
        yield* save(url)
        const says = Effect.zipRight(deposit("a", 100), Transaction.emit(Moved, { account: "a", amount: 7 }))
        yield* one.store.execute(operation(says, { id: "of-one" }))
        const said = yield* ask(url, "select event_id from outbox order by event_id")
        for (const time of [1, 2]) {
          yield* cutOff(one)
          yield* setBack(url)
          yield* one.store.execute(operation(deposit("a", 1), { id: `alone-${time}` }))
          yield* letBack(one)
        }
        assert.deepStrictEqual(yield* ask(url, "select balance from account where id = 'a'"), [{ balance: 105 }])
        const known = yield* ask(url, "select id from operation where id in ('of-one', 'alone-1', 'alone-2')")
        assert.lengthOf(known, 3)
        const saidNow = (yield* ask(url, "select event_id from outbox order by event_id")).map(({ event_id: id }) => id)
        assert.includeMembers(saidNow, said.map(({ event_id: id }) => id))
        yield* areEqual(one.store, url)
      }).pipe(quiet))

    it.scopedLive("what only a file has that does not know how it came is kept in a copy of that file", () =>
      Effect.gen(function*() {
        const { one, two, url } = yield* pair(server())
        yield* fill(one.store, "a", 3)
        yield* save(url)
        yield* one.store.execute({ ...operation(deposit("a", 100), { id: "of-one" }), keepMillis: 24 * 3_600_000 })
        yield* two.store.fresh
        yield* cutOff(two)
        yield* cutOff(one)
        yield* setBack(url)
        yield* letBack(two)
        const [kept] = readdirSync(two.directory).filter((name) => name.startsWith("bank-forgotten-"))
        assert.isDefined(kept)
        const copy = new Sqlite3(join(two.directory, kept), { readonly: true })
        assert.strictEqual(copy.prepare("select balance from account where id = 'a'").pluck().get(), 103)
        copy.close()
        // It may be the other one that knows.
        yield* letBack(one)
        assert.deepStrictEqual(yield* ask(url, "select balance from account where id = 'a'"), [{ balance: 103 }])
      }).pipe(quiet))

    it.scopedLive("what was only said is said again, under the ids that it had", () =>
      Effect.gen(function*() {
        const { one, url } = yield* pair(server())
        yield* fill(one.store, "a", 2)
        yield* save(url)
        yield* one.store.execute(
          operation(Transaction.emit(Moved, { account: "a", amount: 1 }), { id: "only-says" })
        )
        const asks = Effect.zipRight(
          Transaction.update(Accounts, { id: "a" }, (row) => ({ ...row, note: "asked" })),
          Transaction.emit(Moved, { account: "a", amount: 2 }, { eventId: "saga-1.reserve.1" })
        )
        yield* one.store.execute(operation(asks, { id: "asks" }))
        const said = (yield* one.store.relay.pending(100)).map(({ envelope }) => envelope.id)
        yield* cutOff(one)
        yield* setBack(url)
        yield* letBack(one)
        const there = yield* ask(url, "select event_id from outbox order by seq")
        assert.deepStrictEqual(there.map((row) => String(row["event_id"])), said)
        assert.include(said, "saga-1.reserve.1")
      }).pipe(quiet))

    it.scopedLive("where the outbox of Postgres is empty, what a file says after it was copied anew is published", () =>
      Effect.gen(function*() {
        const { one, two, url } = yield* pair(server())
        yield* fill(one.store, "a", 5)
        const first = yield* one.store.relay.pending(100)
        const heard = first.at(-1)?.seq ?? 0
        assert.isAbove(heard, 0)
        yield* one.store.relay.published(heard)
        // The place is saved a moment later.
        yield* pause(400)
        const old = Date.now() - 8 * 24 * 3_600_000
        yield* ask(url, `update outbox set published_at = ${old}, created_at = ${old}`)
        assert.strictEqual((yield* two.store.primary.purge({ isPublished: true })).messages, first.length)
        yield* cutOff(one)
        for (let n = 0; n < 3; n++) yield* two.store.execute(operation(openAccount(`b${n}`, 0)))
        yield* ask(url, "delete from change where n < (select max(n) from change)")
        yield* letBack(one)
        yield* one.store.execute(operation(deposit("a", 1), { id: "spoken" }))
        assert.lengthOf(yield* one.store.relay.pending(100), 1)
        assert.lengthOf(yield* one.store.outbox.readAfter(heard, [Moved.topic], 100), 1)
      }).pipe(quiet))
  }
)

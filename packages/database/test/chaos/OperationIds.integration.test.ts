// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@holdfast/database/Transaction"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Exit, Logger, LogLevel } from "effect"
import { randomBytes } from "node:crypto"
import { Accounts, deposit, open as openAccount, operation } from "../Bank.ts"
import { ask, cutOff, letBack, pair, untilMode } from "../Outage.ts"
import { areEqual, fill } from "./Traffic.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("ids of operations", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  const add = (amount: number) =>
    Transaction.update(Accounts, { id: "a" }, (row) => ({ ...row, balance: row.balance + amount }))

  it.scopedLive("one too long for an index is the fault of its operation, and nothing of it is anywhere", () =>
    Effect.gen(function*() {
      const { one, url } = yield* pair(server())
      yield* fill(one.store, "a", 1)
      const id = `msg:bank:urn:x:${randomBytes(4_500).toString("base64")}`
      assert.isTrue(Exit.isFailure(yield* Effect.exit(one.store.execute(operation(deposit("a", 7), { id })))))
      yield* one.store.execute(operation(deposit("a", 1), { id: "after" }))
      yield* untilMode(one.store, "primary")
      assert.deepStrictEqual(yield* ask(url, "select balance from account"), [{ balance: 2 }])
      yield* areEqual(one.store, url)
    }).pipe(quiet))

  it.scopedLive("one that comes again when its record is gone, alone, is merged like any other", () =>
    Effect.gen(function*() {
      const { one, two, url } = yield* pair(server())
      yield* fill(one.store, "a", 1)
      yield* cutOff(one)
      yield* one.store.execute({ ...operation(add(10), { id: "again" }), keepMillis: 1 })
      yield* letBack(one)
      yield* ask(url, "update operation set expires_at = 1 where id = 'again'")
      assert.strictEqual((yield* two.store.primary.purge({ isPublished: false })).operations, 1)
      // The file is copied anew, and has no record of it either.
      yield* cutOff(one)
      for (let n = 0; n < 3; n++) yield* two.store.execute(operation(openAccount(`b${n}`, 0)))
      yield* ask(url, "delete from change where n < (select max(n) from change)")
      yield* letBack(one)
      yield* cutOff(one)
      yield* one.store.execute(operation(add(100), { id: "again", fingerprint: "another" }))
      yield* letBack(one)
      assert.deepStrictEqual(yield* ask(url, "select balance from account where id = 'a'"), [{ balance: 111 }])
      yield* areEqual(one.store, url)
    }).pipe(quiet))

  it.scopedLive("the slot of a timer on both sides of a cut says two things, under two ids", () =>
    Effect.gen(function*() {
      const { one, two, url } = yield* pair(server())
      yield* fill(one.store, "a", 0)
      yield* fill(one.store, "b", 0)
      yield* two.store.fresh
      yield* cutOff(one)
      const slot = { id: "job:bank:expire:1" }
      yield* one.store.execute({ ...operation(deposit("a", 1), slot), isLocal: true })
      yield* two.store.execute({ ...operation(deposit("b", 2), slot), isLocal: true })
      const said = (yield* Effect.forEach([one, two], ({ store }) => store.relay.pending(10)))
        .flat().map(({ envelope }) => envelope.id)
      assert.strictEqual(new Set(said).size, 2)
      yield* letBack(one)
      // Both were said, and Postgres has both.
      const there = yield* ask(url, "select event_id from outbox")
      assert.sameMembers(there.map((row) => String(row["event_id"])), said)
      yield* two.store.fresh
      yield* areEqual(one.store, url)
      yield* areEqual(two.store, url)
    }).pipe(quiet))
})

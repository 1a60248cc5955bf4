// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Migration from "@holdfast/database/Migration"
import * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Exit, Logger, LogLevel, Option, Scope } from "effect"
import { Accounts, deposit, Entries, migrations, operation } from "../Bank.ts"
import { ask, folder, type Holding, open, type Replica, untilMode } from "../Outage.ts"
import { fill } from "./Traffic.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("two versions of an agent side by side", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  const older: Holding = { agent: "bank", migrations, tables: [Accounts, Entries] }
  const Younger = Table.make("account", {
    columns: { ...Accounts.columns, memo: Table.text },
    key: ["id"],
    merge: Table.delta("balance")
  })
  const younger: Holding = {
    agent: "bank",
    migrations: [
      ...migrations,
      Migration.make("0002_memo", ["alter table account add column memo text not null default 'none'"])
    ],
    tables: [Younger, Entries]
  }
  const memoIn = (store: Replica, id: string) =>
    Effect.map(store.read(Transaction.get(Younger, { id })), (row) => Option.getOrThrow(row).memo)
  const memos = (url: string) => ask(url, "select id, memo from account order by id")

  it.scopedLive("what the younger one writes into a new column stays, whoever writes the row after it", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const directory = yield* folder
      const first = yield* Scope.make()
      const one = yield* Scope.extend(open({ holding: older, url, directory, instance: "one" }), first)
      yield* untilMode(one, "primary")
      yield* fill(one, "a", 1)
      const two = yield* open({ holding: younger, url, directory: yield* folder, instance: "two" })
      yield* untilMode(two, "primary")
      const remember = Transaction.update(Younger, { id: "a" }, (row) => ({ ...row, memo: "kept" }))
      yield* two.execute(operation(remember, { id: "memo" }))
      yield* one.fresh
      yield* one.execute(operation(deposit("a", 1), { id: "older" }))
      yield* fill(one, "b", 1)
      yield* two.fresh
      assert.strictEqual(yield* memoIn(two, "a"), "kept")
      // A row that the older one has made.
      assert.strictEqual(yield* memoIn(two, "b"), "none")

      yield* Scope.close(first, Exit.void)
      const again = yield* open({ holding: younger, url, directory, instance: "one" })
      yield* untilMode(again, "primary")
      assert.strictEqual(yield* memoIn(again, "a"), "kept")
      const more = Transaction.update(Younger, { id: "a" }, (row) => ({ ...row, balance: row.balance + 1 }))
      yield* again.execute(operation(more, { id: "younger" }))
      assert.deepStrictEqual(yield* memos(url), [{ id: "a", memo: "kept" }, { id: "b", memo: "none" }])
    }).pipe(quiet))

  it.scopedLive("an only process that brings the tables up to date itself copies nothing", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const directory = yield* folder
      const first = yield* Scope.make()
      const before = yield* Scope.extend(open({ holding: older, url, directory }), first)
      yield* untilMode(before, "primary")
      yield* fill(before, "a", 1)
      yield* Scope.close(first, Exit.void)
      const after = yield* open({ holding: younger, url, directory })
      yield* untilMode(after, "primary")
      assert.strictEqual(after.primary.stats.lastFailback?.copied, 0)
      assert.strictEqual(yield* memoIn(after, "a"), "none")
    }).pipe(quiet))
})

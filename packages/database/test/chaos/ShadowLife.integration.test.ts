// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@holdfast/database/Transaction"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Logger, LogLevel } from "effect"
import { Accounts, deposit, operation } from "../Bank.ts"
import { ask, folder, open, type Replica, through, until, untilMode } from "../Outage.ts"
import { areEqual, fill, filled, MANY } from "./Traffic.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("the life of a shadow", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  it.scopedLive("an empty folder joins a filled Postgres: it is copied, and goes on from there", () =>
    Effect.gen(function*() {
      const url = yield* filled(server(), "a", MANY)
      const bank = yield* open({ url, directory: yield* folder })
      yield* areEqual(bank, url)
      assert.isAbove(bank.primary.stats.lastFailback?.copied ?? 0, 2 * MANY)
      // Known here, though it ran elsewhere.
      assert.strictEqual((yield* bank.execute(operation(Effect.die("again"), { id: "a-7" })))._tag, "Known")
      yield* bank.execute(operation(deposit("a", 1)))
      yield* areEqual(bank, url)
    }).pipe(quiet))

  it.scopedLive("a copy that was not finished is none: the file does not serve, and is filled the next time", () =>
    Effect.gen(function*() {
      const url = yield* filled(server(), "a", 50)
      const directory = yield* folder
      const proxy = yield* TcpProxy.make(server())
      let copies = 0
      yield* proxy.onUpstream((chunk) => {
        if (!chunk.includes("declare rows")) return "pass"
        copies++
        return "cut"
      })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Effect.forkScoped(open({ url: through(proxy, url), directory }))
        yield* until(() => copies > 1)
      }))
      yield* proxy.pass
      yield* proxy.refuse
      yield* Effect.scoped(Effect.gen(function*() {
        const bank = yield* open({ url: through(proxy, url), directory })
        assert.isFalse(bank.primary.isWarm)
      }))
      const bank = yield* open({ url, directory })
      yield* areEqual(bank, url)
      assert.isAbove(bank.primary.stats.lastFailback?.copied ?? 0, 100)
    }).pipe(quiet))

  it.scopedLive("who was away longer than the log reaches is copied anew, however much of the log is left", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const directory = yield* folder
      const first = yield* open({ url, directory: yield* folder, instance: "first" })
      const late = <A, E>(use: (bank: Replica) => Effect.Effect<A, E>) =>
        Effect.scoped(Effect.flatMap(open({ url, directory, instance: "late" }), use))
      yield* late((bank) => Effect.zipRight(fill(first, "a", 10), areEqual(bank, url)))
      yield* fill(first, "b", 10)
      yield* first.execute(operation(Transaction.remove(Accounts, { id: "a" })))
      yield* ask(url, "delete from change where n < (select max(n) from change) - 5")
      const copied = (bank: Replica) => Effect.sync(() => bank.primary.stats.lastFailback?.copied ?? 0)
      assert.isAbove(yield* late((bank) => Effect.zipRight(areEqual(bank, url), copied(bank))), 20)
      // As many rows as before, so that no count tells.
      yield* first.execute(
        operation(Transaction.update(Accounts, { id: "b" }, (account) => ({ ...account, note: "changed" })))
      )
      yield* ask(url, "delete from change")
      assert.isAbove(yield* late((bank) => Effect.zipRight(areEqual(bank, url), copied(bank))), 20)
    }).pipe(quiet))

  it.scopedLive("who went on alone meanwhile loses nothing by it", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const proxy = yield* TcpProxy.make(server())
      const first = yield* open({ url, directory: yield* folder, instance: "first" })
      const late = yield* open({ url: through(proxy, url), directory: yield* folder, instance: "late" })
      yield* untilMode(late, "primary")
      yield* fill(first, "a", 10)
      yield* areEqual(late, url)
      yield* Effect.zipRight(proxy.refuse, proxy.cut)
      yield* untilMode(late, "alone")
      yield* fill(late, "b", 300)
      for (let n = 0; n < 7; n++) yield* late.execute(operation(deposit("a", 10), { id: `late-${n}` }))
      yield* fill(first, "c", 10)
      yield* first.execute(operation(deposit("a", 1_000)))
      yield* ask(url, "delete from change")
      yield* proxy.pass
      yield* areEqual(late, url)
      yield* areEqual(first, url)
      assert.deepStrictEqual(
        yield* ask(url, "select id, balance from account order by id"),
        [{ id: "a", balance: 1_080 }, { id: "b", balance: 300 }, { id: "c", balance: 10 }]
      )
      assert.deepStrictEqual(yield* late.primary.withheld, [])
    }).pipe(quiet))
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as Transaction from "@holdfast/database/Transaction"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Logger, LogLevel, Option } from "effect"
import { Accounts, deposit, migrations, Moved, operation, Refused } from "../Bank.ts"
import { ask, folder, letBack, open, pair, pause, through, until, untilMode } from "../Outage.ts"
import { areEqual, fill } from "./Traffic.ts"
import { asksForCommit } from "./Wire.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))(
  "the answer to a commit is lost, and Postgres is away after it",
  () => {
    const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

    /** The next commit arrives, its answer does not, and nothing comes through after it. */
    const loseAnswer = (proxy: TcpProxy.TcpProxy) =>
      Effect.gen(function*() {
        let isLost = false
        yield* proxy.onUpstream((chunk) => {
          if (isLost || !asksForCommit(chunk)) return "pass"
          isLost = true
          void Effect.runPromiseExit(proxy.refuse.pipe(Effect.zipRight(pause(30)), Effect.zipRight(proxy.cut)))
          return "silence"
        })
        return () => isLost
      })

    it.scopedLive("refused there, done here: who was told that it is done finds it waiting for a person", () =>
      Effect.gen(function*() {
        const { one, two, url } = yield* pair(server())
        yield* fill(one.store, "a", 1)
        yield* two.store.fresh
        const freeze = Transaction.update(Accounts, { id: "a" }, (row) => ({ ...row, frozen: true }))
        yield* two.store.execute(operation(freeze, { id: "freeze" }))
        const unlessFrozen = Effect.gen(function*() {
          const row = Option.getOrThrow(yield* Transaction.get(Accounts, { id: "a" }))
          if (row.frozen) return yield* new Refused({ why: "frozen" })
          return yield* deposit("a", 10)
        })
        yield* loseAnswer(one.proxy)
        const outcome = yield* one.store.execute(operation(unlessFrozen, { id: "unless-frozen" }))
        assert.strictEqual(outcome._tag, "Done")
        yield* letBack(one)
        assert.deepStrictEqual(
          yield* ask(url, "select outcome from operation where id = 'unless-frozen'"),
          [{ outcome: "refused" }]
        )
        const withheld = yield* one.store.primary.withheld
        assert.lengthOf(withheld, 1)
        assert.include(withheld[0]?.operationId, "unless-frozen")
      }).pipe(quiet))

    it.scopedLive("done on both sides, each time by another clock: both sides say the same afterwards, messages too", () =>
      Effect.gen(function*() {
        const { one, two, url } = yield* pair(server())
        yield* fill(one.store, "a", 1)
        // As a saga says it, which says it again under the same id.
        const says = Effect.zipRight(
          deposit("a", 10),
          Transaction.emit(Moved, { account: "a", amount: 10 }, { eventId: "saga-1.ask.1" })
        )
        yield* one.store.execute(operation(says, { id: "said" }))
        yield* loseAnswer(one.proxy)
        yield* one.store.execute(operation(says, { id: "said-again" }))
        assert.strictEqual(one.store.primary.mode(), "alone")
        yield* letBack(one)
        assert.deepStrictEqual(yield* ask(url, "select balance from account where id = 'a'"), [{ balance: 21 }])
        assert.lengthOf(yield* ask(url, "select 1 from outbox where event_id = 'saga-1.ask.1'"), 2)
        yield* areEqual(one.store, url)
        yield* two.store.fresh
        yield* areEqual(two.store, url)
      }).pipe(quiet))

    it.scopedLive("an outage longer than the record is kept: counted once all the same", () =>
      Effect.gen(function*() {
        const { one, two, url } = yield* pair(server())
        yield* fill(one.store, "a", 1)
        yield* loseAnswer(one.proxy)
        yield* one.store.execute(operation(deposit("a", 10), { id: "kept-short" }))
        assert.strictEqual(one.store.primary.mode(), "alone")
        yield* ask(url, "update operation set expires_at = 1 where id = 'kept-short'")
        assert.strictEqual((yield* two.store.primary.purge({ isPublished: false })).operations, 1)
        yield* letBack(one)
        assert.deepStrictEqual(yield* ask(url, "select balance from account where id = 'a'"), [{ balance: 11 }])
        assert.lengthOf(yield* one.store.primary.withheld, 1)
      }).pipe(quiet))

    it.scopedLive("a store of its own that goes on meanwhile is taken in, with what it has done since", () =>
      Effect.gen(function*() {
        const directory = yield* folder
        yield* Effect.provide(
          Effect.flatMap(Database, (database) => fill(database, "own", 20)),
          Sqlite.layer({ agent: "bank", directory, migrations })
        )
        const url = yield* server().createDatabase("bank")
        const proxy = yield* TcpProxy.make(server())
        const isLost = yield* loseAnswer(proxy)
        const bank = yield* open({ url: through(proxy, url), directory })
        yield* until(isLost)
        yield* pause(200)
        yield* bank.execute(operation(deposit("own", 1_000), { id: "meanwhile" }))
        yield* proxy.pass
        yield* untilMode(bank, "primary")
        assert.deepStrictEqual(yield* ask(url, "select balance from account"), [{ balance: 1_020 }])
      }).pipe(quiet))
  }
)

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
import { Accounts, deposit, migrations, operation } from "../Bank.ts"
import { ask, folder, open, pause, type Replica, through, until, untilMode } from "../Outage.ts"
import { areEqual, fill, filled, MANY } from "./Traffic.ts"
import { asksForCommit } from "./Wire.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("a file and a Postgres that do not fit", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  const count = (url: string, table: string) =>
    Effect.map(ask(url, `select count(*) as n from ${table}`), ([row]) => Number(row?.["n"]))
  /** A store of its own, in a folder. */
  const alone = (directory: string, name: string, deposits: number) =>
    Effect.provide(
      Effect.flatMap(Database, (database) => fill(database, name, deposits)),
      Sqlite.layer({ agent: "bank", directory, migrations })
    )

  it.scopedLive("a store of its own is taken into an empty Postgres, whole; also when the answer to that is lost", () =>
    Effect.gen(function*() {
      for (const isLost of [false, true]) {
        const directory = yield* folder
        const deposits = isLost ? 50 : MANY
        yield* alone(directory, "own", deposits)
        const url = yield* server().createDatabase("bank")
        const proxy = yield* TcpProxy.make(server())
        let lost = 0
        if (isLost) {
          yield* proxy.onUpstream((chunk) => {
            if (lost > 0 || !asksForCommit(chunk)) return "pass"
            lost++
            return "cutAtAnswer"
          })
        }
        const bank = yield* open({ url: through(proxy, url), directory })
        yield* areEqual(bank, url)
        assert.strictEqual(lost, isLost ? 1 : 0)
        assert.strictEqual(yield* count(url, "entry"), deposits)
        assert.strictEqual(yield* count(url, "operation"), deposits + 1)
        assert.strictEqual(yield* count(url, "outbox"), deposits)
        yield* bank.execute(operation(deposit("own", 1)))
        yield* areEqual(bank, url)
      }
    }).pipe(quiet))

  it.scopedLive("where both have data, neither is touched, and the error says what to do", () =>
    Effect.gen(function*() {
      const url = yield* filled(server(), "theirs", 5)
      const directory = yield* folder
      yield* alone(directory, "own", 5)
      const bank = yield* open({ url, directory })
      yield* until(() => (bank.primary.dependency.current().lastError ?? "").includes("HOLDFAST_DATA_DIR"))
      assert.strictEqual(bank.primary.mode(), "alone")
      // It goes on with what it has.
      yield* bank.execute(operation(deposit("own", 1)))
      assert.strictEqual(
        Option.getOrThrow(yield* bank.read(Transaction.get(Accounts, { id: "own" }))).balance,
        6
      )
      assert.deepStrictEqual(yield* ask(url, "select id from account"), [{ id: "theirs" }])
    }).pipe(quiet))

  it.scopedLive("a Postgres that has lost everything gets it back from the file, with what was done meanwhile", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const bank = yield* open({ url, directory: yield* folder })
      yield* untilMode(bank, "primary")
      yield* fill(bank, "a", 20)
      yield* ask(url, "drop schema bank cascade")
      yield* bank.execute(operation(deposit("a", 5), { id: "meanwhile" }))
      yield* until(() => bank.primary.mode() === "primary")
      yield* areEqual(bank, url)
      assert.deepStrictEqual(yield* ask(url, "select id, balance from account"), [{ id: "a", balance: 25 }])
      assert.strictEqual(yield* count(url, "operation"), 22)
      assert.strictEqual(yield* count(url, "outbox"), 21)
      yield* bank.execute(operation(deposit("a", 1)))
      yield* areEqual(bank, url)
    }).pipe(quiet))

  it.scopedLive("of two processes whose Postgres has lost everything, one brings it back and the other what only it has", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const proxies = [yield* TcpProxy.make(server()), yield* TcpProxy.make(server())] as const
      const one = yield* open({ url: through(proxies[0], url), directory: yield* folder, instance: "one" })
      const two = yield* open({ url: through(proxies[1], url), directory: yield* folder, instance: "two" })
      yield* untilMode(two, "primary")
      yield* fill(one, "a", 5)
      yield* areEqual(two, url)
      yield* Effect.zipRight(proxies[0].refuse, proxies[0].cut)
      yield* untilMode(one, "alone")
      yield* two.execute(operation(deposit("a", 100), { id: "only-two" }))
      yield* one.execute(operation(deposit("a", 1_000), { id: "only-one" }))
      yield* Effect.zipRight(proxies[1].refuse, proxies[1].cut)
      yield* untilMode(two, "alone")
      yield* ask(url, "drop schema bank cascade")
      yield* proxies[0].pass
      yield* untilMode(one, "primary")
      yield* proxies[1].pass
      yield* areEqual(two, url)
      yield* areEqual(one, url)
      assert.deepStrictEqual(yield* ask(url, "select id, balance from account"), [{ id: "a", balance: 1_105 }])
      assert.deepStrictEqual(yield* two.primary.withheld, [])
    }).pipe(quiet))

  it.scopedLive("a Postgres that was set back gets what it has forgotten from whoever did it", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const proxies = [yield* TcpProxy.make(server()), yield* TcpProxy.make(server())] as const
      const one = yield* open({ url: through(proxies[0], url), directory: yield* folder, instance: "one" })
      const two = yield* open({ url: through(proxies[1], url), directory: yield* folder, instance: "two" })
      yield* untilMode(two, "primary")
      yield* fill(one, "a", 5)
      yield* ask(url, "create schema saved")
      const all = ["account", "entry", "operation", "outbox", "change", "replication"]
      for (const table of all) yield* ask(url, `create table saved.${table} as table bank.${table}`)
      yield* one.execute(operation(deposit("a", 100), { id: "of-one" }))
      yield* two.execute(operation(deposit("a", 1_000), { id: "of-two" }))
      yield* areEqual(one, url)
      yield* areEqual(two, url)
      for (const proxy of proxies) yield* Effect.zipRight(proxy.refuse, proxy.cut)
      yield* untilMode(one, "alone")
      yield* untilMode(two, "alone")
      for (const table of all) {
        yield* ask(url, `delete from bank.${table}`)
        yield* ask(
          url,
          `insert into bank.${table} ${
            table === "change" || table === "operation" || table === "outbox" ? "overriding system value" : ""
          } table saved.${table}`
        )
      }
      // The one that has only heard of it comes first.
      yield* proxies[0].pass
      yield* untilMode(one, "primary")
      yield* proxies[1].pass
      yield* areEqual(two, url)
      yield* areEqual(one, url)
      assert.deepStrictEqual(yield* ask(url, "select id, balance from account"), [{ id: "a", balance: 1_105 }])
      assert.strictEqual(yield* count(url, "entry"), 7)
    }).pipe(quiet))

  it.scopedLive("an unknown commit, refused by its class while Postgres is away, stays unknown until it is back", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const proxy = yield* TcpProxy.make(server())
      const bank = yield* open({ url: through(proxy, url), directory: yield* folder })
      yield* untilMode(bank, "primary")
      yield* fill(bank, "a", 1)
      let isArmed = true
      yield* proxy.onUpstream((chunk) => {
        if (!isArmed || !asksForCommit(chunk)) return "pass"
        isArmed = false
        void Effect.runPromiseExit(Effect.zipRight(proxy.refuse, Effect.zipRight(pause(30), proxy.cut)))
        return "silence"
      })
      const capture = { ...operation(deposit("a", 1), { id: "capture" }), writeClass: "refused" as const }
      assert.strictEqual((yield* Effect.flip(bank.execute(capture)))._tag, "OutcomeUnknown")
      assert.strictEqual(bank.primary.mode(), "alone")
      assert.strictEqual((yield* Effect.flip(bank.execute(capture)))._tag, "OutcomeUnknown")
      yield* proxy.pass
      yield* untilMode(bank, "primary")
      assert.strictEqual((yield* bank.execute(capture))._tag, "Known")
      yield* areEqual(bank, url)
    }).pipe(quiet))

  it.scopedLive("a shadow is opened as a store of its own: refused with what to do, and what it has stays", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const directory = yield* folder
      const run = <A, E>(work: (bank: Replica) => Effect.Effect<A, E>) =>
        Effect.scoped(Effect.gen(function*() {
          const bank = yield* open({ url, directory })
          yield* untilMode(bank, "primary")
          return yield* work(bank)
        }))
      yield* run((bank) => fill(bank, "a", 5))
      const refused = yield* Effect.flip(alone(directory, "b", 5))
      assert.deepInclude(refused, { _tag: "StoreUnavailable" })
      assert.include(refused.message, "DATABASE_URL")
      yield* run((bank) => areEqual(bank, url))
    }).pipe(quiet))
})

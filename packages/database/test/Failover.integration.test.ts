// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as PostgresConnection from "@holdfast/database/PostgresConnection"
import * as Transaction from "@holdfast/database/Transaction"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Exit, Option, Redacted, Scope } from "effect"
import { rmSync } from "node:fs"
import { Accounts, deposit, open as openAccount, operation } from "./Bank.ts"
import { ask, cutOff, folder, letBack, open, pair, pause, through, until, untilMode } from "./Outage.ts"

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("fail-over and fail-back", () => {
  const server = SuiteResource.make(PostgresServer.start())

  /** Somebody's session, with what it does not end. */
  const session = (url: string, ...texts: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const made = yield* Effect.acquireRelease(
        PostgresConnection.connect({ url: Redacted.make(url) }, "somebody", "bank"),
        (opened) => Effect.sync(() => opened.destroy("done"))
      )
      yield* made.run(texts.map((text) => ({ text })), 5_000)
      return made
    })

  it.scopedLive(
    "behind a lock that somebody holds it goes on alone, and says what to look at",
    () =>
      Effect.gen(function*() {
        const url = yield* server().createDatabase("bank")
        const bank = yield* open({ url, directory: yield* folder })
        yield* untilMode(bank, "primary")
        yield* bank.execute(operation(openAccount("a", 0)))
        const somebody = yield* session(url, "begin", "lock table account in access exclusive mode")
        yield* bank.execute(operation(deposit("a", 5), { id: "behind" }))
        assert.strictEqual(bank.primary.mode(), "alone")
        assert.include(bank.primary.dependency.current().lastError, "pg_blocking_pids()")
        yield* bank.execute(operation(deposit("a", 6), { id: "behind-too" }))
        yield* somebody.run([{ text: "rollback" }], 1_000)
        yield* untilMode(bank, "primary")
        assert.deepStrictEqual(yield* ask(url, "select balance from account"), [{ balance: 11 }])
      }),
    30_000
  )

  it.scopedLive("a server that was read-only when it was reached is used when it is not", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const name = new URL(url).pathname.slice(1)
      const admin = yield* session(
        server().url("postgres"),
        `alter database "${name}" set default_transaction_read_only = on`
      )
      const bank = yield* open({ url, directory: yield* folder })
      yield* until(() => /default_transaction_read_only/.test(bank.primary.dependency.current().lastError ?? ""))
      yield* admin.run([{ text: `alter database "${name}" reset default_transaction_read_only` }], 1_000)
      yield* untilMode(bank, "primary")
      yield* bank.execute(operation(openAccount("a", 1)))
      assert.deepStrictEqual(yield* ask(url, "select balance from account"), [{ balance: 1 }])
    }), 30_000)

  it.scopedLive(
    "what is taken alone is refused when the file is not where another process would find it",
    () =>
      Effect.gen(function*() {
        const url = yield* server().createDatabase("bank")
        const directory = yield* folder
        const proxy = yield* TcpProxy.make(server())
        const bank = yield* open({ url: through(proxy, url), directory })
        yield* untilMode(bank, "primary")
        yield* bank.execute(operation(openAccount("a", 0)))
        rmSync(directory, { recursive: true })
        yield* until(() => bank.primary.persistence === "memory")
        yield* bank.execute(operation(deposit("a", 1)))
        yield* cutOff({ proxy, store: bank })
        const refused = yield* Effect.flip(bank.execute(operation(deposit("a", 10))))
        assert.include(String(refused), "was removed or replaced")
        yield* letBack({ proxy, store: bank })
        assert.deepStrictEqual(yield* ask(url, "select balance from account"), [{ balance: 1 }])
      }),
    30_000
  )

  it.scopedLive(
    "says as of when a file is that others have written beside, also after a restart",
    () =>
      Effect.gen(function*() {
        const { one, two, url } = yield* pair(server())
        yield* one.store.execute(operation(openAccount("a", 0)))
        yield* two.store.fresh
        const before = Date.now()
        yield* pause(1_500)
        yield* cutOff(two)
        const cut = Date.now()
        assert.isAtMost(two.store.primary.asOf(), cut)
        assert.isAbove(two.store.primary.asOf(), before)
        yield* one.store.execute(operation(deposit("a", 1)))
        const life = yield* Scope.make()
        const third = yield* folder
        const proxy = yield* TcpProxy.make(server())
        const at = { url: through(proxy, url), directory: third, instance: "three" }
        const three = yield* Scope.extend(open(at), life)
        yield* untilMode(three, "primary")
        const inStep = Date.now()
        yield* pause(1_500)
        yield* Scope.close(life, Exit.void)
        const closed = Date.now()
        yield* one.store.execute(operation(deposit("a", 1)))
        yield* proxy.refuse
        const again = yield* open(at)
        assert.strictEqual(again.primary.mode(), "alone")
        assert.isAtMost(again.primary.asOf(), closed)
        assert.isAtLeast(again.primary.asOf(), inStep)
      }),
    30_000
  )

  it.scopedLive(
    "kill -9 of Postgres under load: every acknowledged operation is there once",
    () =>
      Effect.gen(function*() {
        const url = yield* server().createDatabase("bank")
        const bank = yield* open({ url, directory: yield* folder })
        assert.strictEqual(bank.primary.mode(), "primary")
        yield* bank.execute(operation(openAccount("a", 0)))
        const acknowledged: Array<string> = []
        let worst = 0
        let isRunning = true
        let n = 0
        const client = Effect.gen(function*() {
          while (isRunning) {
            const id = `deposit-${n++}`
            const begun = performance.now()
            const exit = yield* Effect.exit(bank.execute(operation(deposit("a", 1), { id })))
            worst = Math.max(worst, performance.now() - begun)
            if (Exit.isSuccess(exit)) acknowledged.push(id)
            yield* pause(2)
          }
        })
        const clients = yield* Effect.forkAll(Array.from({ length: 8 }, () => client))
        yield* pause(500)
        const killed = performance.now()
        yield* Effect.fork(server().kill)
        yield* untilMode(bank, "alone")
        const failedOver = performance.now() - killed
        yield* pause(1_000)
        const before = acknowledged.length
        yield* server().start
        yield* untilMode(bank, "primary")
        yield* pause(300)
        isRunning = false
        yield* clients.await
        const rows = yield* ask(url, "select id from operation where id like 'deposit-%'")
        const known = new Set(rows.map((row) => String(row["id"])))
        assert.strictEqual(known.size, rows.length)
        assert.deepStrictEqual(acknowledged.filter((id) => !known.has(id)), [])
        const [balance] = yield* ask(url, "select balance, version from account")
        const entries = yield* ask(url, "select 1 from entry")
        assert.strictEqual(balance?.["balance"], rows.length)
        assert.strictEqual(entries.length, rows.length)
        const messages = yield* ask(url, "select event_id from outbox")
        assert.strictEqual(new Set(messages.map((row) => row["event_id"])).size, rows.length)
        assert.isAbove(before, 0)
        assert.isAbove(bank.primary.stats.lastFailback?.merged ?? 0, 100)
        assert.strictEqual(bank.primary.stats.lastFailback?.repaired, 0)
        const here = yield* bank.read(Transaction.get(Accounts, { id: "a" }))
        assert.strictEqual(Option.getOrThrow(here).balance, rows.length)
        yield* Effect.log(
          `acknowledged ${acknowledged.length}, fail-over ${failedOver.toFixed(1)} ms, worst ${worst.toFixed(0)} ms, ${
            JSON.stringify(bank.primary.stats)
          }`
        )
      }),
    60_000
  )
})

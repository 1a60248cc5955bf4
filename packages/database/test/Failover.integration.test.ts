// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@holdfast/database/Transaction"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Exit, Option } from "effect"
import { Accounts, deposit, open as openAccount, operation } from "./Bank.ts"
import { ask, folder, open, pause, untilMode } from "./Outage.ts"

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("fail-over and fail-back", () => {
  const server = SuiteResource.make(PostgresServer.start())

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

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as PostgresConnection from "@holdfast/database/PostgresConnection"
import * as PostgresReader from "@holdfast/database/PostgresReader"
import type { Query } from "@holdfast/database/Query"
import * as Sqlite from "@holdfast/database/Sqlite"
import { PAGE, type Walk } from "@holdfast/database/StoreReader"
import * as SystemTables from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Option, Redacted } from "effect"
import { Accounts, deposit, open as openAccount, operation } from "./Bank.ts"
import { folder, open } from "./Outage.ts"

/** Where an order of words differs from that of bytes. */
const ids = ["B", "a", "Z", "_", "ab", "a b", "é", "e", "10", "9", "日", "𝒳", "-"]

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("reading a store in Postgres", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  /** A database that orders text as people do, where the server can. */
  const human = Effect.gen(function*() {
    const plain = yield* server().createDatabase("plain")
    const name = `human_${Date.now()}`
    const session = yield* Effect.acquireRelease(
      PostgresConnection.connect({ url: Redacted.make(plain) }, "test"),
      (made) => Effect.sync(() => made.destroy("done"))
    )
    const made = yield* Effect.either(
      session.run([{
        text: `create database ${name} template template0 locale_provider icu icu_locale 'en-US' encoding 'UTF8'`
      }], 30_000)
    )
    return made._tag === "Right" ? server().url(name) : plain
  })

  const filled = Effect.gen(function*() {
    const url = yield* human
    const directory = yield* folder
    const bank = yield* open({ url, directory })
    for (const [n, id] of ids.entries()) {
      yield* bank.execute(operation(openAccount(id, n * 10)))
      if (n % 3 === 0) yield* bank.execute(operation(deposit(id, 5)))
    }
    yield* bank.execute(operation(Transaction.update(
      Accounts,
      { id: "a" },
      (row) => ({ ...row, frozen: true, note: "what? \"this\"", tags: ["x", "?"] })
    )))
    return { url, directory, bank }
  })

  const readers = ({ directory, url }: { readonly url: string; readonly directory: string }) =>
    Effect.all([
      PostgresReader.reader({ url: Redacted.make(url) }, "bank"),
      Sqlite.reader({ agent: "bank", directory })
    ])

  it.scopedLive("answers as a file does", () =>
    Effect.gen(function*() {
      const [there, here] = yield* readers(yield* filled)
      for (const id of [...ids, "nobody"]) {
        assert.deepStrictEqual(yield* there.get(Accounts, { id }), yield* here.get(Accounts, { id }))
      }
      assert.deepInclude(Option.getOrThrow(yield* there.get(Accounts, { id: "a" })), { frozen: true, tags: ["x", "?"] })
      const queries: ReadonlyArray<Query<typeof Accounts.columns>> = [
        { orderBy: [["id", "asc"]] },
        { orderBy: [["id", "desc"]] },
        { where: [["id", ">", "a"]], orderBy: [["id", "asc"]] },
        { where: [["id", "<=", "Z"], ["balance", ">=", 10]], orderBy: [["balance", "desc"], ["id", "asc"]] },
        { where: [["id", "in", ["a", "é", "nobody"]]], orderBy: [["id", "asc"]] },
        { where: [["id", "in", []]] },
        { where: [["frozen", "=", true]], orderBy: [["id", "asc"]] },
        { where: [["frozen", "<>", true], ["note", "is null"]], orderBy: [["id", "asc"]], limit: 3 },
        { where: [["note", "is not null"]] }
      ]
      for (const query of queries) {
        assert.deepStrictEqual(yield* there.select(Accounts, query), yield* here.select(Accounts, query))
      }
      const texts: ReadonlyArray<readonly [string, ...ReadonlyArray<unknown>]> = [
        ["select count(*) as n, sum(balance) as total, max(balance) as most from account"],
        ["select sum(balance) as total from account where id = ?", "nobody"],
        ["select frozen, tags, note, version from account where id = ?", "a"],
        ["select '?' as mark, note from account where note = ? and id <> '?' and balance < ?", "what? \"this\"", 1_000],
        ["select sum(amount) as total, count(*) as n from entry group by account_id order by total, n limit ?", 3]
      ]
      for (const [sql, ...parameters] of texts) {
        assert.deepStrictEqual(yield* there.query(sql, parameters), yield* here.query(sql, parameters))
      }
    }))

  it.scopedLive("goes from page to page in the order of bytes", () =>
    Effect.gen(function*() {
      const both = yield* readers(yield* filled)
      const walked = yield* Effect.forEach(both, (reader) =>
        Effect.gen(function*() {
          const seen: Array<string> = []
          for (;;) {
            const last = seen.at(-1)
            const page = yield* reader.select(Accounts, {
              orderBy: [["id", "asc"]],
              limit: 2,
              ...(last === undefined ? {} : { after: [last] })
            })
            if (page.length === 0) return seen
            seen.push(...page.map(({ id }) => id))
          }
        }))
      assert.deepStrictEqual(walked[0], walked[1])
      assert.deepStrictEqual(
        walked[0],
        [...ids].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
      )
    }))

  it.scopedLive("walks through a table as through a file, each row once, whatever the order of the database", () =>
    Effect.gen(function*() {
      const { bank, directory, url } = yield* filled
      const many = Array.from({ length: 2 * PAGE + 1 }, (_, n) => openAccount(`${n % 2 === 0 ? "M" : "m"}${n}`, n % 7))
      yield* bank.execute(operation(Effect.all(many, { discard: true })))
      const both = yield* readers({ url, directory })
      const walked = (walk: Walk<typeof Accounts.columns>) =>
        Effect.forEach(both, (reader) =>
          Effect.gen(function*() {
            const next = reader.walk(Accounts, walk)
            const seen: Array<string> = []
            for (;;) {
              const page = yield* next
              if (page.length === 0) return seen
              seen.push(...page.map(({ id }) => id))
            }
          }))
      const bytes = (one: string, other: string) => Buffer.compare(Buffer.from(one), Buffer.from(other))
      const all = yield* walked({ order: ["id"] })
      assert.lengthOf(all[0] ?? [], many.length + ids.length)
      assert.deepStrictEqual(all, [(all[0] ?? []).toSorted(bytes), (all[0] ?? []).toSorted(bytes)])
      const [there, here] = yield* walked({ where: [["balance", "<", 5], ["id", ">", "M"]], order: ["balance", "id"] })
      assert.isAbove(there?.length ?? 0, PAGE)
      assert.deepStrictEqual(there, here)
      assert.lengthOf(new Set(there), there?.length ?? 0)
    }))

  it.scopedLive("reads as of one moment, whatever is written meanwhile", () =>
    Effect.gen(function*() {
      const { bank, directory, url } = yield* filled
      const [reader] = yield* readers({ url, directory })
      yield* bank.execute(operation(deposit("a", 1_000)))
      const before = Option.getOrThrow(yield* reader.get(Accounts, { id: "a" }))
      const [sum] = yield* reader.query("select sum(balance) as total from account")
      const messages = yield* reader.select(SystemTables.Outbox, {})
      const [later] = yield* readers({ url, directory })
      const after = Option.getOrThrow(yield* later.get(Accounts, { id: "a" }))
      const [grown] = yield* later.query("select sum(balance) as total from account")
      assert.strictEqual(after.balance - before.balance, 1_000)
      assert.strictEqual(Number(grown?.["total"]) - Number(sum?.["total"]), 1_000)
      assert.lengthOf(yield* later.select(SystemTables.Outbox, {}), messages.length + 1)
    }))

  it.scopedLive("says what is missing, and waits for no server that stands still", () =>
    Effect.gen(function*() {
      const url = Redacted.make(yield* server().createDatabase("empty"))
      const none = yield* Effect.flip(PostgresReader.reader({ url }, "bank"))
      assert.include(none.detail, "no store of the bank agent")
      yield* server().stall
      const begun = performance.now()
      const silent = yield* Effect.flip(PostgresReader.reader({ url }, "bank"))
      assert.isBelow(performance.now() - begun, 4_000)
      assert.strictEqual(silent.reason, "lost")
    }).pipe(Effect.ensuring(Effect.ignore(server().resume))))
})

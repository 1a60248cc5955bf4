// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { Database } from "@holdfast/database/Database"
import * as PostgresConnection from "@holdfast/database/PostgresConnection"
import * as PostgresWatch from "@holdfast/database/PostgresWatch"
import * as Replicated from "@holdfast/database/Replicated"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Context, Duration, Effect, Exit, Fiber, Layer, Redacted, Scope } from "effect"
import { Accounts, deposit, Entries, migrations, open as openAccount, operation } from "./Bank.ts"
import { ask, folder, open, pause, type Replica, through, until, untilMode } from "./Outage.ts"

/** Each way; twice as much is still a heartbeat in time. */
const LATENCY_MILLIS = 120

/** Publishes all there is, as a broker that acknowledges at once; answers the keys in the order of publication. */
const publish = ({ relay }: Pick<Replica, "relay">) =>
  Effect.gen(function*() {
    const keys: Array<string> = []
    for (let looks = 0; looks < 3;) {
      const batch = yield* relay.pending(100)
      looks = batch.length === 0 ? looks + 1 : 0
      keys.push(...batch.map(({ envelope }) => envelope.key))
      const last = batch.at(-1)
      if (last !== undefined) yield* relay.published(last.seq)
      if (batch.length === 0) yield* pause(50)
    }
    return keys
  })

/** An account with a first deposit: one message, by its name. */
const account = (bank: Pick<Replica, "execute">, name: string) =>
  bank.execute(operation(Effect.zipRight(openAccount(name, 0), deposit(name, 1))))

describe("the relay of a file", () => {
  it.scopedLive("how far it is published is saved with the next transaction, or a moment later, or at the end", () =>
    Effect.gen(function*() {
      const directory = yield* folder
      const store = () => Layer.build(Sqlite.layer({ agent: "bank", directory, migrations }))
      const saved = Effect.scoped(Effect.gen(function*() {
        const reader = yield* Sqlite.reader({ agent: "bank", directory })
        const [row] = yield* reader.query("select seq from cursor where source = 'published'")
        return row?.["seq"]
      }))
      const scope = yield* Scope.make()
      const bank = Context.get(yield* Scope.extend(store(), scope), Database)
      yield* Effect.forEach(["a", "b", "c"], (name) => account(bank, name))
      const before = bank.stats.transactions
      yield* bank.relay.published(1)
      assert.strictEqual(bank.relay.depth(), 2)
      yield* account(bank, "d")
      assert.strictEqual(yield* saved, 1)
      assert.strictEqual(bank.stats.transactions, before + 1)
      yield* bank.relay.published(2)
      yield* pause(400)
      assert.strictEqual(yield* saved, 2)
      assert.strictEqual(bank.stats.transactions, before + 2)
      yield* bank.relay.published(3)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* saved, 3)
      const again = Context.get(yield* store(), Database)
      assert.deepStrictEqual((yield* again.relay.pending(10)).map(({ seq }) => seq), [4])
    }))
})

describe.skipIf(TestServers.isMissing("postgres"))("the relay of a store on Postgres", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  /** A table that whoever writes into it has to wait for. */
  const held = (url: string, table: string) =>
    Effect.gen(function*() {
      const session = yield* Effect.acquireRelease(
        PostgresConnection.connect({ url: Redacted.make(url) }, "test", "bank"),
        (made) => Effect.sync(() => made.destroy("done"))
      )
      yield* session.run([{ text: "begin" }, { text: `lock table ${table} in exclusive mode` }], 1_000)
      return { release: session.run([{ text: "commit" }], 1_000) }
    })

  const unpublished = (url: string) =>
    Effect.map(
      ask(url, "select key from outbox where published_at is null order by seq"),
      (rows) => rows.map((row) => row["key"])
    )

  it.scopedLive("the primary hears soon of what is published, and at the end", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const life = yield* Scope.make()
      const bank = yield* Scope.extend(open({ url, directory: yield* folder }), life)
      yield* untilMode(bank, "primary")
      yield* account(bank, "a")
      assert.deepStrictEqual(yield* publish(bank), ["a"])
      yield* pause(300)
      assert.deepStrictEqual(yield* unpublished(url), [])
      yield* account(bank, "b")
      assert.deepStrictEqual(yield* unpublished(url), ["b"])
      const [last] = yield* bank.relay.pending(10)
      yield* bank.relay.published(last?.seq ?? 0)
      yield* Scope.close(life, Exit.void)
      assert.deepStrictEqual(yield* unpublished(url), [])
    }))

  it.scopedLive("what is committed while the primary is asked what is published is published too", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const slow = yield* TcpProxy.make(server())
      const postgres = { url: Redacted.make(url) }
      const watch = yield* PostgresWatch.make({ url: Redacted.make(through(slow, url)) })
      const bank = Context.get(
        yield* Layer.build(Replicated.layer({
          agent: "bank",
          directory: yield* folder,
          migrations,
          tables: [Accounts, Entries],
          postgres,
          watch,
          instance: "one",
          fallback: "allowed"
        })),
        Database
      )
      yield* until(() => bank.primary?.dependency.current().status === "up")
      yield* slow.latency(LATENCY_MILLIS)
      let isAsked = false
      yield* slow.onUpstream((chunk) => {
        isAsked ||= chunk.includes("published_at is null")
        return "pass"
      })
      const publishing = yield* Effect.fork(publish(bank))
      yield* until(() => isAsked)
      // The question has arrived, and its answer has not.
      yield* pause(1.3 * LATENCY_MILLIS)
      yield* account(bank, "a")
      assert.deepStrictEqual(yield* Fiber.join(publishing), ["a"])
    }))

  it.scopedLive("what is taken alone while the relay asks whether it may publish is not taken for published", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const bank = yield* open({ url, directory: yield* folder })
      yield* untilMode(bank, "primary")
      yield* account(bank, "a")
      assert.deepStrictEqual(yield* publish(bank), ["a"])
      // After a return the relay asks anew.
      yield* bank.primary.drill(Duration.millis(20))
      const table = yield* held(url, "publisher")
      const asking = yield* Effect.fork(bank.relay.pending(10))
      yield* pause(20)
      const drill = yield* Effect.fork(bank.primary.drill(Duration.millis(300)))
      yield* untilMode(bank, "alone")
      yield* account(bank, "b")
      yield* table.release
      assert.deepStrictEqual((yield* Fiber.join(asking)).map(({ envelope }) => envelope.key), ["b"])
      yield* Fiber.join(drill)
      assert.deepStrictEqual(yield* publish(bank), ["b"])
    }))

  it.scopedLive(
    "what was taken alone is published although the primary has it behind what others have written since",
    () =>
      Effect.gen(function*() {
        const url = yield* server().createDatabase("bank")
        const proxy = yield* TcpProxy.make(server())
        const alone = yield* open({ url: through(proxy, url), directory: yield* folder, instance: "alone" })
        yield* untilMode(alone, "primary")
        const other = yield* open({ url, directory: yield* folder, instance: "other" })
        yield* untilMode(other, "primary")
        yield* until(() => alone.primary.replicas() === 2)
        yield* proxy.refuse
        yield* proxy.cut
        yield* untilMode(alone, "alone")
        yield* Effect.forEach(["a1", "a2"], (name) => account(alone, name))
        yield* Effect.forEach(["o1", "o2"], (name) => account(other, name))
        yield* proxy.pass
        yield* untilMode(alone, "primary")
        assert.deepStrictEqual(yield* unpublished(url), ["o1", "o2", "a1", "a2"])
        assert.deepStrictEqual((yield* publish(alone)).toSorted(), ["a1", "a2", "o1", "o2"])
      }),
    30_000
  )
})

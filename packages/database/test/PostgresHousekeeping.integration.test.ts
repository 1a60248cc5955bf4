// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as PostgresConnection from "@holdfast/database/PostgresConnection"
import * as PostgresHousekeeping from "@holdfast/database/PostgresHousekeeping"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TestServers from "@holdfast/testing/TestServers"
import { type Clock, Effect, Exit, Redacted } from "effect"
import { deposit, open as openAccount, operation } from "./Bank.ts"
import { ask, folder, open } from "./Outage.ts"

const MINUTE = 60 * 1000
const DAY = 24 * 60 * MINUTE

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("housekeeping in Postgres", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  const bank = Effect.gen(function*() {
    const url = yield* server().createDatabase("bank")
    const store = yield* open({ url, directory: yield* folder })
    assert.strictEqual(store.primary.mode(), "primary")
    yield* store.execute(operation(openAccount("a", 0)))
    return { store, url }
  })
  const ids = (url: string, text: string) => Effect.map(ask(url, text), (rows) => rows.map((row) => row["id"]))

  it.scopedLive("records of operations go when they have expired, and not before", () =>
    Effect.gen(function*() {
      const { store, url } = yield* bank
      yield* ask(url, "delete from operation")
      yield* ask(
        url,
        `insert into operation (id, command, write_class, fingerprint, answer, outcome, received_at, expires_at)
         select 'old-' || n, 'test', 'mergeable', '', '', 'done', 0, ${
          Date.now() - 11 * MINUTE
        } from generate_series(1, 2500) n`
      )
      yield* store.execute(operation(deposit("a", 1), { id: "young" }))
      yield* ask(
        url,
        `insert into operation (id, command, write_class, fingerprint, answer, outcome, received_at, expires_at)
         values ('just expired', 'test', 'mergeable', '', '', 'done', 0, ${Date.now() - MINUTE})`
      )
      const before = Date.now() - 10 * MINUTE
      const purged = yield* store.primary.purge({ isPublished: false })
      assert.strictEqual(purged.operations, 2_500)
      assert.isAtLeast(purged.expiredBefore ?? 0, before)
      assert.deepStrictEqual(yield* ids(url, "select id from operation order by n"), ["young", "just expired"])
    }))

  it.scopedLive("a process whose clock is ahead removes nothing that Postgres's clock does not", () =>
    Effect.gen(function*() {
      const { store, url } = yield* bank
      yield* store.execute({ ...operation(deposit("a", 1), { id: "keyed" }), keepMillis: DAY })
      const base = yield* Effect.clock
      const ahead: Clock.Clock = {
        ...base,
        sleep: (duration) => base.sleep(duration),
        unsafeCurrentTimeMillis: () => base.unsafeCurrentTimeMillis() + 2 * DAY,
        unsafeCurrentTimeNanos: () => base.unsafeCurrentTimeNanos(),
        currentTimeMillis: Effect.map(base.currentTimeMillis, (now) => now + 2 * DAY)
      }
      const purged = yield* Effect.withClock(store.primary.purge({ isPublished: false }), ahead)
      assert.isBelow(purged.expiredBefore ?? 0, Date.now())
      assert.include(yield* ids(url, "select id from operation"), "keyed")
    }))

  it.scopedLive("messages go a week after they were published, or made where nobody publishes them", () =>
    Effect.gen(function*() {
      const { store, url } = yield* bank
      const old = Date.now() - 8 * DAY
      const insert = (id: string, created: number, published: string) =>
        ask(
          url,
          `insert into outbox (event_id, type, topic, key, envelope, created_at, published_at)
           values ('${id}', 't', 't', 'k', '{}', ${created}, ${published})`
        )
      const left = ids(url, "select event_id as id from outbox order by seq")
      yield* insert("published", old, String(old))
      yield* insert("waits", old, "null")
      yield* insert("young", Date.now(), String(Date.now()))
      assert.strictEqual((yield* store.primary.purge({ isPublished: true })).messages, 1)
      assert.deepStrictEqual(yield* left, ["waits", "young"])
      assert.strictEqual((yield* store.primary.purge({ isPublished: false })).messages, 1)
      assert.deepStrictEqual(yield* left, ["young"])
    }))

  it.scopedLive("the log stays as far back as a living process may need it, and a long way for one that comes back", () =>
    Effect.gen(function*() {
      const { store, url } = yield* bank
      yield* ask(
        url,
        `insert into change (operation_id, table_name, row_key, before, after)
         select 'x', 'account', '{}', null, null from generate_series(1, 103000)`
      )
      // The next commit takes the rows into the log.
      yield* store.execute(operation(deposit("a", 1)))
      yield* Effect.sleep("1200 millis")
      const replica = (instance: string, seen: string, n: number) =>
        ask(
          url,
          `insert into replica (instance, seen_at, change_n) values ('${instance}', now() - interval '${seen}', ${n})`
        )
      yield* replica("behind", "1 minute", 500)
      yield* replica("away", "2 hours", 3)
      const first = Effect.map(ask(url, "select min(n) as n, max(n) as last from change"), ([row]) => ({
        n: Number(row?.["n"]),
        last: Number(row?.["last"])
      }))
      yield* store.primary.purge({ isPublished: false })
      assert.strictEqual((yield* first).n, 500)
      yield* ask(url, "update replica set seen_at = now() - interval '2 hours' where instance = 'behind'")
      yield* store.primary.purge({ isPublished: false })
      const { last, n } = yield* first
      assert.strictEqual(n, last - 100_000)
      // The process that writes is not disturbed by what is gone.
      yield* store.execute(operation(deposit("a", 1)))
      assert.strictEqual(store.primary.mode(), "primary")
    }))

  it.scopedLive("settled dead letters go after 90 days, processes after a day; open letters never", () =>
    Effect.gen(function*() {
      const { store, url } = yield* bank
      const letter = (id: string, status: string, days: number) =>
        ask(
          url,
          `insert into dead_letter (id, topic, source, event_id, key, type, envelope, error_code, error_message, attempts,
             first_at, status, version)
           values ('${id}', 't', 's', 'e', 'k', 't', '{}', 'c', 'm', 1, ${Date.now() - days * DAY}, '${status}', 1)`
        )
      yield* letter("old", "discarded", 91)
      yield* letter("open", "open", 91)
      yield* letter("young", "replayed", 89)
      yield* ask(url, "insert into replica values ('gone', now() - interval '25 hours', 0)")
      const purged = yield* store.primary.purge({ isPublished: false })
      assert.deepInclude(purged, { deadLetters: 1, replicas: 1 })
      assert.deepStrictEqual(yield* ids(url, "select id from dead_letter order by id"), ["open", "young"])
      assert.deepStrictEqual(yield* ids(url, "select split_part(instance, '/', 2) as id from replica"), ["one"])
    }))

  it.scopedLive("it does not wait for the writer's lock, nor for rows that others hold", () =>
    Effect.gen(function*() {
      const { store, url } = yield* bank
      yield* ask(url, `update operation set expires_at = ${Date.now() - 11 * MINUTE}`)
      yield* ask(
        url,
        `insert into operation (id, command, write_class, fingerprint, answer, outcome, received_at, expires_at)
         values ('held', 'test', 'mergeable', '', '', 'done', 0, 1)`
      )
      const holder = yield* Effect.acquireRelease(
        PostgresConnection.connect({ url: Redacted.make(url) }, "holder", "bank"),
        (session) => Effect.sync(() => session.destroy("done"))
      )
      yield* holder.run([
        { text: "begin" },
        { text: "select 1 from replication where id = 1 for no key update" },
        { text: "select 1 from operation where id = 'held' for update" }
      ], 1_000)
      const begun = performance.now()
      const purged = yield* store.primary.purge({ isPublished: false })
      assert.isBelow(performance.now() - begun, 1_000)
      assert.deepInclude(purged, { operations: 1, expiredBefore: undefined })
      yield* holder.run([{ text: "rollback" }], 1_000)
      const after = yield* store.primary.purge({ isPublished: false })
      assert.strictEqual(after.operations, 1)
      assert.isDefined(after.expiredBefore)
    }))

  it.scopedLive("a server that stands still holds it up for no longer than its deadlines", () =>
    Effect.gen(function*() {
      const { url } = yield* bank
      yield* server().stall
      const begun = performance.now()
      const exit = yield* Effect.exit(
        PostgresHousekeeping.purge({ url: Redacted.make(url) }, "bank", { isPublished: false })
      )
      yield* server().resume
      assert.isTrue(Exit.isFailure(exit))
      assert.isBelow(performance.now() - begun, 3_000)
    }))
})

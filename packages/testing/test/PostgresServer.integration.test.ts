import { assert, describe, it } from "@effect/vitest"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect } from "effect"
import { existsSync } from "node:fs"
import Pg from "pg"

/** What one statement answers, or why it did not; its deadline holds where the server is stalled. */
const ask = (url: string, statement: string, millis = 2_000) =>
  Effect.promise(async () => {
    const client = new Pg.Client({ connectionString: url, connectionTimeoutMillis: millis, query_timeout: millis })
    client.on("error", () => {})
    try {
      await client.connect()
      return (await client.query<{ answer: unknown }>(statement)).rows[0]?.answer
    } catch (cause) {
      return cause
    } finally {
      void client.end().catch(() => {})
    }
  })

/** An environment variable of this process, until the scope closes. */
const variable = (name: string, value: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = process.env[name]
      process.env[name] = value
      return before
    }),
    (before) =>
      Effect.sync(() => {
        if (before === undefined) delete process.env[name]
        else process.env[name] = before
      })
  )

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("PostgresServer", () => {
  it.scopedLive("is killed with all its children, keeps its data and its port, and stalls", () =>
    Effect.gen(function*() {
      const server = yield* PostgresServer.start({ settings: { max_connections: "17" } })
      const url = yield* server.createDatabase("Kill-test")
      assert.strictEqual(yield* ask(url, "select current_setting('max_connections') as answer"), "17")
      assert.strictEqual(yield* ask(url, "select current_setting('fsync') as answer"), "on")
      assert.strictEqual(yield* ask(url, "create table t as select 42 as answer"), undefined)

      const backend = yield* ask(url, "select pg_backend_pid() as answer")
      const sleeping = yield* Effect.fork(ask(url, "select pg_sleep(60) as answer", 20_000))
      while (
        (yield* ask(url, "select count(*)::int as answer from pg_stat_activity where wait_event = 'PgSleep'")) !== 1
      );
      yield* server.kill
      assert.isFalse(yield* server.isRunning)
      assert.match(String(yield* sleeping), /terminated|ECONNRESET/)
      assert.match(String(yield* ask(url, "select 1")), /ECONNREFUSED/)
      assert.isFalse(existsSync(`/proc/${String(backend)}`))

      yield* server.start
      assert.strictEqual(yield* ask(url, "select answer from t"), 42)

      const session = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const session = new Pg.Client({ connectionString: url, query_timeout: 300 })
          session.on("error", () => {})
          await session.connect()
          return session
        }),
        (session) => Effect.sync(() => void session.end().catch(() => {}))
      )
      yield* server.stall
      assert.isTrue(yield* server.isRunning)
      assert.match(yield* Effect.promise(() => session.query("select 1").then(() => "answered", String)), /timeout/)
      assert.match(String(yield* ask(url, "select 1", 300)), /timeout/i)
      yield* server.resume
      assert.strictEqual(yield* ask(url, "select answer from t"), 42)

      yield* server.stall
      yield* server.restart
      assert.strictEqual(yield* ask(url, "select answer from t"), 42)
    }))

  it.scopedLive("is not there before it is started", () =>
    Effect.gen(function*() {
      const server = yield* PostgresServer.reserve()
      assert.match(String(yield* ask(server.url(), "select 1")), /ECONNREFUSED/)
      yield* server.start
      assert.strictEqual(yield* ask(server.url(), "select 1 as answer"), 1)
    }))

  it.scopedLive("of somebody else is used and left as it was, but never broken", () =>
    Effect.gen(function*() {
      const own = yield* PostgresServer.start()
      yield* variable("TEST_DATABASE_URL", own.url())
      const countDatabases = ask(own.url(), "select count(*)::int as answer from pg_database")
      const before = yield* countDatabases
      yield* Effect.scoped(Effect.gen(function*() {
        const given = yield* PostgresServer.start()
        assert.strictEqual(given.port, own.port)
        assert.strictEqual(yield* ask(yield* given.createDatabase("mine"), "select 1 as answer"), 1)
        for (const fault of [given.kill, given.restart, given.stall, given.resume]) {
          assert.match((yield* Effect.flip(fault)).message, /TEST_DATABASE_URL/)
        }
      }))
      assert.strictEqual(yield* countDatabases, before)

      yield* variable("REQUIRE_SERVERS", "")
      assert.isFalse(TestServers.isMissing("postgres"))
      assert.isTrue(TestServers.isMissing("postgres", { faults: true }))
      yield* variable("REQUIRE_SERVERS", "1")
      assert.throws(() => TestServers.isMissing("postgres", { faults: true }), /TEST_DATABASE_URL/)
    }))
})

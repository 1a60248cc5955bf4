import { assert, describe, it } from "@effect/vitest"
import * as HoldfastProcess from "@holdfast/testing/HoldfastProcess"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Schema } from "effect"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { examine, expectFaults, faults } from "./Examination.ts"
import { temporary, until } from "./Shop.ts"

const Output = Schema.parseJson(Schema.Struct({
  status: Schema.String,
  checks: Schema.Array(Schema.Struct({
    check: Schema.String,
    status: Schema.String,
    code: Schema.String,
    seen: Schema.String,
    fix: Schema.optional(Schema.String)
  }))
}))

/** Somebody else's server on a port. */
const stranger = Effect.map(
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer((socket) => socket.on("error", () => {}))
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      return server
    }),
    (server) => Effect.sync(() => server.close())
  ),
  (server) => {
    const address = server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }
)

describe("doctor", () => {
  it.scopedLive("finds nothing wrong with a machine in order, and changes nothing", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const HOLDFAST_DATA_DIR = join(folder, "not", "there")
      yield* expectFaults({ HOLDFAST_DATA_DIR }, [])
      assert.isFalse(existsSync(join(folder, "not")))
      mkdirSync(HOLDFAST_DATA_DIR, { recursive: true })
      yield* expectFaults({ HOLDFAST_DATA_DIR }, [])
      assert.deepStrictEqual(readdirSync(HOLDFAST_DATA_DIR), [])
    }))

  it.scopedLive("a wrong setting of one thing hides nothing of another", () =>
    Effect.gen(function*() {
      const HOLDFAST_DATA_DIR = yield* temporary
      yield* expectFaults({
        HOLDFAST_DATA_DIR,
        DATABASE_URL: "mysql://me:hunter2@db/shop",
        KAFKA_BROKERS: `127.0.0.1:${yield* HoldfastProcess.freePort}`,
        REDIS_PASSWORD: "hunter2"
      }, [
        "fail config config_invalid",
        "fail kafka.broker connection_refused",
        "fail config config_invalid"
      ])
      yield* expectFaults({ HOLDFAST_DATA_DIR, HOLDFAST_PORT: "http" }, ["fail config config_invalid"])
      yield* expectFaults({ HOLDFAST_DATA_DIR, PAYMNT_FALLBACK: "forbidden" }, ["fail config config_invalid"])
      yield* expectFaults({ HOLDFAST_DATA_DIR, HOLDFAST_HASH_KEY: "", HOLDFAST_HOST: "0.0.0.0" }, [
        "warn config.hash_key development_key",
        "warn address open_to_others"
      ])
    }))

  it.scopedLive("folders and ports that cannot be used", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      writeFileSync(join(folder, "file"), "")
      yield* expectFaults({ HOLDFAST_DATA_DIR: join(folder, "file") }, ["fail data.folder no_folder"])
      yield* expectFaults({ HOLDFAST_DATA_DIR: join(folder, "file", "in it") }, ["fail data.folder no_folder"])
      yield* expectFaults({ HOLDFAST_DATA_DIR: folder, HOLDFAST_PORT: String(yield* stranger) }, [
        "fail port port_in_use"
      ])
      yield* expectFaults({ HOLDFAST_DATA_DIR: folder, HOLDFAST_HOST: "192.0.2.1" }, [
        "fail port address_unknown",
        "warn address open_to_others"
      ])
    }))

  it.scopedLive.skipIf(!existsSync("/proc/self"))(
    "a folder that nobody can make, and agents that live without it",
    () =>
      Effect.gen(function*() {
        const HOLDFAST_DATA_DIR = "/proc/holdfast/shop"
        const { findings } = yield* examine({ HOLDFAST_DATA_DIR })
        assert.include(faults(findings), "fail data.folder not_writable")
        const port = yield* HoldfastProcess.freePort
        const agents = yield* HoldfastProcess.run(["start", "--port", String(port)], { HOLDFAST_DATA_DIR })
        const ready = yield* until(Effect.promise(() =>
          fetch(`http://127.0.0.1:${port}/health/ready`, { signal: AbortSignal.timeout(1_000) })
            .then((response) => response.text(), () => undefined)
        ))
        assert.include(ready, `the folder ${HOLDFAST_DATA_DIR} cannot be made (E`)
        agents.signal("SIGTERM")
        assert.strictEqual(yield* agents.exit, 0)
      }),
    30_000
  )

  it.scopedLive.skipIf(!existsSync("/dev/shm"))("a folder in memory", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync("/dev/shm/holdfast-doctor-")),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
      )
      const { findings } = yield* examine({ HOLDFAST_DATA_DIR: folder })
      assert.include(faults(findings), "warn data.disk volatile_disk")
    }))

  it.scopedLive("agents that run already are named with their process", () =>
    Effect.gen(function*() {
      const dataDir = yield* temporary
      const port = yield* HoldfastProcess.freePort
      const running = yield* HoldfastProcess.start({ port, dataDir, agents: ["order", "product"] })
      const findings = yield* expectFaults({ HOLDFAST_DATA_DIR: dataDir, HOLDFAST_PORT: String(port) }, [
        "warn data.lock in_use",
        "warn port agents_running"
      ])
      const lock = findings.find(({ check }) => check === "data.lock")?.seen ?? ""
      assert.include(lock, "order, product")
      if (process.platform === "linux") assert.include(lock, `process ${running.pid} (`)
      running.signal("SIGKILL")
      yield* running.exit
      yield* expectFaults({ HOLDFAST_DATA_DIR: dataDir, HOLDFAST_PORT: String(port) }, [])
    }))

  it.scopedLive("the command: exit codes, JSON, and nothing secret", () =>
    Effect.gen(function*() {
      const dataDir = yield* temporary
      const env = { HOLDFAST_HASH_KEY: "a key", HOLDFAST_PORT: "0", HOLDFAST_DATA_DIR: dataDir }
      const well = yield* HoldfastProcess.run(["doctor"], env)
      assert.strictEqual(yield* well.exit, 0)
      assert.match(well.output().stdout, /^ok {4}node .*\d+ ok, 0 warn, 0 fail\n$/s)
      const ill = yield* HoldfastProcess.run(["doctor", "--json"], {
        ...env,
        DATABASE_URL: `postgres://me:hunter2@127.0.0.1:${yield* HoldfastProcess.freePort}/shop`,
        REDIS_URL: "redis://:hunter/3@cache"
      })
      // A password in the wrong variable.
      yield* expectFaults({ HOLDFAST_DATA_DIR: dataDir, HOLDFAST_PORT: "hunter4pw" }, ["fail config config_invalid"])
        .pipe(
          Effect.map((findings) => assert.notInclude(JSON.stringify(findings), "hunter4pw"))
        )
      assert.strictEqual(yield* ill.exit, 1)
      const { checks, status } = yield* Schema.decode(Output)(ill.output().stdout)
      assert.strictEqual(status, "fail")
      assert.deepStrictEqual(checks.filter((check) => check.status === "fail").map(({ code }) => code), [
        "connection_refused",
        "config_invalid"
      ])
      assert.notMatch(ill.output().stdout + ill.output().stderr, /hunter/)
    }))

  it.scopedLive.skipIf(TestServers.isMissing("postgres", { faults: true }))(
    "ends in time with every server stalled",
    () =>
      Effect.gen(function*() {
        const server = yield* PostgresServer.start()
        const silent = yield* stranger
        yield* server.stall
        const started = performance.now()
        const doctor = yield* HoldfastProcess.run(["doctor"], {
          HOLDFAST_DATA_DIR: yield* temporary,
          HOLDFAST_PORT: "0",
          DATABASE_URL: server.url(),
          KAFKA_BROKERS: `127.0.0.1:${silent}`,
          REDIS_URL: `redis://127.0.0.1:${silent}`
        })
        assert.strictEqual(yield* doctor.exit, 1)
        assert.isBelow(performance.now() - started, 10_000)
        assert.lengthOf([...doctor.output().stdout.matchAll(/^fail .* no answer within /gm)], 3)
        yield* server.resume
      })
  )
})

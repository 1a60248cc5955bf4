import { assert, describe, it } from "@effect/vitest"
import * as Redis from "@holdfast/cache/Redis"
import * as Deadline from "@holdfast/resilience/Deadline"
import * as RedisServer from "@holdfast/testing/RedisServer"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Exit, Fiber, Layer, Redacted, Scope } from "effect"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Tls from "node:tls"
import { type Address, becomes, on, ownPrefix, stopwatch, tell } from "./LiveRedis.ts"

/** Before a server, an end that speaks TLS as `localhost` and whose certificate is its own authority. */
const encrypted = (server: Address) =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-tls-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    )
    const [keyFile, certificateFile] = [join(folder, "key.pem"), join(folder, "certificate.pem")]
    spawnSync(
      "openssl",
      ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"].concat(
        [
          "-keyout",
          keyFile,
          "-out",
          certificateFile,
          "-subj",
          "/CN=localhost",
          "-addext",
          "subjectAltName=DNS:localhost"
        ]
      )
    )
    const [key, ca] = [readFileSync(keyFile, "utf8"), readFileSync(certificateFile, "utf8")]
    const port = yield* Effect.acquireRelease(
      Effect.async<{ readonly front: Tls.Server; readonly port: number }>((resume) => {
        const front = Tls.createServer({ key, cert: ca }, (socket) => {
          const inner = connect(server)
          socket.on("error", () => inner.destroy()).on("close", () => inner.destroy())
          inner.on("error", () => socket.destroy())
          socket.pipe(inner)
          inner.pipe(socket)
        })
        front.on("tlsClientError", () => {})
        front.listen(0, () => {
          const address = front.address()
          const port = typeof address === "object" && address !== null ? address.port : 0
          resume(Effect.succeed({ front, port }))
        })
      }),
      ({ front }) => Effect.sync(() => front.close())
    )
    return { ca, port: port.port }
  })

const noOpenssl = spawnSync("openssl", ["version"]).status !== 0
if (noOpenssl) process.stderr.write("SKIPPED: no openssl, which makes the certificates for tests of encryption\n")

const get = Effect.flatMap(Redis.Redis, (redis) => redis.use((connection) => connection.get("key")))
const status = Effect.map(Redis.Redis, (redis) => redis.dependency.current().status)

describe.skipIf(TestServers.isMissing("redis", { faults: true }))("Redis", () => {
  it.scopedLive("absent at the start: nothing waits for it, and it is used as soon as it is there", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.reserve()
      const watch = yield* stopwatch
      yield* Effect.gen(function*() {
        const failure = yield* Effect.flip(watch.timed(get))
        assert.deepInclude(failure, { _tag: "RedisUnavailable", reason: "away" })
        yield* server.start
        yield* becomes("up")
        assert.isNull(yield* get)
      }).pipe(Effect.provide(Redis.Redis.layer(server)))
      assert.isBelow(watch.longest(), 50)
    }))

  it.scopedLive("there at the start: nothing has failed before the first connection stands", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      yield* Effect.gen(function*() {
        yield* becomes("up")
        assert.deepInclude((yield* Redis.Redis).dependency.current(), { lastError: undefined, cause: undefined })
      }).pipe(Effect.provide(Redis.Redis.layer(server)))
    }))

  it.scopedLive("stalled: the first calls wait a quarter of a second, the next not at all, until it answers again", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const watch = yield* stopwatch
      yield* Effect.gen(function*() {
        yield* server.stall
        const ends = yield* Effect.all(Array.from({ length: 200 }, () => Effect.exit(watch.timed(get))), {
          concurrency: "unbounded"
        })
        assert.isTrue(ends.every(Exit.isFailure))
        assert.isAtMost(watch.longest(), 300)
        const begun = performance.now()
        assert.deepInclude(yield* Effect.flip(get), { _tag: "RedisUnavailable", reason: "away" })
        assert.isBelow(performance.now() - begun, 50)
        const { lastError } = (yield* Redis.Redis).dependency.current()
        assert.match(lastError ?? "", /does not answer/)
        yield* server.resume
        yield* becomes("up")
        assert.isNull(yield* get)
        assert.strictEqual((yield* Redis.Redis).stats().orphaned, 0)
      }).pipe(Effect.provide(on(server)))
    }))

  it.scopedLive("a process that is held up itself does not take Redis for stalled: answers that wait are read", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      yield* Effect.gen(function*() {
        const redis = yield* Redis.Redis
        const asked = yield* Effect.fork(
          Effect.all(Array.from({ length: 20 }, () => get), { concurrency: "unbounded" })
        )
        const changed = yield* redis.change((connection) => connection.set("other", "value"))
        redis.dependency.unsafeProbe()
        yield* Effect.yieldNow()
        yield* Effect.sync(() => {
          const end = performance.now() + 600
          while (performance.now() < end);
        })
        assert.deepStrictEqual(new Set(yield* Fiber.join(asked)), new Set([null]))
        assert.strictEqual(yield* Fiber.join(changed), "OK")
        yield* Effect.sleep("50 millis")
        assert.deepStrictEqual([yield* status, redis.returns(), redis.breaker.status.current().state], [
          "up",
          1,
          "closed"
        ])
      }).pipe(Effect.provide(on(server)))
    }))

  it.scopedLive("killed: calls fail in time, none is sent again, and the next server is used", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start({ settings: { appendonly: "yes", appendfsync: "always" } })
      const watch = yield* stopwatch
      yield* Effect.gen(function*() {
        const redis = yield* Redis.Redis
        yield* server.stall
        const counted = yield* redis.change((connection) => connection.incr("count"))
        yield* server.kill
        // At once, not when its time is over.
        assert.isTrue(Exit.isFailure(yield* watch.timed(Fiber.await(counted))))
        assert.isBelow(watch.longest(), 150)
        yield* server.start
        yield* becomes("up")
        assert.isNull(yield* redis.use((connection) => connection.get("count")))
      }).pipe(Effect.provide(on(server)))
    }))

  it.scopedLive("cut off without notice: a new connection is made, also where the old one never hears of it", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      yield* Effect.gen(function*() {
        yield* proxy.onUpstream(() => "silence")
        assert.isTrue(Exit.isFailure(yield* Effect.exit(get)))
        // What a hook did to a connection stays: only a new one answers.
        yield* proxy.pass
        yield* becomes("up")
        assert.isNull(yield* get)
        // The same, found out by a probe.
        yield* proxy.onUpstream(() => "silence")
        ;(yield* Redis.Redis).dependency.unsafeProbe()
        yield* becomes("away")
        yield* proxy.pass
        yield* becomes("up")
        assert.isNull(yield* get)
      }).pipe(Effect.provide(on(proxy)))
    }))

  it.scopedLive("slow: it is away while its answers take longer than a quarter of a second", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      const watch = yield* stopwatch
      yield* Effect.gen(function*() {
        yield* proxy.latency(300)
        for (let call = 0; call < 100; call++) {
          assert.isTrue(Exit.isFailure(yield* Effect.exit(watch.timed(get))))
          yield* Effect.sleep("10 millis")
        }
        assert.isAtMost(watch.longest(), 300)
        // One call found it out, the others did not wait.
        assert.isAtMost((yield* Redis.Redis).stats().calls, 2)
        yield* proxy.pass
        yield* becomes("up")
        assert.isNull(yield* get)
      }).pipe(Effect.provide(on(proxy)))
    }))

  it.scopedLive("a command's own fault is nobody's outage; a change that fails for any reason is", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      yield* Effect.gen(function*() {
        const redis = yield* Redis.Redis
        yield* Effect.flatMap(redis.change((connection) => connection.set("text", "not a list")), Fiber.join)
        const refused = yield* Effect.flip(redis.use((connection) => connection.lpop("text")))
        assert.deepInclude(refused, { _tag: "RedisRefused", code: "WRONGTYPE" })
        assert.strictEqual(yield* status, "up")
        yield* Effect.exit(Effect.flatMap(redis.change((connection) => connection.lpush("text", "a")), Fiber.join))
        assert.strictEqual(yield* status, "away")
        yield* becomes("up")
        assert.strictEqual(redis.returns(), 2)
        const bug = yield* Effect.exit(redis.use(() => Promise.reject(new TypeError("a fault of the code"))))
        assert.isTrue(Exit.isFailure(bug) && bug.cause._tag === "Die")
      }).pipe(Effect.provide(on(server)))
    }))

  it.scopedLive("a question that finds no room says nothing of Redis; a change that finds none makes it away", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      yield* Effect.gen(function*() {
        const redis = yield* Redis.Redis
        yield* proxy.latency(50)
        yield* Effect.fork(Effect.all(Array.from({ length: 1_000 }, () => get), { concurrency: "unbounded" }))
        yield* Effect.repeat(Effect.yieldNow(), { until: () => redis.stats().inflight === 1_000 })
        assert.strictEqual((yield* Effect.flip(get))._tag, "BulkheadFull")
        assert.strictEqual(yield* status, "up")
        const refused = yield* redis.change((connection) => connection.set("key", "value"))
        assert.strictEqual((yield* Effect.flip(Fiber.join(refused)))._tag, "BulkheadFull")
        assert.strictEqual(yield* status, "away")
        yield* becomes("up")
      }).pipe(Effect.provide(on(proxy)))
    }))

  it.scopedLive("a caller's own deadline ends its call and says nothing of Redis; a change outlives its caller", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      yield* Effect.gen(function*() {
        const redis = yield* Redis.Redis
        yield* proxy.latency(60)
        const late = yield* Effect.flip(Deadline.within("20 millis")(get))
        assert.strictEqual(late._tag, "DeadlineExceeded")
        const change = Effect.flatMap(redis.change((connection) => connection.set("key", "kept")), Fiber.join)
        const left = yield* Effect.flip(Deadline.within("20 millis")(change))
        assert.strictEqual(left._tag, "DeadlineExceeded")
        assert.strictEqual(yield* get, "kept")
        assert.strictEqual(yield* status, "up")
        assert.strictEqual(redis.returns(), 1)
      }).pipe(Effect.provide(on(proxy)))
    }))

  it.scopedLive("what must be done after a return is done before it is up, again and again while it fails", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      yield* Effect.gen(function*() {
        const redis = yield* Redis.Redis
        let attempts = 0
        const seen: Array<string> = []
        yield* Effect.scoped(Effect.zipRight(
          redis.onReturn(Effect.suspend(() => {
            attempts++
            seen.push(redis.dependency.current().status)
            return attempts < 3
              ? new Redis.RedisRefused({ code: "OOM", detail: "no room" })
              : Effect.asVoid(redis.use((connection) => connection.get("key")))
          })),
          becomes("up")
        ))
        assert.strictEqual(attempts, 3)
        assert.deepStrictEqual(seen, ["recovering", "recovering", "recovering"])
        redis.dependency.unsafeLost("again")
        yield* becomes("up")
        assert.strictEqual(attempts, 3)
      }).pipe(Effect.provide(on(server)))
    }))

  it.scopedLive("a connection that somebody has ended is made anew", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      yield* Effect.gen(function*() {
        const redis = yield* Redis.Redis
        yield* redis.use((connection) => connection.quit())
        yield* becomes("away")
        yield* becomes("up")
        assert.isNull(yield* get)
      }).pipe(Effect.provide(on(server)))
    }))

  it.scopedLive("a wrong password keeps it away, is told without being shown, and the right one opens it", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      yield* tell(server, "config", "set", "requirepass", "correct horse")
      const failureOf = (password: string | undefined, expected: RegExp) =>
        Effect.repeat(Effect.delay(Effect.flip(get), "10 millis"), {
          until: (failure) => expected.test(failure.message)
        }).pipe(
          Effect.timeout("5 seconds"),
          Effect.provide(Redis.Redis.layer({
            ...server,
            password: password === undefined ? undefined : Redacted.make(password)
          }))
        )
      const wrong = yield* failureOf("battery staple", /WRONGPASS/)
      assert.notMatch(JSON.stringify(wrong) + String(wrong) + wrong.stack, /battery|staple/)
      yield* failureOf(undefined, /NOAUTH/)
      const right = Redis.Redis.layer({ ...server, user: "default", password: Redacted.make("correct horse") })
      assert.isNull(yield* Effect.zipRight(becomes("up"), get).pipe(Effect.provide(right)))
    }))

  it.scopedLive.skipIf(noOpenssl)(
    "an encrypted connection is made to a server that proves who it is, and to no other",
    () =>
      Effect.gen(function*() {
        const server = yield* RedisServer.start()
        const { ca, port } = yield* encrypted(server)
        const to = (host: string, trusted: string | undefined) =>
          Redis.Redis.layer({
            host,
            port,
            tls: { rejectUnauthorized: true, ...trusted === undefined ? {} : { ca: trusted } }
          })
        const failure = yield* Effect.repeat(Effect.delay(Effect.flip(get), "10 millis"), {
          until: ({ message }) => /certificate/.test(message)
        }).pipe(Effect.timeout("5 seconds"), Effect.provide(to("localhost", undefined)))
        assert.match(failure.message, /self-signed certificate/)
        assert.isNull(yield* Effect.zipRight(becomes("up"), get).pipe(Effect.provide(to("localhost", ca))))
        const misnamed = yield* Effect.repeat(Effect.delay(Effect.flip(get), "10 millis"), {
          until: ({ message }) => /altnames/.test(message)
        }).pipe(Effect.timeout("5 seconds"), Effect.provide(to("127.0.0.1", ca)))
        assert.match(misnamed.message, /does not match certificate's altnames/)
      })
  )

  it.scopedLive("keys have the prefix, and are in the database, that they were given", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const prefix = ownPrefix()
      yield* Effect.flatMap(
        Redis.Redis,
        (redis) => Effect.flatMap(redis.change((connection) => connection.set("key", "here")), Fiber.join)
      ).pipe(
        Effect.provide(Layer.provideMerge(
          Layer.effectDiscard(becomes("up")),
          Redis.Redis.layer({ ...server, database: 3, keyPrefix: prefix })
        ))
      )
      assert.isNull(yield* tell(server, "get", `${prefix}key`))
      assert.match(String(yield* tell(server, "info", "keyspace")), /db3:keys=1/)
    }))

  it.scopedLive("closing it gives up the connection, also when it is stalled, and loses no change", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      const proxy = yield* TcpProxy.make(server)
      const changed = yield* Scope.make()
      const context = yield* Layer.buildWithScope(on(proxy, "closing:"), changed)
      yield* proxy.latency(50)
      yield* Effect.flatMap(Redis.Redis, (redis) => redis.change((connection) => connection.set("key", "kept"))).pipe(
        Effect.provide(context)
      )
      yield* Scope.close(changed, Exit.void)
      assert.strictEqual(yield* tell(server, "get", "closing:key"), "kept")

      yield* proxy.pass
      const stalled = yield* Scope.make()
      yield* Layer.buildWithScope(on(proxy), stalled)
      yield* server.stall
      const begun = performance.now()
      yield* Scope.close(stalled, Exit.void)
      assert.isBelow(performance.now() - begun, 300)
      yield* server.resume
      yield* Effect.repeat(Effect.delay(proxy.connections, "10 millis"), { until: (live) => live === 0 }).pipe(
        Effect.timeout("1 second")
      )
    }))
})

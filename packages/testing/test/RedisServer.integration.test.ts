import { assert, describe, it } from "@effect/vitest"
import * as RedisServer from "@holdfast/testing/RedisServer"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect } from "effect"
import { Redis } from "ioredis"

/** One command on a connection of its own, or why it failed; its deadline holds where the server is stalled. */
const ask = (url: string, command: string, ...args: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const client = new Redis(url, {
      lazyConnect: true,
      enableReadyCheck: false,
      connectTimeout: 500,
      commandTimeout: 500,
      retryStrategy: () => null,
      maxRetriesPerRequest: 0
    })
    client.on("error", () => {})
    try {
      await client.connect()
      return await client.call(command, ...args)
    } catch (cause) {
      return cause
    } finally {
      client.disconnect()
    }
  })

describe.skipIf(TestServers.isMissing("redis", { faults: true }))("RedisServer", () => {
  it.scopedLive("is killed, comes back on its port, and stalls", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.start()
      assert.strictEqual(yield* ask(server.url, "set", "key", "value"), "OK")
      yield* server.kill
      assert.isFalse(yield* server.isRunning)
      assert.match(String(yield* ask(server.url, "ping")), /closed|ECONNREFUSED/)
      yield* server.start
      assert.strictEqual(yield* ask(server.url, "get", "key"), null)
      yield* server.stall
      assert.match(String(yield* ask(server.url, "ping")), /timed out|closed/i)
      assert.isTrue(yield* server.isRunning)
      yield* server.resume
      assert.strictEqual(yield* ask(server.url, "ping"), "PONG")
    }))

  it.scopedLive("keeps what it acknowledged where it is told to, and is not there before it is started", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.reserve({ settings: { appendonly: "yes", appendfsync: "always" } })
      assert.match(String(yield* ask(server.url, "ping")), /closed|ECONNREFUSED/)
      yield* server.start
      assert.strictEqual(yield* ask(server.url, "set", "key", "value"), "OK")
      yield* server.stall
      yield* server.restart
      assert.strictEqual(yield* ask(server.url, "get", "key"), "value")
    }))
})

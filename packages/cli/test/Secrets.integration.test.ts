import { assert, describe, it } from "@effect/vitest"
import * as HoldfastProcess from "@holdfast/testing/HoldfastProcess"
import { Effect } from "effect"
import { once } from "node:events"
import { createServer } from "node:net"
import { pause, temporary } from "./Shop.ts"

/** Refuses whatever comes and repeats it, as Redis does with a command that it does not know. */
const rude = Effect.map(
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer((socket) => {
        socket.on("error", () => {})
        socket.on("data", (chunk) => {
          const words = chunk.toString("latin1").replaceAll(/\s+/g, " ")
          socket.end(`-ERR unknown command, with args beginning with: ${words}\r\n`)
        })
      })
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

describe("passwords of servers", () => {
  it.scopedLive("are in no log, no probe and no metric, whatever the servers do", () =>
    Effect.gen(function*() {
      const gone = yield* HoldfastProcess.freePort
      const answering = yield* rude
      for (const server of [gone, answering]) {
        const port = yield* HoldfastProcess.freePort
        const agents = yield* HoldfastProcess.start({
          port,
          dataDir: yield* temporary,
          env: {
            LOG_LEVEL: "trace",
            DATABASE_URL: `postgres://me:hunter2%40db@127.0.0.1:${server}/shop`,
            KAFKA_BROKERS: `127.0.0.1:${server}`,
            KAFKA_SASL_MECHANISM: "plain",
            KAFKA_SASL_USERNAME: "me",
            KAFKA_SASL_PASSWORD: "hunter2/kafka",
            REDIS_URL: `redis://:hunter2%2Fredis@127.0.0.1:${server}`
          }
        })
        // Some rounds of what is tried again and again.
        yield* pause(2_500)
        const told = yield* Effect.forEach(
          [
            "/health?verbose",
            "/health/ready",
            "/health/detailed",
            "/order/health/detailed",
            "/metrics",
            "/openapi.json"
          ],
          (path) => Effect.promise(() => fetch(`http://127.0.0.1:${port}${path}`).then((response) => response.text()))
        )
        agents.signal("SIGTERM")
        assert.strictEqual(yield* agents.exit, 0)
        const { stderr, stdout } = agents.output()
        assert.isAbove(stderr.length, 500)
        for (const text of [...told, stdout, stderr]) assert.notMatch(text, /hunter2/)
      }
    }), 60_000)
})

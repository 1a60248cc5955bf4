import { assert, describe, it } from "@effect/vitest"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect } from "effect"
import type { AddressInfo, Socket } from "node:net"
import { connect, createServer } from "node:net"
import { setTimeout as pause } from "node:timers/promises"
import Pg from "pg"

/** Sends back what it gets, and ends where its peer ends. */
const echo = Effect.acquireRelease(
  Effect.promise(() =>
    new Promise<{ readonly port: number; readonly sockets: Set<Socket>; readonly close: () => void }>((resolve) => {
      const sockets = new Set<Socket>()
      const server = createServer((socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
        socket.on("close", () => sockets.delete(socket))
        socket.pipe(socket)
      })
      server.listen(0, "127.0.0.1", () => {
        // The address of a server that listens on a port, which this one does.
        const { port } = server.address() as AddressInfo
        resolve({
          port,
          sockets,
          close: () => {
            server.close()
            for (const socket of sockets) socket.destroy()
          }
        })
      })
    })
  ),
  (server) => Effect.sync(server.close)
)

/** A client that remembers what it was given and how it ended. */
const client = (port: number) =>
  Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<{ readonly socket: Socket; readonly events: Array<string>; readonly text: () => string }>(
        (resolve) => {
          const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true })
          const events: Array<string> = []
          let text = ""
          socket.on("data", (chunk) => void (text += String(chunk)))
          socket.on("end", () => events.push("end"))
          socket.on("error", (cause: NodeJS.ErrnoException) => {
            events.push(cause.code ?? cause.message)
            resolve({ socket, events, text: () => text })
          })
          socket.on("connect", () => resolve({ socket, events, text: () => text }))
        }
      )
    ),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** Waits for what must come; the test's own time-out is the bound. */
const eventually = (isSo: () => boolean) =>
  Effect.promise(async () => {
    while (!isSo()) await pause(2)
  })

/** Long enough for what must not come, on this machine's loopback. */
const aWhile = Effect.promise(() => pause(100))

const proxied = Effect.gen(function*() {
  const server = yield* echo
  const proxy = yield* TcpProxy.make({ host: "127.0.0.1", port: server.port })
  return { server, proxy }
})

describe("TcpProxy", () => {
  it.scopedLive("passes bytes and ends, and counts them", () =>
    Effect.gen(function*() {
      const { proxy } = yield* proxied
      const one = yield* client(proxy.port)
      one.socket.write("hello")
      yield* eventually(() => one.text() === "hello")
      assert.deepStrictEqual(yield* proxy.traffic, { live: 1, accepted: 1, upstream: 5, downstream: 5 })
      one.socket.end()
      yield* eventually(() => one.events.includes("end"))
      while ((yield* proxy.connections) !== 0) yield* aWhile
    }))

  it.scopedLive("passes more than it holds", () =>
    Effect.gen(function*() {
      const { proxy } = yield* proxied
      const one = yield* client(proxy.port)
      yield* proxy.stall("downstream")
      // More than the kernel holds as well.
      const text = "0123456789".repeat(5_000_000)
      one.socket.write(text)
      let sent = -1
      while (sent !== (yield* proxy.traffic).upstream) {
        sent = (yield* proxy.traffic).upstream
        yield* aWhile
      }
      assert.strictEqual(one.text(), "")
      assert.isBelow(sent, text.length)
      yield* proxy.pass
      yield* eventually(() => one.text().length === text.length)
      assert.isTrue(one.text() === text)
    }))

  it.scopedLive("delays what passes, in order, on live connections too", () =>
    Effect.gen(function*() {
      const { proxy } = yield* proxied
      const one = yield* client(proxy.port)
      yield* proxy.latency(60, 30)
      const begun = performance.now()
      for (let index = 0; index < 20; index++) {
        one.socket.write(`${index},`)
        yield* Effect.promise(() => pause(1))
      }
      yield* eventually(() => one.text().endsWith("19,"))
      assert.isAtLeast(performance.now() - begun, 60)
      assert.strictEqual(one.text(), Array.from({ length: 20 }, (_, index) => `${index},`).join(""))
      yield* proxy.latency(60_000)
      one.socket.write("late")
      yield* aWhile
      yield* proxy.pass
      yield* eventually(() => one.text().endsWith("late"))
    }))

  it.scopedLive("holds one direction or both, ends and resets as well, until it passes", () =>
    Effect.gen(function*() {
      const { proxy, server } = yield* proxied
      const one = yield* client(proxy.port)
      yield* proxy.stall("downstream")
      one.socket.write("a")
      yield* aWhile
      assert.deepStrictEqual(yield* proxy.traffic, { live: 1, accepted: 1, upstream: 1, downstream: 0 })
      yield* proxy.pass
      yield* eventually(() => one.text() === "a")

      yield* proxy.stall()
      const two = yield* client(proxy.port)
      two.socket.write("b")
      one.socket.resetAndDestroy()
      yield* aWhile
      assert.strictEqual(two.text(), "")
      assert.strictEqual(server.sockets.size, 2)
      yield* proxy.pass
      yield* eventually(() => two.text() === "b" && server.sockets.size === 1)
    }))

  it.scopedLive("cuts, refuses and listens again on its port", () =>
    Effect.gen(function*() {
      const { proxy } = yield* proxied
      const one = yield* client(proxy.port)
      one.socket.write("there")
      yield* eventually(() => one.text() === "there")
      yield* proxy.refuse
      one.socket.write(", still")
      yield* eventually(() => one.text() === "there, still")
      const two = yield* client(proxy.port)
      assert.deepStrictEqual(two.events, ["ECONNREFUSED"])
      yield* proxy.cut
      yield* eventually(() => one.events.includes("ECONNRESET"))
      yield* proxy.pass
      const three = yield* client(proxy.port)
      three.socket.write("again")
      yield* eventually(() => three.text() === "again")
    }))

  it.scopedLive("ends one direction and leaves the other", () =>
    Effect.gen(function*() {
      const { proxy } = yield* proxied
      const one = yield* client(proxy.port)
      one.socket.write("a")
      yield* eventually(() => one.text() === "a")
      yield* proxy.halfClose("downstream")
      yield* eventually(() => one.events.includes("end"))
      one.socket.write("bc")
      while ((yield* proxy.traffic).upstream !== 3) yield* aWhile
      assert.deepStrictEqual(one.events, ["end"])
    }))

  it.scopedLive("resets a connection after so many bytes, a new one too", () =>
    Effect.gen(function*() {
      const { proxy } = yield* proxied
      const one = yield* client(proxy.port)
      yield* proxy.limit(4)
      const two = yield* client(proxy.port)
      for (const each of [one, two]) {
        each.socket.write("123456")
        yield* eventually(() => each.events.includes("ECONNRESET"))
      }
      assert.strictEqual((yield* proxy.traffic).upstream, 8)
    }))

  it.scopedLive("goes where it is told, and a target that refuses is a reset", () =>
    Effect.gen(function*() {
      const { proxy, server } = yield* proxied
      yield* proxy.setTarget({ host: "127.0.0.1", port: 1 })
      const one = yield* client(proxy.port)
      yield* eventually(() => one.events.includes("ECONNRESET"))
      yield* proxy.setTarget({ host: "127.0.0.1", port: server.port })
      const two = yield* client(proxy.port)
      two.socket.write("a")
      yield* eventually(() => two.text() === "a")
    }))

  it.scopedLive("does what a hook says, to the connection whose bytes it saw", () =>
    Effect.gen(function*() {
      const { proxy, server } = yield* proxied
      yield* proxy.onUpstream((chunk) => {
        const text = String(chunk)
        return text === "cut" || text === "silence" || text === "cutAtAnswer" ? text : "pass"
      })
      const clients = yield* Effect.all([
        client(proxy.port),
        client(proxy.port),
        client(proxy.port),
        client(proxy.port)
      ])
      const received: Array<string> = []
      yield* eventually(() => server.sockets.size === 4)
      for (const socket of server.sockets) socket.on("data", (chunk) => void received.push(String(chunk)))
      const [cut, silent, cutAtAnswer, other] = clients
      cut.socket.write("cut")
      silent.socket.write("silence")
      cutAtAnswer.socket.write("cutAtAnswer")
      other.socket.write("other")
      yield* eventually(() => other.text() === "other" && cut.events.length > 0 && cutAtAnswer.events.length > 0)
      yield* eventually(() => received.length === 3)
      yield* aWhile
      assert.deepStrictEqual(received.toSorted(), ["cutAtAnswer", "other", "silence"])
      assert.deepStrictEqual(clients.map(({ text }) => text()), ["", "", "", "other"])
      assert.deepStrictEqual(clients.map(({ events }) => events), [["ECONNRESET"], [], ["ECONNRESET"], []])
      assert.strictEqual(yield* proxy.connections, 2)
    }))
})

describe.skipIf(TestServers.isMissing("postgres"))("TcpProxy before Postgres", () => {
  it.scopedLive("loses the answer to a COMMIT that was done", () =>
    Effect.gen(function*() {
      const server = yield* PostgresServer.start()
      const proxy = yield* TcpProxy.make(server)
      const url = new URL(server.url())
      url.port = String(proxy.port)
      const session = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const session = new Pg.Client({ connectionString: url.href, query_timeout: 5_000 })
          session.on("error", () => {})
          return session
        }),
        (session) => Effect.promise(() => session.end().catch(() => {}))
      )
      yield* Effect.promise(() => session.connect())
      yield* Effect.promise(() => session.query("create table t (id int)"))
      yield* Effect.promise(() => session.query("begin; insert into t values (1)"))
      yield* proxy.onUpstream((chunk) => chunk.includes("commit") ? "cutAtAnswer" : "pass")
      const outcome = yield* Effect.promise(() => session.query("commit").then(() => "acknowledged", String))
      assert.match(outcome, /ECONNRESET|terminated/)
      yield* proxy.pass

      const direct = new Pg.Client({ connectionString: server.url(), query_timeout: 5_000 })
      yield* Effect.promise(() => direct.connect())
      const { rows } = yield* Effect.promise(() => direct.query<{ id: number }>("select id from t"))
      yield* Effect.promise(() => direct.end())
      assert.deepStrictEqual(rows, [{ id: 1 }])
    }))
})

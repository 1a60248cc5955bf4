import { assert, describe, it } from "@effect/vitest"
import { Database, type DatabaseShape } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { StoreUnavailable } from "@holdfast/database/StoreError"
import { Context, Duration, Effect, Option } from "effect"
import { connect } from "node:net"
import * as Endpoint from "../src/Endpoint.ts"
import * as Handler from "../src/Handler.ts"
import * as Surfaces from "../src/Surfaces.ts"
import { CardBlocked, GiftCardApi, giftCardsIn } from "./GiftCards.ts"
import { serve } from "./Serving.ts"

const giftCards = giftCardsIn(Effect.as(Effect.sleep("100 millis"), 100))

const key = (value: string) => ({ "idempotency-key": value })

/** What comes back for these very bytes, until the server closes the connection. */
const raw = (port: number, bytes: string): Effect.Effect<string> =>
  Effect.async((resume) => {
    let answer = ""
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes))
    socket.on("data", (chunk) => void (answer += chunk.toString("latin1")))
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.succeed(answer)))
    return Effect.sync(() => socket.destroy())
  })

describe("HTTP", () => {
  it.live("a command answers with status, ETag, Location, correlation id and level", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get, post } = yield* serve([giftCards])
      const issued = yield* post("/giftcard/cards", { amount: 500 }, { ...key("a"), "x-correlation-id": "c-1" })
      assert.strictEqual(issued.status, 201, issued.text)
      assert.strictEqual(issued.headers.etag, "\"1\"")
      assert.strictEqual(issued.headers.location, `/giftcard/cards/${issued.json["id"]}`)
      assert.strictEqual(issued.headers["x-correlation-id"], "c-1")
      assert.strictEqual(issued.headers["x-degradation-level"], "0")
      const found = yield* get(String(issued.headers.location))
      assert.deepStrictEqual(found.json, issued.json)
      assert.notProperty(issued.json, "expiresAt")
    })))

  it.live("the same key is answered with the first answer, another body is refused, five at once are one", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get, post } = yield* serve([giftCards])
      const five = yield* Effect.all(
        Array.from({ length: 5 }, () => post("/giftcard/cards", { amount: 7 }, key("same"))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(new Set(five.map((reply) => reply.text)).size, 1)
      assert.strictEqual(five.filter((reply) => reply.headers["idempotent-replayed"] === "true").length, 4)
      for (const reply of five) {
        assert.strictEqual(reply.status, 201)
        assert.strictEqual(reply.headers.etag, "\"1\"")
        assert.isDefined(reply.headers.location)
      }
      const other = yield* post("/giftcard/cards", { amount: 8 }, key("same"))
      assert.strictEqual(other.status, 422)
      assert.strictEqual(other.json["code"], "idempotency_key_reused")
      const list = yield* get("/giftcard/cards")
      assert.lengthOf(list.json["items"] as Array<unknown>, 1)
    })))

  it.live("a refusal is remembered with its body; a missing key, a missing If-Match and a stale one are told apart", () =>
    Effect.scoped(Effect.gen(function*() {
      const { ask, post } = yield* serve([giftCards])
      const id = "card_00000000000000000000000000"
      const first = yield* post(`/giftcard/cards/${id}/redeem`, { amount: 1 }, key("r"))
      assert.strictEqual(first.status, 404)
      assert.strictEqual(first.json["code"], "card_missing")
      assert.strictEqual(first.headers["content-type"], "application/problem+json")
      const again = yield* post(`/giftcard/cards/${id}/redeem`, { amount: 1 }, key("r"))
      assert.strictEqual(again.text, first.text)
      assert.strictEqual(again.headers["idempotent-replayed"], "true")
      const keyless = yield* post("/giftcard/cards", { amount: 1 })
      assert.deepStrictEqual([keyless.status, keyless.json["code"]], [400, "idempotency_key_required"])
      const long = yield* post("/giftcard/cards", { amount: 1 }, key("k".repeat(256)))
      assert.deepStrictEqual([long.status, long.json["code"]], [400, "idempotency_key_invalid"])

      const card = yield* post("/giftcard/cards", { amount: 5 }, key("c"))
      const edit = (headers: Record<string, string>) =>
        ask({
          method: "PATCH",
          path: `/giftcard/cards/${card.json["id"]}`,
          headers: { "content-type": "application/json", ...headers },
          body: "{\"note\":\"n\"}"
        })
      assert.strictEqual((yield* edit({})).status, 428)
      assert.strictEqual((yield* edit({ "if-match": "1" })).json["code"], "invalid_request")
      const edited = yield* edit({ "if-match": "\"1\"" })
      assert.deepStrictEqual([edited.status, edited.headers.etag], [200, "\"2\""])
      const stale = yield* edit({ "if-match": "\"1\"" })
      assert.deepStrictEqual([stale.status, stale.json["code"], stale.json["actual"]], [412, "version_conflict", 2])
      // Its advice can be followed: under the key of the refusal the refusal stands.
      assert.include(String(stale.json["detail"]), "under a new Idempotency-Key")
      for (const [name, status] of [["stale", 412], ["stale again", 200]] as const) {
        if (status === 412) assert.strictEqual((yield* edit({ "if-match": "\"1\"", ...key(name) })).status, 412)
        assert.strictEqual((yield* edit({ "if-match": "\"2\"", ...key(name) })).status, status)
      }
    })))

  it.live("a refusal of the moment (5xx) is not remembered", () =>
    Effect.scoped(Effect.gen(function*() {
      const { post } = yield* serve([giftCards])
      for (let n = 0; n < 2; n++) {
        const path = "/giftcard/cards/card_00000000000000000000000000/redeem"
        const refused = yield* post(path, { amount: 503 }, key("u"))
        assert.deepStrictEqual([refused.status, refused.json["code"], refused.headers["retry-after"]], [
          503,
          "degraded_write_refused",
          "1"
        ])
        assert.isUndefined(refused.headers["idempotent-replayed"])
      }
    })))

  it.effect("a refusal whose record was not committed is not answered as one", () =>
    Effect.gen(function*() {
      const redeem = Surfaces.endpoints(GiftCardApi).find((endpoint) => endpoint.name === "redeem")
      assert.isDefined(redeem)
      const endpoint = Endpoint.make(
        "giftcard",
        redeem,
        Handler.command(() => Effect.fail(new CardBlocked({ id: "x" }))),
        undefined
      )
      const database = yield* Database
      const lost = new StoreUnavailable({ reason: "lost", detail: "the disk is gone" })
      const losing: DatabaseShape = {
        ...database,
        stats: database.stats,
        execute: (operation) => Effect.catchAll(database.execute(operation), () => Effect.fail(lost))
      }
      const answer = endpoint.respond({
        method: "POST",
        url: "/giftcard/cards/x/redeem",
        params: { id: "card_00000000000000000000000000" },
        search: {},
        headers: { "idempotency-key": "k", "content-type": "application/json" },
        body: new TextEncoder().encode("{\"amount\":1}"),
        principal: "anonymous",
        correlationId: "c",
        level: 0,
        levelSince: 0
      })
      // The store is all this handler needs.
      const services = Context.make(Database, losing) as Context.Context<Handler.AnyService>
      assert.strictEqual(yield* Effect.flip(Effect.provide(answer, services)), lost)
    }).pipe(Effect.provide(Sqlite.layerTemporary({ agent: "giftcard", migrations: giftCards.migrations }))))

  it.live("a body beyond the limit is 413, announced or in chunks, and the connection lives on", () =>
    Effect.scoped(Effect.gen(function*() {
      const { ask, post } = yield* serve([giftCards])
      const large = yield* post("/giftcard/cards", { amount: 1, note: "x".repeat(100_000) }, key("l"))
      assert.deepStrictEqual([large.status, large.json["code"], large.json["limitBytes"]], [
        413,
        "payload_too_large",
        65_536
      ])
      assert.strictEqual(large.headers.connection, "keep-alive")
      const chunked = yield* ask({
        method: "POST",
        path: "/giftcard/cards",
        headers: { ...key("l"), "content-type": "application/json", "transfer-encoding": "chunked" },
        body: "x".repeat(100_000)
      })
      assert.strictEqual(chunked.status, 413)
      const waiting = yield* ask({
        method: "POST",
        path: "/giftcard/cards",
        headers: { ...key("l"), expect: "100-continue", "content-length": "100000" }
      })
      assert.strictEqual(waiting.status, 413)
    })))

  it.live("a defect is a 500 that tells nothing, is logged with its cause and not remembered", () =>
    Effect.scoped(Effect.gen(function*() {
      const { log, post } = yield* serve([giftCards])
      const broken = yield* post("/giftcard/break", {}, { ...key("b"), "x-correlation-id": "c-broken" })
      assert.deepStrictEqual([broken.status, broken.json["code"]], [500, "internal_error"])
      assert.notInclude(broken.text, "secret")
      const again = yield* post("/giftcard/break", {}, key("b"))
      assert.isUndefined(again.headers["idempotent-replayed"])
      const line = log.find((text) => text.includes("c-broken"))
      assert.include(line, "the handler is broken")
    })))

  it.live("an unknown path is 404, a known path with another method 405 with Allow, HEAD is GET without body", () =>
    Effect.scoped(Effect.gen(function*() {
      const { ask, get, post } = yield* serve([giftCards])
      assert.strictEqual((yield* get("/giftcard/nothing")).json["code"], "not_found")
      const wrong = yield* ask({ method: "DELETE", path: "/giftcard/cards" })
      assert.deepStrictEqual([wrong.status, wrong.headers.allow], [405, "GET, HEAD, POST"])
      const issued = yield* post("/giftcard/cards", { amount: 5 }, key("h"))
      const head = yield* ask({ method: "HEAD", path: String(issued.headers.location) })
      assert.deepStrictEqual([head.status, head.text, head.headers.etag], [200, "", "\"1\""])
    })))

  it.live("the deadline answers 504; a client may shorten it", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get } = yield* serve([giftCardsIn(Effect.as(Effect.sleep("3 seconds"), 3))], {})
      const late = yield* get("/giftcard/slow", { "x-request-deadline": String(Date.now() + 50) })
      assert.deepStrictEqual([late.status, late.json["code"]], [504, "deadline_exceeded"])
      const past = yield* get("/giftcard/slow", { "x-request-deadline": "1" })
      assert.strictEqual(past.status, 504)
      const wrong = yield* get("/giftcard/slow", { "x-request-deadline": "soon" })
      assert.strictEqual(wrong.status, 400)
    })))

  it.live("a body that does not arrive by the deadline is 408, not 504: nothing has run", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get, port, post } = yield* serve([giftCards], { requestDeadline: Duration.millis(300) })
      const began = performance.now()
      for (const body of ["", "{\"amount\""]) {
        const answer = yield* raw(
          port,
          "POST /giftcard/cards HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 12\r\n" +
            `idempotency-key: late\r\n\r\n${body}`
        )
        assert.match(answer, /^HTTP\/1.1 408 /)
        assert.match(answer, /\r\nretry-after: 1\r\n/)
        assert.include(answer, "\"code\":\"request_timeout\"")
      }
      assert.isBelow(performance.now() - began, 3_000)
      assert.deepStrictEqual((yield* get("/giftcard/cards")).json["items"], [])
      assert.strictEqual((yield* post("/giftcard/cards", { amount: 5 }, key("late"))).status, 201)
    })))

  it.live("bytes that are no request are answered with level, correlation id and a problem as any other", () =>
    Effect.scoped(Effect.gen(function*() {
      const { port } = yield* serve([giftCards])
      const hostile = [
        [`GET /health HTTP/1.1\r\nhost: a\r\nx: ${"a".repeat(20_000)}\r\n\r\n`, 431, "headers_too_large"],
        ["GET /health HTTP/9.9\r\nhost: a\r\n\r\n", 400, "invalid_request"],
        ["FROB /health HTTP/1.1\r\nhost: a\r\n\r\n", 400, "invalid_request"]
      ] as const
      for (const [bytes, status, code] of hostile) {
        const [head = "", body = ""] = (yield* raw(port, bytes)).split("\r\n\r\n")
        const [first, ...lines] = head.split("\r\n")
        assert.match(String(first), new RegExp(`^HTTP/1.1 ${status} `))
        const headers = new Headers(lines.map((line) => line.split(": ", 2) as [string, string]))
        const problem = Object(JSON.parse(body))
        assert.strictEqual(problem.code, code)
        assert.strictEqual(headers.get("x-degradation-level"), "0", code)
        assert.strictEqual(headers.get("x-correlation-id"), problem.correlationId)
        assert.strictEqual(headers.get("connection"), "close")
      }
    })))

  it.live("beyond the limit in flight requests are refused at once, probes are not", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get, log } = yield* serve([giftCards], { maxInFlight: 2 })
      const replies = yield* Effect.all(Array.from({ length: 6 }, () => get("/giftcard/slow")), {
        concurrency: "unbounded"
      }).pipe(Effect.zip(get("/health/ready"), { concurrent: true }))
      assert.strictEqual(replies[0].filter((reply) => reply.status === 200).length, 2)
      const refused = replies[0].find((reply) => reply.status === 503)
      assert.deepStrictEqual([refused?.json["code"], refused?.headers["retry-after"]], ["overloaded", "1"])
      const lines = log.map((line) => Object(JSON.parse(line))).filter(({ message }) => message === "request refused")
      assert.deepStrictEqual(lines.map(({ level }) => level), ["warn", "debug", "debug", "debug"])
      assert.strictEqual(replies[1].status, 200)
    })))

  it.live("who asks too fast is refused with the time to wait, and nothing happens; others and probes go on", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get, post } = yield* serve([giftCards], {
        rateLimit: Option.some({ permits: 3, interval: "1 minute" })
      })
      for (const name of ["a", "b", "c"]) {
        assert.strictEqual((yield* post("/giftcard/cards", { amount: 5 }, key(name))).status, 201)
      }
      const refused = yield* post("/giftcard/cards", { amount: 5 }, key("d"))
      assert.deepStrictEqual([refused.status, refused.json["code"]], [429, "rate_limited"])
      assert.include(refused.headers["content-type"], "application/problem+json")
      const seconds = Number(refused.headers["retry-after"])
      assert.isTrue(seconds > 10 && seconds <= 20, String(seconds))
      assert.isTrue(Number.isInteger(refused.json["retryAfterMs"]))
      for (const path of ["/health", "/health/ready", "/giftcard/health", "/metrics", "/docs"]) {
        assert.strictEqual((yield* get(path)).status, 200, path)
      }
      const cards = yield* get("/giftcard/cards", { authorization: "Bearer somebody else" })
      assert.strictEqual(cards.status, 200)
      assert.lengthOf(Array.from(Object(cards.json["items"])), 3)
    })))

  it.live("without a limit nobody is refused", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get } = yield* serve([giftCards])
      const replies = yield* Effect.forEach(Array.from({ length: 200 }), () => get("/giftcard/cards"))
      assert.isTrue(replies.every((reply) => reply.status === 200))
    })))

  it.live("a handler gets the body as it came", () =>
    Effect.scoped(Effect.gen(function*() {
      const { ask } = yield* serve([giftCards])
      const reply = yield* ask({ method: "POST", path: "/giftcard/webhooks", body: new Uint8Array([0xff, 0, 0xfe]) })
      assert.deepStrictEqual([reply.status, reply.json["bytes"]], [202, 3])
    })))

  it.live("a trace context comes back", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get } = yield* serve([giftCards])
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      assert.strictEqual((yield* get("/giftcard/cards", { traceparent })).headers.traceparent, traceparent)
      assert.isUndefined((yield* get("/giftcard/cards", { traceparent: "x" })).headers.traceparent)
    })))
})

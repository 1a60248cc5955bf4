import { assert, describe, it } from "@effect/vitest"
import { Database, type DatabaseShape } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { StoreUnavailable } from "@holdfast/database/StoreError"
import { Context, Effect, Layer } from "effect"
import * as Endpoint from "../src/Endpoint.ts"
import * as Handler from "../src/Handler.ts"
import * as Surfaces from "../src/Surfaces.ts"
import { GiftCardApi, giftCardsIn } from "./GiftCards.ts"
import { type NoAnswer, type Reply, serve } from "./Serving.ts"

const giftCards = giftCardsIn(Effect.as(Effect.sleep("300 millis"), 300))

const untilStatus = (
  get: (path: string) => Effect.Effect<Reply, NoAnswer>,
  path: string,
  status: number
) => Effect.repeat(get(path), { until: (reply) => reply.status === status })

describe("probes", () => {
  it.live("an agent is alive, ready and started at its prefix, at the root and under every alias", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get } = yield* serve([giftCards])
      for (const prefix of ["", "/giftcard"]) {
        for (
          const path of [
            "/health",
            "/livez",
            "/health/live",
            "/health/ready",
            "/readyz",
            "/health/started",
            "/startupz",
            "/health/detailed"
          ]
        ) {
          const reply = yield* get(prefix + path)
          assert.deepStrictEqual(
            [path, reply.status, reply.headers["cache-control"], reply.headers["x-degradation-level"]],
            [path, 200, "no-store", "0"]
          )
        }
      }
      assert.deepInclude((yield* get("/health")).json, { status: "alive", agent: "giftcard" })
      assert.deepInclude((yield* get("/health/ready")).json, {
        status: "ready",
        database: "connected",
        degradation_level: 0
      })
    })))

  it.live("the IETF form comes to who accepts it", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get } = yield* serve([giftCards])
      const accept = { accept: "application/health+json" }
      const ready = yield* get("/giftcard/health/ready", accept)
      assert.strictEqual(ready.headers["content-type"], "application/health+json")
      assert.strictEqual(ready.json["status"], "pass")
      const detailed = yield* get("/giftcard/health/detailed", accept)
      assert.deepInclude(detailed.json, { status: "pass", degradationLevel: 0, phase: "ready" })
      assert.property(detailed.json["checks"], "sqlite:commitTime")
    })))

  it.live("an agent whose store cannot be opened serves probes at level 4, says why, and gets ready by itself", () =>
    Effect.scoped(Effect.gen(function*() {
      let broken = true
      const { get } = yield* serve([giftCards], {}, {
        openStore: (agent) =>
          Layer.unwrapEffect(Effect.suspend(() =>
            broken
              ? Effect.fail(new StoreUnavailable({ reason: "other", detail: "the disk is on fire" }))
              : Effect.succeed(Sqlite.layerTemporary({ agent: agent.name, migrations: agent.migrations }))
          ))
      })
      const down = yield* untilStatus(get, "/health/detailed", 503)
      assert.strictEqual(down.headers["x-degradation-level"], "4")
      assert.include(down.text, "the disk is on fire")
      assert.strictEqual((yield* get("/health")).status, 200)
      const ready = yield* get("/health/ready")
      assert.deepStrictEqual([ready.status, ready.headers["retry-after"]], [503, "1"])
      const refused = yield* get("/giftcard/cards")
      assert.deepStrictEqual([refused.status, refused.json["code"]], [503, "starting"])
      broken = false
      yield* untilStatus(get, "/health/ready", 200)
      assert.strictEqual((yield* get("/giftcard/cards")).status, 200)
    })))

  it.live("a store that cannot be written lowers the level to 3: reads go on, writes are refused, and it heals", () =>
    Effect.scoped(Effect.gen(function*() {
      let full = false
      const { get, post } = yield* serve([giftCards], {}, {
        openStore: (agent) =>
          Layer.map(
            Sqlite.layerTemporary({ agent: agent.name, migrations: agent.migrations }),
            (context) => {
              const database = Context.get(context, Database)
              const room = Effect.suspend(() =>
                full ? Effect.fail(new StoreUnavailable({ reason: "full", detail: "no space left" })) : Effect.void
              )
              const filling: DatabaseShape = {
                ...database,
                stats: database.stats,
                execute: (operation) => Effect.zipRight(room, database.execute(operation)),
                housekeep: (name, handler) => Effect.zipRight(room, database.housekeep(name, handler))
              }
              return Context.make(Database, filling)
            }
          )
      })
      yield* untilStatus(get, "/health/ready", 200)
      full = true
      const first = yield* post("/giftcard/cards", { amount: 1 }, { "idempotency-key": "full" })
      // Unless one of the agent's own jobs met the full disk before.
      assert.include(["store_unavailable", "degraded_write_refused"], first.json["code"])
      assert.deepStrictEqual([first.status, first.headers["retry-after"], first.json["degradationLevel"]], [
        503,
        "1",
        3
      ])
      const second = yield* post("/giftcard/cards", { amount: 1 }, { "idempotency-key": "full" })
      assert.deepStrictEqual([second.status, second.json["code"], second.json["degradationLevel"]], [
        503,
        "degraded_write_refused",
        3
      ])
      const read = yield* get("/giftcard/cards")
      assert.deepStrictEqual([read.status, read.headers["x-degradation-level"]], [200, "3"])
      assert.match(String(read.headers["x-data-as-of"]), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
      assert.strictEqual((yield* get("/health/ready")).status, 200)
      full = false
      yield* Effect.repeat(get("/health"), { until: (reply) => reply.headers["x-degradation-level"] === "0" })
      const third = yield* post("/giftcard/cards", { amount: 1 }, { "idempotency-key": "full" })
      assert.strictEqual(third.status, 201)
    })))

  it.live("while it drains it is not ready, and what it has accepted is answered", () =>
    Effect.scoped(Effect.gen(function*() {
      const { agents, get, stop } = yield* serve([giftCards])
      const slow = yield* Effect.fork(get("/giftcard/slow"))
      yield* Effect.sleep("100 millis")
      const stopping = yield* Effect.fork(stop)
      yield* Effect.sleep("20 millis")
      assert.deepStrictEqual(agents.map((agent) => agent.phase), ["draining"])
      const reply = yield* slow
      assert.deepStrictEqual([reply.status, reply.headers.connection], [200, "close"])
      yield* stopping
      assert.strictEqual((yield* Effect.either(get("/health")))._tag, "Left")
      assert.deepStrictEqual(agents.map((agent) => agent.phase), ["stopped"])
    })))
})

describe("metrics", () => {
  it.live("count requests by route and status, operations, jobs and the level, in Prometheus's text", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get, post } = yield* serve([giftCards])
      yield* post("/giftcard/cards", { amount: 1 }, { "idempotency-key": "m" })
      yield* post("/giftcard/cards", { amount: 1 }, { "idempotency-key": "m" })
      const { headers, text } = yield* get("/metrics")
      assert.include(headers["content-type"], "text/plain; version=0.0.4")
      const labels = "http_request_method=\"POST\",http_route=\"/giftcard/cards\",http_response_status_code=\"201\""
      assert.include(text, `http_server_request_duration_seconds_count{${labels}} 2`)
      assert.include(text, "holdfast_degradation_level{agent=\"giftcard\"} 0")
      assert.include(text, "holdfast_operation_total{agent=\"giftcard\",outcome=\"replayed\"} 1")
      assert.match(text, /holdfast_job_run_total\{agent="giftcard",job="expire",outcome="success"\} [1-9]/)
      for (const line of text.trimEnd().split("\n")) {
        assert.match(line, /^(?:# (?:HELP|TYPE) [a-z0-9_]+ .+|[a-z0-9_]+(?:\{[^}]*\})? (?:[-+.\deE]+|\+Inf|NaN))$/)
      }
    })))
})

describe("documentation", () => {
  it.live("describes every route with its headers and its errors, and a page that needs nothing else", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get } = yield* serve([giftCards])
      const document = (yield* get("/openapi.json")).json
      assert.strictEqual(document["openapi"], "3.1.0")
      const paths = Object(document["paths"])
      assert.sameMembers(Object.keys(paths), [
        "/giftcard/cards",
        "/giftcard/cards/{id}",
        "/giftcard/cards/{id}/redeem",
        "/giftcard/cards/{id}/block",
        "/giftcard/cards/{id}/write-off",
        "/giftcard/webhooks",
        "/giftcard/break",
        "/giftcard/slow",
        "/giftcard/dead-letters",
        "/giftcard/dead-letters/{id}",
        "/giftcard/dead-letters/{id}/replay",
        "/giftcard/dead-letters/{id}/discard",
        "/giftcard/conflicts",
        "/giftcard/conflicts/{id}",
        "/giftcard/conflicts/{id}/settle",
        "/giftcard/drill",
        "/giftcard/ops/{id}"
      ])
      const issue = paths["/giftcard/cards"].post
      assert.strictEqual(issue.operationId, "giftcard.issue")
      assert.deepInclude(issue.parameters.find((one: { readonly name: string }) => one.name === "Idempotency-Key"), {
        in: "header",
        required: true
      })
      assert.property(issue.responses, "201")
      assert.property(issue.responses["422"].content, "application/problem+json")
      const redeem = paths["/giftcard/cards/{id}/redeem"].post
      assert.include(redeem.responses["409"].description, "card_blocked")
      // Every reference leads somewhere.
      const schemas = Object.keys(Object(Object(document["components"]).schemas))
      const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)]
      assert.isAbove(references.length, 0)
      for (const [, name] of references) assert.include(schemas, name)
      const page = yield* get("/docs")
      assert.include(page.headers["content-type"], "text/html")
      assert.include(page.text, "/giftcard/cards/{id}/redeem")
      assert.notMatch(page.text, /<script|https?:\/\/(?!127\.0\.0\.1)/)
    })))
})

describe("composition", () => {
  it("a handler that writes behind an endpoint without CommandPolicy is a mistake that stops the start", () => {
    const read = Surfaces.endpoints(GiftCardApi).find((endpoint) => endpoint.name === "read")
    assert.isDefined(read)
    assert.throws(
      () => Endpoint.make("giftcard", read, Handler.command(() => Effect.die("never")), undefined),
      "giftcard.read writes, but its endpoint has no CommandPolicy annotation"
    )
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Database, type DatabaseShape } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { StoreUnavailable } from "@holdfast/database/StoreError"
import { EventBus, type Standing } from "@holdfast/messaging/EventBus"
import { BrokerAway } from "@holdfast/messaging/KafkaError"
import { Degradation } from "@holdfast/resilience/Degradation"
import * as Dependency from "@holdfast/resilience/Dependency"
import { Context, Effect, Layer, Option, Redacted, TestClock } from "effect"
import * as CommandFate from "../src/CommandFate.ts"
import * as Endpoint from "../src/Endpoint.ts"
import * as Handler from "../src/Handler.ts"
import * as LevelTimes from "../src/LevelTimes.ts"
import * as Surfaces from "../src/Surfaces.ts"
import { GiftCardApi, giftCardsIn } from "./GiftCards.ts"
import { type NoAnswer, type Reply, serve } from "./Serving.ts"

const giftCards = giftCardsIn(Effect.as(Effect.sleep("300 millis"), 300))

const untilStatus = (
  get: (path: string) => Effect.Effect<Reply, NoAnswer>,
  path: string,
  status: number
) => Effect.repeat(get(path), { until: (reply) => reply.status === status })

const untilText = (get: (path: string) => Effect.Effect<Reply, NoAnswer>, path: string, text: string) =>
  Effect.repeat(Effect.delay(get(path), "10 millis"), { until: (reply) => reply.text.includes(text) }).pipe(
    Effect.timeout("10 seconds")
  )

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
      const { get, log } = yield* serve([giftCards], {}, {
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
      assert.include(down.text, "are neither heard nor sent yet; the agent has not joined the bus")
      assert.strictEqual((yield* get("/health")).status, 200)
      const ready = yield* get("/health/ready")
      assert.deepStrictEqual([ready.status, ready.headers["retry-after"]], [503, "1"])
      const refused = yield* get("/giftcard/cards")
      assert.deepStrictEqual([refused.status, refused.json["code"]], [503, "starting"])
      yield* Effect.sleep("1 second")
      // Neither the probes nor the attempts since the first one are worth a line.
      assert.lengthOf(log.filter((line) => line.includes("the disk is on fire")), 1)
      assert.notInclude(log.join("\n"), "/health")
      broken = false
      yield* untilStatus(get, "/health/ready", 200)
      assert.strictEqual((yield* get("/giftcard/cards")).status, 200)
    })))

  it.live("a store that cannot be written lowers the level to 3: reads go on, writes are refused, and it heals", () =>
    Effect.scoped(Effect.gen(function*() {
      let full = false
      const { get, log, post } = yield* serve([giftCards], {}, {
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
      for (let n = 0; n < 3; n++) yield* post("/giftcard/cards", { amount: 1 }, { "idempotency-key": "full" })
      const lines = log.map((line) => Object(JSON.parse(line)))
      const refusals = lines.filter(({ code, level }) => code === "degraded_write_refused" && level !== "debug")
      assert.lengthOf(refusals, 1)
      assert.deepInclude(refusals[0], { level: "info", message: "request refused", status: 503 })
      // Among them jobs that have met the full disk.
      assert.deepStrictEqual(
        lines.filter(({ cause, level }) => level === "error" || (level !== "debug" && cause !== undefined)),
        []
      )
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

/** A broker that nobody finds, and what waits for it. */
const busWithoutBroker = Layer.scoped(
  EventBus,
  Effect.map(
    Dependency.make({ name: "kafka", probe: new BrokerAway({ operation: "probe", detail: "connect ECONNREFUSED" }) }),
    (broker) =>
      EventBus.of({
        broker,
        join: () => Effect.void,
        standing: () => ({ isHearing: false, isSending: false }),
        lanes: () => [{
          consumer: "giftcard",
          source: "ecom.order.events.v1/0",
          position: 7,
          lag: 3,
          paused: true,
          lastError: "no broker"
        }],
        publishing:
          () => [{ agent: "giftcard", position: 4, pending: 2, oldestAt: Date.now() - 60_000, lastError: "no broker" }]
      })
  )
)

describe("what is away", () => {
  it.live("Kafka: level 2, everything runs, messages wait; said in words, checks and metrics", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get, post } = yield* serve([giftCards], {}, { bus: busWithoutBroker })
      const ready = yield* untilText(get, "/giftcard/health/ready", "degraded")
      assert.strictEqual(ready.status, 200)
      assert.deepInclude(ready.json, {
        database: "connected",
        kafka: "degraded",
        redis: "memory",
        degradation_level: 2
      })
      assert.strictEqual((yield* post("/giftcard/cards", { amount: 1 }, { "idempotency-key": "two" })).status, 201)
      const detailed = yield* untilText(get, "/giftcard/health/detailed", "ECONNREFUSED")
      const [agent] = Array.from(Object(detailed.json["agents"])).map(Object)
      assert.match(agent.notes[0], /^Kafka is away \(probe: connect ECONNREFUSED.*\); messages wait in the outbox$/)
      assert.deepInclude(agent.dependencies.kafka, {
        status: "away",
        breaker: "open",
        publishError: "no broker"
      })
      // Nobody knows how many there are now.
      assert.notProperty(agent.dependencies.kafka, "lag")
      assert.notProperty(agent.lanes[0], "lag")
      assert.deepStrictEqual(agent.works, {
        reads: "are answered",
        commands: { mergeable: "run", bounded: "run", provisional: "run", refused: "run" },
        messages: "wait in the outbox and on the broker",
        affectedEndpoints: { kept: [], bounded: [], refused: [] }
      })
      const checks = Object(detailed.json["checks"])
      assert.deepInclude(checks["kafka:responseTime"][0], { status: "fail", breaker: "open" })
      assert.deepInclude(checks["kafka:consumerLag"][0], { status: "warn", output: "no broker" })
      assert.notProperty(checks["kafka:consumerLag"][0], "observedValue")
      assert.deepInclude(checks["outbox:depth"][0], { status: "warn", output: "no broker" })
      const { text } = yield* get("/metrics")
      assert.include(text, "holdfast_dependency_up{agent=\"giftcard\",dependency=\"kafka\"} 0")
      assert.notInclude(text, "holdfast_consumer_lag{")
      assert.include(text, "holdfast_outbox_failing{agent=\"giftcard\"} 1")
      assert.match(text, /holdfast_outbox_oldest_age_seconds\{agent="giftcard"\} 60/)
      assert.include(text, "holdfast_circuit_breaker_state{agent=\"giftcard\",dependency=\"kafka\",state=\"open\"} 1")
    })))

  it.live("Kafka not joined yet: level 2 from the start, told as that and not as a fault, and no line when it is over", () =>
    Effect.scoped(Effect.gen(function*() {
      let standing: Standing | undefined
      const bus = Layer.scoped(
        EventBus,
        Effect.map(Dependency.make({ name: "kafka", probe: Effect.void }), (broker) =>
          EventBus.of({
            broker,
            join: () => Effect.void,
            standing: () => standing,
            lanes: () => [],
            publishing: () => []
          }))
      )
      const { get, log, post } = yield* serve([giftCards], {}, { bus })
      yield* untilText(get, "/giftcard/health/detailed", "\"phase\":\"ready\"")
      const said = Effect.map(get("/giftcard/health/detailed"), ({ json }) => {
        const [agent] = Array.from(Object(json["agents"])).map(Object)
        return [json["degradationLevel"], agent.reasons, agent.notes, agent.works.messages]
      })
      assert.deepStrictEqual(yield* said, [
        2,
        ["bus_joining"],
        ["Kafka answers, and the agent has not joined it yet; messages of others wait there"],
        "are neither heard nor sent yet; the agent has not joined the bus"
      ])
      assert.deepInclude((yield* get("/health/ready")).json, { database: "connected", kafka: "connected" })
      standing = { isHearing: false, isSending: true }
      assert.deepInclude(yield* said, "are sent, and not heard yet; those of others wait on the broker")
      assert.strictEqual((yield* post("/giftcard/cards", { amount: 1 }, { "idempotency-key": "early" })).status, 201)
      standing = { isHearing: true, isSending: true }
      yield* untilText(get, "/giftcard/health/detailed", "\"degradationLevel\":0")
      assert.deepStrictEqual(yield* said, [0, [], [], "are heard and sent"])
      // Once joined, the level is that of the broker.
      standing = { isHearing: true, isSending: false }
      assert.deepStrictEqual(yield* said, [0, [], [], "are heard; its own wait in the outbox"])
      assert.deepStrictEqual(log.filter((line) => line.includes("\"message\":\"level ")), [])
      const check = Object(Object((yield* get("/giftcard/health/detailed")).json["checks"])["kafka:consumerLag"])[0]
      assert.deepStrictEqual(check, { componentType: "component", status: "pass" })
    })))

  it.live("Redis: the level stays 0, memory stands in, and health warns", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get } = yield* serve([giftCards], {
        redis: Option.some({
          url: Redacted.make("redis://127.0.0.1:1"),
          host: "127.0.0.1",
          port: 1,
          database: 0,
          user: undefined,
          password: undefined,
          tls: false
        })
      })
      const detailed = yield* untilText(get, "/giftcard/health/detailed", "memory stands in for Redis (")
      assert.deepInclude(detailed.json, { status: "warn", degradationLevel: 0 })
      assert.deepInclude(Object(detailed.json["checks"])["redis:responseTime"][0], { status: "fail", breaker: "open" })
      assert.deepInclude((yield* get("/health/ready")).json, { redis: "memory", degradation_level: 0 })
    })))

  it("a command's fate follows from its class, the level and who serves", () => {
    const fates = (level: number, isAlone: boolean) =>
      (["mergeable", "bounded", "provisional", "refused"] as const).map((writeClass) =>
        CommandFate.of(writeClass, { level, isAlone })
      )
    assert.deepStrictEqual(fates(0, false), ["runs", "runs", "runs", "runs"])
    assert.deepStrictEqual(fates(1, true), ["runs", "bounded", "kept", "refused"])
    assert.deepStrictEqual(fates(2, false), ["runs", "runs", "runs", "runs"])
    // Kafka was lost while the outage is still merged.
    assert.deepStrictEqual(fates(2, true), ["runs", "bounded", "kept", "refused"])
    assert.deepStrictEqual(fates(3, true), ["refused", "refused", "refused", "refused"])
  })

  it.scoped("time at each level and the ways between them are counted", () =>
    Effect.gen(function*() {
      const facts = {
        primary: "up",
        standby: "ok",
        bus: "up",
        cache: "up",
        backlogFull: false,
        memoryAnswers: false
      } as const
      const degradation = yield* Degradation.make({ fallback: "allowed" }, facts)
      const times = yield* LevelTimes.follow(degradation)
      yield* TestClock.adjust("10 seconds")
      degradation.unsafeReport({ primary: "away" })
      yield* TestClock.adjust("3 seconds")
      degradation.unsafeReport({ bus: "away" })
      yield* TestClock.adjust("1 second")
      degradation.unsafeReport({ primary: "up", bus: "up" })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(times.seconds(), [11, 3, 0, 1, 0])
      assert.deepStrictEqual(times.transitions(), [
        { from: 0, to: 1, reason: "standby_serves", count: 1 },
        { from: 1, to: 3, reason: "primary_and_bus_away", count: 1 },
        { from: 3, to: 0, reason: "recovered", count: 1 }
      ])
    }))
})

describe("an agent without Postgres", () => {
  it.live("tells what became of an operation; has no conflicts, and refuses what needs Postgres", () =>
    Effect.scoped(Effect.gen(function*() {
      const { get, post } = yield* serve([giftCards])
      const odd = "a key: 100% / odd?#;"
      const card = yield* post("/giftcard/cards", { amount: 7 }, { "idempotency-key": odd })
      const id = encodeURIComponent(`http:giftcard:anonymous:${odd}`)
      const fate = yield* get(`/giftcard/ops/${id}`)
      assert.deepInclude(fate.json, { status: "done", command: "giftcard.issue" })
      assert.deepStrictEqual(Object(fate.json["answer"]), {
        status: 201,
        body: card.json,
        location: card.headers.location
      })
      const blocked = `/giftcard/cards/${String(card.json["id"])}/block`
      yield* post(blocked, undefined, { "idempotency-key": "block" })
      yield* post(blocked, undefined, { "idempotency-key": "block again" })
      const refused = yield* get(`/giftcard/ops/${encodeURIComponent("http:giftcard:anonymous:block again")}`)
      assert.deepInclude(refused.json, { status: "refused" })
      assert.deepInclude(Object(refused.json["answer"]), { status: 409 })
      const unknown = yield* get("/giftcard/ops/http%3Agiftcard%3Aanonymous%3Anever")
      assert.deepStrictEqual([unknown.status, unknown.json["code"]], [404, "not_found"])
      assert.deepStrictEqual((yield* get("/giftcard/conflicts")).json, { items: [] })
      assert.deepStrictEqual((yield* get("/giftcard/drill")).json, { state: "never" })
      for (
        const [path, body] of [["/giftcard/drill", { seconds: 1 }], ["/giftcard/conflicts/x/settle", {
          keep: "outage"
        }]] as const
      ) {
        const reply = yield* post(path, body)
        assert.deepStrictEqual([path, reply.status, reply.json["code"]], [path, 409, "primary_not_configured"])
      }
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

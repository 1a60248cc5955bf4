// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Holdfast from "@holdfast/agent/Holdfast"
import { Effect } from "effect"
import { withSandbox } from "../src/Agent.ts"
import * as WebhookSignature from "../src/WebhookSignature.ts"
import * as World from "./World.ts"

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Readonly<Record<string, unknown>>
}

const test = (
  name: string,
  body: (
    send: (
      method: string,
      path: string,
      json?: unknown,
      headers?: Readonly<Record<string, string>>
    ) => Effect.Effect<Answer>,
    port: number
  ) => Effect.Effect<void, unknown>
) =>
  it.scopedLive(name, () =>
    Effect.gen(function*() {
      const directory = yield* World.folder
      const config = yield* AgentConfig.load({
        HOLDFAST_PORT: "0",
        HOLDFAST_DATA_DIR: directory,
        LOG_LEVEL: "error"
      })
      const served = yield* Holdfast.serve({
        agents: [withSandbox({ directory, secret: "secret", callTimeout: "200 millis", slow: "1 second" })],
        config
      })
      yield* served.ready
      let key = 0
      yield* body((method, path, json, headers = {}) =>
        Effect.promise(async () => {
          const response = await fetch(`http://127.0.0.1:${served.port}/payment${path}`, {
            method,
            headers: {
              ...(json === undefined ? {} : { "content-type": "application/json" }),
              "idempotency-key": `test-${key++}`,
              ...headers
            },
            ...(json === undefined ? {} : { body: typeof json === "string" ? json : JSON.stringify(json) })
          })
          return { status: response.status, headers: response.headers, body: Object(await response.json()) }
        }), served.port)
    }))

const wanted = (n: number, methodToken: string) => ({
  paymentId: World.paymentId(n),
  orderId: World.orderId(n),
  amount: World.gbp(100),
  methodToken
})

describe("over HTTP", () => {
  test("a payment's life: authorised, captured, refunded once of two at once, and its books", (send) =>
    Effect.gen(function*() {
      const path = `/payments/${World.paymentId(1)}`
      const state = (wanted: string) =>
        Effect.repeat(Effect.delay(send("GET", path), "20 millis"), {
          until: ({ body }) => body["state"] === wanted,
          times: 300
        })
      const created = yield* send("POST", "/payments", wanted(1, "timeout_but_charged"))
      assert.strictEqual(created.status, 202)
      assert.isUndefined(created.body["methodToken"])
      assert.strictEqual((yield* state("authorized")).body["state"], "authorized")
      assert.strictEqual(
        (yield* send("POST", "/payments", { ...wanted(2, "ok"), orderId: World.orderId(1) })).status,
        409
      )
      assert.strictEqual((yield* send("POST", `${path}/capture`, { amount: World.gbp(101) })).status, 409)
      assert.strictEqual((yield* send("POST", `${path}/capture`, {})).status, 202)
      assert.strictEqual((yield* state("captured")).body["state"], "captured")
      assert.strictEqual((yield* send("POST", `${path}/void`, {})).body["code"], "payment_state_conflict")
      const refund = send("POST", `${path}/refunds`, { amount: World.gbp(60), reason: "test" })
      const refunds = yield* Effect.all([refund, refund], { concurrency: "unbounded" })
      assert.deepStrictEqual(refunds.map(({ status }) => status).sort(), [202, 409])
      yield* state("partially_refunded")
      const stale = yield* send("POST", `${path}/refunds`, { amount: World.gbp(1), reason: "test" }, {
        "if-match": "\"1\""
      })
      assert.strictEqual(stale.status, 412)
      for (const list of ["attempts", "ledger", "refunds"]) {
        const first = yield* send("GET", `${path}/${list}?limit=1`)
        assert.strictEqual(first.status, 200)
        const next = first.body["next"]
        if (typeof next === "string") {
          assert.strictEqual((yield* send("GET", `${path}/${list}?limit=1&after=${next}`)).status, 200)
        }
      }
      const listed = yield* send("GET", `/payments?orderId=${World.orderId(1)}&state=partially_refunded`)
      assert.strictEqual(Array.isArray(listed.body["items"]) && listed.body["items"].length, 1)
      assert.strictEqual((yield* send("POST", `${path}/sync`)).status, 202)
    }))

  test("a challenge is finished by hand, and only one that there is", (send) =>
    Effect.gen(function*() {
      const path = `/payments/${World.paymentId(1)}`
      const complete = send("POST", `/sandbox/challenges/${World.paymentId(1)}/complete`, { outcome: "authenticated" })
      assert.strictEqual((yield* complete).status, 404)
      yield* send("POST", "/payments", wanted(1, "threeds"))
      const state = (wanted: string) =>
        Effect.repeat(Effect.delay(send("GET", path), "20 millis"), {
          until: ({ body }) => body["state"] === wanted,
          times: 300
        })
      assert.isDefined((yield* state("requires_action")).body["action"])
      assert.strictEqual((yield* complete).status, 200)
      assert.strictEqual((yield* state("authorized")).body["state"], "authorized")
    }))

  test("webhooks are taken by their signature over the raw body", (send) =>
    Effect.gen(function*() {
      const raw = "{ \"id\": \"evt_1\",  \"type\": \"x\", \"data\": {} }"
      const signed = (secret: string) => ({
        "webhook-signature": WebhookSignature.sign(secret, new TextEncoder().encode(raw), Date.now())
      })
      assert.deepInclude(yield* send("POST", "/webhooks/sandbox", raw), { status: 401 })
      assert.deepInclude(yield* send("POST", "/webhooks/sandbox", raw, signed("other")), { status: 401 })
      for (let i = 0; i < 2; i++) {
        const taken = yield* send("POST", "/webhooks/sandbox", raw, signed("secret"))
        assert.strictEqual(taken.status, 200)
        assert.deepStrictEqual(taken.body, { received: true })
      }
      assert.deepInclude(yield* send("POST", "/webhooks/nobody", raw, signed("secret")), { status: 404 })
    }))

  test(
    "a gateway that does not answer is seen in health and metrics, and lowers no level",
    (send, port) =>
      Effect.gen(function*() {
        type Detail = Answer["body"]
        const detailed = Effect.map(send("GET", "/health/detailed"), ({ body }) => body)
        const sees = (check: (detail: Detail) => boolean): Effect.Effect<Detail> =>
          Effect.flatMap(detailed, (detail) =>
            check(detail) ? Effect.succeed(detail) : Effect.zipRight(Effect.sleep("50 millis"), sees(check)))
        const gatewayOf = (detail: Detail) =>
          Object(Object(detail["agents"])[0]).dependencies.gateway
        const metrics = Effect.promise(async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text())
        const up = yield* detailed
        assert.deepInclude(gatewayOf(up), { status: "up", breaker: "closed", waitingCalls: 0 })
        assert.strictEqual(up["status"], "pass")

        for (let n = 0; n < 6; n++) yield* send("POST", "/payments", wanted(100 + n, `never_answers:${n}`))
        const silent = yield* sees((detail) =>
          gatewayOf(detail).status === "away" && gatewayOf(detail).waitingCalls === 6
        )
        assert.deepInclude(gatewayOf(silent), { breaker: "open", lastError: "no answer within 200 ms" })
        assert.isAbove(gatewayOf(silent).oldestWaitingSeconds, 0)
        assert.strictEqual(silent["status"], "warn")
        assert.strictEqual(silent["degradationLevel"], 0)
        assert.match(
          Object(silent["notes"])[0],
          /^the gateway does not answer \(no answer within 200 ms\); 6 calls wait for the gateway, the oldest for \d+\.\d s$/
        )
        assert.deepInclude(Object(silent["checks"])["gateway:waitingCalls"][0], {
          status: "fail",
          observedValue: 6,
          breaker: "open"
        })
        const text = yield* metrics
        assert.include(text, "holdfast_dependency_up{agent=\"payment\",dependency=\"gateway\"} 0")
        assert.include(
          text,
          "holdfast_circuit_breaker_state{agent=\"payment\",dependency=\"gateway\",state=\"open\"} 1"
        )
        assert.include(text, "holdfast_dependency_waiting_calls{agent=\"payment\",dependency=\"gateway\"} 6")
        assert.match(text, /holdfast_dependency_waiting_oldest_age_seconds\{agent="payment",dependency="gateway"\} \d/)

        yield* send("POST", "/payments", wanted(1, "ok"))
        yield* sees((detail) => gatewayOf(detail).status === "up")
        assert.include(yield* metrics, "holdfast_dependency_up{agent=\"payment\",dependency=\"gateway\"} 1")
        // They still wait: a note says so when they have waited for ten seconds.
        const waiting = yield* sees((detail) => detail["status"] === "warn")
        assert.match(
          Object(waiting["notes"])[0],
          /^6 calls wait for the gateway, the oldest for \d+\.\d s$/
        )
        assert.deepInclude(Object(waiting["checks"])["gateway:waitingCalls"][0], { status: "warn", breaker: "closed" })
      })
  )
})

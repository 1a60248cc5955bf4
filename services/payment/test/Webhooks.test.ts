// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@holdfast/database/Transaction"
import { Effect, Either, TestClock } from "effect"
import { WebhookEvents } from "../src/Tables.ts"
import * as Webhooks from "../src/Webhooks.ts"
import * as WebhookSignature from "../src/WebhookSignature.ts"
import * as World from "./World.ts"

const NOW = Date.UTC(2026, 0, 1)
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const event = (id: string, data: unknown = {}) => encode({ id, type: "payment.authorized", data })

const test = (name: string, body: (world: World.World) => Effect.Effect<void, unknown>) =>
  it.scoped(name, () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(NOW)
      yield* body(yield* World.open(yield* World.folder))
    }))

const receive = (world: World.World, raw: Uint8Array, signature: string | undefined, provider = "sandbox") =>
  Effect.either(world.execute(Webhooks.receive({ provider, raw, signature })))

const refusal = (result: Either.Either<unknown, { readonly _tag: string; readonly reason?: string }>) =>
  Either.isLeft(result) ? `${result.left._tag} ${result.left.reason ?? ""}`.trim() : "taken"

const stored = (world: World.World) => world.database.read(Transaction.select(WebhookEvents, {}))

describe("a webhook", () => {
  test("with a right signature is stored once, however often it comes", (world) =>
    Effect.gen(function*() {
      const raw = event("evt_1")
      const signature = WebhookSignature.sign(world.sandbox.secret, raw, NOW)
      for (let i = 0; i < 3; i++) assert.isTrue(Either.isRight(yield* receive(world, raw, signature)))
      const rows = yield* stored(world)
      assert.strictEqual(rows.length, 1)
      yield* World.settle
      assert.isNotNull((yield* stored(world))[0]?.processedAt)
    }))

  test("that is forged, changed, old, from the future or without form is refused, and nothing stored", (world) =>
    Effect.gen(function*() {
      const { secret } = world.sandbox
      const raw = event("evt_1")
      const cases: ReadonlyArray<readonly [Uint8Array, string | undefined, string]> = [
        [raw, undefined, "missing"],
        [raw, "", "missing"],
        [raw, "nonsense", "malformed"],
        [raw, "t=abc,v1=00", "malformed"],
        [raw, WebhookSignature.sign("other", raw, NOW), "mismatch"],
        [event("evt_2"), WebhookSignature.sign(secret, raw, NOW), "mismatch"],
        [
          raw,
          WebhookSignature.sign(secret, raw, NOW - 400_000).replace(/t=\d+/, `t=${Math.floor(NOW / 1000)}`),
          "mismatch"
        ],
        [raw, WebhookSignature.sign(secret, raw, NOW - 301_000), "too_old"],
        [raw, WebhookSignature.sign(secret, raw, NOW + 301_000), "too_old"],
        [encode("no event"), WebhookSignature.sign(secret, encode("no event"), NOW), "malformed"],
        [new Uint8Array([0xff, 0xfe]), WebhookSignature.sign(secret, new Uint8Array([0xff, 0xfe]), NOW), "malformed"]
      ]
      for (const [body, signature, reason] of cases) {
        const result = yield* receive(world, body, signature)
        assert.strictEqual(refusal(result), `WebhookSignatureInvalid ${reason}`)
      }
      assert.deepStrictEqual(yield* stored(world), [])
      const within = yield* receive(world, raw, WebhookSignature.sign(secret, raw, NOW - 299_000))
      assert.isTrue(Either.isRight(within))
    }))

  test("for a provider we do not have is not found", (world) =>
    Effect.gen(function*() {
      const raw = event("evt_1")
      const result = yield* receive(world, raw, WebhookSignature.sign(world.sandbox.secret, raw, NOW), "other")
      assert.strictEqual(refusal(result), "NotFound")
    }))

  test("about a payment we do not know, or in words we do not know, changes nothing and is done with", (world) =>
    Effect.gen(function*() {
      const notices = [
        { _tag: "CallEnded", idempotencyKey: "pay:x:authorize:1", outcome: { _tag: "Pending", providerRef: "x" } },
        { _tag: "DisputeClosed", disputeRef: "dp_x", outcome: "won" },
        { _tag: "DisputeOpened", disputeRef: "d", authorizationRef: "a", amount: 1, reason: "r", dueBy: NOW },
        { _tag: "Invented" },
        null
      ]
      for (const [n, data] of notices.entries()) {
        const raw = event(`evt_${n}`, data)
        yield* receive(world, raw, WebhookSignature.sign(world.sandbox.secret, raw, NOW))
      }
      yield* World.settle
      assert.isTrue((yield* stored(world)).every(({ processedAt }) => processedAt !== null))
    }))

  it("signature does not depend on the order of its parts, and one of several is enough", () => {
    const raw = event("evt_1")
    const good = WebhookSignature.sign("secret", raw, NOW)
    const [t = "", v1 = ""] = good.split(",")
    for (const header of [`${v1},${t}`, `${t},v1=${"0".repeat(64)},${v1}`, `${t}, v0=abc, ${v1}`]) {
      assert.isTrue(Either.isRight(WebhookSignature.verify("secret", raw, header, NOW)))
    }
  })
})

import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { assert, describe, it } from "@effect/vitest"
import { CommandPolicy } from "@holdfast/contracts/CommandPolicy"
import * as Transaction from "@holdfast/database/Transaction"
import * as Subscription from "@holdfast/messaging/Subscription"
import { Deferred, Effect, Schema } from "effect"
import * as Agent from "../src/Agent.ts"
import * as Handler from "../src/Handler.ts"
import { CardIssued, CardWished, giftCardsIn } from "./GiftCards.ts"
import { type Reply, serve, type Serving } from "./Serving.ts"

const WisherApi = HttpApiGroup.make("wisher").add(
  HttpApiEndpoint.post("wish", "/wishes")
    .setPayload(Schema.Struct({ wish: Schema.String, amount: Schema.Int }))
    .addSuccess(Schema.Struct({ message: Schema.String }), { status: 202 })
    .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
)

const wisher = Agent.make({
  name: "wisher",
  title: "Wishes",
  tables: [],
  migrations: [],
  api: WisherApi,
  handlers: Handler.group(WisherApi, {
    wish: Handler.command(({ payload }) =>
      Effect.map(Transaction.emit(CardWished, payload), (message) => ({ message }))
    )
  })
})

const giftCards = giftCardsIn(Effect.succeed(0))

const items = (reply: Reply) => reply.json["items"] as ReadonlyArray<Readonly<Record<string, unknown>>>

const listed = ({ get }: Serving, path: string, count: number) =>
  Effect.map(Effect.repeat(get(path), { until: (reply) => items(reply).length === count }), items)

const wish = ({ post }: Serving, wanted: string, key = wanted) =>
  post("/wisher/wishes", { wish: wanted, amount: 5 }, { "idempotency-key": key })

describe("messages between agents", () => {
  it.live("a command of one agent takes effect once in another, however often it is sent", () =>
    Effect.scoped(Effect.gen(function*() {
      const serving = yield* serve([wisher, giftCards])
      for (let n = 0; n < 3; n++) assert.strictEqual((yield* wish(serving, "a card")).status, 202)
      yield* listed(serving, "/giftcard/cards?note=a%20card", 1)
      yield* wish(serving, "another")
      yield* listed(serving, "/giftcard/cards?note=another", 1)
      assert.lengthOf(items(yield* serving.get("/giftcard/cards")), 2)
      const { text } = yield* serving.get("/metrics")
      assert.match(text, /holdfast_consumer_lag\{agent="giftcard",source="wisher"\} 0/)
    })))

  it.live("a request's trace context reaches the event of the agent that heard the event of the one that was asked", () =>
    Effect.scoped(Effect.gen(function*() {
      const heard = yield* Deferred.make<string | undefined>()
      const witness = Agent.make({
        name: "witness",
        title: "A witness",
        tables: [],
        migrations: [],
        api: HttpApiGroup.make("witness"),
        handlers: Handler.group(HttpApiGroup.make("witness"), {}),
        subscriptions: [
          Subscription.on(CardIssued, (_, { traceparent }) => Deferred.succeed(heard, traceparent))
        ]
      })
      const { post } = yield* serve([wisher, giftCards, witness])
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      yield* post("/wisher/wishes", { wish: "traced", amount: 5 }, { "idempotency-key": "traced", traceparent })
      assert.strictEqual(yield* Deferred.await(heard), traceparent)
    })))

  it.live("who hears an agent that is not here, without a broker, is warned of: in the log once, and in health", () =>
    Effect.scoped(Effect.gen(function*() {
      const hearing = (name: string) =>
        Agent.make({
          name,
          title: name,
          tables: [],
          migrations: [],
          api: HttpApiGroup.make(name),
          handlers: Handler.group(HttpApiGroup.make(name), {}),
          subscriptions: [Subscription.on(CardIssued, () => Effect.void)]
        })
      const says = /^giftcard does not run in this process and KAFKA_BROKERS is not set: /
      const warnings = ({ log }: Serving) =>
        log.map((line) => Object(JSON.parse(line))).filter(({ message }) => says.test(String(message)))
      const apart = yield* serve([hearing("one"), hearing("two")])
      assert.deepStrictEqual(warnings(apart).map(({ level }) => level), ["warn"])
      assert.include(warnings(apart)[0].message, "what they and one, two tell each other is not heard")
      const { json } = yield* apart.get("/one/health/detailed")
      assert.match(String(Array.from(Object(json["notes"]))[0]), says)
      const together = yield* serve([hearing("one"), giftCards])
      assert.deepStrictEqual(warnings(together), [])
      assert.deepStrictEqual((yield* together.get("/one/health/detailed")).json["notes"], [])
    })))

  it.live("a message that cannot be handled is listed, shown in health and metrics, and can be discarded once", () =>
    Effect.scoped(Effect.gen(function*() {
      const serving = yield* serve([wisher, giftCards])
      yield* wish(serving, "impossible")
      const [letter] = yield* listed(serving, "/giftcard/dead-letters?status=open", 1)
      assert.deepInclude(letter, { errorCode: "impossible", type: CardWished.type, status: "open" })
      const path = `/giftcard/dead-letters/${encodeURIComponent(String(letter?.["id"]))}`
      assert.deepInclude((yield* serving.get(path)).json["envelope"], { data: { wish: "impossible", amount: 5 } })

      const warned = yield* Effect.repeat(serving.get("/giftcard/health/detailed"), {
        until: (reply) => reply.json["status"] === "warn"
      })
      assert.include(warned.text, "1 dead letter waits for a decision")
      assert.include((yield* serving.get("/metrics")).text, "holdfast_dlq_depth{agent=\"giftcard\",status=\"open\"} 1")

      const told = () =>
        serving.log.map((line) => Object(JSON.parse(line))).filter(({ message }) =>
          String(message).includes("1 dead letter waits for a decision")
        )
      assert.deepInclude(told()[0], { level: "warn", agent: "giftcard" })
      assert.include(told()[0].message, "holdfast dead-letters")
      const runs = () => serving.agents[1]?.jobs.find(({ name }) => name === "count-waiting")?.runs ?? 0
      const before = runs()
      const replayed = yield* serving.post(`${path}/replay`, {})
      assert.deepStrictEqual([replayed.status, replayed.json["code"]], [422, "replay_failed"])
      // It is looked at anew, and waits as it did.
      yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => runs() > before }).pipe(Effect.timeout("5 seconds"))
      assert.lengthOf(told(), 1)
      const discarded = yield* serving.post(`${path}/discard`, {})
      assert.deepStrictEqual([discarded.status, discarded.json["status"]], [200, "discarded"], discarded.text)
      const again = yield* serving.post(`${path}/discard`, {})
      assert.deepStrictEqual([again.status, again.json["code"]], [409, "dead_letter_settled"])
      const none = yield* serving.post("/giftcard/dead-letters/none/replay", {})
      assert.deepStrictEqual([none.status, none.json["code"]], [404, "dead_letter_missing"])
    })))
})

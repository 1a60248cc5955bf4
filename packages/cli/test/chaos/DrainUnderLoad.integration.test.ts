// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as HoldfastFleet from "@holdfast/testing/HoldfastFleet"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Fiber, Schema } from "effect"
import { Agent, request } from "node:http"
import { importBody } from "../Shop.ts"
import * as KafkaLog from "./KafkaLog.ts"
import * as Outboxes from "./Outboxes.ts"
import * as Stage from "./Stage.ts"

const isMissing = (["postgres", "kafka"] as const).map((server) => TestServers.isMissing(server)).includes(true)

/** What each agent hears of the other. */
const hears = { order: "ecom.inventory.events.v1", inventory: "ecom.inventory.commands.v1" } as const

/** Clients at once, each on a connection that it keeps. */
const CLIENTS = 8

interface Answered {
  readonly status: number | undefined
  readonly body: string
  readonly fault: string | undefined
}

/** A request on a connection that is kept, without a library that repeats it. */
const send = (agent: Agent, url: string, key: string, body: unknown): Promise<Answered> =>
  new Promise((resolve) => {
    const sent = request(url, {
      agent,
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": key }
    }, (response) => {
      let text = ""
      response.on("data", (chunk) => void (text += String(chunk)))
      response.on("end", () => resolve({ status: response.statusCode, body: text, fault: undefined }))
      response.on("error", (error) => resolve({ status: undefined, body: "", fault: String(error) }))
    })
    sent.on("error", (error) => resolve({ status: undefined, body: "", fault: String(error) }))
    sent.end(JSON.stringify(body))
  })

/** Sends only where readiness says so, as a load balancer does. */
interface Gate {
  isOpen: boolean
  isOver: boolean
  inFlight: number
}

const Placed = Schema.decodeSync(Schema.parseJson(Schema.Struct({ id: Schema.String })))

describe.skipIf(isMissing)("a drain under load", () => {
  it.scopedLive(
    "SIGTERM with orders and messages under way: every request is answered, nothing is done twice, exit 0",
    () =>
      Effect.gen(function*() {
        const run = yield* ChaosRun.make("drain under load")
        const stage = yield* Stage.open({
          agents: ["order", "inventory"],
          unconfigured: ["redis"],
          env: { HOLDFAST_DRAIN_SETTLE: "500ms" }
        })
        const { fleet } = stage
        yield* Stage.start(stage)
        yield* Stage.atLevel(stage, 0)
        yield* Effect.promise(() =>
          fetch(`${fleet.of("inventory").url}/inventory/receipts`, {
            method: "POST",
            headers: { "content-type": "application/json", "idempotency-key": "r" },
            body: JSON.stringify({ refId: "r", locationId: "main", lines: [{ sku: "85123A", qty: 100_000 }] })
          })
        )

        const gate: Gate = { isOpen: true, isOver: false, inFlight: 0 }
        const order = fleet.of("order")
        const answers: Array<Answered> = []
        const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
        const { paymentMethodToken: _, ...body } = importBody("x")
        const client = (name: number) =>
          Effect.promise(async () => {
            for (let n = 0; !gate.isOver; n++) {
              while (!gate.isOpen && !gate.isOver) await new Promise((resolve) => setTimeout(resolve, 5))
              if (gate.isOver) return
              const ref = `${name}-${n}`
              gate.inFlight++
              answers.push(
                await send(agent, `${order.url}/order/orders/import`, ref, {
                  ...body,
                  externalRef: ref,
                  paidByChannel: true
                })
              )
              gate.inFlight--
              await new Promise((resolve) => setTimeout(resolve, 30))
            }
          })
        const balancer = Effect.gen(function*() {
          while (!gate.isOver) {
            const probed = yield* HoldfastFleet.probe(`${order.url}/health/ready`, 500)
            gate.isOpen = probed?.status === 200
            yield* Stage.pause(20)
          }
        })
        const balancing = yield* Effect.fork(balancer)
        const load = yield* Effect.fork(
          Effect.forEach(Array.from({ length: CLIENTS }, (_, name) => name), client, { concurrency: "unbounded" })
        )

        const drains: Array<number> = []
        let unpublished = 0
        const choices = run.choices("drains")
        for (let drain = 0; drain < run.form(5, 20); drain++) {
          const victim = fleet.of(drain % 2 === 0 ? "order" : "inventory")
          yield* Stage.pause(choices.integer(500, 1_500))
          yield* HoldfastFleet.until(
            "requests are in flight",
            Effect.sync(() => gate.inFlight > 0 ? true : undefined)
          )
          const before = answers.length
          const stopping = yield* Effect.fork(victim.stop)
          run.sometimes(`${victim.agent} was stopped with requests in flight`, gate.inFlight > 0)
          const { exit, millis } = yield* Fiber.join(stopping)
          drains.push(millis)
          assert.strictEqual(exit, 0, victim.output())
          assert.isBelow(millis, 30_000)
          if (victim === order) run.sometimes("requests were answered while it drained", answers.length > before)

          // Of what it has handled, the broker gives it nothing again.
          const topic = hears[victim.agent as keyof typeof hears]
          const store = yield* Outboxes.of(stage.databaseUrl, victim.agent)
          const group = `holdfast.${victim.agent}`
          const unsettled = yield* KafkaLog.unsettled(stage.kafka.brokers, group, topic)
          assert.deepStrictEqual(unsettled.filter((id) => store.heard.has(id)), [], "handled and not settled")
          const log = new Set(
            (yield* KafkaLog.read(stage.kafka.brokers, [...new Set(store.said.map((one) => one.topic))]))
              .map(({ id }) => id)
          )
          // What could not be published in the time of a drain is published after the next start: see the end.
          unpublished += store.said.filter(({ event_id }) => !log.has(event_id)).length
          run.sometimes(`${victim.agent} left messages to be heard later`, unsettled.length > 0)
          yield* victim.start
          yield* HoldfastFleet.ready(victim)
        }
        yield* Stage.pause(500)
        gate.isOver = true
        yield* Fiber.join(load)
        yield* Fiber.join(balancing)
        agent.destroy()

        run.figure("requests", answers.length)
        run.figure("drains", drains.length)
        run.figure("messages left to be published later", unpublished)
        run.figure("slowest drain, ms", Math.max(...drains))
        assert.deepStrictEqual(answers.filter(({ status }) => status !== 202), [])
        const placed = answers.map(({ body }) => Placed(body).id)
        assert.strictEqual(new Set(placed).size, placed.length)
        for (const id of placed) {
          yield* HoldfastFleet.until(
            `${id} is confirmed`,
            Effect.map(
              HoldfastFleet.probe(`${order.url}/order/orders/${id}`),
              (probed) => (probed?.body as { readonly state?: string })?.state === "confirmed" ? true : undefined
            )
          )
        }
        const found = yield* Stage.settled(stage)
        assert.deepStrictEqual(found.lines, [])
        assert.strictEqual(found.stock.reserved, placed.length)
        yield* run.reached("order was stopped with requests in flight", "requests were answered while it drained")
      }),
    { timeout: 900_000 }
  )
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { type Envelope, sourceOf } from "@holdfast/contracts/Envelope"
import * as Commands from "@holdfast/contracts/InventoryCommands"
import * as Events from "@holdfast/contracts/InventoryEvents"
import type * as Message from "@holdfast/contracts/Message"
import { Sku } from "@holdfast/contracts/Sku"
import { Database } from "@holdfast/database/Database"
import * as PostgresWatch from "@holdfast/database/PostgresWatch"
import * as Replicated from "@holdfast/database/Replicated"
import * as Consumer from "@holdfast/messaging/Consumer"
import * as DeadLetters from "@holdfast/messaging/DeadLetters"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as ServerProcess from "@holdfast/testing/ServerProcess"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Clock, Effect, Layer, Logger, LogLevel, Redacted } from "effect"
import { initial } from "../src/migrations/0001_initial.ts"
import { subscriptions } from "../src/Reactions.ts"
import { tables } from "../src/Tables.ts"
import { inventory, level, orderId, receive, refusal, reservationId, wish } from "./Shop.ts"

/** Inventory's store on a Postgres that can be cut off. */
const shop = Effect.gen(function*() {
  const server = yield* PostgresServer.start({ settings: { fsync: "off" } })
  const proxy = yield* TcpProxy.make(server)
  const url = new URL(yield* server.createDatabase("inventory"))
  url.host = `${proxy.host}:${proxy.port}`
  const postgres = { url: Redacted.make(url.href) }
  const store = Replicated.layer({
    agent: "inventory",
    migrations: [initial],
    tables,
    directory: yield* ServerProcess.temporaryFolder("bound"),
    postgres,
    watch: yield* PostgresWatch.make(postgres),
    instance: "one",
    fallback: "allowed"
  })
  return { proxy, store: yield* Layer.build(store) }
})

/** Looks until it holds; the test's own time-out ends a look in vain. */
const until = <A, E, R>(look: Effect.Effect<A, E, R>, holds: (a: A) => boolean): Effect.Effect<A, E, R> =>
  Effect.repeat(Effect.delay(look, "20 millis"), { until: holds })

const untilMode = (mode: "primary" | "alone") =>
  Effect.flatMap(
    Database,
    ({ primary }) =>
      until(
        Effect.sync(() =>
          primary?.mode() === mode && (mode === "alone" || primary.dependency.current().status === "up")
        ),
        (isSo) => isSo
      )
  )

const letters = Effect.flatMap(Database, (database) => database.read(DeadLetters.list({ limit: 100 })))

const confirmed = Effect.map(
  inventory.said(Events.ReservationConfirmed),
  (said) => said.map((event) => event.orderId)
)

const A = Sku.make("A")

let sent = 0
const envelope = <Name extends string, A, I>(message: Message.Message<Name, A, I>, payload: A): Envelope => {
  const id = `asked-${sent++}`
  return {
    id,
    source: sourceOf("order"),
    type: message.type,
    topic: message.topic,
    key: message.key(payload),
    subject: message.subject(payload),
    time: "2026-01-01T00:00:00.000Z",
    correlationId: id,
    causationId: id,
    data: payload
  }
}

const reserve = (n: number, qty: number) =>
  envelope(Commands.ReserveStock, wish(n, [["A", qty]], { reservationId: reservationId(n) }))

describe.skipIf(TestServers.isMissing("postgres"))("what may be promised while Postgres is away", () => {
  it.scopedLive(
    "a wish beyond it waits for the goods or for Postgres, one that nothing could serve is rejected",
    () =>
      Effect.gen(function*() {
        const { proxy, store } = yield* shop
        yield* Effect.gen(function*() {
          const consumer = yield* Consumer.make(subscriptions)
          yield* untilMode("primary")
          yield* receive("A", 10)
          yield* Effect.zipRight(proxy.refuse, proxy.cut)
          yield* untilMode("alone")

          // Eight may be promised: four fifths of ten.
          yield* consumer.deliver([reserve(1, 7), reserve(2, 3), reserve(3, 11)])
          assert.deepStrictEqual(yield* confirmed, [orderId(1)])
          assert.deepStrictEqual(yield* inventory.said(Events.ReservationRejected), [
            { orderId: orderId(3), shortages: [{ sku: A, wanted: 11, available: 3 }] }
          ])
          assert.deepStrictEqual((yield* letters).map(({ errorCode, key }) => [key, errorCode]), [
            [orderId(2), "awaits_primary"]
          ])
          const asked = (qty: number) => refusal(inventory.call("reserve", { payload: wish(4, [["A", qty]]) }))
          assert.deepInclude(yield* asked(2), { _tag: "DegradedWriteRefused", level: 1 })
          assert.deepInclude(yield* asked(4), {
            _tag: "InsufficientStock",
            shortages: [{ sku: A, wanted: 4, available: 3 }]
          })

          yield* receive("A", 2)
          yield* until(confirmed, (all) => all.includes(orderId(2)))
          assert.deepStrictEqual(yield* letters, [])

          // None is left of the bound; two are there. What the order says next waits behind.
          const extend = { reservationId: reservationId(5), orderId: orderId(5), ttlSeconds: 3_600 }
          yield* consumer.deliver([reserve(5, 2), envelope(Commands.ExtendReservation, extend)])
          const [waiting] = yield* until(letters, ([first]) => (first?.attempts ?? 0) >= 6)
          assert.deepInclude(waiting, { key: orderId(5), status: "parked" })
          yield* proxy.pass
          yield* untilMode("primary")
          yield* until(confirmed, (all) => all.filter((one) => one === orderId(5)).length === 2)
          assert.isBelow(
            yield* Clock.currentTimeMillis,
            waiting?.nextAt ?? 0,
            "tried at the return, not when it was due"
          )
          assert.deepStrictEqual(yield* letters, [])
          assert.deepStrictEqual(yield* inventory.said(Events.ReservationCommandRefused), [])
          assert.lengthOf(yield* inventory.said(Events.ReservationRejected), 1)
          assert.deepInclude(yield* level("A"), { onHand: 12, reserved: 12 })
        }).pipe(Effect.provide(store))
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)),
    60_000
  )
})

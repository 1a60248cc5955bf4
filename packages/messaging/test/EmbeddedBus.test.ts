import { assert, it } from "@effect/vitest"
import * as Message from "@holdfast/contracts/Message"
import { Cursors } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as EmbeddedBus from "@holdfast/messaging/EmbeddedBus"
import { EventBus } from "@holdfast/messaging/EventBus"
import { Effect, Exit, Schema, Scope, TestClock } from "effect"
import { suite } from "./EventBusSuite.ts"
import { enter, good, open, tell, temporaryDirectory, Told, turns, untilHeard, write } from "./Shop.ts"

suite("embedded bus", EmbeddedBus.layer)

/** On a topic that nobody of these tests hears. */
const Unwanted = Message.command("elsewhere.do", {
  payload: Schema.Struct({ n: Schema.Int }),
  key: ({ n }) => String(n)
})

// Under the TestClock time stands still: whatever waited for a timer would never come.
it.scoped("messages travel by signal: no clock moves between telling and hearing", () =>
  Effect.gen(function*() {
    const directory = yield* temporaryDirectory
    const shop = yield* enter("shop", directory)
    const ledger = yield* enter("ledger", directory)
    for (let n = 0; n < 100; n++) {
      yield* tell(shop.database, [good("a", n)])
      if (n % 20 === 0) yield* untilHeard(ledger.database, n + 1)
    }
    assert.lengthOf(yield* untilHeard(ledger.database, 100), 100)
  }).pipe(Effect.provide(EmbeddedBus.layer)))

it.scoped("cursors are saved a second after they moved, so that a crash repeats little", () =>
  Effect.gen(function*() {
    const directory = yield* temporaryDirectory
    const shop = yield* enter("shop", directory)
    const ledger = yield* enter("ledger", directory)
    yield* tell(shop.database, [good("a", 0)])
    yield* untilHeard(ledger.database, 1)
    const before = ledger.database.stats.transactions
    yield* TestClock.adjust("1 second")
    yield* Effect.repeat(turns(1), { until: () => ledger.database.stats.transactions > before })
    assert.deepStrictEqual(
      yield* ledger.database.read(Transaction.select(Cursors, { where: [["seq", ">", 0]] })),
      [{ source: "urn:ecom:agent:shop", seq: shop.database.outbox.lastSeq() }]
    )
  }).pipe(Effect.provide(EmbeddedBus.layer)))

it.scoped("a message whose transaction is open while its source is read is not skipped", () =>
  Effect.gen(function*() {
    const bus = yield* EventBus
    const directory = yield* temporaryDirectory
    const shop = yield* enter("shop", directory)
    const ledger = yield* open("ledger", directory)
    yield* tell(shop.database, [good("a", 0)])
    const hold = yield* Effect.makeLatch(false)
    const emitted = yield* Effect.makeLatch(false)
    const slow = Effect.zipRight(Transaction.emit(Told, good("a", 1)), Effect.zipRight(emitted.open, hold.await))
    const telling = yield* Effect.fork(write(shop.database, slow))
    yield* emitted.await
    yield* bus.join({ database: ledger.database, ...ledger.consumer })
    yield* untilHeard(ledger.database, 1)
    yield* hold.open
    yield* telling
    assert.deepStrictEqual(yield* untilHeard(ledger.database, 2), ["a0", "a1"])
  }).pipe(Effect.provide(EmbeddedBus.layer)))

it.scoped("who wants nothing of what is kept is at its end at once, and hears what it wants from there", () =>
  Effect.gen(function*() {
    const bus = yield* EventBus
    const directory = yield* temporaryDirectory
    const shop = yield* enter("shop", directory)
    const ledger = yield* open("ledger", directory)
    yield* write(shop.database, Transaction.emit(Unwanted, { n: 1 }))
    yield* write(shop.database, Transaction.emit(Unwanted, { n: 2 }))
    yield* bus.join({ database: ledger.database, ...ledger.consumer })
    const lane = () => bus.lanes().find(({ consumer, source }) => consumer === "ledger" && source === "shop")
    const seq = shop.database.outbox.lastSeq()
    yield* Effect.repeat(turns(1), { until: () => lane()?.position === seq })
    assert.deepInclude(lane(), { lag: 0, paused: false })
    const before = ledger.database.stats.transactions
    yield* TestClock.adjust("1 second")
    yield* Effect.repeat(turns(1), { until: () => ledger.database.stats.transactions > before })
    assert.deepStrictEqual(
      yield* ledger.database.read(Transaction.select(Cursors, { where: [["source", "=", "urn:ecom:agent:shop"]] })),
      [{ source: "urn:ecom:agent:shop", seq }]
    )
    yield* tell(shop.database, [good("a", 0)])
    assert.deepStrictEqual(yield* untilHeard(ledger.database, 1), ["a0"])
  }).pipe(Effect.provide(EmbeddedBus.layer)))

it.scoped("a message that is told while those before it are delivered is not skipped", () =>
  Effect.gen(function*() {
    const bus = yield* EventBus
    const directory = yield* temporaryDirectory
    const shop = yield* enter("shop", directory)
    const ledger = yield* open("ledger", directory)
    const reached = yield* Effect.makeLatch(false)
    const hold = yield* Effect.makeLatch(false)
    yield* bus.join({
      database: ledger.database,
      ...ledger.consumer,
      deliver: (batch) => Effect.zipRight(Effect.zipRight(reached.open, hold.await), ledger.consumer.deliver(batch))
    })
    yield* tell(shop.database, [good("a", 0)])
    yield* reached.await
    yield* tell(shop.database, [good("a", 1)])
    yield* hold.open
    assert.deepStrictEqual(yield* untilHeard(ledger.database, 2), ["a0", "a1"])
  }).pipe(Effect.provide(EmbeddedBus.layer)))

it.scoped("a source that lost its file is heard from its new beginning", () =>
  Effect.gen(function*() {
    const ledger = yield* enter("ledger", yield* temporaryDirectory)
    const scope = yield* Scope.make()
    const shop = yield* Scope.extend(Effect.flatMap(temporaryDirectory, (lost) => enter("shop", lost)), scope)
    yield* tell(shop.database, [good("a", 0), good("a", 1)])
    const { lanes } = yield* EventBus
    yield* Effect.repeat(turns(1), { until: () => lanes().every((lane) => lane.lag === 0) })
    yield* Scope.close(scope, Exit.void)
    const again = yield* enter("shop", yield* temporaryDirectory)
    yield* tell(again.database, [good("a", 2)])
    assert.deepStrictEqual(yield* untilHeard(ledger.database, 3), ["a0", "a1", "a2"])
  }).pipe(Effect.provide(EmbeddedBus.layer)))

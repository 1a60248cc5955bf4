import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@holdfast/database/Transaction"
import * as DeadLetters from "@holdfast/messaging/DeadLetters"
import { EventBus } from "@holdfast/messaging/EventBus"
import { Effect, Exit, Layer, Logger, LogLevel, Scope } from "effect"
import { enter, good, makeReady, tell, temporaryDirectory, Told, turns, until, untilHeard, write } from "./Shop.ts"

const ofKey = (all: ReadonlyArray<string>, key: string) => all.filter((one) => one.startsWith(key))
const numbered = (key: string, amount: number) => Array.from({ length: amount }, (_, n) => `${key}${n}`)

const openLetters = DeadLetters.list({ status: "open", limit: 100 })
const parkedLetters = DeadLetters.list({ status: "parked", limit: 100 })

/** The tests break things on purpose. */
const quiet = Logger.minimumLogLevel(LogLevel.Error)

/** What every bus promises; each test has its own agents in its own folder. */
export const suite = (name: string, bus: Layer.Layer<EventBus>) => {
  const test = <A, E>(
    title: string,
    body: (directory: string) => Effect.Effect<A, E, EventBus | Scope.Scope>
  ) => it.scopedLive(title, () => Effect.provide(Effect.flatMap(temporaryDirectory, body), Layer.merge(bus, quiet)))

  describe(name, () => {
    test("every message takes effect once, in the order of its key, whoever tells at the same time", (directory) =>
      Effect.gen(function*() {
        const shop = yield* enter("shop", directory)
        const ledger = yield* enter("ledger", directory)
        const keys = ["a", "b", "c", "d", "e"]
        yield* Effect.forEach(
          keys,
          (key) => tell(shop.database, Array.from({ length: 80 }, (_, n) => good(key, n))),
          { concurrency: "unbounded" }
        )
        for (const { database } of [ledger, shop]) {
          const all = yield* untilHeard(database, 400)
          assert.lengthOf(all, 400)
          for (const key of keys) assert.deepStrictEqual(ofKey(all, key), numbered(key, 80))
        }
      }))

    test("an agent hears what was told before it came, and what is told while it is away", (directory) =>
      Effect.gen(function*() {
        const shop = yield* enter("shop", directory)
        yield* tell(shop.database, [good("a", 0), good("a", 1)])
        const scope = yield* Scope.make()
        const ledger = yield* Scope.extend(enter("ledger", directory), scope)
        yield* untilHeard(ledger.database, 2)
        yield* tell(shop.database, [good("a", 2)])
        yield* untilHeard(ledger.database, 3)
        yield* Scope.close(scope, Exit.void)
        yield* tell(shop.database, [good("a", 3), good("a", 4)])
        const again = yield* enter("ledger", directory)
        assert.deepStrictEqual(yield* untilHeard(again.database, 5), numbered("a", 5))
        assert.isBelow(again.consumer.stats.duplicates, 3, "the cursor was kept")
      }))

    test("a source that restarts is heard on, and nothing is heard twice", (directory) =>
      Effect.gen(function*() {
        const ledger = yield* enter("ledger", directory)
        const scope = yield* Scope.make()
        const shop = yield* Scope.extend(enter("shop", directory), scope)
        yield* tell(shop.database, [good("a", 0), good("b", 0)])
        yield* untilHeard(ledger.database, 2)
        yield* Scope.close(scope, Exit.void)
        const again = yield* enter("shop", directory)
        yield* tell(again.database, [good("a", 1)])
        const all = yield* untilHeard(ledger.database, 3)
        assert.deepStrictEqual([ofKey(all, "a"), ofKey(all, "b")], [["a0", "a1"], ["b0"]])
      }))

    test("the message after one that was undone, which has its place in the log, is heard", (directory) =>
      Effect.gen(function*() {
        const shop = yield* enter("shop", directory)
        const ledger = yield* enter("ledger", directory)
        yield* tell(shop.database, [good("a", 0)])
        yield* untilHeard(ledger.database, 1)
        const undone = Effect.zipRight(Transaction.emit(Told, good("a", 9)), Effect.fail("no" as const))
        yield* Effect.flip(write(shop.database, undone))
        // Whoever moves its cursor to the end of the log has done so by now.
        yield* turns(20)
        yield* tell(shop.database, [good("a", 1)])
        assert.deepStrictEqual(yield* untilHeard(ledger.database, 2), ["a0", "a1"])
      }))

    test("a message whose commit was not answered comes again and takes effect once", (directory) =>
      Effect.gen(function*() {
        const shop = yield* enter("shop", directory)
        const ledger = yield* enter("ledger", directory)
        ledger.faults.mode = "answers-lost"
        yield* tell(shop.database, [good("a", 0), good("a", 1), good("b", 0)])
        yield* untilHeard(ledger.database, 1)
        ledger.faults.mode = "none"
        yield* tell(shop.database, [good("a", 2)])
        assert.deepStrictEqual((yield* untilHeard(ledger.database, 4)).toSorted(), ["a0", "a1", "a2", "b0"])
        assert.isAbove(ledger.consumer.stats.duplicates, 0)
      }))

    test("a poison message becomes a dead letter with its event; the others go on", (directory) =>
      Effect.gen(function*() {
        const shop = yield* enter("shop", directory)
        const ledger = yield* enter("ledger", directory)
        yield* tell(shop.database, [
          good("a", 0),
          { key: "a", n: 1, effect: "refused" },
          { key: "b", n: 0, effect: "defect" },
          good("a", 2),
          good("b", 1)
        ])
        const all = yield* untilHeard(ledger.database, 3)
        assert.deepStrictEqual(ofKey(all, "a"), ["a0", "a2"])
        assert.deepStrictEqual(ofKey(all, "b"), ["b1"])
        const letters = yield* ledger.database.read(openLetters)
        assert.deepStrictEqual(letters.map((letter) => letter.errorCode).toSorted(), ["defect", "refused"])
        const told = yield* ledger.database.outbox.readAfter(0, ["ecom.system.events.v1"], 10)
        assert.deepStrictEqual(
          told.map((message) => message.envelope.causationId).toSorted(),
          letters.map((letter) => letter.eventId).toSorted()
        )
      }))

    test("a message that comes too early holds up its own key only, and is handled in order when it may be", (directory) =>
      Effect.gen(function*() {
        const shop = yield* enter("shop", directory)
        const ledger = yield* enter("ledger", directory)
        yield* tell(shop.database, [{ key: "a", n: 0, effect: "early" }, good("a", 1), good("b", 0), good("a", 2)])
        yield* tell(shop.database, [good("a", 3), good("b", 1)])
        assert.deepStrictEqual(yield* untilHeard(ledger.database, 2), ["b0", "b1"])
        yield* until(ledger.database, ledger.database.read(parkedLetters), (letters) => letters.length === 4)
        yield* makeReady(ledger.database, "a")
        const all = yield* untilHeard(ledger.database, 6)
        assert.deepStrictEqual(ofKey(all, "a"), numbered("a", 4))
        assert.deepStrictEqual(yield* ledger.database.read(parkedLetters), [])
      }))

    test("while the store is away the lane is paused, nothing is given up, and all goes on in order afterwards", (directory) =>
      Effect.gen(function*() {
        const { lanes } = yield* EventBus
        const shop = yield* enter("shop", directory)
        const ledger = yield* enter("ledger", directory)
        const lane = Effect.sync(() => lanes().find((one) => one.consumer === "ledger" && (one.lag ?? 0) > 0))
        ledger.faults.mode = "away"
        yield* tell(shop.database, Array.from({ length: 50 }, (_, n) => good("a", n)))
        // What came after the pause is counted too, sooner or later.
        const paused = yield* Effect.repeat(Effect.zipLeft(lane, Effect.sleep("10 millis")), {
          until: (found) => found?.paused === true && (found.lag ?? 0) >= 50
        })
        assert.include(paused?.lastError ?? "", "away")
        ledger.faults.mode = "none"
        assert.deepStrictEqual(yield* untilHeard(ledger.database, 50), numbered("a", 50))
        assert.deepStrictEqual(yield* ledger.database.read(DeadLetters.list({ limit: 10 })), [])
        const after = yield* Effect.repeat(
          Effect.zipRight(
            Effect.sleep("10 millis"),
            Effect.sync(() => lanes().filter((one) => one.consumer === "ledger"))
          ),
          { until: (all) => all.every((one) => one.lag === 0) }
        )
        assert.isTrue(after.every((one) => !one.paused && one.lastError === undefined))
      }))
  })
}

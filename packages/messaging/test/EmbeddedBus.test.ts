import { assert, it } from "@effect/vitest"
import { Cursors } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as EmbeddedBus from "@holdfast/messaging/EmbeddedBus"
import { Effect, TestClock } from "effect"
import { suite } from "./EventBusSuite.ts"
import { enter, good, tell, temporaryDirectory, untilHeard } from "./Shop.ts"

suite("embedded bus", EmbeddedBus.layer)

// Under the TestClock time stands still: whatever waited for a timer would never come.
it.scoped("messages travel by signal: no clock moves between telling and hearing", () =>
  Effect.gen(function*() {
    const directory = yield* temporaryDirectory
    const shop = yield* enter("shop", directory)
    const ledger = yield* enter("ledger", directory)
    for (let n = 0; n < 300; n++) {
      yield* tell(shop.database, [good("a", n)])
      if (n % 50 === 0) yield* untilHeard(ledger.database, n + 1)
    }
    assert.lengthOf(yield* untilHeard(ledger.database, 300), 300)
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
    yield* Effect.repeat(Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void))), {
      until: () => ledger.database.stats.transactions > before
    })
    assert.deepStrictEqual(
      yield* ledger.database.read(Transaction.select(Cursors, { where: [["seq", ">", 0]] })),
      [{ source: "urn:ecom:agent:shop", seq: shop.database.outbox.lastSeq() }]
    )
  }).pipe(Effect.provide(EmbeddedBus.layer)))

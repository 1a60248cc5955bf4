import { assert, describe, it } from "@effect/vitest"
import { openWriter } from "@holdfast/database/SqliteConnection"
import * as HoldfastProcess from "@holdfast/testing/HoldfastProcess"
import { Effect } from "effect"
import { join } from "node:path"
import { importBody, temporary } from "./Shop.ts"

/** Four agents in one process, payment in another; commands know where each answers. */
const apart = Effect.gen(function*() {
  const dataDir = yield* temporary
  const [shopPort = 0, paymentPort = 0] = yield* Effect.replicateEffect(HoldfastProcess.freePort, 2)
  const names = ["product", "order", "inventory", "fraud"]
  const at = { shop: `http://127.0.0.1:${shopPort}`, payment: `http://127.0.0.1:${paymentPort}` }
  const env = {
    ...Object.fromEntries(names.map((name) => [`${name.toUpperCase()}_URL`, at.shop])),
    PAYMENT_URL: at.payment
  }
  const [shop, payment] = yield* Effect.all([
    HoldfastProcess.start({ port: shopPort, dataDir, agents: names, env }),
    HoldfastProcess.start({ port: paymentPort, dataDir, agents: ["payment"], env })
  ], { concurrency: "unbounded" })
  const run = (...args: ReadonlyArray<string>) =>
    Effect.scoped(Effect.gen(function*() {
      const child = yield* HoldfastProcess.run(args, env)
      const exit = yield* child.exit
      return { exit, ...child.output() }
    }))
  return { at, dataDir, payment, run, shop }
})

const letter = (dataDir: string) =>
  Effect.sync(() => {
    const store = openWriter(join(dataDir, "order.sqlite"))
    store.exec(
      `insert into dead_letter values ('urn:x', 'ecom.product.events.v1', 'urn:product', 'e', 'k', 't', '{}',
         'undecodable', 'm', 1, 1, null, 'open', null, 1)`
    )
    store.close()
  })

describe("lists of several processes", () => {
  it.scopedLive("one that is down costs its own part alone, and is named", () =>
    Effect.gen(function*() {
      const { at, dataDir, payment, run, shop } = yield* apart
      yield* letter(dataDir)
      const placed = yield* Effect.promise(() =>
        fetch(`${at.shop}/order/orders/import`, {
          method: "POST",
          headers: { "content-type": "application/json", "idempotency-key": "one" },
          body: JSON.stringify(importBody("one"))
        }).then((response) => response.status)
      )
      assert.strictEqual(placed, 202)

      const whole = yield* run("dead-letters")
      assert.deepInclude(whole, { exit: 0, stderr: "" })
      assert.match(whole.stdout, /^agent .*\norder +urn:x /)

      payment.signal("SIGKILL")
      yield* payment.exit
      const lacks = `holdfast: the list is not whole: payment does not answer at ${at.payment}: `

      const [letters, conflicts, sagas, health, settle] = yield* Effect.all([
        run("dead-letters"),
        run("conflicts", "--json"),
        run("sagas", "--all"),
        run("health", "--json"),
        run("dead-letters", "discard", "payment", "urn:x")
      ], { concurrency: 3 })
      assert.strictEqual(letters.exit, 1)
      assert.match(letters.stdout, /^agent .*\norder +urn:x /)
      assert.include(letters.stderr, lacks)
      assert.include(letters.stderr, "ECONNREFUSED")

      assert.deepInclude(conflicts, { exit: 1, stdout: "[]\n" })
      assert.include(conflicts.stderr, lacks)

      // Payment has none, whether it answers or not.
      assert.deepInclude(sagas, { exit: 0, stderr: "" })
      assert.match(sagas.stdout, /^agent .*\norder +sag_/)

      assert.strictEqual(health.exit, 1)
      assert.lengthOf(JSON.parse(health.stdout), 1)
      assert.include(health.stderr, at.payment)

      assert.strictEqual(settle.exit, 1)
      assert.include(settle.stderr, `holdfast: payment does not answer at ${at.payment}: `)

      shop.signal("SIGKILL")
      yield* shop.exit
      const none = yield* run("sagas")
      assert.deepInclude(none, { exit: 1, stdout: "" })
      assert.include(none.stderr, `product, order, inventory, fraud do not answer at ${at.shop}: `)
    }), 90_000)

  it.scopedLive("a stalled one as well", () =>
    Effect.gen(function*() {
      const { at, dataDir, payment, run } = yield* apart
      yield* letter(dataDir)
      payment.signal("SIGSTOP")
      const began = performance.now()
      const letters = yield* run("dead-letters", "--json")
      assert.isBelow(performance.now() - began, 10_000)
      assert.strictEqual(letters.exit, 1)
      assert.strictEqual(JSON.parse(letters.stdout)[0]?.id, "urn:x")
      assert.include(letters.stderr, `payment does not answer at ${at.payment}`)
    }), 60_000)

  it.scopedLive(
    "an agent that nobody has is said not to be there, before anything is done",
    () =>
      Effect.gen(function*() {
        const { run } = yield* apart
        const line = "holdfast: there is no agent paymnt; there are product, order, inventory, fraud, payment\n"
        yield* Effect.forEach([
          ["drill", "order", "paymnt"],
          ["conflicts", "show", "paymnt", "x"],
          ["conflicts", "settle", "paymnt", "x", "--keep", "primary"],
          ["sagas", "retry", "paymnt", "x"],
          ["dead-letters", "replay", "paymnt", "x"]
        ], (args) =>
          Effect.map(run(...args), (found) =>
            assert.deepStrictEqual(found, { exit: 1, stdout: "", stderr: line }, args.join(" "))), { concurrency: 3 })
        const missing = yield* run("dead-letters", "replay", "payment", "x")
        assert.match(missing.stderr, /^holdfast: POST \/payment\/dead-letters\/x\/replay: 404 /)
      }),
    90_000
  )
})

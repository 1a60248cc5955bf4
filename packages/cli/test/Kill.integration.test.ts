import { assert, describe, it } from "@effect/vitest"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as HoldfastProcess from "@holdfast/testing/HoldfastProcess"
import { Effect, Random, Schema } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Facts from "../src/Verify/Facts.ts"

const INVOICES = 80
const KILLS = 30

/** How long a round waits for work to be under way, in milliseconds. */
const PATIENCE_MILLIS = 3_000

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-kill-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

const Verified = Schema.parseJson(Schema.Struct({
  findings: Schema.Array(Schema.Unknown),
  orders: Schema.Array(Schema.Struct({ state: Schema.String, orders: Schema.Int, grand: Schema.Int })),
  money: Schema.Array(Schema.Struct({ currency: Schema.String, held: Schema.Int })),
  stock: Schema.Struct({ onHand: Schema.Int, reserved: Schema.Int }),
  digest: Schema.String
}))

const verify = (dataDir: string) =>
  Effect.scoped(Effect.gen(function*() {
    const child = yield* HoldfastProcess.run(["verify", "--data-dir", dataDir, "--json"])
    yield* child.exit
    return yield* Schema.decode(Verified)(child.output().stdout)
  }))

const replay = (port: number, concurrency: number) =>
  HoldfastProcess.run([
    "replay",
    "--sample",
    "--invoices",
    String(INVOICES),
    "--concurrency",
    String(concurrency),
    "--url",
    `http://127.0.0.1:${port}`
  ])

/** Whether the process was killed at work: an order had not ended, or a saga was under way. */
const wasAtWork = (dataDir: string) =>
  Effect.scoped(Effect.gen(function*() {
    const order = yield* Sqlite.reader({ agent: "order", directory: dataDir })
    return (yield* Facts.unfinishedSagas(order)).length > 0
  })).pipe(Effect.orElseSucceed(() => false))

const sleep = (millis: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, millis)))

/** Replays the sample; kills the agents so many times at random moments, if at all; then lets them come to rest. */
const run = (options: { readonly concurrency: number; readonly kills: number; readonly seed: number }) =>
  Effect.scoped(Effect.gen(function*() {
    const dataDir = yield* temporary
    const port = yield* HoldfastProcess.freePort
    let hits = 0
    let kills = 0
    const client = yield* replay(port, options.concurrency)
    const killer = Effect.gen(function*() {
      while (kills < options.kills) {
        const killed = yield* Effect.scoped(Effect.gen(function*() {
          const agents = yield* HoldfastProcess.start({ port, dataDir })
          // However slow the machine: not before work is under way, and then at any moment of it.
          const patience = performance.now() + PATIENCE_MILLIS
          while (!client.hasExited() && performance.now() < patience && !(yield* wasAtWork(dataDir))) yield* sleep(5)
          yield* sleep(yield* Random.nextIntBetween(0, 150))
          agents.signal("SIGKILL")
          return yield* agents.exit
        }))
        assert.strictEqual(killed, "SIGKILL")
        kills++
        if (yield* wasAtWork(dataDir)) hits++
      }
    }).pipe(Effect.withRandom(Random.make(options.seed)))
    yield* killer
    yield* Effect.scoped(Effect.gen(function*() {
      const agents = yield* HoldfastProcess.start({ port, dataDir })
      assert.strictEqual(yield* client.exit, 0, client.output().stderr)
      agents.signal("SIGTERM")
      assert.strictEqual(yield* agents.exit, 0, agents.output().stderr)
    }))
    const found = yield* verify(dataDir)
    assert.deepStrictEqual(found.findings, [])
    return { ...found, kills, hits }
  }))

describe("kill -9", () => {
  it.live("one order at a time: thirty kills change nothing, order by order", () =>
    Effect.gen(function*() {
      const undisturbed = yield* run({ concurrency: 1, kills: 0, seed: 1 })
      const killed = yield* run({ concurrency: 1, kills: KILLS, seed: 2 })
      assert.isAtLeast(killed.hits, KILLS / 3, "too few kills hit work under way")
      assert.strictEqual(undisturbed.orders.reduce((sum, { orders }) => sum + orders, 0), INVOICES)
      assert.deepStrictEqual(killed.orders, undisturbed.orders)
      assert.deepStrictEqual(killed.money, undisturbed.money)
      assert.deepStrictEqual(killed.stock, undisturbed.stock)
      assert.strictEqual(killed.digest, undisturbed.digest)
    }), 300_000)

  it.live("sixteen at once: every order ends, money and stock are exact", () =>
    Effect.gen(function*() {
      const killed = yield* run({ concurrency: 16, kills: KILLS, seed: 3 })
      assert.isAtLeast(killed.hits, KILLS / 3, "too few kills hit work under way")
      const ended = (state: string) => killed.orders.filter((group) => group.state === state)
      const count = (groups: typeof killed.orders) => groups.reduce((sum, { orders }) => sum + orders, 0)
      assert.strictEqual(count(ended("confirmed")) + count(ended("cancelled")), INVOICES)
      const confirmed = ended("confirmed").reduce((sum, { grand }) => sum + grand, 0)
      assert.deepStrictEqual(killed.money.map(({ held }) => held), [confirmed])
    }), 300_000)
})

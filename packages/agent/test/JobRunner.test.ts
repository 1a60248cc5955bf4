import { assert, describe, it } from "@effect/vitest"
import { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { StoreUnavailable } from "@holdfast/database/StoreError"
import { Operations } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import { Chunk, Clock, Duration, Effect, Layer, Logger, TestClock } from "effect"
import * as Job from "../src/Job.ts"
import * as JobRunner from "../src/JobRunner.ts"
import { Card, giftCards } from "./GiftCards.ts"

const store = Sqlite.layerTemporary({ agent: "giftcard", migrations: giftCards.migrations })
const test = Layer.merge(store, Logger.remove(Logger.defaultLogger))

const insert = (id: string) =>
  Effect.flatMap(Database, (database) =>
    database.execute({
      id: `insert ${id}`,
      command: "test",
      writeClass: "mergeable",
      fingerprint: "",
      cause: { correlationId: "c", causationId: "c" },
      keepMillis: 1000,
      handler: Transaction.insert(Card, { id, amount: 1, note: "", state: "active", expiresAt: 0 }),
      answer: () => "",
      refusal: () => undefined
    }))

/** Lets what runs on real input and output get ahead while the test's clock stands still. */
const settled = (condition: () => boolean) =>
  Effect.repeat(Effect.promise(() => new Promise((done) => setTimeout(done, 2))), { until: condition })

/** Moves the test's clock once somebody sleeps by it. */
const advance = (duration: Duration.DurationInput) =>
  Effect.zipRight(
    Effect.repeat(Effect.zipRight(settled(() => true), TestClock.sleeps()), { until: Chunk.isNonEmpty }),
    TestClock.adjust(duration)
  )

describe("jobs", () => {
  it.effect("a timer runs once per slot, also after a restart within the slot", () =>
    Effect.gen(function*() {
      let runs = 0
      const job = Job.timer("count", "10 seconds", Effect.asVoid(Effect.map(Transaction.now, () => runs++)))
      const first = yield* JobRunner.start([job])
      yield* settled(() => first.stats[0]?.runs === 1)
      yield* first.stop(Duration.seconds(1))
      const second = yield* JobRunner.start([job])
      yield* settled(() => second.stats[0]?.runs === 1)
      assert.strictEqual(runs, 1)
      yield* advance("10 seconds")
      yield* settled(() => second.stats[0]?.runs === 2)
      assert.strictEqual(runs, 2)
      const database = yield* Database
      const ids = yield* database.read(Transaction.select(Operations, { orderBy: [["n", "asc"]] }))
      assert.deepStrictEqual(ids.map((row) => row.id), ["job:giftcard:count:0", "job:giftcard:count:1"])
      yield* second.stop(Duration.seconds(1))
    }).pipe(Effect.provide(test)))

  it.effect("a failing job is counted and goes on after a pause; a defect does not end it either", () =>
    Effect.gen(function*() {
      let runs = 0
      const jobs = yield* JobRunner.start([
        Job.worker("fails", { every: "1 hour" }, Effect.suspend(() => ++runs < 3 ? Effect.die("a bug") : Effect.void))
      ])
      const [stats] = jobs.stats
      yield* settled(() => stats?.failing === 1)
      yield* advance("1 second")
      yield* settled(() => stats?.failing === 2)
      yield* advance("2 seconds")
      yield* settled(() => stats?.runs === 3)
      assert.deepInclude(stats, { failures: 2, failing: 0 })
      yield* jobs.stop(Duration.seconds(1))
    }).pipe(Effect.provide(test)))

  it.effect("a job that stays broken is told of less and less often, one that meets a store that is away not at all", () => {
    const log: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void log.push(`${logLevel.label} ${String(message)}`))
    return Effect.gen(function*() {
      let runs = 0
      const broken = yield* JobRunner.start([
        Job.worker("breaks", { every: "1 hour" }, Effect.suspend(() => ++runs < 6 ? Effect.die("a bug") : Effect.void))
      ])
      yield* settled(() => broken.stats[0]?.failing === 1)
      yield* advance("5 minutes")
      yield* settled(() => broken.stats[0]?.runs === 6)
      yield* broken.stop(Duration.seconds(1))
      assert.deepStrictEqual(log, [
        "ERROR job failed",
        "ERROR job failed",
        "ERROR job failed",
        "INFO job breaks works again"
      ])
      log.length = 0
      const away = new StoreUnavailable({ reason: "lost", detail: "connect ECONNREFUSED" })
      const waiting = yield* JobRunner.start([Job.worker("waits", { every: "1 hour" }, Effect.fail(away))])
      yield* settled(() => waiting.stats[0]?.failing === 1)
      yield* waiting.stop(Duration.seconds(1))
      assert.deepStrictEqual(log, [])
    }).pipe(Effect.provide(Layer.merge(store, Logger.replace(Logger.defaultLogger, logger))))
  })

  it.effect("a worker wakes on commits of its tables only, coalesced, never twice at once", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(true)
      let running = 0
      let most = 0
      const jobs = yield* JobRunner.start([
        Job.worker(
          "calls",
          { wakeOn: [Card], every: "1 hour" },
          Effect.gen(function*() {
            most = Math.max(most, ++running)
            yield* gate.await
            running--
          })
        )
      ])
      const [stats] = jobs.stats
      yield* settled(() => stats?.runs === 1)
      gate.unsafeClose()
      yield* insert("a")
      yield* settled(() => running === 1)
      yield* Effect.all(["b", "c", "d"].map(insert))
      gate.unsafeOpen()
      yield* settled(() => stats?.runs === 3)
      const database = yield* Database
      yield* database.housekeep("other", Effect.void)
      yield* advance("1 minute")
      assert.deepStrictEqual([stats?.runs, most], [3, 1])
      yield* jobs.stop(Duration.seconds(1))
    }).pipe(Effect.provide(test)))

  it.effect("stopping lets a run end that is under way, and starts no other", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      let ended = 0
      const jobs = yield* JobRunner.start([
        Job.worker("slow", { every: "1 second" }, Effect.map(gate.await, () => void ended++)),
        Job.timer("idle", "1 hour", Effect.asVoid(Clock.currentTimeMillis))
      ])
      yield* settled(() => jobs.stats.every((stats) => stats.running || stats.runs === 1))
      const stopping = yield* Effect.fork(jobs.stop(Duration.seconds(5)))
      yield* settled(() => true)
      gate.unsafeOpen()
      yield* stopping
      assert.strictEqual(ended, 1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(ended, 1)
    }).pipe(Effect.provide(test)))
})

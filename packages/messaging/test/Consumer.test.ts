import { assert, it } from "@effect/vitest"
import { type Envelope, sourceOf } from "@holdfast/contracts/Envelope"
import { DeadLettered } from "@holdfast/contracts/SystemEvents"
import { MAX_MESSAGE_BYTES } from "@holdfast/database/SqliteTransaction"
import * as Transaction from "@holdfast/database/Transaction"
import * as CloudEvents from "@holdfast/messaging/CloudEvents"
import * as DeadLetters from "@holdfast/messaging/DeadLetters"
import { AwaitsPrimary, type HandlerError, NotYet, Unprocessable } from "@holdfast/messaging/DeliveryError"
import * as Subscription from "@holdfast/messaging/Subscription"
import { Clock, Effect, Exit, Scope, TestClock } from "effect"
import {
  good,
  heard,
  makeReady,
  open,
  temporaryDirectory,
  type TestAgent,
  Told,
  turns,
  until,
  untilHeard,
  write
} from "./Shop.ts"

const envelope = (told: Told, id = `evt_${told.key}${told.n}`): Envelope => ({
  id,
  source: sourceOf("shop"),
  type: Told.type,
  topic: Told.topic,
  key: told.key,
  subject: told.key,
  time: "2026-11-23T10:00:00.000Z",
  correlationId: "saga",
  causationId: "request",
  data: told
})

const early = (key: string, n: number): Told => ({ key, n, effect: "early" })

const letters = (agent: TestAgent) =>
  Effect.map(
    agent.database.read(DeadLetters.list({ limit: 100 })),
    (all) => all.map((letter) => `${letter.eventId.slice("evt_".length)} ${letter.status}`).toSorted()
  )

const ledger = Effect.flatMap(temporaryDirectory, (directory) => open("ledger", directory))

it.scoped("a batch takes few transactions", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    const before = agent.database.stats.transactions
    yield* agent.consumer.deliver(Array.from({ length: 256 }, (_, n) => envelope(good(`k${n % 16}`, n))))
    assert.strictEqual(agent.database.stats.transactions - before, 1)
    assert.lengthOf(yield* heard(agent.database), 256)
  }))

it.scoped("a message never takes effect before an earlier one of its key that failed is settled", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    yield* agent.consumer.deliver([
      envelope({ key: "a", n: 0, effect: "refused" }),
      envelope(good("a", 1)),
      envelope(good("b", 0)),
      envelope({ key: "a", n: 2, effect: "breaks-constraint" }),
      envelope({ key: "a", n: 3, effect: "defect" }),
      envelope(good("a", 4))
    ])
    assert.deepStrictEqual(yield* heard(agent.database), ["b0", "a1", "a4"])
    assert.deepStrictEqual(yield* letters(agent), ["a0 open", "a2 open", "a3 open"])
  }))

it.scoped("a message never takes effect when the transaction of an earlier one of its key does not commit", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    // The 200th breaks the first transaction of 256; a later one of key a runs in the second.
    agent.faults.breakOnce = "x200"
    const batch = Array.from({ length: 300 }, (_, n) => envelope(good(n % 100 === 0 && n !== 200 ? "a" : `x${n}`, n)))
    batch.push(envelope(good("a", 300)))
    assert.isTrue(Exit.isFailure(yield* Effect.exit(agent.consumer.deliver(batch))))
    assert.deepStrictEqual((yield* heard(agent.database)).filter((one) => one.startsWith("a")), [])
    yield* agent.consumer.deliver(batch)
    const all = yield* heard(agent.database)
    assert.deepStrictEqual(all.filter((one) => one.startsWith("a")), ["a0", "a100", "a300"])
    assert.lengthOf(all, 301)
  }))

it.scoped("what comes too early is tried nine times over eleven minutes, then waits for a person, and its followers go on", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    yield* agent.consumer.deliver([envelope(early("a", 0)), envelope(good("a", 1)), envelope(good("b", 0))])
    assert.deepStrictEqual(yield* letters(agent), ["a0 parked", "a1 parked"])
    const first = Effect.map(agent.database.read(DeadLetters.list({ key: "a", limit: 1 })), ([letter]) => letter)
    const waits: Array<number> = []
    for (let attempts = 1; attempts < 9; attempts++) {
      const due = (yield* first)?.nextAt ?? 0
      waits.push(due - (yield* Clock.currentTimeMillis))
      yield* TestClock.setTime(due - 1)
      const before = agent.database.stats.transactions
      yield* turns(20)
      assert.strictEqual(agent.database.stats.transactions, before, "nothing is tried before it is due")
      yield* TestClock.setTime(due)
      yield* until(agent.database, first, (letter) => letter?.attempts === attempts + 1)
    }
    for (const [index, most] of [100, 200, 400, 800, 1600].entries()) {
      assert.isAtMost(waits[index] ?? Infinity, most)
    }
    assert.deepStrictEqual(waits.slice(5), [10_000, 60_000, 600_000])
    assert.deepStrictEqual(yield* untilHeard(agent.database, 2), ["b0", "a1"])
    assert.deepStrictEqual(yield* letters(agent), ["a0 open"])
  }))

it.scoped("what waits for the primary is not given up, however long; then it is handled, and its followers in order", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    yield* agent.consumer.deliver([
      envelope({ key: "a", n: 0, effect: "scarce" }),
      envelope({ key: "a", n: 1, effect: "scarce" }),
      envelope(good("b", 0))
    ])
    const first = Effect.map(agent.database.read(DeadLetters.list({ key: "a", limit: 1 })), ([letter]) => letter)
    for (let attempts = 1; attempts < 30; attempts++) {
      yield* TestClock.setTime((yield* first)?.nextAt ?? 0)
      yield* until(agent.database, first, (letter) => letter?.attempts === attempts + 1)
    }
    assert.isAbove(yield* Clock.currentTimeMillis, 3 * 3_600_000)
    assert.deepStrictEqual(yield* letters(agent), ["a0 parked", "a1 parked"])
    yield* agent.consumer.deliver([envelope(good("a", 2))])
    assert.deepStrictEqual(yield* heard(agent.database), ["b0"])
    yield* makeReady(agent.database, "a")
    yield* TestClock.adjust("10 minutes")
    assert.deepStrictEqual(yield* untilHeard(agent.database, 4), ["b0", "a0", "a1", "a2"])
    assert.deepStrictEqual(yield* letters(agent), [])
  }))

it.scoped("waiting for the primary uses up no attempts of another failure", () =>
  Effect.gen(function*() {
    let isScarce = true
    const agent = yield* open("ledger", yield* temporaryDirectory, [
      Subscription.on(Told, () =>
        Effect.suspend((): Effect.Effect<never, AwaitsPrimary | NotYet> =>
          isScarce ? new AwaitsPrimary({ detail: "not now" }) : new NotYet({ detail: "too early" })
        ))
    ])
    yield* agent.consumer.deliver([envelope(good("a", 0))])
    const first = Effect.map(agent.database.read(DeadLetters.list({ limit: 1 })), ([letter]) =>
      letter)
    for (let attempts = 1; attempts < 12; attempts++) {
      yield* TestClock.setTime((yield* first)?.nextAt ?? 0)
      yield* until(agent.database, first, (letter) =>
        letter?.attempts === attempts + 1)
    }
    isScarce = false
    yield* TestClock.adjust("10 minutes")
    yield* until(agent.database, first, (letter) => letter?.errorCode === "not_yet")
    assert.deepStrictEqual(yield* letters(agent), ["a0 parked"])
    for (let attempts = 1; attempts < 9; attempts++) {
      yield* TestClock.setTime((yield* first)?.nextAt ?? 0)
      yield* until(agent.database, first, (letter) => letter?.attempts === attempts + 1)
    }
    assert.deepStrictEqual(yield* letters(agent), ["a0 open"])
  }))

it.scoped("a key stays parked through a restart, and its messages take effect in order", () =>
  Effect.gen(function*() {
    const directory = yield* temporaryDirectory
    const scope = yield* Scope.make()
    const before = yield* Scope.extend(open("ledger", directory), scope)
    yield* before.consumer.deliver([envelope(early("a", 0)), envelope(good("a", 1))])
    yield* Scope.close(scope, Exit.void)
    const agent = yield* open("ledger", directory)
    yield* agent.consumer.deliver([envelope(good("a", 2)), envelope(good("b", 0))])
    assert.deepStrictEqual(yield* heard(agent.database), ["b0"])
    yield* makeReady(agent.database, "a")
    yield* TestClock.adjust("10 seconds")
    assert.deepStrictEqual(yield* untilHeard(agent.database, 4), ["b0", "a0", "a1", "a2"])
  }))

it.scoped("a batch that comes again after it was parked or buried changes nothing", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    const batch = [
      envelope(early("a", 0)),
      envelope(good("a", 1)),
      envelope({ key: "b", n: 0, effect: "refused" }),
      envelope(good("b", 1))
    ]
    yield* agent.consumer.deliver(batch)
    yield* agent.consumer.deliver(batch)
    yield* Effect.forEach(batch, (one) => agent.consumer.deliver([one]))
    assert.deepStrictEqual(yield* letters(agent), ["a0 parked", "a1 parked", "b0 open"])
    assert.deepStrictEqual(yield* heard(agent.database), ["b1"])
  }))

it.scoped("what has not been begun by its deadline is not done any more", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    yield* TestClock.setTime(10_000)
    yield* agent.consumer.deliver([
      { ...envelope(good("a", 0)), deadline: 9_999 },
      { ...envelope(good("a", 1)), deadline: 10_000 },
      { ...envelope(early("b", 0)), deadline: 10_000 }
    ])
    assert.deepStrictEqual(yield* heard(agent.database), ["a1"])
    yield* makeReady(agent.database, "b")
    yield* TestClock.adjust("1 second")
    yield* until(agent.database, letters(agent), (all) => all.includes("b0 open"))
    assert.deepStrictEqual(yield* letters(agent), ["a0 open", "b0 open"])
    const open = yield* agent.database.read(DeadLetters.list({ limit: 10 }))
    assert.deepStrictEqual(open.map((letter) => letter.errorCode), ["deadline_passed", "deadline_passed"])
  }))

it.scoped("a row that is missing is too early, not wrong", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    yield* agent.consumer.deliver([envelope({ key: "a", n: 0, effect: "row-missing" })])
    assert.deepStrictEqual(yield* letters(agent), ["a0 parked"])
  }))

it.scoped("a dead letter is replayed under its own id: it takes effect once, and its status says by whom", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    yield* agent.consumer.deliver([envelope({ key: "a", n: 0, effect: "early" })])
    for (const wait of [2, 2, 2, 2, 2, 10, 60, 600]) {
      yield* turns(50)
      yield* TestClock.adjust(wait * 1000)
    }
    yield* until(agent.database, letters(agent), ([letter]) => letter === "a0 open")
    const id = "urn:ecom:agent:shop:evt_a0"
    const failed = yield* Effect.flip(agent.consumer.replay(id, "kim"))
    assert.strictEqual(failed._tag, "ReplayFailed")
    yield* makeReady(agent.database, "a")
    const twice = yield* Effect.all([
      Effect.exit(agent.consumer.replay(id, "kim")),
      Effect.exit(agent.consumer.replay(id, "kim"))
    ], { concurrency: "unbounded" })
    assert.isTrue(twice.some(Exit.isSuccess))
    assert.deepStrictEqual(yield* heard(agent.database), ["a0"])
    const [letter] = yield* agent.database.read(DeadLetters.list({ limit: 1 }))
    assert.deepInclude(letter, { status: "replayed", settledBy: "kim", attempts: 10, eventId: "evt_a0" })
    assert.strictEqual((yield* Effect.flip(agent.consumer.replay(id, "kim")))._tag, "DeadLetterSettled")
    assert.strictEqual((yield* Effect.flip(agent.consumer.replay("nobody", "kim")))._tag, "DeadLetterMissing")
  }))

it.scoped("a parked message is not replayed before the one it waits for; discarding that one lets it go on", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    yield* agent.consumer.deliver([envelope(early("a", 0)), envelope(good("a", 1)), envelope(good("a", 2))])
    const refused = yield* Effect.flip(agent.consumer.replay("urn:ecom:agent:shop:evt_a1", "kim"))
    assert.deepInclude(refused, { _tag: "DeadLetterBehind", first: "urn:ecom:agent:shop:evt_a0" })
    yield* write(agent.database, DeadLetters.discard("urn:ecom:agent:shop:evt_a0", "kim"))
    assert.deepStrictEqual(yield* untilHeard(agent.database, 2), ["a1", "a2"])
    assert.deepStrictEqual(yield* letters(agent), ["a0 discarded"])
    yield* agent.consumer.deliver([envelope(good("a", 0))])
    assert.deepStrictEqual(yield* heard(agent.database), ["a1", "a2"], "a discarded message stays discarded")
  }))

it.scoped("the list of dead letters goes on behind the last one seen", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    yield* agent.consumer.deliver(
      Array.from({ length: 25 }, (_, n) => envelope({ key: `k${n}`, n, effect: "refused" }))
    )
    const seen: Array<string> = []
    let after: DeadLetters.DeadLetter | undefined
    for (;;) {
      const page = yield* agent.database.read(
        DeadLetters.list({ status: "open", limit: 10, ...(after === undefined ? {} : { after }) })
      )
      seen.push(...page.map((letter) => letter.id))
      if (page.length < 10) break
      after = page.at(-1)
    }
    assert.lengthOf(new Set(seen), 25)
    assert.lengthOf(seen, 25)
  }))

it.scoped("unknown fields are ignored; what cannot be decoded is a dead letter at once", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    yield* agent.consumer.deliver([
      { ...envelope(good("a", 0)), data: { ...good("a", 0), colour: "red" } },
      { ...envelope(good("a", 1)), data: { key: "a" } },
      CloudEvents.standIn(
        { topic: Told.topic, key: "a", headers: {}, value: "{" },
        "2:17",
        new CloudEvents.Undecodable({ detail: "no JSON" }),
        "2026-11-23T10:00:00.000Z"
      ),
      { ...envelope(good("a", 2)), type: "ecom.shop.unheard.v1" }
    ])
    assert.deepStrictEqual(yield* heard(agent.database), ["a0"])
    const open = yield* agent.database.read(DeadLetters.list({ status: "open", limit: 10 }))
    assert.deepStrictEqual(open.map((letter) => [letter.errorCode, letter.attempts]), [
      ["undecodable", 1],
      ["undecodable", 1]
    ])
  }))

it.scoped("a dead letter about a dead letter is not announced again", () =>
  Effect.gen(function*() {
    const directory = yield* temporaryDirectory
    const agent = yield* open("ledger", directory, [
      Subscription.on(DeadLettered, () => new Unprocessable({ code: "never", detail: "" }))
    ])
    const data = { agent: "shop", topic: "t", eventId: "e", error: "x" }
    yield* agent.consumer.deliver([{ ...envelope(good("a", 0)), type: DeadLettered.type, data }])
    assert.deepStrictEqual(yield* letters(agent), ["a0 open"])
    assert.deepStrictEqual(yield* agent.database.outbox.readAfter(0, [DeadLettered.topic], 10), [])
  }))

it.scoped("a batch may hold a message twice", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    const batch = [envelope(early("a", 0)), envelope({ key: "b", n: 0, effect: "refused" }), envelope(good("c", 0))]
    yield* agent.consumer.deliver([...batch, ...batch])
    assert.deepStrictEqual(yield* letters(agent), ["a0 parked", "b0 open"])
    assert.deepStrictEqual(yield* heard(agent.database), ["c0"])
  }))

it.scoped("a message is not parked without the one it follows", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    const batch = [envelope(early("a", 0)), envelope(good("a", 1))]
    agent.faults.refuseOnce = "letter:ledger:urn:ecom:agent:shop:evt_a0"
    assert.isTrue(Exit.isFailure(yield* Effect.exit(agent.consumer.deliver(batch))))
    assert.deepStrictEqual(yield* letters(agent), [])
    yield* agent.consumer.deliver(batch)
    yield* makeReady(agent.database, "a")
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(yield* untilHeard(agent.database, 2), ["a0", "a1"])
  }))

it.scoped("a parked message that was handled elsewhere meanwhile is not handled again, and its followers go on", () =>
  Effect.gen(function*() {
    const agent = yield* ledger
    yield* agent.consumer.deliver([envelope(early("a", 0)), envelope(good("a", 1))])
    yield* write(agent.database, Effect.void, { id: "msg:ledger:urn:ecom:agent:shop:evt_a0", fingerprint: Told.type })
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(yield* untilHeard(agent.database, 1), ["a1"])
    assert.deepStrictEqual(yield* letters(agent), [])
  }))

it.scoped("what tells too much is a dead letter, and so is what is as large as a message may be; the copy goes without its data", () =>
  Effect.gen(function*() {
    const agent = yield* Effect.flatMap(temporaryDirectory, (directory) =>
      open("ledger", directory, [
        Subscription.on(Told, (told): Effect.Effect<unknown, HandlerError, Transaction.Transaction> =>
          told.n === 0
            ? Transaction.emit(Told, { ...told, key: told.key.repeat(MAX_MESSAGE_BYTES) })
            : new Unprocessable({ code: "refused", detail: `not this: ${JSON.stringify(told)}` }))
      ]))
    const large = `${"\ud83d\ude00".repeat(MAX_MESSAGE_BYTES / 4)}`
    yield* agent.consumer.deliver([
      envelope({ key: "a", n: 0, effect: "good" }),
      { ...envelope({ key: "a", n: 1, effect: "good" }), data: { key: large, n: 1, effect: "good" } }
    ])
    const found = yield* agent.database.read(DeadLetters.list({ limit: 10 }))
    assert.deepStrictEqual(found.map(({ errorCode }) => errorCode), ["message_too_large", "refused"])
    assert.strictEqual(DeadLetters.envelopeOf(found[1] ?? assert.fail()).data !== undefined, true)
    assert.isAtMost(found[1]?.errorMessage.length ?? Infinity, 1_000)
    const copies = (yield* agent.database.outbox.readAfter(0, ["ecom.ledger.dlq.v1"], 10)).map((
      { envelope: { data } }
    ) => data)
    assert.deepNestedInclude(copies[0], { "envelope.data": { key: "a", n: 0, effect: "good" } })
    assert.deepNestedInclude(copies[1], { "envelope.id": "evt_a1", "errorCode": "refused" })
    assert.notNestedProperty(copies[1], "envelope.data")
  }))

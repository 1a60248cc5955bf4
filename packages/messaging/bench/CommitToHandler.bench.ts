/** How long after a commit another agent's handler starts: the embedded bus beside pollers of the same store. */
import * as Message from "@holdfast/contracts/Message"
import { Database, type DatabaseShape } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as Transaction from "@holdfast/database/Transaction"
import type { Bench, Options, Row } from "@holdfast/resilience/bench/Bench"
import { compare, interleave, quantile, storeFolder } from "@holdfast/resilience/bench/Bench"
import type { Scope } from "effect"
import { Context, Deferred, Effect, Layer, Random, Schema } from "effect"
import * as Consumer from "../src/Consumer.ts"
import * as EmbeddedBus from "../src/EmbeddedBus.ts"
import { EventBus } from "../src/EventBus.ts"
import * as Subscription from "../src/Subscription.ts"

const Told = Message.event("bench.told", {
  payload: Schema.Struct({ n: Schema.Int }),
  key: (payload) => `key-${payload.n % 10}`
})

/** Two agents, and what carries the messages of one to the other until the scope closes. */
interface Pair {
  readonly teller: DatabaseShape
  readonly hearer: DatabaseShape
  readonly consumer: Consumer.Consumer
}
type Carrier = (pair: Pair) => Effect.Effect<unknown, never, EventBus | Scope.Scope>

const byBus: Carrier = ({ consumer, hearer, teller }) =>
  Effect.gen(function*() {
    const bus = yield* EventBus
    yield* bus.join({ database: hearer, ...consumer })
    yield* bus.join({ database: teller, topics: [], deliver: () => Effect.void })
  })

/** Asks every so often for what is new, until there is nothing more. */
const byPoll = (millis: number): Carrier => ({ consumer, teller }) =>
  Effect.suspend(() => {
    let seen = 0
    const look: Effect.Effect<void> = Effect.gen(function*() {
      const batch = yield* teller.outbox.readAfter(seen, consumer.topics, 256)
      if (batch.length === 0) return
      yield* consumer.deliver(batch.map(({ envelope }) => envelope))
      seen = batch.at(-1)?.seq ?? seen
      yield* look
    }).pipe(Effect.orDie)
    return Effect.forkScoped(Effect.forever(Effect.zipRight(look, Effect.sleep(millis))))
  })

const open = (name: string, directory: string) =>
  Effect.map(
    Layer.build(Sqlite.layer({ agent: name, directory, migrations: [] })),
    (context) => Context.get(context, Database)
  )

let stores = 0

/** The milliseconds from commit to handler, event by event. */
const latencies = (directory: string, carry: Carrier, events: number) =>
  Effect.gen(function*() {
    const run = stores++
    const teller = yield* open(`teller-${run}`, directory)
    const hearer = yield* open(`hearer-${run}`, directory)
    const committed: Array<number> = []
    const handled: Array<number> = []
    const all = yield* Deferred.make<void>()
    const hear = (n: number) =>
      Effect.sync(() => {
        handled[n] = performance.now()
        if (n === events - 1) Deferred.unsafeDone(all, Effect.void)
      })
    const consumer = yield* Effect.provideService(
      Consumer.make([Subscription.on(Told, ({ n }) => hear(n))]),
      Database,
      hearer
    )
    // The first listener: it is called before the bus is.
    teller.outbox.onAppend(() => void committed.push(performance.now()))
    yield* carry({ teller, hearer, consumer })
    for (let n = 0; n < events; n++) {
      // Not in step with any poller.
      yield* Effect.sleep(yield* Random.nextIntBetween(3, 8))
      const id = `bench:${run}:${n}`
      yield* teller.execute({
        id,
        command: "bench.tell",
        writeClass: "mergeable",
        fingerprint: "",
        cause: { correlationId: id, causationId: id },
        keepMillis: 60_000,
        handler: Transaction.emit(Told, { n }),
        answer: () => "",
        refusal: () => undefined
      })
    }
    yield* Deferred.await(all)
    return committed.map((at, n) => (handled[n] ?? NaN) - at)
  }).pipe(Effect.scoped, Effect.provide(EmbeddedBus.layer))

const bus = "embedded bus"
const carriers: Readonly<Record<string, Carrier>> = {
  [bus]: byBus,
  "a poller of 5 ms": byPoll(5),
  "a poller of 50 ms": byPoll(50)
}

const run = async ({ progress, quick }: Options): Promise<ReadonlyArray<Row>> => {
  const folder = storeFolder()
  const p99: Record<string, Array<number>> = {}
  try {
    const measure = async (name: string, carry: Carrier) => {
      const measured = await Effect.runPromise(latencies(folder.path, carry, quick ? 100 : 400))
      ;(p99[name] ??= []).push(quantile(measured, 0.99))
      return quantile(measured, 0.5)
    }
    const p50 = await interleave(
      Object.fromEntries(Object.entries(carriers).map(([name, carry]) => [name, () => measure(name, carry)])),
      quick ? 2 : 5,
      progress
    )
    return [
      ...compare("commit to handler, p50", "ms", p50, bus),
      ...compare("commit to handler, p99", "ms", p99, bus)
    ]
  } finally {
    folder.remove()
  }
}

export const bench: Bench = {
  title: "From a commit to the handler of another agent",
  how:
    "One agent commits an event every 3 to 7 ms; what is measured is the time from the moment its commit is on the " +
    "disk to the moment the handler of another agent starts, in the same process, each agent with a SQLite store of its " +
    "own. The peers read the same outbox and deliver through the same consumer, but ask every 5 or 50 ms instead of " +
    "being woken. 5 rounds of 400 events, in turns. Less is better.",
  run
}

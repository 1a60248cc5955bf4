import * as Message from "@holdfast/contracts/Message"
import { Database, type DatabaseShape } from "@holdfast/database/Database"
import * as Migration from "@holdfast/database/Migration"
import type { Operation } from "@holdfast/database/Operation"
import * as Sqlite from "@holdfast/database/Sqlite"
import { OutcomeUnknown, StoreUnavailable } from "@holdfast/database/StoreError"
import * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Consumer from "@holdfast/messaging/Consumer"
import { AwaitsPrimary, NotYet, Unprocessable } from "@holdfast/messaging/DeliveryError"
import { EventBus } from "@holdfast/messaging/EventBus"
import * as Subscription from "@holdfast/messaging/Subscription"
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** What the tests' agents tell each other: the n-th thing about a key, and what it does to who hears it. */
export const Told = Message.event("shop.told", {
  payload: Schema.Struct({
    key: Schema.String,
    n: Schema.Int,
    effect: Schema.Literal("good", "early", "scarce", "refused", "breaks-constraint", "row-missing", "defect")
  }),
  key: (payload) => payload.key
})
export type Told = Message.Payload<typeof Told>

/** What an agent has heard, one row per message that took effect, in order. */
export const Heard = Table.make("heard", {
  columns: { position: Table.integer, key: Table.text, n: Table.integer, eventId: Table.text },
  key: ["position"],
  merge: Table.ledger
})

/** Keys whose messages no longer come too early. */
const Ready = Table.make("ready", {
  columns: { key: Table.text, version: Table.integer },
  key: ["key"],
  merge: Table.versioned
})

const migrations = [
  Migration.make("0001_heard", [
    "create table heard (position bigint primary key, key text not null, n bigint not null check (n >= 0), event_id text not null)",
    "create table ready (key text primary key, version bigint not null)"
  ])
]

const hear = (told: Told, eventId: string) =>
  Effect.gen(function*() {
    const [row] = yield* Transaction.query("select count(*) as heard from heard")
    const position = Number(row?.["heard"])
    // Written before the failure, so that a failure that leaves something behind is seen.
    yield* Transaction.insert(Heard, { position, key: told.key, n: told.n, eventId })
    switch (told.effect) {
      case "good":
        return
      case "early": {
        const ready = yield* Transaction.get(Ready, { key: told.key })
        return ready._tag === "Some" ? undefined : yield* new NotYet({ detail: `${told.key} is not ready` })
      }
      case "scarce": {
        const ready = yield* Transaction.get(Ready, { key: told.key })
        return ready._tag === "Some" ? undefined : yield* new AwaitsPrimary({ detail: `no more ${told.key} for now` })
      }
      case "refused":
        return yield* new Unprocessable({ code: "refused", detail: "never" })
      case "breaks-constraint":
        return yield* Transaction.insert(Heard, { position: position + 1, key: told.key, n: -1, eventId })
      case "row-missing":
        return yield* Transaction.update(Ready, { key: "nobody" }, (ready) => ready)
      case "defect":
        return yield* Effect.die(new Error("a bug"))
    }
  })

/** What every agent of the tests does with `Told`. */
export const hearing = [Subscription.on(Told, (told, envelope) => hear(told, envelope.id))]

let count = 0
/** Runs an operation of its own. */
export const write = <A, E>(
  database: DatabaseShape,
  handler: Effect.Effect<A, E, Transaction.Transaction | Transaction.Reader>,
  { fingerprint = "", id = `test:${process.pid}:${count++}`, traceparent }: {
    readonly id?: string
    readonly fingerprint?: string
    readonly traceparent?: string
  } = {}
) =>
  database.execute({
    id,
    command: "test",
    writeClass: "mergeable",
    fingerprint,
    cause: {
      correlationId: "correlation",
      causationId: "causation",
      ...(traceparent === undefined ? {} : { traceparent })
    },
    keepMillis: 60_000,
    handler,
    answer: () => "",
    refusal: () => undefined
  })

/** Commits the messages, one operation each, submitted together. */
export const tell = (database: DatabaseShape, told: ReadonlyArray<Told>) =>
  Effect.forEach(told, (one) => write(database, Transaction.emit(Told, one)), {
    concurrency: "unbounded",
    discard: true
  })

/** From now on messages of the key are not early any more. */
export const makeReady = (database: DatabaseShape, key: string) => write(database, Transaction.insert(Ready, { key }))

export const good = (key: string, n: number): Told => ({ key, n, effect: "good" })

export const heard = (database: DatabaseShape) =>
  Effect.map(
    database.read(Transaction.select(Heard, { orderBy: [["position", "asc"]] })),
    (rows) => rows.map(({ key, n }) => `${key}${n}`)
  )

/** Waits, without a clock, until the check of the committed state holds. */
export const until = <A, E, R>(
  database: DatabaseShape,
  look: Effect.Effect<A, E, R>,
  holds: (a: A) => boolean
): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const changed = yield* Effect.makeLatch(false)
    const stop = database.onCommit(() => changed.unsafeOpen())
    const loop: Effect.Effect<A, E, R> = Effect.suspend(() => {
      changed.unsafeClose()
      return Effect.flatMap(look, (a) => holds(a) ? Effect.succeed(a) : Effect.zipRight(changed.await, loop))
    })
    return yield* Effect.ensuring(loop, Effect.sync(stop))
  })

export const untilHeard = (database: DatabaseShape, amount: number) =>
  until(database, heard(database), (all) => all.length >= amount)

/** Lets the event loop turn, whatever the clock. */
export const turns = (amount: number) =>
  Effect.repeatN(Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void))), amount)

export const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-messaging-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** How the store of an agent misbehaves: before anything is done, or by losing the answer to a commit. */
export interface Faults {
  mode: "none" | "away" | "answers-lost"
  /** The key of a message whose handler finds the store broken, once: its whole transaction is undone. */
  breakOnce: string | undefined
  /** Part of the id of an operation that the store refuses late, once. */
  refuseOnce: string | undefined
}

const away = new StoreUnavailable({ reason: "lost", detail: "the store is away" })

const faulty = (database: DatabaseShape, faults: Faults): DatabaseShape => ({
  ...database,
  stats: database.stats,
  execute: <A, E, R>(operation: Operation<A, E, R>) =>
    Effect.suspend((): ReturnType<typeof database.execute<A, E, R>> => {
      if (faults.mode === "away") return Effect.fail(away)
      if (faults.refuseOnce !== undefined && operation.id.includes(faults.refuseOnce)) {
        faults.refuseOnce = undefined
        return Effect.zipRight(turns(20), Effect.fail(away))
      }
      if (faults.breakOnce !== undefined && operation.id.includes(faults.breakOnce)) {
        faults.breakOnce = undefined
        const handler = Effect.zipLeft(operation.handler, Effect.fail(away))
        return database.execute<A, E | StoreUnavailable, R>({ ...operation, handler, refusal: () => undefined })
      }
      return faults.mode === "none" ? database.execute(operation) : Effect.flatMap(
        database.execute(operation),
        () => Effect.fail(new OutcomeUnknown({ operationId: operation.id }))
      )
    })
})

export interface TestAgent {
  readonly database: DatabaseShape
  readonly consumer: Consumer.Consumer
  readonly faults: Faults
}

/** An agent's store and consumer, without a bus. */
export const open = (
  name: string,
  directory: string,
  subscriptions: ReadonlyArray<Subscription.Subscription<Transaction.Transaction | Transaction.Reader>> = hearing
): Effect.Effect<TestAgent, StoreUnavailable, Scope.Scope> =>
  Effect.gen(function*() {
    const faults: Faults = { mode: "none", breakOnce: undefined, refuseOnce: undefined }
    const context = yield* Layer.build(Sqlite.layer({ agent: name, directory, migrations }))
    const database = Context.get(context, Database)
    const consumer = yield* Effect.provideService(Consumer.make(subscriptions), Database, faulty(database, faults))
    return { database, consumer, faults }
  })

/** An agent on the bus. */
export const enter = (name: string, directory: string) =>
  Effect.gen(function*() {
    const bus = yield* EventBus
    const agent = yield* open(name, directory)
    yield* bus.join({ database: agent.database, ...agent.consumer })
    return agent
  })

/** What the benches of stores write: an order and its event in one operation. */
import * as Message from "@holdfast/contracts/Message"
import { quantile } from "@holdfast/resilience/bench/Bench"
import { Effect, Layer, Redacted, Schema, type Scope } from "effect"
import { randomBytes } from "node:crypto"
import { Database, type DatabaseShape, type PrimaryStatus } from "../src/Database.ts"
import * as Migration from "../src/Migration.ts"
import type { Operation } from "../src/Operation.ts"
import * as PostgresWatch from "../src/PostgresWatch.ts"
import * as Replicated from "../src/Replicated.ts"
import type { ExecuteError, WriteError } from "../src/StoreError.ts"
import * as Table from "../src/Table.ts"
import * as Transaction from "../src/Transaction.ts"

export const Orders = Table.make("bench_order", {
  columns: { id: Table.text, customer: Table.text, total: Table.integer, state: Table.text, version: Table.integer },
  key: ["id"],
  merge: Table.versioned
})

export const Placed = Message.event("bench.placed", {
  payload: Schema.Struct({ orderId: Schema.String, customer: Schema.String, total: Schema.Int }),
  key: (payload) => payload.orderId
})

export const createOrders =
  "create table bench_order (id text primary key, customer text not null, total bigint not null, state text not null, version bigint not null)"

export const migrations = [Migration.make("0001_bench", [createOrders])]

/** A key as a good client makes it: unique, and close to the keys before it. */
export const uuid7 = (): string => {
  const time = Date.now().toString(16).padStart(12, "0")
  const random = randomBytes(10).toString("hex")
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-8${random.slice(3, 6)}-${random.slice(6, 18)}`
}

/** One operation: an order, its event, its change row and its record. */
export const place = (): Operation<string, WriteError, Transaction.Transaction> => {
  const id = `http:bench:${uuid7()}`
  return {
    id,
    command: "bench.place",
    writeClass: "mergeable",
    fingerprint: "POST /orders",
    cause: { correlationId: id, causationId: id },
    keepMillis: 60_000,
    handler: Effect.gen(function*() {
      const orderId = yield* Transaction.nextId("ord")
      yield* Transaction.insert(Orders, { id: orderId, customer: "c-17850", total: 1530, state: "placed" })
      yield* Transaction.emit(Placed, { orderId, customer: "c-17850", total: 1530 })
      return orderId
    }),
    answer: (orderId) => JSON.stringify({ status: 202, body: orderId }),
    refusal: () => undefined
  }
}

/** What so many callers, each with one piece of work in flight, have done. */
export interface Load {
  readonly perSecond: number
  /** Of one piece of work, from its start to its answer, in milliseconds. */
  readonly p50: number
}

/** Runs the work again and again from so many callers at once; `each` of them so often. */
export const load = <E, R>(
  callers: number,
  all: number,
  work: Effect.Effect<unknown, E, R>
): Effect.Effect<Load, E, R> =>
  Effect.suspend(() => {
    const each = Math.max(1, Math.floor(all / callers))
    const times: Array<number> = []
    const timed = Effect.suspend(() => {
      const begun = performance.now()
      return Effect.map(work, () => void times.push(performance.now() - begun))
    })
    const begun = performance.now()
    return Effect.map(
      Effect.forEach(Array.from({ length: callers }), () => Effect.repeatN(timed, each - 1), {
        concurrency: "unbounded",
        discard: true
      }),
      () => ({ perSecond: times.length / (performance.now() - begun) * 1000, p50: quantile(times, 0.5) })
    )
  })

/** Orders placed by so many callers. */
export const placing = (
  callers: number,
  orders: number
): Effect.Effect<Load, WriteError | ExecuteError, Database> =>
  Effect.flatMap(Database, (database) => load(callers, orders, Effect.suspend(() => database.execute(place()))))

/** A store on Postgres with its shadow, once Postgres serves. */
export const replicated = (options: {
  readonly agent: string
  readonly url: string
  readonly directory: string
  readonly migrations: ReadonlyArray<Migration.Migration>
  readonly tables: ReadonlyArray<Table.Table>
}): Effect.Effect<DatabaseShape & { readonly primary: PrimaryStatus }, never, Scope.Scope> =>
  Effect.gen(function*() {
    const postgres = { url: Redacted.make(options.url) }
    const watch = yield* PostgresWatch.make(postgres)
    const store = Replicated.layer({ ...options, postgres, watch, instance: "bench", fallback: "allowed" })
    const database = yield* Effect.provide(Database, yield* Effect.orDie(Layer.build(store)))
    const { primary } = database
    if (primary === undefined) return yield* Effect.dieMessage("a store on Postgres has a primary")
    yield* until(() => primary.mode() === "primary" && primary.dependency.current().status === "up")
    return { ...database, stats: database.stats, primary }
  })

/** A store that worked alone for a moment was measured without Postgres. */
export const neverAlone = ({ agent, primary }: { readonly agent: string; readonly primary: PrimaryStatus }) =>
  primary.stats.failovers === 0
    ? Effect.void
    : Effect.dieMessage(`the ${agent} store lost Postgres meanwhile: ${String(primary.dependency.current().lastError)}`)

/** Waits until it holds; a minute without is a fault. */
export const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => {
    const begun = performance.now()
    const look: Effect.Effect<void> = Effect.suspend(() =>
      holds()
        ? Effect.void
        : performance.now() - begun > 60_000
        ? Effect.dieMessage("what was waited for did not come within a minute")
        : Effect.zipRight(Effect.sleep("2 millis"), look)
    )
    return look
  })

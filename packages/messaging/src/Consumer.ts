import { Database } from "@holdfast/database/Database"
import { DeadLetters as Letters } from "@holdfast/database/SystemTables"
import type { Reader, Transaction } from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as DeadLetters from "./DeadLetters.ts"
import * as Delivery from "./Delivery.ts"
import type { DependencyAway } from "./DeliveryError.ts"
import type { Member } from "./EventBus.ts"
import * as Reactions from "./Reactions.ts"
import * as Retries from "./Retries.ts"
import type { Subscription } from "./Subscription.ts"

/**
 * What one agent does with messages, whoever brings them: `bus.join({ database, ...consumer })`.
 *
 * @category models
 */
export interface Consumer extends Omit<Member, "database"> {
  /** Handles a dead letter's message now, under its own id, so that it takes effect at most once; `by` asks for it. */
  readonly replay: (
    id: string,
    by: string
  ) => Effect.Effect<void, Retries.NotTried | DeadLetters.ReplayFailed | DependencyAway>
  readonly stats: Readonly<Delivery.Stats>
}

/**
 * Starts to consume: `deliver` settles batches (see `Delivery`), and parked messages are tried again (see `Retries`) until
 * the scope closes. What fails how is `Verdict`'s to say.
 *
 * @category constructors
 */
export const make = <R>(
  subscriptions: ReadonlyArray<Subscription<R>>
): Effect.Effect<Consumer, never, Database | Scope.Scope | Exclude<R, Transaction | Reader>> =>
  Effect.gen(function*() {
    const database = yield* Database
    const context = yield* Effect.context<Exclude<R, Transaction | Reader>>()
    // The effects below run in `context`, and the store adds the transaction: together they are R.
    const reactions = Reactions.make(database.agent, subscriptions) as Reactions.Reactions<Transaction | Reader>
    const stats: Delivery.Stats = { handled: 0, duplicates: 0, parked: 0, buried: 0 }
    const deliver = Delivery.make(database, reactions, stats)
    const wake = yield* Effect.makeLatch(false)
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        database.onCommit((tables) => {
          if (tables.has(Letters.name)) wake.unsafeOpen()
        })
      ),
      (stop) => Effect.sync(stop)
    )
    yield* Effect.forkScoped(Effect.provide(Retries.retryParked(database, reactions, wake), context))
    return {
      topics: reactions.topics,
      deliver: (batch) => Effect.provide(deliver(batch), context),
      replay: (id, by) =>
        Effect.flatMap(
          Effect.provide(Retries.attempt(database, reactions, id, by), context),
          (failed) =>
            failed === undefined
              ? Effect.void
              : new DeadLetters.ReplayFailed({ id, error: failed.code, reason: failed.detail })
        ),
      stats
    }
  })

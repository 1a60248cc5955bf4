import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import * as Subscribable from "effect/Subscribable"

/**
 * A value that plain code reads and sets at once and that others follow: `get` and `changes` as a `SubscriptionRef`
 * has them (`changes` begins with the value of that moment), but without an Effect around the write, so that a
 * socket callback or a circuit breaker can move it. What counts as the same value is not published.
 *
 * @category models
 */
export interface Signal<A> extends Subscribable.Subscribable<A> {
  /** The value of this moment. */
  readonly current: () => A
  /** Replaces the value. */
  readonly unsafeSet: (value: A) => void
}

/**
 * A signal with its first value; `same` says which changes nobody needs to hear of (`Equal.equals` by default).
 *
 * @category constructors
 */
export const make = <A>(initial: A, same: (before: A, after: A) => boolean = Equal.equals): Effect.Effect<Signal<A>> =>
  // Unbounded: changes of state are rare, and a bounded PubSub can refuse a synchronous offer, losing the newest.
  Effect.map(PubSub.unbounded<A>(), (pubsub) => {
    let value = initial
    const changes = Stream.unwrapScoped(
      Effect.map(PubSub.subscribe(pubsub), (queue) => Stream.concat(Stream.make(value), Stream.fromQueue(queue)))
    )
    return Object.assign(Subscribable.make({ get: Effect.sync(() => value), changes }), {
      current: () => value,
      unsafeSet: (next: A) => {
        const published = !same(value, next)
        value = next
        if (published) pubsub.unsafeOffer(next)
      }
    })
  })

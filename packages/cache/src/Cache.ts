import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"

/**
 * Values of one type that are kept for one time, each under a key of its own.
 *
 * @category models
 */
export interface Kind<A> {
  readonly name: string
  readonly ttlMillis: number
  readonly encode: (value: A) => string
  readonly decode: (text: string) => Option.Option<A>
}

/**
 * Declares what is cached: `name` is part of the key, so change it when the meaning of the values changes. What no longer
 * decodes is as good as absent.
 *
 * @category constructors
 */
export const kind = <A, I>(
  name: string,
  options: { readonly value: Schema.Schema<A, I>; readonly ttl: Duration.DurationInput }
): Kind<A> => {
  const json = Schema.parseJson(options.value)
  const decode = Schema.decodeUnknownEither(json)
  return {
    name,
    ttlMillis: Duration.toMillis(options.ttl),
    encode: Schema.encodeSync(json),
    decode: (text) => Either.getRight(decode(text))
  }
}

/**
 * Where cached texts are kept. It never fails: a store that is away has nothing and forgets what it is told.
 *
 * @category models
 */
export interface Store {
  readonly read: (key: string) => Effect.Effect<string | undefined>
  /** What this process asks for or removes once it has begun comes after it. */
  readonly write: (key: string, text: string, ttlMillis: number) => Effect.Effect<void>
  readonly remove: (key: string) => Effect.Effect<void>
}

/**
 * Remembers what can be had again, never the truth: anything in it may vanish at any time, and nothing in it is fresher
 * than its kind's time to live. No operation fails because of the cache.
 *
 * @category models
 */
export interface CacheShape {
  readonly get: <A>(kind: Kind<A>, key: string) => Effect.Effect<Option.Option<A>>
  readonly set: <A>(kind: Kind<A>, key: string, value: A) => Effect.Effect<void>
  readonly invalidate: <A>(kind: Kind<A>, key: string) => Effect.Effect<void>
  /**
   * The cached value, or the loaded one, which is then cached. Callers of one key share one load, so pass the same loader
   * for the same key: all get its value or its failure, and a failure is not cached. The load goes on while anybody waits
   * for it, whoever started it, and is interrupted when the last one leaves. What is loaded while the key is set or
   * invalidated is not cached.
   */
  readonly getOrLoad: <A, E, R>(kind: Kind<A>, key: string, load: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * The cache of this process.
 *
 * @category services
 */
export class Cache extends Context.Tag("@holdfast/cache/Cache")<Cache, CacheShape>() {}

/** A load under way. It is among the flights, and its value is cached, until the key is set or invalidated. */
interface Flight<A, E> {
  readonly fiber: Fiber.RuntimeFiber<A, E>
  waiters: number
}

/**
 * A cache over a store. Loads are shared, and those that were overtaken noticed, within the process: where processes share
 * a store, one may cache what it loaded while another changed it, for the kind's time to live.
 *
 * @category constructors
 */
export const make = (store: Store): CacheShape => {
  // Callers of one key pass the same loader, so that the flight of a key has the types of each of them.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  const flights = new Map<string, Flight<any, any>>()

  const keyOf = <A>(kind: Kind<A>, key: string) => `${kind.name}:${key}`

  const read = <A>(kind: Kind<A>, name: string): Effect.Effect<Option.Option<A>> =>
    Effect.map(store.read(name), (text) => text === undefined ? Option.none() : kind.decode(text))

  const depart = <A, E, R>(kind: Kind<A>, name: string, load: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const work: Effect.Effect<A, E, R> = Effect.flatMap(read(kind, name), (known) =>
        Option.isSome(known)
          ? Effect.succeed(known.value)
          : Effect.tap(load, (value) =>
            Effect.map(Effect.runtime(), (runtime) => {
              if (flights.get(name) !== flight) return
              // Nobody waits for it, but it begins before anybody hears of the value: who asks next finds it.
              Runtime.runFork(runtime)(store.write(name, kind.encode(value), kind.ttlMillis))
            })))
      const fiber = yield* Effect.forkDaemon(Effect.interruptible(work))
      const flight: Flight<A, E> = { fiber, waiters: 0 }
      flights.set(name, flight)
      // At once, not when the waiters leave: one of them that tries again must not meet the old failure.
      fiber.addObserver(() => {
        if (flights.get(name) === flight) flights.delete(name)
      })
      return flight
    })

  const leave = (name: string, flight: Flight<unknown, unknown>) =>
    Effect.suspend(() => {
      if (--flight.waiters > 0) return Effect.void
      if (flights.get(name) === flight) flights.delete(name)
      return Fiber.interruptFork(flight.fiber)
    })

  return {
    get: (kind, key) => read(kind, keyOf(kind, key)),
    set: (kind, key, value) =>
      Effect.suspend(() => {
        const name = keyOf(kind, key)
        flights.delete(name)
        return store.write(name, kind.encode(value), kind.ttlMillis)
      }),
    invalidate: (kind, key) =>
      Effect.suspend(() => {
        const name = keyOf(kind, key)
        flights.delete(name)
        return store.remove(name)
      }),
    getOrLoad: <A, E, R>(kind: Kind<A>, key: string, load: Effect.Effect<A, E, R>) => {
      const name = keyOf(kind, key)
      const board = Effect.suspend((): Effect.Effect<Flight<A, E>, never, R> => {
        const present: Flight<A, E> | undefined = flights.get(name)
        return Effect.tap(
          present === undefined ? depart(kind, name, load) : Effect.succeed(present),
          (flight) => void flight.waiters++
        )
      })
      return Effect.acquireUseRelease(board, (flight) => Fiber.join(flight.fiber), (flight) => leave(name, flight))
    }
  }
}

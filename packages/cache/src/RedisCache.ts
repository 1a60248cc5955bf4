import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { Cache, make, type Store } from "./Cache.ts"
import * as MemoryCache from "./MemoryCache.ts"
import { type Connection, Redis, type RedisFailure } from "./Redis.ts"

/** Holds the name of the current generation. */
const GENERATION = "cache-generation"

/** Every text in Redis begins with the name of its generation, which is that long. */
const NAME_LENGTH = 36

const keyOf = (key: string) => `cache:${key}`

/**
 * Keeps texts in Redis and, while Redis is away, at most `maxEntries` of them in this process.
 *
 * What was changed while Redis was away must not be undone by what Redis still has, nor by a command that arrives there
 * late. Hence generations: a text counts only in the generation it was written in, and a process that comes back to Redis
 * begins a new one, for all processes, before it reads there again.
 *
 * @category constructors
 */
export const store = (maxEntries: number): Effect.Effect<Store, never, Redis | Scope.Scope> =>
  Effect.gen(function*() {
    const redis = yield* Redis
    let memory = MemoryCache.store(maxEntries)
    let generation = ""
    /** The return of Redis since which its texts have been used. */
    let sharedSince = 0
    /** Nothing has been changed yet that Redis does not have. */
    let pristine = true

    const isShared = () => redis.returns() === sharedSince && redis.dependency.current().status !== "away"
    const settle = (current: string, tenure: number) =>
      Effect.sync(() => {
        generation = current
        memory = MemoryCache.store(maxEntries)
        sharedSince = tenure
        pristine = false
      })
    /** The generation in Redis, `next` if there is none. */
    const established = (connection: Connection, next: string) =>
      Promise.all([connection.set(GENERATION, next, "NX"), connection.get(GENERATION)]).then(([, current]) =>
        current ?? next
      )
    const raise: Effect.Effect<void, RedisFailure> = Effect.suspend(() => {
      const tenure = redis.returns()
      const next = randomUUID()
      // From here on all changes go to Redis too, behind this one: other processes write in the new generation at once.
      generation = next
      return Effect.zipRight(
        Effect.flatMap(redis.change((connection) => connection.set(GENERATION, next)), Fiber.join),
        settle(next, tenure)
      )
    })
    const adopt = Effect.suspend(() => {
      const tenure = redis.returns()
      return Effect.flatMap(
        redis.use((connection) => established(connection, randomUUID())),
        (current) => pristine ? settle(current, tenure) : raise
      )
    })
    yield* redis.onReturn(Effect.suspend(() => pristine ? adopt : raise))

    /** Redis was emptied: the first to see it begins a generation, behind which all others write. */
    const begin = (connection: Connection): Promise<void> => {
      const next = generation = randomUUID()
      return established(connection, next).then((current) => {
        if (generation === next) generation = current
      })
    }
    const find = (connection: Connection, key: string): Promise<string | undefined> => {
      const asked = generation
      return connection.mget(GENERATION, keyOf(key)).then(([current = null, text = null]) => {
        if (asked === generation) {
          if (current === null) return begin(connection).then(() => undefined)
          generation = current
        }
        return text !== null && text.slice(0, NAME_LENGTH) === current ? text.slice(NAME_LENGTH) : undefined
      })
    }

    return {
      read: (key) =>
        Effect.suspend(() =>
          isShared()
            ? Effect.catchAll(redis.use((connection) => find(connection, key)), () => memory.read(key))
            : memory.read(key)
        ),
      write: (key, text, ttlMillis) =>
        Effect.suspend(() => {
          const named = generation + text
          const sent = redis.change((connection) => connection.set(keyOf(key), named, "PX", Math.ceil(ttlMillis)))
          // Nobody waits for it: what this process asks afterwards arrives afterwards.
          if (isShared()) return Effect.asVoid(sent)
          pristine = false
          return Effect.zipRight(memory.write(key, text, ttlMillis), Effect.asVoid(sent))
        }),
      remove: (key) =>
        Effect.suspend(() => {
          if (!isShared()) pristine = false
          return Effect.zipRight(
            memory.remove(key),
            redis.change((connection) => connection.unlink(keyOf(key))).pipe(Effect.flatMap(Fiber.join), Effect.ignore)
          )
        })
    }
  })

/**
 * The cache that processes share. Without Redis it is that of this process alone; nothing fails, and nothing waits for
 * Redis for longer than a quarter of a second.
 *
 * @category layers
 */
export const layer = (
  options: { readonly maxEntries: number } = { maxEntries: 10_000 }
): Layer.Layer<Cache, never, Redis> => Layer.scoped(Cache, Effect.map(store(options.maxEntries), make))

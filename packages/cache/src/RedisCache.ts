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

/** The generation that there is; begins one where there is none. */
const FIRST = `
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
`

/** Ends the generation named, if it still lasts: the end of an earlier one that arrives late must not bring that back. */
const REPLACE = `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`

/** Every text in Redis begins with the name of its generation, which is that long. */
const NAME_LENGTH = 36

/** Thirty years: a time that Redis can count, for what lives for ever. */
const LONGEST_MILLIS = 1e12

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
    /** The generation in which texts are written, as far as this process knows. */
    let generation = ""
    /** The return of Redis since which its texts have been used. */
    let sharedSince = 0
    /** Nothing has been changed yet that Redis does not have. */
    let pristine = true

    const isShared = () => redis.returns() === sharedSince && redis.dependency.current().status !== "away"
    const settle = (tenure: number) =>
      Effect.sync(() => {
        memory = MemoryCache.store(maxEntries)
        sharedSince = tenure
        pristine = false
      })
    const takeOver = (connection: Connection): Promise<void> =>
      connection.eval(FIRST, 1, GENERATION, randomUUID()).then((current) => {
        generation = String(current)
      })
    const raise: Effect.Effect<void, RedisFailure> = Effect.suspend(() => {
      const tenure = redis.returns()
      const next = randomUUID()
      const replace = (connection: Connection) =>
        connection.get(GENERATION).then((current) => {
          // From here on all changes go to Redis too, behind this one: others write in the new generation at once.
          generation = next
          return connection.eval(REPLACE, 1, GENERATION, current ?? "", next)
        })
      return Effect.flatMap(Effect.flatMap(redis.change(replace), Fiber.join), (replaced) =>
        replaced === 1 ? settle(tenure) : raise)
    })
    const adopt = Effect.suspend(() => {
      const tenure = redis.returns()
      return Effect.flatMap(redis.use(takeOver), () =>
        pristine ? settle(tenure) : raise)
    })
    yield* redis.onReturn(Effect.suspend(() => pristine ? adopt : raise))

    const find = (connection: Connection, key: string): Promise<string | undefined> =>
      connection.mget(GENERATION, keyOf(key)).then(([current = null, text = null]) => {
        // Redis was emptied: all begin in the generation of the first to see it.
        if (current === null) return takeOver(connection).then(() => undefined)
        generation = current
        return text !== null && text.slice(0, NAME_LENGTH) === current ? text.slice(NAME_LENGTH) : undefined
      })

    /** A change that fails has made Redis away, which is all there is to do about it. */
    const tell = (command: (connection: Connection) => Promise<unknown>) =>
      redis.change(command).pipe(Effect.flatMap(Fiber.join), Effect.ignore)

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
          const millis = Math.min(Math.max(1, Math.ceil(ttlMillis)), LONGEST_MILLIS)
          const told = tell((connection) => connection.set(keyOf(key), named, "PX", millis))
          if (isShared()) return told
          pristine = false
          return Effect.zipRight(memory.write(key, text, ttlMillis), told)
        }),
      remove: (key) =>
        Effect.suspend(() => {
          if (!isShared()) pristine = false
          return Effect.zipRight(memory.remove(key), tell((connection) => connection.unlink(keyOf(key))))
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

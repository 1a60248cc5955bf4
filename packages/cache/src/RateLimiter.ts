import * as Failure from "@holdfast/resilience/Failure"
import * as PolicyInvalid from "@holdfast/resilience/PolicyInvalid"
import * as RateLimit from "@holdfast/resilience/RateLimit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { createHash } from "node:crypto"
import { type Connection, Redis } from "./Redis.ts"

/**
 * What each key may do: a token bucket of its own.
 *
 * @category models
 */
export interface Limit extends RateLimit.Config {
  readonly name: string
}

/**
 * A limit, or why its numbers make no sense.
 *
 * @category constructors
 */
export const limit = (name: string, config: RateLimit.Config): Either.Either<Limit, PolicyInvalid.PolicyInvalid> =>
  Either.map(RateLimit.validate(config, name), () => ({ name, ...config }))

/**
 * Takes a permit of a key.
 *
 * @category models
 */
export interface RateLimiterShape {
  /** Takes a permit of the key, or fails at once with the milliseconds until there is one. */
  readonly take: (limit: Limit, key: string) => Effect.Effect<void, Failure.RateLimited>
}

/**
 * Limits what many keys (principals, addresses) do, each by itself.
 *
 * @category services
 */
export class RateLimiter extends Context.Tag("@holdfast/cache/RateLimiter")<RateLimiter, RateLimiterShape>() {
  /** In this process; beyond `maxKeys` the key unused for the longest time is forgotten, and begins with a full bucket. */
  static readonly layerMemory = (
    options: { readonly maxKeys: number } = { maxKeys: 10_000 }
  ): Layer.Layer<RateLimiter> => Layer.sync(this, () => inMemory(options.maxKeys))

  /**
   * In Redis, for all processes together. While Redis is away each process limits by itself, as `layerMemory` does,
   * beginning with full buckets. Nothing waits for Redis for longer than a quarter of a second.
   */
  static readonly layerRedis = (
    options: { readonly maxKeys: number } = { maxKeys: 10_000 }
  ): Layer.Layer<RateLimiter, never, Redis> => Layer.scoped(this, inRedis(options.maxKeys))
}

const keyOf = (limit: Limit, key: string) => `${limit.name}:${key}`

const inMemory = (maxKeys: number): RateLimiterShape => {
  const buckets = new Map<string, RateLimit.RateLimit>()
  return {
    take: (limit, key) =>
      Effect.suspend(() => {
        const name = keyOf(limit, key)
        // `limit` has validated the config.
        const bucket = buckets.get(name) ?? Either.getOrThrow(RateLimit.make(limit))
        buckets.delete(name)
        buckets.set(name, bucket)
        for (const oldest of buckets.keys()) {
          if (buckets.size <= maxKeys) break
          buckets.delete(oldest)
        }
        return RateLimit.take(bucket, limit.name)
      })
  }
}

/**
 * The arithmetic of `RateLimit`, by the clock of Redis. Answers the milliseconds to wait, 0 where a permit was taken; a
 * bucket that would be full again is forgotten. A clock that is set back costs nobody a permit.
 */
const script = `
local perMs, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local elapsed = math.max(0, now - (tonumber(state[2]) or now))
local tokens = math.min(burst, (tonumber(state[1]) or burst) + elapsed * perMs)
if tokens < 1 - 1e-9 then return string.format('%.17g', (1 - tokens) / perMs) end
tokens = tokens - 1
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.17g', now))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(1e15, math.ceil((burst - tokens) / perMs))))
return '0'
`

const digest = createHash("sha1").update(script).digest("hex")

const isUnknownScript = (thrown: unknown): boolean => thrown instanceof Error && thrown.message.startsWith("NOSCRIPT")

/** The milliseconds to wait; the text of the script travels only to a Redis that does not have it. */
const ask = (connection: Connection, name: string, config: RateLimit.Config): Promise<number> => {
  const perMs = config.permits / PolicyInvalid.millis(config.interval)
  const burst = config.burst ?? config.permits
  return connection.evalsha(digest, 1, name, perMs, burst)
    .catch((thrown: unknown) => {
      if (!isUnknownScript(thrown)) throw thrown
      return connection.eval(script, 1, name, perMs, burst)
    })
    .then(Number)
}

const inRedis = (maxKeys: number) =>
  Effect.gen(function*() {
    const redis = yield* Redis
    const memory = inMemory(maxKeys)
    // A Redis that cannot write or run scripts answers a PING all the same.
    yield* redis.onReturn(
      Effect.asVoid(redis.use((connection) => ask(connection, "limit", { permits: 1, interval: "1 second" })))
    )
    const shape: RateLimiterShape = {
      take: (limit, key) =>
        Effect.matchEffect(redis.use((connection) => ask(connection, `limit:${keyOf(limit, key)}`, limit)), {
          onFailure: () => memory.take(limit, key),
          onSuccess: (retryAfterMs) =>
            retryAfterMs === 0 ? Effect.void : new Failure.RateLimited({ policy: limit.name, retryAfterMs })
        })
    }
    return shape
  })

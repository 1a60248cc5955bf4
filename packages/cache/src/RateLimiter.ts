import type * as Failure from "@holdfast/resilience/Failure"
import type * as PolicyInvalid from "@holdfast/resilience/PolicyInvalid"
import * as RateLimit from "@holdfast/resilience/RateLimit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"

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
 * Limits what many keys (principals, addresses) do, each by itself.
 *
 * @category services
 */
export class RateLimiter extends Context.Tag("@holdfast/cache/RateLimiter")<RateLimiter, {
  /** Takes a permit of the key, or fails at once with the milliseconds until there is one. */
  readonly take: (limit: Limit, key: string) => Effect.Effect<void, Failure.RateLimited>
}>() {
  /** In this process; beyond `maxKeys` the key unused for the longest time is forgotten, and begins with a full bucket. */
  static readonly layerMemory = (
    options: { readonly maxKeys: number } = { maxKeys: 10_000 }
  ): Layer.Layer<RateLimiter> =>
    Layer.sync(this, () => {
      const buckets = new Map<string, RateLimit.RateLimit>()
      return {
        take: (limit, key) =>
          Effect.suspend(() => {
            const name = `${limit.name}:${key}`
            // `limit` has validated the config.
            const bucket = buckets.get(name) ?? Either.getOrThrow(RateLimit.make(limit))
            buckets.delete(name)
            buckets.set(name, bucket)
            for (const oldest of buckets.keys()) {
              if (buckets.size <= options.maxKeys) break
              buckets.delete(oldest)
            }
            return RateLimit.take(bucket, limit.name)
          })
      }
    })
}

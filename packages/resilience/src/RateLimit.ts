import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { RateLimited } from "./Failure.ts"
import { unstacked } from "./internal/unstacked.ts"
import * as PolicyInvalid from "./PolicyInvalid.ts"
import * as TimeSource from "./TimeSource.ts"

/**
 * A token bucket: `permits` an `interval`, filled evenly; `burst` of them may be used at once (as many as `permits`
 * unless it is given).
 *
 * @category models
 */
export interface Config {
  readonly permits: number
  readonly interval: Duration.DurationInput
  readonly burst?: number
}

/**
 * A full bucket that empties. Times are milliseconds of one monotonic clock.
 *
 * @category models
 */
export interface RateLimit {
  /** 0 when the call is admitted, else the milliseconds until one would be. */
  readonly take: (now: number) => number
}

/**
 * The config, or the first field of it that makes no sense, `prefix` before its name.
 *
 * @category validation
 */
export const validate = (
  config: Config,
  name = "rateLimit",
  prefix = ""
): Either.Either<Config, PolicyInvalid.PolicyInvalid> => {
  const interval = PolicyInvalid.millis(config.interval)
  const burst = config.burst ?? config.permits
  return PolicyInvalid.unless(name, config, [
    [`${prefix}permits`, config.permits > 0 && config.permits < Infinity, "must be a number above zero"],
    [`${prefix}interval`, interval > 0 && interval < Infinity, "must be a finite duration above zero"],
    [`${prefix}burst`, burst >= 1 && burst < Infinity, "must be at least 1, or nothing is ever admitted"]
  ])
}

/**
 * A full bucket.
 *
 * @category constructors
 */
export const make = (config: Config): Either.Either<RateLimit, PolicyInvalid.PolicyInvalid> =>
  Either.map(validate(config), (config) => {
    const perMs = config.permits / PolicyInvalid.millis(config.interval)
    const burst = config.burst ?? config.permits
    let tokens = burst
    let filledAt = -Infinity
    return {
      take: (now) => {
        if (now > filledAt) {
          tokens = Math.min(burst, tokens + (now - filledAt) * perMs)
          filledAt = now
        }
        // A hair below 1 is 1: the sum of many small fillings must not cost a permit.
        if (tokens < 1 - 1e-9) return (1 - tokens) / perMs
        tokens -= 1
        return 0
      }
    }
  })

/**
 * Takes a permit, or fails at once and says when there will be one.
 *
 * @category combinators
 */
export const take = (limit: RateLimit, policy: string): Effect.Effect<void, RateLimited> =>
  Effect.flatMap(TimeSource.current, (time) => {
    const retryAfterMs = limit.take(time.now())
    return retryAfterMs === 0 ? Effect.void : Effect.fail(unstacked(() => new RateLimited({ policy, retryAfterMs })))
  })

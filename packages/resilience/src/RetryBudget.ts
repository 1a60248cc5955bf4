import type * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as PolicyInvalid from "./PolicyInvalid.ts"

/**
 * How many retries one dependency bears: within `window`, at most `ratio` of the calls and `perSecond` × the window
 * on top, so that a dependency with few callers can be retried too.
 *
 * @category models
 */
export interface Config {
  readonly ratio: number
  readonly perSecond: number
  readonly window: Duration.DurationInput
}

/**
 * 20 % of the calls of the last 10 s, and 10 a second.
 *
 * @category constants
 */
export const defaults: Config = { ratio: 0.2, perSecond: 10, window: "10 seconds" }

/**
 * A shared count of calls and retries. Times are milliseconds of one monotonic clock.
 *
 * @category models
 */
export interface RetryBudget {
  /** Notes a call (its first attempt). */
  readonly call: (now: number) => void
  /** Takes one retry; `false` if none is left. */
  readonly take: (now: number) => boolean
  /** Retries that may be taken now. */
  readonly remaining: (now: number) => number
}

const slots = 10

/**
 * The config, or the first field of it that makes no sense, `prefix` before its name.
 *
 * @category validation
 */
export const validate = (
  config: Config,
  name = "budget",
  prefix = ""
): Either.Either<Config, PolicyInvalid.PolicyInvalid> => {
  const window = PolicyInvalid.millis(config.window)
  return PolicyInvalid.unless(name, config, [
    [`${prefix}ratio`, config.ratio >= 0 && config.ratio <= 1, "must lie between 0 and 1"],
    [`${prefix}perSecond`, config.perSecond >= 0 && config.perSecond < Infinity, "must be a number of at least 0"],
    [`${prefix}window`, window >= slots && window < Infinity, `must be a finite duration of at least ${slots} ms`]
  ])
}

/**
 * A budget with nothing used.
 *
 * @category constructors
 */
export const make = (config: Config = defaults): Either.Either<RetryBudget, PolicyInvalid.PolicyInvalid> =>
  Either.map(validate(config), (config) => {
    const window = PolicyInvalid.millis(config.window)
    const floor = config.perSecond * window / 1000
    const slotMs = window / slots
    const calls = new Array<number>(slots).fill(0)
    const retries = new Array<number>(slots).fill(0)
    let slot = -Infinity
    let slotEnd = -Infinity
    let position = 0
    let callCount = 0
    let retryCount = 0

    const rotate = (now: number) => {
      const next = Math.floor(now / slotMs)
      for (let step = Math.min(next - slot, slots); step > 0; step--) {
        position = (position + 1) % slots
        callCount -= calls[position] ?? 0
        retryCount -= retries[position] ?? 0
        calls[position] = 0
        retries[position] = 0
      }
      slot = next
      slotEnd = (next + 1) * slotMs
    }
    const remaining = (now: number) => {
      if (now >= slotEnd) rotate(now)
      return Math.max(0, Math.floor(config.ratio * callCount + floor) - retryCount)
    }
    return {
      call: (now) => {
        if (now >= slotEnd) rotate(now)
        calls[position] = (calls[position] ?? 0) + 1
        callCount++
      },
      take: (now) => {
        if (remaining(now) < 1) return false
        retries[position] = (retries[position] ?? 0) + 1
        retryCount++
        return true
      },
      remaining
    }
  })

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { BulkheadFull } from "./Failure.ts"
import { unstacked } from "./internal/unstacked.ts"
import * as PolicyInvalid from "./PolicyInvalid.ts"
import type * as TimeSource from "./TimeSource.ts"

/**
 * How many calls may run at once, how many more may wait, and for how long.
 *
 * @category models
 */
export interface Config {
  readonly limit: number
  readonly queue: number
  readonly maxWait: Duration.DurationInput
}

/**
 * 50 at once, 100 waiting, 500 ms at most.
 *
 * @category constants
 */
export const defaults: Config = { limit: 50, queue: 100, maxWait: "500 millis" }

/**
 * The config, or the first field of it that makes no sense, `prefix` before its name.
 *
 * @category validation
 */
export const validate = (
  config: Config,
  name = "bulkhead",
  prefix = ""
): Either.Either<Config, PolicyInvalid.PolicyInvalid> => {
  const maxWait = PolicyInvalid.millis(config.maxWait)
  return PolicyInvalid.unless(name, config, [
    [`${prefix}limit`, Number.isInteger(config.limit) && config.limit >= 1, "must be a whole number of at least 1"],
    [`${prefix}queue`, Number.isInteger(config.queue) && config.queue >= 0, "must be a whole number of at least 0"],
    [`${prefix}maxWait`, maxWait >= 0 && maxWait < Infinity, "must be a finite duration"],
    [`${prefix}maxWait`, maxWait > 0 || config.queue === 0, "must be above zero where there is a queue"]
  ])
}

/**
 * One that waits for a permit. Exactly one of the two is called, unless it withdraws first.
 *
 * @category models
 */
export interface Waiter {
  /** The permit is now this waiter's. Must not throw. */
  readonly start: () => void
  /** It waited for the longest time allowed. */
  readonly refuse: () => void
}

/**
 * A limit on calls at once, for plain code. First come, first served. A permit belongs to the work and is given back
 * when the work has ended, not when its caller gave up.
 *
 * @category models
 */
export interface Bulkhead {
  readonly limit: number
  /** Permits in use. */
  readonly active: () => number
  /** How many wait. */
  readonly queued: () => number
  /** Takes a permit if one is free. */
  readonly enter: () => boolean
  /** Queues for a permit; `false` when the queue is full. */
  readonly wait: (waiter: Waiter) => boolean
  /** Leaves the queue; `false` if it was not in it (any more). */
  readonly withdraw: (waiter: Waiter) => boolean
  /** Gives a permit back; the longest waiting takes it over. */
  readonly leave: () => void
}

/**
 * An empty bulkhead.
 *
 * @category constructors
 */
export const make = (
  config: Config,
  time: TimeSource.TimeSource
): Either.Either<Bulkhead, PolicyInvalid.PolicyInvalid> =>
  Either.map(validate(config), (config) => {
    const maxWait = Duration.toMillis(config.maxWait)
    // A Map keeps the order of arrival and forgets one in the middle without leaving a hole.
    const queue = new Map<Waiter, number>()
    let active = 0
    let armed = false
    let handing = false

    const arm = (ms: number) => {
      armed = true
      time.after(ms, refuseExpired, true)
    }
    const refuseExpired = () => {
      armed = false
      const now = time.now()
      for (const [waiter, until] of queue) {
        if (until > now) return arm(until - now)
        queue.delete(waiter)
        waiter.refuse()
      }
    }
    return {
      limit: config.limit,
      active: () => active,
      queued: () => queue.size,
      enter: () => {
        if (active >= config.limit || queue.size > 0) return false
        active++
        return true
      },
      wait: (waiter) => {
        if (queue.size >= config.queue) return false
        queue.set(waiter, time.now() + maxWait)
        if (!armed) arm(maxWait)
        return true
      },
      withdraw: (waiter) => queue.delete(waiter),
      leave: () => {
        active--
        // Work that ends at once comes back here from within `start`; the loop keeps the stack flat.
        if (handing) return
        handing = true
        for (const [waiter] of queue) {
          if (active >= config.limit) break
          queue.delete(waiter)
          active++
          waiter.start()
        }
        handing = false
      }
    }
  })

/**
 * Runs the effect under a permit. The permit is held until the effect has ended, finalizers included; one that is
 * interrupted while it waits leaves the queue.
 *
 * @category combinators
 */
export const withPermit =
  (bulkhead: Bulkhead, policy: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | BulkheadFull, R> => {
    const full = (reason: "queue" | "wait") =>
      Exit.fail(unstacked(() => new BulkheadFull({ policy, limit: bulkhead.limit, reason })))
    const wait = Effect.async<void, BulkheadFull>((resume) => {
      let started = false
      const waiter: Waiter = {
        start: () => {
          started = true
          resume(Exit.void)
        },
        refuse: () => resume(full("wait"))
      }
      if (!bulkhead.wait(waiter)) return resume(full("queue"))
      return Effect.sync(() => {
        // Interrupted between the permit and the resumption: nobody else would give it back.
        if (!bulkhead.withdraw(waiter) && started) bulkhead.leave()
      })
    })
    return Effect.uninterruptibleMask((restore) => {
      const run = Effect.ensuring(restore(self), Effect.sync(() => bulkhead.leave()))
      return bulkhead.enter() ? run : Effect.zipRight(restore(wait), run)
    })
  }

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleInterval from "effect/ScheduleInterval"
import * as Deadline from "./Deadline.ts"
import * as Failure from "./Failure.ts"
import * as PolicyInvalid from "./PolicyInvalid.ts"
import type { RetryBudget } from "./RetryBudget.ts"
import * as TimeSource from "./TimeSource.ts"

/**
 * How chance spreads a delay `d`: `full` 0…d, `equal` d/2…d, `decorrelated` base…3 × the delay before (AWS), `none` d.
 *
 * @category models
 */
export type Jitter = "full" | "equal" | "decorrelated" | "none"

/**
 * When to try again. Plain data; `validate` says whether it makes sense.
 *
 * @category models
 */
export interface RetryPolicy {
  /** Attempts in all, the first one included; `Infinity` for ever. */
  readonly attempts: number
  /** The delay before the second attempt. */
  readonly base: Duration.DurationInput
  /** What the delay is multiplied by from attempt to attempt. */
  readonly factor: number
  /** No delay is longer, save one that the failure itself asks for (`retryAfterMs`). */
  readonly cap: Duration.DurationInput
  readonly jitter: Jitter
  /** No attempt starts later than this after the first one. */
  readonly maxElapsed: Duration.DurationInput
}

/**
 * For a call that somebody waits for: 3 attempts, full jitter from 100 ms, at most 2 s.
 *
 * @category constants
 */
export const request: RetryPolicy = {
  attempts: 3,
  base: "100 millis",
  factor: 2,
  cap: "2 seconds",
  jitter: "full",
  maxElapsed: Duration.infinity
}

/**
 * For a connection that is to come back: for ever, full jitter from 100 ms, at most 30 s.
 *
 * @category constants
 */
export const background: RetryPolicy = { ...request, attempts: Infinity, cap: "30 seconds" }

/**
 * The policy, or the first field of it that makes no sense, `prefix` before its name.
 *
 * @category validation
 */
export const validate = (
  policy: RetryPolicy,
  name = "retry",
  prefix = ""
): Either.Either<RetryPolicy, PolicyInvalid.PolicyInvalid> => {
  const base = PolicyInvalid.millis(policy.base)
  return PolicyInvalid.unless(name, policy, [
    [
      `${prefix}attempts`,
      policy.attempts >= 1 && (Number.isInteger(policy.attempts) || policy.attempts === Infinity),
      "must be a whole number of at least 1, or Infinity"
    ],
    [`${prefix}base`, base > 0 && base < Infinity, "must be a finite duration above zero"],
    [`${prefix}factor`, policy.factor >= 1 && policy.factor < Infinity, "must be a number of at least 1"],
    [`${prefix}cap`, PolicyInvalid.millis(policy.cap) >= base, "must not be below base"],
    [`${prefix}maxElapsed`, PolicyInvalid.millis(policy.maxElapsed) > 0, "must be above zero"]
  ])
}

/**
 * The delay in milliseconds after `attempt` attempts (1 or more), where `previous` was the delay before this attempt
 * (0 at first) and `random` is a number in [0, 1). Pure; never above `cap`, never negative.
 *
 * @category arithmetic
 */
export const delay = (policy: RetryPolicy, attempt: number, previous: number, random: number): number => {
  const base = Duration.toMillis(policy.base)
  const cap = Duration.toMillis(policy.cap)
  const full = Math.min(cap, base * policy.factor ** (attempt - 1))
  switch (policy.jitter) {
    case "none":
      return full
    case "full":
      return random * full
    case "equal":
      return full / 2 + random * full / 2
    case "decorrelated":
      return Math.min(cap, base + random * (Math.max(base, previous * 3) - base))
  }
}

/**
 * What is known when an attempt has failed. Times in milliseconds.
 *
 * @category models
 */
export interface Moment {
  /** Attempts made, 1 or more. */
  readonly attempt: number
  /** Since the first attempt began. */
  readonly elapsed: number
  /** Until the deadline; `Infinity` without one. */
  readonly remaining: number
  /** The delay before the attempt that failed; 0 for the first. */
  readonly previous: number
  /** In [0, 1). */
  readonly random: number
  /** What the failure asks for (a `Retry-After`). */
  readonly retryAfter: number | undefined
}

/**
 * Why there is no further attempt.
 *
 * @category models
 */
export type Stop = "attempts" | "elapsed" | "deadline"

/**
 * The milliseconds to wait before the next attempt, or why there is none. A wait that would reach the deadline or
 * `maxElapsed` is not begun. Pure.
 *
 * @category arithmetic
 */
export const decide = (policy: RetryPolicy, moment: Moment): number | Stop => {
  if (moment.attempt >= policy.attempts) return "attempts"
  const wait = Math.max(
    delay(policy, moment.attempt, moment.previous, moment.random),
    moment.retryAfter ?? 0
  )
  if (wait >= moment.remaining) return "deadline"
  if (moment.elapsed + wait >= Duration.toMillis(policy.maxElapsed)) return "elapsed"
  return wait
}

/**
 * What a retry needs to know besides the policy.
 *
 * @category models
 */
export interface Options<in E> {
  /** Only a failure whose recovery is `retry` is tried again. */
  readonly recovery: (failure: E) => Failure.Recovery
  /** Shared by all retries to one dependency. */
  readonly budget?: RetryBudget
}

/**
 * Repeats `self` by the policy, inside the fiber's deadline; the last failure stands. Interruption and defects are
 * not repeated. Until something fails this costs no more than a `catchAll`.
 *
 * @category combinators
 */
export const retry =
  <E>(policy: RetryPolicy, options: Options<E>) => <A, E2 extends E, R>(self: Effect.Effect<A, E2, R>) => {
    const again = (
      failure: E2,
      startedAt: number,
      attempt: number,
      previous: number
    ): Effect.Effect<A, E2, R> => {
      if (options.recovery(failure) !== "retry") return Effect.fail(failure)
      return Effect.withFiberRuntime<A, E2, R>((fiber) => {
        const now = TimeSource.ofFiber(fiber).now()
        return Effect.flatMap(Random.next, (random) => {
          const wait = decide(policy, {
            attempt,
            elapsed: now - startedAt,
            remaining: fiber.getFiberRef(Deadline.current) - now,
            previous,
            random,
            retryAfter: Failure.retryAfterMs(failure)
          })
          if (typeof wait === "string" || options.budget?.take(now) === false) return Effect.fail(failure)
          return Effect.zipRight(
            Clock.sleep(Duration.millis(wait)),
            Effect.catchAll(self, (next) => again(next, startedAt, attempt + 1, wait))
          )
        })
      })
    }
    return Effect.flatMap(TimeSource.current, (time) => {
      const startedAt = time.now()
      options.budget?.call(startedAt)
      return Effect.catchAll(self, (failure) => again(failure, startedAt, 1, 0))
    })
  }

/**
 * The policy as a Schedule, for `Effect.retry` and `Effect.repeat` off the hot path; its output is the delay in
 * milliseconds.
 *
 * @category conversions
 */
export const schedule = (policy: RetryPolicy): Schedule.Schedule<number, unknown> =>
  Schedule.makeWithState(
    { attempt: 1, previous: 0, startedAt: undefined as number | undefined },
    (now, failure, { attempt, previous, startedAt = now }) =>
      Effect.map(Random.next, (random) => {
        const wait = decide(policy, {
          attempt,
          elapsed: now - startedAt,
          remaining: Infinity,
          previous,
          random,
          retryAfter: Failure.retryAfterMs(failure)
        })
        const stopped = typeof wait === "string"
        const ms = stopped ? previous : wait
        const decision = stopped
          ? ScheduleDecision.done
          : ScheduleDecision.continueWith(ScheduleInterval.after(now + ms))
        return [{ attempt: attempt + 1, previous: ms, startedAt }, ms, decision] as const
      })
  )

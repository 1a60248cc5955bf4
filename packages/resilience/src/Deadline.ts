import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import { globalValue } from "effect/GlobalValue"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import { DeadlineExceeded } from "./Failure.ts"
import * as TimeSource from "./TimeSource.ts"

/**
 * When the work of this fiber must have ended: milliseconds of the fiber's monotonic clock (`TimeSource.ofFiber`),
 * `Infinity` when nothing limits it. Forked fibers inherit it; it never comes back from them.
 *
 * @category fiber refs
 */
export const current: FiberRef.FiberRef<number> = globalValue(
  "@holdfast/resilience/Deadline/current",
  () => FiberRef.unsafeMake(Infinity, { join: (parent) => parent })
)

/**
 * Milliseconds left, 0 when the deadline has passed, `Infinity` without one.
 *
 * @category accessors
 */
export const remaining: Effect.Effect<number> = Effect.withFiberRuntime((fiber) =>
  Effect.succeed(Math.max(0, fiber.getFiberRef(current) - TimeSource.ofFiber(fiber).now()))
)

/**
 * Fails if the deadline has passed: for work that is about to begin something long.
 *
 * @category combinators
 */
export const check = (operation: string): Effect.Effect<void, DeadlineExceeded> =>
  Effect.flatMap(remaining, (left) => left > 0 ? Effect.void : new DeadlineExceeded({ operation }))

/**
 * Runs the work in a fiber of its own that ends when it likes, and hands its exit to `ended` together with the effect
 * to answer the caller with (which also takes over the FiberRefs that the work has set).
 *
 * @category constructors
 */
export const detach = <A, E, R>(
  runtime: Runtime.Runtime<R>,
  work: Effect.Effect<A, E, R>,
  deadlineAt: number,
  ended: (exit: Exit.Exit<A, E>, answer: Effect.Effect<A, E>) => void
): Fiber.RuntimeFiber<A, E> => {
  let before: FiberRefs.FiberRefs | undefined
  const fiber = Runtime.runFork(runtime, work, {
    updateRefs: (refs, fiberId) => before = FiberRefs.updateAs(refs, { fiberId, fiberRef: current, value: deadlineAt })
  })
  fiber.addObserver((exit) => {
    // Nearly all work sets no FiberRef, and taking them over costs more than the rest.
    const unchanged = Exit.isFailure(exit) || fiber.getFiberRefs() === before
    ended(exit, unchanged ? exit : Effect.zipRight(fiber.inheritAll, exit))
  })
  return fiber
}

/**
 * Gives the work at most this long, or what is left of an earlier deadline, and answers `DeadlineExceeded` then,
 * also when the work is stuck where it cannot be interrupted. The work runs in a fiber of its own, which is then
 * interrupted and left to end by itself; the same holds when the caller is interrupted. Finalizers of the work may
 * therefore still run after the answer.
 *
 * @category combinators
 */
export const within =
  (duration: Duration.DurationInput, operation = "work") =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | DeadlineExceeded, R> => {
    const budget = Duration.toMillis(duration)
    return Effect.withFiberRuntime<A, E | DeadlineExceeded, R>((parent) => {
      const time = TimeSource.ofFiber(parent)
      const now = time.now()
      const end = Math.min(parent.getFiberRef(current), now + budget)
      if (end <= now) return new DeadlineExceeded({ operation })
      if (end === Infinity) return self
      // One fork costs a fifth of `Effect.timeout`, which races two fibers.
      return Effect.flatMap(Effect.runtime<R>(), (runtime) =>
        Effect.async<A, E | DeadlineExceeded, R>((resume) => {
          let cancelTimer = () => {}
          const fiber = detach(runtime, self, end, (_, answer) => {
            cancelTimer()
            resume(answer)
          })
          if (fiber.unsafePoll() !== null) return
          cancelTimer = time.after(end - now, () => {
            resume(new DeadlineExceeded({ operation }))
            fiber.unsafeInterruptAsFork(parent.id())
          })
          return Effect.sync(() => {
            cancelTimer()
            fiber.unsafeInterruptAsFork(parent.id())
          })
        }))
    })
  }

/**
 * The header that carries a deadline between processes: milliseconds since 1970, in decimal digits.
 *
 * @category header
 */
export const header = "x-request-deadline"

/**
 * A deadline header that is no time.
 *
 * @category errors
 */
export class DeadlineHeaderInvalid extends Data.TaggedError("DeadlineHeaderInvalid")<{
  readonly value: string
}> {
  override get message() {
    return `${header} must be milliseconds since 1970, in decimal digits`
  }
}

/**
 * The header's value for the current deadline, none without one.
 *
 * @category header
 */
export const toHeader: Effect.Effect<Option.Option<string>> = Effect.flatMap(
  remaining,
  (left) =>
    left === Infinity
      ? Effect.succeedNone
      : Effect.map(Clock.currentTimeMillis, (wall) => Option.some(String(Math.ceil(wall + left))))
)

/**
 * The time that a received header leaves, zero when it has passed: to be given to `within`.
 *
 * @category header
 */
export const fromHeader = (value: string): Effect.Effect<Duration.Duration, DeadlineHeaderInvalid> =>
  /^\d{1,15}$/.test(value)
    ? Effect.map(Clock.currentTimeMillis, (wall) => Duration.millis(Number(value) - wall))
    : Effect.fail(new DeadlineHeaderInvalid({ value: value.slice(0, 40) }))

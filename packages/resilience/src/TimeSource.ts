import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/**
 * Where plain (non-Effect) code reads the time and sets timers. Production reads `performance.now`, which costs a
 * few nanoseconds; under any other Clock service, a `TestClock` above all, both time and timers follow that clock.
 *
 * @category models
 */
export interface TimeSource {
  /** Milliseconds that never go back; only differences mean something. */
  readonly now: () => number
  /** Milliseconds since 1970, which may jump: for people and headers, never for measuring. */
  readonly wall: () => number
  /**
   * Runs `task` once after `ms` milliseconds; the answer cancels it. A `background` timer does not keep the process
   * alive.
   */
  readonly after: (ms: number, task: () => void, background?: boolean) => () => void
}

const longestTimer = 2 ** 31 - 1

/**
 * The machine's own time.
 *
 * @category constructors
 */
export const live: TimeSource = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, task, background = false) => {
    const timer = setTimeout(task, Math.min(Math.ceil(ms), longestTimer))
    if (background) timer.unref()
    return () => clearTimeout(timer)
  }
}

const liveClock = Context.get(DefaultServices.liveServices, Clock.Clock)

/**
 * The time of a Clock service: `live` for the default one.
 *
 * @category constructors
 */
export const fromClock = (clock: Clock.Clock): TimeSource => {
  if (clock === liveClock) return live
  return {
    now: () => Number(clock.unsafeCurrentTimeNanos()) / 1e6,
    wall: () => clock.unsafeCurrentTimeMillis(),
    after: (ms, task) => {
      const sleeper = Effect.runFork(Effect.andThen(clock.sleep(Duration.millis(ms)), Effect.sync(task)))
      return () => sleeper.unsafeInterruptAsFork(sleeper.id())
    }
  }
}

/**
 * The time of a running fiber.
 *
 * @category accessors
 */
export const ofFiber = (fiber: Fiber.RuntimeFiber<unknown, unknown>): TimeSource =>
  fromClock(Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock))

/**
 * The time of the current fiber.
 *
 * @category accessors
 */
export const current: Effect.Effect<TimeSource> = Effect.map(Effect.clock, fromClock)

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** Runs its work when it is rung and at the time the work itself named last. */
export interface Alarm {
  /** Never waits; rung during a run, the alarm runs once more. */
  readonly ring: Effect.Effect<void>
}

/** After a failure the work is tried again this much later. */
const PAUSE_MILLIS = 1_000

/**
 * An alarm whose work answers with the time (milliseconds since the epoch) at which it wants to run next, if any. It runs
 * until the scope closes, never twice at once; the first run comes with the first ring.
 */
export const make = <E, R>(name: string, work: Effect.Effect<number | undefined, E, R>) =>
  Effect.gen(function*() {
    const latch = yield* Effect.makeLatch(false)
    const run = work.pipe(
      Effect.catchAllCause((cause) =>
        Effect.zipRight(
          Effect.annotateLogs(Effect.logError("work failed", cause), { alarm: name }),
          Effect.map(Clock.currentTimeMillis, (now) => now + PAUSE_MILLIS)
        )
      )
    )
    const loop = Effect.gen(function*() {
      yield* latch.await
      for (;;) {
        latch.unsafeClose()
        const next = yield* run
        if (next === undefined) yield* latch.await
        else {
          const now = yield* Clock.currentTimeMillis
          yield* Effect.timeoutOption(latch.await, Duration.millis(Math.max(0, next - now)))
        }
      }
    })
    yield* Effect.forkScoped(Effect.interruptible(loop))
    const alarm: Alarm = { ring: Effect.sync(() => latch.unsafeOpen()) }
    return alarm
  })

import { Clock, Duration, Effect } from "effect"

/** A clock that a test moves by hand, without waiting for fibers: what is due runs in order while it moves. */
export class ManualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  now = 0
  readonly #due = new Set<{ readonly at: number; readonly run: () => void }>()

  unsafeCurrentTimeMillis = () => this.now
  unsafeCurrentTimeNanos = () => BigInt(Math.round(this.now * 1e6))
  currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())
  currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep = (duration: Duration.Duration): Effect.Effect<void> =>
    Effect.async((resume) => {
      const timer = { at: this.now + Duration.toMillis(duration), run: () => resume(Effect.void) }
      this.#due.add(timer)
      return Effect.sync(() => this.#due.delete(timer))
    })

  /** Moves on; between two timers that are due, everything they set off gets its turn. */
  async advance(ms: number): Promise<void> {
    const end = this.now + ms
    while (true) {
      const next = [...this.#due].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#due.delete(next)
      this.now = Math.max(this.now, next.at)
      next.run()
      await turn()
    }
    this.now = end
    await turn()
  }
}

/** Lets all that is ready run. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

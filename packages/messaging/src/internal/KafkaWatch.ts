import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/**
 * What those who use a broker tell each other about it.
 *
 * @category models
 */
export interface KafkaWatch {
  /** Evidence that the broker is away, or that one of its users is. */
  readonly lost: (cause: string) => void
  /** Something has changed, for the worse or the better: look now. */
  readonly look: () => void
  /** Partitions were given to a consumer: how far it has heard them is not known. */
  readonly measure: () => void
  /** Waits before the next attempt, longer after each; shorter when the broker begins to answer again meanwhile. */
  readonly pause: (failures: number) => Effect.Effect<void>
}

/** At most so long: a broker that is away costs little, one that is back is wanted. */
const pauses: RetryPolicy.RetryPolicy = { ...RetryPolicy.background, cap: "2 seconds" }

/**
 * @category constructors
 */
export const make = (handlers: Omit<KafkaWatch, "pause">) => {
  const waiting = new Set<() => void>()
  const answersAgain = Effect.async<void>((resume) => {
    const wake = () => resume(Effect.void)
    waiting.add(wake)
    return Effect.sync(() => waiting.delete(wake))
  })
  const watch: KafkaWatch = {
    ...handlers,
    pause: (failures) =>
      Effect.flatMap(Random.next, (random) =>
        Effect.raceFirst(
          Effect.sleep(Duration.millis(RetryPolicy.delay(pauses, failures, 0, random))),
          answersAgain
        ))
  }
  return {
    watch,
    /** Ends the pauses of this moment. */
    answers: () => {
      const all = [...waiting]
      waiting.clear()
      for (const wake of all) wake()
    }
  }
}

import type { Party } from "@holdfast/agent/Outside"
import * as Dependency from "@holdfast/resilience/Dependency"
import * as Effect from "effect/Effect"

/** So many first calls without an answer, and no answer to any other meanwhile, are the gateway's trouble, not theirs. */
const AWAY_AFTER = 5

/** A call that waits this long is no passing matter: it has been asked about several times. */
const NEWS_AFTER_MILLIS = 30_000

/** Back, it is given the time in which all that waited is asked about. */
const SETTLES_WITHIN_MILLIS = 90_000

/** Calls that are to be made, or made and without an answer. */
export interface Waiting {
  readonly calls: number
  /** When the oldest of them was intended, milliseconds since 1970. */
  readonly oldestAt: number | undefined
}

/** A call that the gateway did not serve. */
export interface Unserved {
  readonly begunAt: number
  /** Nothing was known of its attempt: that it is not served does not follow from an earlier call. */
  readonly isFirst: boolean
  readonly error: string
}

/**
 * What the calls themselves show of the gateway. It is away when first calls, one after the other, had no answer and nothing
 * else that was begun since had one; up with the first answer, whatever it is about. What goes unanswered call after call is
 * some payment's trouble and says nothing of the others.
 */
export interface GatewayWatch extends Party {
  readonly answered: (begunAt: number) => Effect.Effect<void>
  readonly unserved: (call: Unserved) => Effect.Effect<void>
  /** What waits now; tells once of calls that wait long although it is not away, and once that none is left. */
  readonly waits: (waiting: Waiting) => Effect.Effect<void>
}

/** Watches a provider, which is taken to answer until it is seen not to. */
export const make = (provider: string): Effect.Effect<GatewayWatch> =>
  Effect.map(Effect.clock, (clock) => {
    const wall = () => clock.unsafeCurrentTimeMillis()
    let state: Dependency.State = Dependency.initial("up", wall())
    let silentInARow = 0
    let waiting: Waiting = { calls: 0, oldestAt: undefined }
    let isToldOfWaiting = false
    let backAt = -Infinity
    const oldestMillis = () => Math.max(0, wall() - (waiting.oldestAt ?? wall()))
    const about = <A>(line: Effect.Effect<A>) => Effect.annotateLogs(line, { provider })

    return {
      name: "gateway",
      current: () => state,
      waiting: () => ({ calls: waiting.calls, oldestMillis: oldestMillis() }),
      answered: (begunAt) =>
        Effect.suspend(() => {
          const now = wall()
          const wasAway = state.status !== "up"
          silentInARow = 0
          if (wasAway) backAt = now
          state = {
            ...state,
            answeredAt: now,
            roundTripMillis: now - begunAt,
            ...(wasAway ? { status: "up", since: now, cause: undefined } : {})
          }
          return wasAway ? about(Effect.logInfo("the gateway answers again")) : Effect.void
        }),
      unserved: ({ begunAt, error, isFirst }) =>
        Effect.suspend(() => {
          const now = wall()
          state = { ...state, lastError: error, lastErrorAt: now }
          if (!isFirst || begunAt < (state.answeredAt ?? 0)) return Effect.void
          silentInARow++
          if (state.status !== "up" || silentInARow < AWAY_AFTER) return Effect.void
          state = { ...state, status: "away", since: now, cause: error }
          return about(
            Effect.logWarning(
              `the gateway does not answer (${error}); calls wait, and few are made until one is answered`
            )
          )
        }),
      waits: (now) =>
        Effect.suspend(() => {
          waiting = now
          const isLate = oldestMillis() >= NEWS_AFTER_MILLIS
          if (isToldOfWaiting === isLate) return Effect.void
          // While it is away that has been said.
          if (isLate && (state.status !== "up" || wall() - backAt < SETTLES_WITHIN_MILLIS)) return Effect.void
          isToldOfWaiting = isLate
          return about(
            isLate
              ? Effect.logWarning(`the gateway leaves calls without an answer: ${waiting.calls} of them wait`)
              : Effect.logInfo("no call waits long for the gateway any more")
          )
        })
    }
  })

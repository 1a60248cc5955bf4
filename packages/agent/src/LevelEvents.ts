import * as Instant from "@holdfast/contracts/Instant"
import { DegradationChanged } from "@holdfast/contracts/SystemEvents"
import type { DatabaseShape } from "@holdfast/database/Database"
import { retention } from "@holdfast/database/Operation"
import * as Transaction from "@holdfast/database/Transaction"
import * as Degradation from "@holdfast/resilience/Degradation"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** A change that cannot be stored at its own level is stored when the level allows it, unless it is long past. */
const untilStored = Schedule.intersect(Schedule.spaced(Duration.seconds(1)), Schedule.recurs(600))

/**
 * Tells others of each change of the agent's level for as long as the scope lives. The event is an operation of the agent
 * like any other: without a broker it waits in the outbox.
 *
 * @category programs
 */
export const announce = (
  database: DatabaseShape,
  degradation: Context.Tag.Service<Degradation.Degradation>,
  instance: string
): Effect.Effect<void, never, Scope.Scope> => {
  const { agent } = database
  let last = degradation.current().level
  const tell = (state: Degradation.State) =>
    Effect.suspend(() => {
      const { level, since } = state
      const from = last
      if (from === level) return Effect.void
      last = level
      const cause = Degradation.causes(state).join(", ") || "all as configured"
      const id = `level:${agent}:${instance}:${since}:${level}`
      const event = database.execute({
        id,
        command: `${agent}.level`,
        writeClass: "mergeable",
        fingerprint: "",
        cause: { correlationId: id, causationId: id, actor: `agent:${agent}` },
        keepMillis: retention.other,
        handler: Transaction.emit(DegradationChanged, { agent, from, to: level, cause, at: Instant.fromMillis(since) }),
        answer: () => "",
        refusal: () => undefined
      })
      return Effect.forkScoped(
        Effect.catchAll(
          Effect.retry(event, untilStored),
          (error) => Effect.logWarning(`that the ${agent} agent went to level ${level} could not be stored`, error)
        )
      )
    })
  return Effect.asVoid(Effect.forkScoped(Stream.runForEach(degradation.changes, tell)))
}

import * as Degradation from "@holdfast/resilience/Degradation"
import type { Dependency } from "@holdfast/resilience/Dependency"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as AgentHealth from "./AgentHealth.ts"
import type { AgentStatus } from "./AgentStatus.ts"

/** A dependency that has not said anything by then is away; a bus that is not joined by then is worth a line. */
const SIGN_WITHIN = "10 seconds"

/** Ends once it is known how things are: what is only not reached yet nobody needs to read. */
const known = (isKnown: () => boolean): Effect.Effect<void> => {
  const look = Effect.suspend(() => isKnown() ? Effect.void : Effect.sleep("20 millis"))
  return Effect.asVoid(Effect.timeoutOption(Effect.repeat(look, { until: isKnown }), SIGN_WITHIN))
}

const hasSpoken = (dependency: Dependency): boolean => {
  const { lastError, status } = dependency.current()
  return status === "up" || lastError !== undefined
}

/**
 * A line in the log for the level that an agent begins with, unless all is as configured, and for each change of it, with
 * the cause, for as long as the scope lives.
 *
 * @category programs
 */
export const ofLevel = (
  agent: AgentStatus,
  changes: Stream.Stream<unknown>
): Effect.Effect<void, never, Scope.Scope> => {
  let last = 0
  const tell = Effect.suspend(() => {
    const state = agent.degradation()
    const { level } = state
    const from = last
    if (from === level) return Effect.void
    last = level
    const isDrill = agent.isDrilling()
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const words = [...AgentHealth.reasonsOf(agent), ...AgentHealth.keptOf(agent, now)]
      const line = `level ${level}: ${level === 0 ? "all as configured" : words.join("; ")}`
      return Effect.annotateLogs(level > from && !isDrill ? Effect.logWarning(line) : Effect.logInfo(line), {
        agent: agent.name,
        from,
        to: level,
        reason: isDrill ? "drill" : Degradation.causes(state).join(", ") || "all as configured"
      })
    })
  })
  const isJoining = () =>
    agent.degradation().reasons.every((reason) =>
      reason === "bus_joining" || (reason === "bus_away" && agent.broker !== undefined && !hasSpoken(agent.broker))
    )
  return Effect.asVoid(Effect.forkScoped(
    Effect.zipRight(
      known(() => agent.degradation().level === 0 || !isJoining()),
      Stream.runForEach(changes, () => tell)
    )
  ))
}

/**
 * A line when a dependency that lowers no level is lost, also when it is not there at the start, and one when it is back,
 * for as long as the scope lives. `instead` says what is done without it.
 *
 * @category programs
 */
export const ofDependency = (
  name: string,
  dependency: Dependency,
  instead: string
): Effect.Effect<void, never, Scope.Scope> => {
  let isLost = false
  const tell = Effect.suspend(() => {
    const { lastError, status } = dependency.current()
    if (isLost === (status !== "up")) return Effect.void
    isLost = !isLost
    return isLost
      ? Effect.logWarning(`${name} is away${lastError === undefined ? "" : ` (${lastError})`}; ${instead}`)
      : Effect.logInfo(`${name} is back`)
  })
  return Effect.asVoid(Effect.forkScoped(
    Effect.zipRight(known(() => hasSpoken(dependency)), Stream.runForEach(dependency.changes, () => tell))
  ))
}

/**
 * A line when more waits for a person than at the last look, with the command that lists it.
 *
 * @category programs
 */
export const ofWaiting = (agent: AgentStatus): Effect.Effect<void> => {
  const before: Record<string, number> = {}
  return Effect.suspend(() =>
    Effect.forEach(Object.entries(AgentHealth.waitingOf(agent)), ([kind, { n, says }]) => {
      const isMore = n > (before[kind] ?? 0)
      before[kind] = n
      return isMore
        ? Effect.annotateLogs(Effect.logWarning(`${says}, or holdfast ${kind}`), { agent: agent.name })
        : Effect.void
    }, { discard: true })
  )
}

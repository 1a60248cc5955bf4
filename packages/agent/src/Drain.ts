import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Running } from "./AgentRuntime.ts"
import * as AgentStatus from "./AgentStatus.ts"
import type { HttpServer } from "./HttpServer.ts"

/**
 * What is to stop.
 *
 * @category models
 */
export interface Options {
  readonly server: HttpServer
  readonly agents: ReadonlyArray<Running>
  /** Time for a load balancer to see that this process is no longer ready. */
  readonly settle: Duration.Duration
  /** Time for what is under way. */
  readonly deadline: Duration.Duration
}

/** Time for a store to end its queue and close; with settle (5 s) and deadline (20 s) the stop takes 30 s at most. */
const CLOSE = Duration.seconds(4)

/** Runs it at most as long as given, also where it cannot be interrupted. */
const bounded = <A>(effect: Effect.Effect<A>, within: Duration.Duration) =>
  Effect.timeoutOption(Effect.disconnect(Effect.interruptible(effect)), within)

/**
 * Stops a process so that no accepted request fails: not ready at once; then every request on a live connection is
 * answered while no new connection is taken; jobs and consumers end what they have begun; at last the stores close. What
 * does not end by the deadline is cut; its operations are durable or have not happened.
 *
 * @category programs
 */
export const run = (options: Options): Effect.Effect<void> =>
  Effect.gen(function*() {
    const begun = yield* Clock.currentTimeMillis
    for (const { status } of options.agents) AgentStatus.enter(status, "draining", begun)
    yield* Effect.logInfo("draining").pipe(Effect.annotateLogs("inFlight", options.server.inFlight()))
    yield* Effect.sleep(options.settle)
    const [cut] = yield* Effect.all([
      options.server.drain(options.deadline),
      Effect.forEach(options.agents, (agent) => bounded(agent.quiesce(options.deadline), options.deadline), {
        concurrency: "unbounded"
      })
    ], { concurrency: "unbounded" })
    yield* Effect.forEach(
      options.agents,
      (agent) => bounded(agent.close, CLOSE),
      { concurrency: "unbounded", discard: true }
    )
    const took = (yield* Clock.currentTimeMillis) - begun
    const line = cut === 0 ? Effect.logInfo("stopped") : Effect.logWarning("stopped; requests were cut at the deadline")
    yield* Effect.annotateLogs(line, { millis: took, cut })
  })

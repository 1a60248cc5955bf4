import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type { Agent } from "./Agent.ts"
import * as AgentConfig from "./AgentConfig.ts"
import * as Holdfast from "./Holdfast.ts"
import * as Logging from "./Logging.ts"

/**
 * Runs agents as a program: configuration from the environment, logs to standard error, SIGTERM and SIGINT drain. Exits
 * with 0 after a drain, with 1 and one line if it cannot start.
 *
 * @category programs
 */
export const run = (agents: (config: AgentConfig.AgentConfig) => ReadonlyArray<Agent>): void => {
  const fiber = Effect.runFork(
    Effect.flatMap(AgentConfig.load(), (config) =>
      Effect.provide(
        Holdfast.launch({ agents: agents(config), config }),
        Layer.merge(Logging.layer({ level: config.logLevel, format: config.logFormat }), AgentConfig.layerProvider)
      ))
  )
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => Effect.runFork(Fiber.interrupt(fiber)))
  }
  fiber.addObserver((exit) => {
    if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return process.exit(0)
    const error = Cause.squash(exit.cause)
    const expected = Cause.defects(exit.cause).length === 0 && error instanceof Error
    process.stderr.write(`${expected ? error.message : Cause.pretty(exit.cause)}\n`, () => process.exit(1))
  })
}

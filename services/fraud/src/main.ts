import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Holdfast from "@holdfast/agent/Holdfast"
import * as Logging from "@holdfast/agent/Logging"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { agent } from "./Agent.ts"

/** The fraud agent alone, until it is told to stop; it then drains. */
const fiber = Effect.runFork(
  Effect.flatMap(AgentConfig.load(), (config) =>
    Effect.provide(
      Holdfast.launch({ agents: [agent], config }),
      Logging.layer({ level: config.logLevel, format: config.logFormat })
    ))
)

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => Effect.runFork(Fiber.interrupt(fiber)))

fiber.addObserver((exit) => {
  if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return
  process.stderr.write(`fraud: ${Cause.pretty(exit.cause)}\n`)
  process.exitCode = 1
})

import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { stripVTControlCharacters } from "node:util"
import * as ApiClient from "./ApiClient.ts"
import * as ConflictsCommand from "./ConflictsCommand.ts"
import * as DeadLettersCommand from "./DeadLettersCommand.ts"
import * as DoctorCommand from "./DoctorCommand.ts"
import * as DrillCommand from "./DrillCommand.ts"
import * as HealthCommand from "./HealthCommand.ts"
import * as ReplayCommand from "./ReplayCommand.ts"
import * as SagasCommand from "./SagasCommand.ts"
import * as StartCommand from "./StartCommand.ts"
import * as VerifyCommand from "./VerifyCommand.ts"

const holdfast = Command.make("holdfast").pipe(
  Command.withDescription(
    "Commerce agents that keep working, and lose nothing, when what they depend on does not.\n\n" +
      "Run a command with --help for its options and examples."
  ),
  Command.withSubcommands([
    StartCommand.command,
    DoctorCommand.command,
    HealthCommand.command,
    ReplayCommand.command,
    VerifyCommand.command,
    DeadLettersCommand.command,
    SagasCommand.command,
    ConflictsCommand.command,
    DrillCommand.command
  ])
)

const run = Command.run(holdfast, { name: "Holdfast", version: "0.1.0" })

/** One line for what a user can mend; the cause in full for what is a bug of ours. */
const explain = (cause: Cause.Cause<unknown>): string | undefined => {
  if (Cause.isInterruptedOnly(cause)) return undefined
  const error = Cause.squash(cause)
  // Wrong arguments have been explained by the command line itself.
  if (ValidationError.isValidationError(error)) return undefined
  if (Cause.defects(cause).length > 0 || typeof error !== "object" || error === null) return Cause.pretty(cause)
  if (error instanceof ApiClient.RequestRefused) return ApiClient.format(error)
  if (error instanceof ApiClient.AgentsUnreachable) {
    return `${error.message} (start ${error.agents.length === 1 ? "it" : "them"} with npm start, or give --url)`
  }
  if ("detail" in error) {
    const where = "url" in error ? `no agents answer at ${String(error.url)} (start them with npm start): ` : ""
    return `${where}${String(error.detail)}`
  }
  return "message" in error && error.message !== "" ? String(error.message) : Cause.pretty(cause)
}

/** Escape codes are for a terminal: a file or a pipe gets the text. */
const plain = <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  process.stdout.isTTY ? program : Console.consoleWith((console) =>
    Effect.withConsole(program, {
      ...console,
      log: (...values) =>
        console.log(
          ...values.map((value: unknown) => typeof value === "string" ? stripVTControlCharacters(value) : value)
        )
    })
  )

run(process.argv).pipe(
  plain,
  Effect.tapErrorCause((cause) =>
    Effect.sync(() => {
      const line = explain(cause)
      if (line !== undefined) process.stderr.write(`holdfast: ${line}\n`)
    })
  ),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true })
)

import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Holdfast from "@holdfast/agent/Holdfast"
import * as Logging from "@holdfast/agent/Logging"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { agents, AgentUnknown } from "./Agents.ts"

const names = Args.text({ name: "agent" }).pipe(
  Args.withDescription("Agents to run; all of them when left out"),
  Args.repeated
)

const port = Options.text("port").pipe(
  Options.withDescription("Port to listen on, instead of HOLDFAST_PORT"),
  Options.optional
)

const dataDir = Options.text("data-dir").pipe(
  Options.withDescription("Folder of the stores, instead of HOLDFAST_DATA_DIR"),
  Options.optional
)

/** `holdfast start` */
export const command = Command.make(
  "start",
  { names, port, dataDir },
  ({ dataDir, names, port }) =>
    Effect.gen(function*() {
      const config = yield* AgentConfig.load({
        ...(Option.isSome(port) ? { HOLDFAST_PORT: port.value } : {}),
        ...(Option.isSome(dataDir) ? { HOLDFAST_DATA_DIR: dataDir.value } : {})
      })
      const all = agents({ ...config, port: () => config.port })
      const unknown = names.filter((name) => !all.some((agent) => agent.name === name))
      if (unknown.length > 0) return yield* AgentUnknown.among(all.map((agent) => agent.name), unknown)
      const stray = AgentConfig.stray(config, all.map((agent) => agent.name))
      if (stray !== undefined) return yield* stray
      const chosen = names.length === 0 ? all : all.filter((agent) => names.includes(agent.name))
      yield* Effect.provide(
        Holdfast.launch({ agents: chosen, config }),
        Layer.merge(Logging.layer({ level: config.logLevel, format: config.logFormat }), AgentConfig.layerProvider)
      )
    })
).pipe(
  Command.withDescription(
    "Run agents in this process until it is told to stop (SIGTERM, Ctrl-C); it then drains.\n\n" +
      "Examples:\n" +
      "  npm start                                   all agents on http://127.0.0.1:4000\n" +
      "  npm start -- order inventory --port 4001    two of them\n" +
      "  HOLDFAST_DATA_DIR=shop npm start            stores in the folder shop"
  )
)

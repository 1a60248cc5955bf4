import { SagasApi, SagaView } from "@holdfast/agent/Sagas"
import * as Surfaces from "@holdfast/agent/Surfaces"
import { agents } from "./Agents.ts"
import * as OperatorCommand from "./OperatorCommand.ts"

/** Asked in vain, and not missed where they do not answer. */
const withoutSagas = agents({ dataDir: "", host: "", port: () => 0, peers: { of: {}, others: undefined } })
  .filter((agent) => !Surfaces.of(agent).some(({ api }) => api === SagasApi))

/** `holdfast sagas` */
export const command = OperatorCommand.make({
  name: "sagas",
  description: "List what agents do together in several steps, and move what is stuck.\n\n" +
    "Examples:\n" +
    "  npm run -s holdfast -- sagas --state needs_operator\n" +
    "  npm run -s holdfast -- sagas retry order sag_01J…\n" +
    "  npm run -s holdfast -- sagas compensate order sag_01J…",
  item: SagaView,
  states: ["running", "compensating", "done", "compensated", "needs_operator"],
  open: ["needs_operator", "compensating", "running"],
  stateParameter: "state",
  columns: ["id", "type", "of", "state", "step", "deadline", "error"],
  cells: (saga) => [
    saga.id,
    saga.type,
    saga.key,
    saga.state,
    saga.step,
    saga.deadlineAt ?? "",
    saga.lastError ?? ""
  ],
  owners: { except: new Set(withoutSagas.map(({ name }) => name)) },
  actions: [
    { name: "retry", description: "Ask the current step again, under the same ids" },
    { name: "compensate", description: "Give the saga up and undo what it did" }
  ]
})

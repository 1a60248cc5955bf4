import { DeadLetter } from "@holdfast/agent/KernelApi"
import * as OperatorCommand from "./OperatorCommand.ts"

/** `holdfast dead-letters` */
export const command = OperatorCommand.make({
  name: "dead-letters",
  description: "List messages that agents could not handle, and settle them.\n\n" +
    "Examples:\n" +
    "  npm run -s holdfast -- dead-letters --state open\n" +
    "  npm run -s holdfast -- dead-letters replay order urn:ecom:agent:payment:evt_01J…\n" +
    "  npm run -s holdfast -- dead-letters discard order urn:ecom:agent:payment:evt_01J…",
  item: DeadLetter,
  states: ["open", "parked", "replayed", "discarded"],
  open: ["open", "parked"],
  stateParameter: "status",
  columns: ["id", "status", "type", "key", "attempts", "error"],
  cells: (letter) => [
    letter.id,
    letter.status,
    letter.type,
    letter.key,
    String(letter.attempts),
    `${letter.errorCode}: ${letter.errorMessage}`
  ],
  owners: "all",
  actions: [
    { name: "replay", description: "Handle the message now, under its own id: it takes effect at most once" },
    { name: "discard", description: "Give the message up for good; those that wait behind it go on" }
  ]
})

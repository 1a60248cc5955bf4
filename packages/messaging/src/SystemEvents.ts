import * as Message from "@holdfast/contracts/Message"
import * as Schema from "effect/Schema"

/**
 * A message waits for a person: `error` is the code of the dead letter, whose text stays with the letter because it may
 * quote personal data.
 *
 * @category messages
 */
export const DeadLettered = Message.event("system.dead_lettered", {
  payload: Schema.Struct({
    agentId: Schema.String,
    topic: Schema.String,
    eventId: Schema.String,
    error: Schema.String
  }),
  key: (payload) => payload.agentId
})

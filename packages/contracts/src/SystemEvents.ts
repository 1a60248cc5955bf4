import * as Schema from "effect/Schema"
import { Instant } from "./Instant.ts"
import * as Message from "./Message.ts"
import * as Text from "./Text.ts"

const key = (payload: { readonly agent: string }) => payload.agent

/** An agent's degradation level changed. */
export const DegradationChanged = Message.event("system.degradation_changed", {
  payload: Schema.Struct({
    agent: Text.code(64),
    from: Schema.Number,
    to: Schema.Number,
    cause: Schema.String,
    at: Instant
  }),
  key
})

/** A message could not be handled and waits for a person. */
export const DeadLettered = Message.event("system.dead_lettered", {
  payload: Schema.Struct({ agent: Text.code(64), topic: Schema.String, eventId: Schema.String, error: Schema.String }),
  key
})

/** Rows of an outage could not merge; a person must decide. */
export const ConflictDetected = Message.event("system.conflict_detected", {
  payload: Schema.Struct({
    agent: Text.code(64),
    conflictId: Schema.String,
    operationId: Schema.String,
    table: Schema.String,
    rowKey: Schema.String,
    policy: Schema.String,
    reason: Schema.String
  }),
  key
})

import * as Schema from "effect/Schema"
import { SagaId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import { Version } from "./Integer.ts"

/**
 * How far a saga is; `needs_operator`: it can neither go on nor back by itself.
 *
 * @category schemas
 */
export const SagaState = Schema.Literal("running", "compensating", "done", "compensated", "needs_operator")
export type SagaState = typeof SagaState.Type

/**
 * A saga as diagnosis shows it.
 *
 * @category schemas
 */
export const Saga = Schema.Struct({
  id: SagaId,
  type: Schema.String,
  key: Schema.String,
  state: SagaState,
  step: Schema.String.annotations({ description: "What it waits for, or did last" }),
  attempts: Schema.Number,
  deadlineAt: Schema.optional(Instant),
  lastError: Schema.optional(Schema.String),
  startedAt: Schema.optional(Instant),
  updatedAt: Schema.optional(Instant),
  version: Version
}).annotations({ identifier: "Saga" })
export type Saga = typeof Saga.Type

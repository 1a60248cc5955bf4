import { problem } from "@holdfast/contracts/Problem"
import * as Schema from "effect/Schema"

/**
 * The agent has one store, its file: there is nothing to return to.
 *
 * @category errors
 */
export class PrimaryNotConfigured extends Schema.TaggedError<PrimaryNotConfigured>()(
  "PrimaryNotConfigured",
  {},
  problem({
    code: "primary_not_configured",
    status: 409,
    title: "This agent has no Postgres",
    detail:
      "Its file is its only store, so that nothing merges and nothing can be drilled. Set DATABASE_URL for Postgres.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Postgres is away, or on its way back: what is asked for needs it.
 *
 * @category errors
 */
export class PrimaryAway extends Schema.TaggedError<PrimaryAway>()(
  "PrimaryAway",
  {},
  problem({
    code: "primary_away",
    status: 503,
    title: "Postgres is away",
    detail: "Nothing was changed. Repeat the request when Retry-After has passed; /health/detailed tells the cause.",
    severity: "high",
    recovery: "retry"
  })
) {}

/**
 * The operation was decided before.
 *
 * @category errors
 */
export class ConflictSettled extends Schema.TaggedError<ConflictSettled>()(
  "ConflictSettled",
  { id: Schema.String, status: Schema.String },
  problem({
    code: "conflict_settled",
    status: 409,
    title: "The conflict is settled",
    detail:
      "It was decided before, the other way; nothing is left to do. Change what stands by the agent's own commands.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The decision cannot be carried out.
 *
 * @category errors
 */
export class SettleRefused extends Schema.TaggedError<SettleRefused>()(
  "SettleRefused",
  { id: Schema.String, reason: Schema.String },
  problem({
    code: "settle_refused",
    status: 409,
    title: "The conflict cannot be settled like this",
    detail: "Nothing was changed. Do what `reason` says first, or keep the primary's rows.",
    severity: "medium",
    recovery: "fail"
  })
) {}

import * as Context from "effect/Context"

/**
 * What a command may do while Postgres is away and SQLite serves (spec §2.2):
 *
 * - `mergeable`: runs; its changes merge afterwards by each table's policy
 * - `bounded`: runs inside a bound taken from the last good snapshot; beyond it, as refused
 * - `provisional`: is stored as an intent (202) and runs after the recovery
 * - `refused`: 503 with `Retry-After`, nothing stored
 *
 * @category models
 */
export type WriteClass = "mergeable" | "bounded" | "provisional" | "refused"

/**
 * How the HTTP face treats a command; an endpoint annotated with it is a command (runs as an operation), one without it
 * is a query: it changes nothing of the agent's store.
 *
 * @category models
 */
export interface CommandPolicyShape {
  readonly writeClass: WriteClass
  /** Commands that create, move stock or move money demand `Idempotency-Key`. */
  readonly idempotencyKey: "required" | "optional"
  /** Edits of existing aggregates demand `If-Match: "<version>"`. */
  readonly ifMatch?: "required"
}

/**
 * The endpoint annotation: `.annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })`.
 *
 * @category annotations
 */
export class CommandPolicy
  extends Context.Tag("@holdfast/contracts/CommandPolicy")<CommandPolicy, CommandPolicyShape>()
{
}

/**
 * Annotates a query that changes something outside of every agent's store all the same, and says what:
 * `.annotate(ChangesOutside, "the sandbox gateway")`. It is documented with the commands.
 *
 * @category annotations
 */
export class ChangesOutside
  extends Context.Tag("@holdfast/contracts/CommandPolicy/ChangesOutside")<ChangesOutside, string>()
{
}

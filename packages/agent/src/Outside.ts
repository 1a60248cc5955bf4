import type { Dependency } from "@holdfast/resilience/Dependency"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * Whom only this agent calls, such as a payment gateway. That it does not answer lowers no level, because what it is to do
 * waits in the agent's rows; health and metrics say how it is, and a note what waits.
 *
 * @category models
 */
export interface Party extends Pick<Dependency, "name" | "current"> {
  /** Calls that are to be made, or made and without an answer; 0 and 0 when there are none. A plain value, never an IO. */
  readonly waiting: () => { readonly calls: number; readonly oldestMillis: number }
}

/** A call that waits for less is no news. */
const NEWS_AFTER_MILLIS = 10_000

/**
 * Whether an operator should know: the party does not answer, or not about a call of some age.
 *
 * @category accessors
 */
export const isHeldUp = (party: Party): boolean =>
  party.current().status !== "up" || party.waiting().oldestMillis >= NEWS_AFTER_MILLIS

/**
 * Where the ports of an agent name the parties outside that they call.
 *
 * @category services
 */
export class Outside extends Context.Tag("@holdfast/agent/Outside")<Outside, {
  /** Health and metrics speak of it for as long as the scope lives. */
  readonly watch: (party: Party) => Effect.Effect<void, never, Scope.Scope>
}>() {
  /** Keeps the parties in the list. */
  static readonly listing = (parties: Array<Party>): Outside["Type"] => ({
    watch: (party) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => parties.push(party)),
        () => Effect.sync(() => parties.splice(parties.indexOf(party), 1))
      ))
  })
}

import type { Agent } from "@holdfast/agent/Agent"
import { agent as inventory } from "@holdfast/inventory/Agent"

/**
 * Every agent that this program can run, in the order in which they are listed; `dataDir` is where the sandboxes of
 * outside parties keep their state.
 */
export const agents = (_options: { readonly dataDir: string }): ReadonlyArray<Agent> => [inventory]

import type { WriteClass } from "@holdfast/contracts/CommandPolicy"
import type { DatabaseShape } from "@holdfast/database/Database"
import type { Consumer } from "@holdfast/messaging/Consumer"
import type { Lane, Publishing, Standing } from "@holdfast/messaging/EventBus"
import type * as Degradation from "@holdfast/resilience/Degradation"
import type { Dependency } from "@holdfast/resilience/Dependency"
import type { FailbackTimes } from "./FailbackTimes.ts"
import type { JobStats } from "./JobRunner.ts"
import type { LevelTimes } from "./LevelTimes.ts"
import type { Party } from "./Outside.ts"

/**
 * Where an agent is in its life.
 *
 * @category models
 */
export type Phase = "starting" | "ready" | "draining" | "stopped"

/**
 * A command as clients know it.
 *
 * @category models
 */
export interface Command {
  readonly method: string
  /** With the agent's prefix, parameters as `:name`. */
  readonly path: string
  readonly writeClass: WriteClass
}

/**
 * What probes, metrics and guards read of an agent: plain values of this moment, never an IO.
 *
 * @category models
 */
export interface AgentStatus {
  readonly name: string
  readonly title: string
  phase: Phase
  /** Since when it has been in this phase, milliseconds since 1970. */
  phaseSince: number
  /** Why it cannot start, in words for the operator; undefined when nothing is wrong. */
  fault: string | undefined
  /** Its main fiber has died: a bug, and the only reason to restart the process. */
  dead: boolean
  readonly degradation: () => Degradation.State
  readonly facts: () => Degradation.Facts
  readonly levelTimes: LevelTimes
  readonly failbackTimes: FailbackTimes
  /** What its operator decided for the time without the primary. */
  readonly fallback: Degradation.LevelPolicy["fallback"]
  readonly commands: ReadonlyArray<Command>
  /** Agents whose events it hears, but which nothing connects it with: another process may run them, no broker does. */
  readonly unheard: ReadonlyArray<string>
  /** The file, watched; undefined until it is open. */
  file: Dependency | undefined
  database: DatabaseShape | undefined
  /** Whether Postgres is set aside by a drill. */
  isDrilling: () => boolean
  consumer: Pick<Consumer, "stats"> | undefined
  jobs: ReadonlyArray<JobStats>
  /** Counted in the background. */
  deadLetters: { open: number; parked: number }
  /** Sagas that can neither go on nor back by themselves; counted in the background. */
  sagasWaiting: number
  /** Requests that were accepted during an outage and run when it is over; counted in the background. */
  intentsWaiting: number
  readonly lanes: () => ReadonlyArray<Lane>
  /** How far its messages have come on their way to a broker; undefined without one. */
  readonly publishing: () => Publishing | undefined
  /** What reaches it on the bus and what leaves it; undefined before it has joined. */
  readonly standing: () => Standing | undefined
  /** The broker that the process shares; undefined where the bus is embedded. */
  readonly broker: Dependency | undefined
  /** The cache that the process shares; undefined where memory is the cache by choice. */
  readonly cache: Dependency | undefined
  /** Whom only this agent calls. */
  readonly outside: ReadonlyArray<Party>
}

/**
 * Enters a phase.
 *
 * @category transitions
 */
export const enter = (status: AgentStatus, phase: Phase, now: number): void => {
  status.phase = phase
  status.phaseSince = now
}

/**
 * Ready to be sent requests: started, not draining, level 0 to 3 (DESIGN §9).
 *
 * @category accessors
 */
export const isReady = (status: AgentStatus): boolean => status.phase === "ready" && status.degradation().level < 4

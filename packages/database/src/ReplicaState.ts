import type { FailbackReport, PrimaryStatus } from "./Database.ts"
import type { Shadow } from "./Shadow.ts"
import type { Core } from "./Sqlite.ts"

/**
 * What a process knows of its own side and of the other one: plain values of this moment, which its parts read and change
 * in their turns.
 *
 * @category models
 */
export class ReplicaState {
  /** Where the next transaction counts. */
  mode: "primary" | "alone" = "alone"
  /** Grows with each loss of the primary, so that a return that began before it does not end after it. */
  generation = 0
  /** The file cannot be trusted: only a new copy of the primary helps. */
  isCopyNeeded = false
  /** Other processes that run the agent, as far as this one knows. */
  others = 0
  /** Files whose process has not been heard for a while: it may be gone, or working alone. */
  absent = 0
  /** The file had everything that the primary had at this moment; 0 where nobody knows of any. */
  asOf = 0
  /** How far the log of the primary went when it was last looked at. */
  knownHead = 0
  epoch = 0
  /** Operations that the file has taken alone and that are not merged yet. */
  pending = 0
  oldestPendingAt: number | undefined = undefined
  /** Operations that wait for a person. */
  withheld = 0
  readonly stats: { -readonly [K in keyof PrimaryStatus["stats"]]: PrimaryStatus["stats"][K] } = {
    failovers: 0,
    failbacks: 0,
    unknownCommits: 0,
    lastFailback: undefined,
    pulled: 0,
    merged: 0,
    withheld: 0
  }

  replicas(): number {
    return 1 + this.others
  }

  /** How many share what is scarce: those that may be working alone for all that anybody knows, too. */
  sharers(): number {
    return this.replicas() + this.absent
  }

  /** Counts anew what waits in the file. */
  count(core: Core, shadow: Shadow): void {
    this.pending = shadow.pendingCount()
    this.oldestPendingAt = shadow.oldestPending()
    this.countWithheld(core)
  }

  countWithheld({ state }: Core): void {
    this.withheld = Number(
      state.statements.ofText("select count(*) from withheld_operation where status = 'open'").pluck().get()
    )
  }
}

/** A report of a return that has not done anything yet. */
export const emptyReport = (): { -readonly [K in keyof FailbackReport]: FailbackReport[K] } => ({
  at: 0,
  merged: 0,
  withheld: 0,
  conflicts: 0,
  compared: 0,
  repaired: 0,
  copied: 0,
  millis: 0
})

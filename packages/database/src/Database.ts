import type { Envelope } from "@holdfast/contracts/Envelope"
import type { Dependency } from "@holdfast/resilience/Dependency"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Operation, Outcome } from "./Operation.ts"
import type { Purged } from "./PostgresHousekeeping.ts"
import type {
  ExecuteError,
  NothingWithheld,
  PrimaryAway,
  ReadError,
  SettleRefused,
  StoreUnavailable
} from "./StoreError.ts"
import type { Reader, Transaction } from "./Transaction.ts"

/**
 * A message of the outbox with its place in the order of commits.
 *
 * @category models
 */
export interface OutboxMessage {
  readonly seq: number
  readonly envelope: Envelope
}

/**
 * The messages an agent has committed, in order: the log of the embedded bus, the source of the Kafka relay.
 *
 * @category models
 */
export interface OutboxLog {
  /** Committed messages with `seq` above the given one whose topic is among the given ones, at most `limit`. */
  readonly readAfter: (
    seq: number,
    topics: ReadonlyArray<string>,
    limit: number
  ) => Effect.Effect<ReadonlyArray<OutboxMessage>, ReadError>
  /** The last committed `seq`, 0 if there is none. */
  readonly lastSeq: () => number
  /** Calls the listener after each commit that wrote messages; returns how to stop. */
  readonly onAppend: (listener: () => void) => () => void
}

/**
 * The messages of an agent that are on their way to a broker: published in the order of commits, by one process at a time.
 *
 * @category models
 */
export interface Relay {
  /**
   * The oldest committed messages that are not published yet, at most `limit`, in order; none while another process of
   * this agent publishes.
   */
  readonly pending: (limit: number) => Effect.Effect<ReadonlyArray<OutboxMessage>, ReadError>
  /** The broker has acknowledged every message up to this `seq`. May be lost: then the same messages are pending again. */
  readonly published: (seq: number) => Effect.Effect<void, ExecuteError>
  /** How many messages are not published, as far as this process knows. */
  readonly depth: () => number
}

/**
 * Counters of a store, as plain numbers for metrics and health.
 *
 * @category models
 */
export interface DatabaseStats {
  readonly operations: number
  readonly replayed: number
  readonly refused: number
  readonly transactions: number
  readonly queued: number
  readonly lastBatch: number
  readonly lastCommitMillis: number
}

/**
 * An operation of an outage that could not merge, and why; `behind` names the one it waits for.
 *
 * @category models
 */
export interface WithheldOperation {
  readonly operationId: string
  readonly command: string
  readonly at: number
  readonly behind: string | null
  readonly status: "open" | "applied" | "discarded"
  readonly settledBy: string | null
  readonly conflicts: ReadonlyArray<{
    readonly id: string
    readonly table: string
    readonly rowKey: unknown
    readonly policy: string
    readonly reason: string
    readonly primaryRow: unknown
    readonly outageRow: unknown
  }>
}

/**
 * What the last return to the primary, or a drill, has shown. Times in milliseconds.
 *
 * @category models
 */
export interface FailbackReport {
  readonly at: number
  readonly merged: number
  readonly withheld: number
  readonly conflicts: number
  /** Rows compared on both sides, and how many of them differed and were set right. */
  readonly compared: number
  readonly repaired: number
  /** Rows copied anew, where only that helped. */
  readonly copied: number
  readonly millis: number
}

/**
 * The primary of a store that has one: a shadow in a file stands in for it while it is away.
 *
 * @category models
 */
export interface PrimaryStatus {
  readonly dependency: Dependency
  /** The file holds what the primary had when it was last followed: it can serve before the primary has been reached. */
  readonly isWarm: boolean
  /** `memory`: the data folder cannot be used, so that nothing can be written while the primary is away. */
  readonly persistence: "file" | "memory"
  /** Why it is `memory`. */
  readonly inMemoryBecause: string | undefined
  /** `primary`: transactions count there. `alone`: they count in the file, and are merged later. */
  readonly mode: () => "primary" | "alone"
  /** The file has everything that was committed in the primary before this moment, in milliseconds; 0: nobody knows. */
  readonly asOf: () => number
  readonly backlog: () => {
    readonly pending: number
    readonly oldestAt: number | undefined
    readonly isFull: boolean
    readonly withheld: number
  }
  readonly replicas: () => number
  readonly epoch: () => number
  readonly roundTripMillis: () => number
  /** Sessions that are open: the writer's, and the watch's, which all agents of the process share. */
  readonly connections: () => number
  readonly stats: Readonly<{
    failovers: number
    failbacks: number
    unknownCommits: number
    lastFailback: FailbackReport | undefined
    pulled: number
    /** Operations of outages since the start, by what the merge made of them. */
    merged: number
    withheld: number
  }>
  readonly withheld: Effect.Effect<ReadonlyArray<WithheldOperation>, ReadError>
  /**
   * Decides a withheld operation: `outage` applies its changes over what the primary has (counters are added), `primary`
   * leaves that and drops the changes. Those that wait behind it are tried again.
   */
  readonly settle: (
    operationId: string,
    keep: "outage" | "primary",
    by: string
  ) => Effect.Effect<void, SettleError>
  /** Leaves the healthy primary, works alone for so long, comes back and compares everything. */
  readonly drill: (alone: Duration.Duration) => Effect.Effect<FailbackReport, SettleError>
  /**
   * Removes from the primary what nobody needs any more (spec §20), in chunks and beside the writer. `isPublished`: a broker
   * carries the messages, and one that it has not acknowledged stays.
   */
  readonly purge: (options: { readonly isPublished: boolean }) => Effect.Effect<Purged, PrimaryAway>
}

/** Why a withheld operation is not settled, or a drill not run. */
export type SettleError = PrimaryAway | NothingWithheld | SettleRefused | StoreUnavailable

/**
 * An agent's store. Every write goes through `execute`; the kernel records it with its answer, its messages and its row
 * changes in one transaction, together with the operations that wait beside it (group commit).
 *
 * @category models
 */
export interface DatabaseShape {
  readonly agent: string
  /**
   * Runs the operation once: a known id is answered from the record; another fingerprint under a known id fails with
   * `OperationIdReused`. Answered only after the commit is durable. Interrupting the caller withdraws the operation while it
   * waits; once it runs it ends, and its id tells how.
   */
  readonly execute: <A, E, R>(
    operation: Operation<A, E, R>
  ) => Effect.Effect<Outcome<A>, E | ExecuteError, Exclude<R, Transaction | Reader>>
  /**
   * Runs bookkeeping of the kernel itself (cursors, leases, purges) in the next transaction, without a record, an id or
   * change rows: only for what may run twice.
   */
  readonly housekeep: <A, E, R>(
    name: string,
    handler: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | ExecuteError, Exclude<R, Transaction | Reader>>
  /** Runs reads against the committed state. */
  readonly read: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Reader>>
  readonly outbox: OutboxLog
  readonly relay: Relay
  /** Calls the listener after each commit with the names of the tables it wrote; returns how to stop. */
  readonly onCommit: (listener: (tables: ReadonlySet<string>) => void) => () => void
  readonly stats: DatabaseStats
  /**
   * Ends when what other processes had committed before it began can be read here: at once where there are none, and
   * without them where they cannot be asked in time.
   */
  readonly fresh: Effect.Effect<void>
  /** Undefined where the file is the store of record. */
  readonly primary: PrimaryStatus | undefined
}

/**
 * The store of the agent at hand.
 *
 * @category services
 */
export class Database extends Context.Tag("@holdfast/database/Database")<Database, DatabaseShape>() {}

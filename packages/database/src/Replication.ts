import type { WriteClass } from "@holdfast/contracts/CommandPolicy"
import type * as Effect from "effect/Effect"
import type { CommitUnknown } from "./GroupCommit.ts"
import type { StoreUnavailable, WriteRefused } from "./StoreError.ts"
import type { Bound } from "./Transaction.ts"

/**
 * How a store in a file takes part in a larger one: asked by its writer around every transaction that records operations.
 * Without one the file is all there is.
 *
 * @category models
 */
export interface Replication {
  /**
   * Before the first operation of a transaction: decides where the transaction counts, and brings the file up to date
   * with it.
   */
  readonly enter: Effect.Effect<void, StoreUnavailable>
  /** Why an operation of this class must not run now, if it must not. */
  readonly refusal: (operation: { readonly id: string; readonly writeClass: WriteClass }) => WriteRefused | undefined
  /** Whether the transaction counts here alone, so that one whose outcome elsewhere is unknown proves nothing. */
  readonly isAlone: () => boolean
  /** The name of this file among those of the agent, while the transaction counts here alone. */
  readonly aloneAs: () => string | undefined
  /** What a bounded operation may use. */
  readonly bound: () => Bound | undefined
  /** After the last operation, before the file commits. */
  readonly commit: Effect.Effect<void, StoreUnavailable | CommitUnknown>
  readonly rollback: Effect.Effect<void>
  readonly committed: () => void
  readonly again: (error: StoreUnavailable | CommitUnknown) => boolean
}

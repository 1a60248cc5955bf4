import type { WriteClass } from "@holdfast/contracts/CommandPolicy"
import type * as Effect from "effect/Effect"
import type { Cause } from "./Transaction.ts"

/**
 * One write, whoever asks for it. Its id is made before the first attempt, so that running it again, here or elsewhere,
 * means the same thing: an id the store knows is answered from the record (DESIGN §4).
 *
 * @category models
 */
export interface Operation<A, E, R> {
  readonly id: string
  /** What is done, e.g. `order.place`; for logs, metrics and the record. */
  readonly command: string
  readonly writeClass: WriteClass
  /** Tells two requests under one id apart. */
  readonly fingerprint: string
  readonly cause: Cause
  /**
   * Under this id each process does what is due where it is, as the slot of a timer does: what it says while it is cut off
   * from the others is not what they say.
   */
  readonly isLocal?: boolean | undefined
  /** How long the record is kept, in milliseconds (spec §20). */
  readonly keepMillis: number
  readonly handler: Effect.Effect<A, E, R>
  /** The answer as it is stored and given again to who repeats the operation. */
  readonly answer: (value: A) => string
  /** The stored answer of a refusal, or `undefined` when the failure is not to be remembered. */
  readonly refusal: (error: E) => string | undefined
}

/**
 * How an operation ended: just now, or before, with the answer stored then.
 *
 * @category models
 */
export type Outcome<A> =
  | { readonly _tag: "Done"; readonly value: A }
  | { readonly _tag: "Known"; readonly answer: string }

const DAY = 24 * 60 * 60 * 1000

/** Retention of operation records (spec §20). */
export const retention = { message: 30 * DAY, orderOrPayment: 30 * DAY, other: DAY } as const

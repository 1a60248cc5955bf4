import type { ListName } from "@holdfast/contracts/Fraud"
import type { Kind } from "@holdfast/contracts/Identifier"
import * as RobustZ from "./RobustZ.ts"
import type { CounterKind, SubjectKind, Window } from "./Window.ts"

/**
 * What is remembered of other orders at the moment of an assessment; stored with it, so that the score can be computed
 * again (invariant F1). Nothing of an order placed later is in it.
 */
export interface Snapshot {
  /** By {@link counterKey}; what is 0 is absent. The order at hand is counted. */
  readonly counters: Readonly<Record<string, number>>
  /** When the e-mail was first seen on another order. */
  readonly emailFirstSeenAt: number | null
  /** Whether another order went to this shipping address before. */
  readonly addressUsedBefore: boolean
  /** Other orders of the same customer (guests: of the same e-mail). */
  readonly customer: {
    readonly orders: number
    readonly deliveredBefore60d: number
    readonly disputed: number
    readonly returned: number
    /** Of the last amounts in the same currency. */
    readonly amounts: RobustZ.Spread
  }
  /** The last amounts on the same channel in the same currency. */
  readonly segment: RobustZ.Spread
  /** Kinds of the order's identifiers that were on an order with a chargeback or confirmed fraud. */
  readonly tainted: ReadonlyArray<Kind>
  readonly listed: ReadonlyArray<{ readonly list: ListName; readonly kind: Kind }>
}

export const empty: Snapshot = {
  counters: {},
  emailFirstSeenAt: null,
  addressUsedBefore: false,
  customer: { orders: 0, deliveredBefore60d: 0, disputed: 0, returned: 0, amounts: RobustZ.nothing },
  segment: RobustZ.nothing,
  tainted: [],
  listed: []
}

/** A counter that rules look at. */
export interface CounterUse {
  readonly counter: CounterKind
  readonly window: Window
}

export const counterKey = ({ counter, window }: CounterUse, subject: SubjectKind): string =>
  `${counter}/${window}/${subject}`

export const count = (snapshot: Snapshot, use: CounterUse, subject: SubjectKind): number =>
  snapshot.counters[counterKey(use, subject)] ?? 0

import * as Amount from "@holdfast/contracts/Amount"
import type { LineQuantity, Totals } from "@holdfast/contracts/Order"
import { CancelQuantityExceeded } from "@holdfast/contracts/OrderErrors"
import * as Either from "effect/Either"
import type { LineQuantities } from "./LineQuantities.ts"
import { movable } from "./LineQuantities.ts"

/** What a cancellation needs to know of a line. */
export interface Line extends LineQuantities {
  readonly id: string
  readonly lineTotal: Amount.Amount
  readonly tax: Amount.Amount
}

/** What is to be cancelled: `keep` units of the line stay reserved. */
export interface Cancelled<L extends Line> {
  readonly lines: ReadonlyArray<{ readonly line: L; readonly qty: number; readonly keep: number }>
  /** Whether nothing of the order is left. */
  readonly full: boolean
  /** What the customer need not pay for the cancelled units, or gets back. */
  readonly value: Amount.Amount
}

/** The part of an amount that `to` of `qty` units have, beyond that of `from`: all parts sum to the whole. */
const part = (amount: Amount.Amount, from: number, to: number, qty: number): Amount.Amount => {
  const upTo = (units: number) => Either.getOrElse(Amount.ratio(amount, units, qty), () => 0)
  return upTo(to) - upTo(from)
}

/**
 * Works out a cancellation before any quantity changes: of the named units, or of all that is left. Shipping and fees are
 * part of the value once nothing is left. Fails where more units are named than can be cancelled.
 */
export const plan = <L extends Line>(
  order: { readonly lines: ReadonlyArray<L>; readonly totals: Totals; readonly taxInclusive: boolean },
  wanted: ReadonlyArray<LineQuantity> | undefined
): Either.Either<Cancelled<L>, CancelQuantityExceeded> =>
  Either.gen(function*() {
    const units = new Map<string, number>()
    for (const { lineId, qty } of wanted ?? []) units.set(lineId, (units.get(lineId) ?? 0) + qty)
    const known = new Map(order.lines.map((line) => [line.id, line]))
    for (const [lineId, requested] of units) {
      const line = known.get(lineId)
      const cancellable = line === undefined ? 0 : movable(line, "cancel")
      if (requested > cancellable) {
        yield* Either.left(new CancelQuantityExceeded({ lineId, requested, cancellable }))
      }
    }
    const planned = order.lines.map((line) => {
      const open = movable(line, "cancel")
      const qty = wanted === undefined ? open : units.get(line.id) ?? 0
      return { line, qty, keep: open - qty }
    })
    const lines = planned.filter(({ qty }) => qty > 0)
    const full = planned.every(({ keep, line }) => keep === 0 && line.qtyShipped === 0)
    let value = full ? order.totals.shipping + order.totals.fees : 0
    for (const { line, qty } of lines) {
      const [from, to] = [line.qtyCancelled, line.qtyCancelled + qty]
      value += part(line.lineTotal, from, to, line.qty)
      if (!order.taxInclusive) value += part(line.tax, from, to, line.qty)
    }
    if (full && !order.taxInclusive) {
      value += order.totals.tax - order.lines.reduce((sum, line) => sum + line.tax, 0)
    }
    return { lines, full, value }
  })

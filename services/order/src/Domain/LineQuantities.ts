/**
 * The units of a line and what became of them. Always: shipped + cancelled ≤ qty, delivered ≤ shipped, returned ≤ delivered
 * (invariant O3).
 */
export interface LineQuantities {
  readonly qty: number
  readonly qtyShipped: number
  readonly qtyDelivered: number
  readonly qtyCancelled: number
  readonly qtyReturned: number
}

/** What can happen to units. */
export type Movement = "cancel" | "ship" | "deliver" | "return"

const counter = {
  cancel: "qtyCancelled",
  ship: "qtyShipped",
  deliver: "qtyDelivered",
  return: "qtyReturned"
} as const

const limit: Readonly<Record<Movement, (line: LineQuantities) => number>> = {
  cancel: (line) => line.qty - line.qtyShipped - line.qtyCancelled,
  ship: (line) => line.qty - line.qtyShipped - line.qtyCancelled,
  deliver: (line) => line.qtyShipped - line.qtyDelivered,
  return: (line) => line.qtyDelivered - line.qtyReturned
}

/** How many units of the line can still move so. */
export const movable = (line: LineQuantities, movement: Movement): number => limit[movement](line)

/** The line after so many units moved, or `undefined` when there are not as many. */
export const move = <Line extends LineQuantities>(line: Line, movement: Movement, units: number): Line | undefined =>
  Number.isInteger(units) && units >= 0 && units <= movable(line, movement)
    ? { ...line, [counter[movement]]: line[counter[movement]] + units }
    : undefined

/** Invariant O3. */
export const holds = (line: LineQuantities): boolean =>
  line.qtyShipped + line.qtyCancelled <= line.qty && line.qtyDelivered <= line.qtyShipped &&
  line.qtyReturned <= line.qtyDelivered && line.qtyCancelled >= 0 && line.qtyReturned >= 0

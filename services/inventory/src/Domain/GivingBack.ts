import type { OrderLineId } from "@holdfast/contracts/Id"
import { ReleaseExceedsReserved } from "@holdfast/contracts/InventoryErrors"
import type { LineQuantity } from "@holdfast/contracts/Order"
import type { ReservedLine } from "@holdfast/contracts/Reservation"
import * as Either from "effect/Either"

/** A promised line and how much of it was shipped. */
export interface PromisedLine extends ReservedLine {
  readonly consumed: number
}

/** Units that are promised and not shipped. */
export const openUnits = (line: PromisedLine): number => line.qty - line.consumed

/** The lines as they are open now. */
export const openLines = (lines: ReadonlyArray<PromisedLine>): ReadonlyArray<ReservedLine> =>
  lines.filter((line) => openUnits(line) > 0).map((line) => ({
    lineId: line.lineId,
    sku: line.sku,
    locationId: line.locationId,
    qty: openUnits(line)
  }))

/** Units by order line, whatever location they come from. */
export const byLine = (lines: ReadonlyArray<LineQuantity>): ReadonlyArray<LineQuantity> => {
  const sums = new Map<OrderLineId, number>()
  for (const { lineId, qty } of lines) sums.set(lineId, (sums.get(lineId) ?? 0) + qty)
  return [...sums].map(([lineId, qty]) => ({ lineId, qty }))
}

/**
 * The promised units to give back, by location; where a line is split, those promised last first. A line named twice is
 * summed, and nothing is clamped: more than is open is refused.
 */
export const giveBack = (
  reservationId: string,
  lines: ReadonlyArray<PromisedLine>,
  wanted: ReadonlyArray<LineQuantity>
): Either.Either<ReadonlyArray<ReservedLine>, ReleaseExceedsReserved> => {
  const back: Array<ReservedLine> = []
  for (const { lineId, qty } of byLine(wanted)) {
    const parts = openLines(lines).filter((line) => line.lineId === lineId).reverse()
    const reserved = parts.reduce((sum, part) => sum + part.qty, 0)
    if (reserved < qty) {
      return Either.left(new ReleaseExceedsReserved({ reservationId, lineId, requested: qty, reserved }))
    }
    let open = qty
    for (const part of parts) {
      const take = Math.min(open, part.qty)
      if (take > 0) back.push({ ...part, qty: take })
      open -= take
    }
  }
  return Either.right(back)
}

import type { LocationId } from "@holdfast/contracts/Location"
import type { Sku } from "@holdfast/contracts/Sku"

/** How many units of a sku are at a location, by bucket. */
export interface Level {
  readonly sku: Sku
  readonly locationId: LocationId
  readonly onHand: number
  readonly reserved: number
  readonly onHold: number
  readonly damaged: number
  readonly incoming: number
  readonly safetyBuffer: number
  readonly backorderLimit: number
}

/** A place no goods have been at yet. */
export const empty = (sku: Sku, locationId: LocationId, backorderLimit: number): Level => ({
  sku,
  locationId,
  onHand: 0,
  reserved: 0,
  onHold: 0,
  damaged: 0,
  incoming: 0,
  safetyBuffer: 0,
  backorderLimit
})

/** What is there and free; negative while units are promised on backorder. */
export const available = (level: Level): number => level.onHand - level.reserved - level.onHold - level.damaged

/** What a channel may show. */
export const sellable = (level: Level): number => available(level) - level.safetyBuffer + level.backorderLimit

/** What can still be promised (invariant I2): the buffer only hides units from channels, an order may have them. */
export const reservable = (level: Level): number => available(level) + level.backorderLimit

/** Invariant I1: no bucket is negative, and no more is promised than there is and may be backordered. */
export const isWithinBounds = (level: Level): boolean =>
  level.onHand >= 0 && level.reserved >= 0 && level.onHold >= 0 && level.damaged >= 0 && reservable(level) >= 0

/** Whether a channel may show something of it. */
export const isInStock = (level: Level): boolean => sellable(level) > 0

/**
 * The backorder limit to keep when another one is wanted: it cannot go below what is promised already. `broken` tells
 * that the wish would have broken invariant I1.
 */
export const limitBackorders = (level: Level, wanted: number): { readonly limit: number; readonly broken: boolean } => {
  const promised = Math.max(0, -available(level))
  return { limit: Math.max(wanted, promised), broken: wanted < promised }
}

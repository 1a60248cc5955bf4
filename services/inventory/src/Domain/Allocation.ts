import type { OrderLineId } from "@holdfast/contracts/Id"
import type { LocationId } from "@holdfast/contracts/Location"
import type { ReservedLine, Shortage } from "@holdfast/contracts/Reservation"
import type { Sku } from "@holdfast/contracts/Sku"
import { type Level, reservable } from "./Level.ts"

/** Units of a sku that an order line wants. */
export interface WantedLine {
  readonly lineId: OrderLineId
  readonly sku: Sku
  readonly qty: number
}

/** What can be promised: the lines by location, and what is missing for all of them. */
export interface Allocation {
  readonly lines: ReadonlyArray<ReservedLine>
  readonly shortages: ReadonlyArray<Shortage>
}

/** Combinations are tried among this many locations at most; beyond them the locations that cover most are joined. */
const MAX_COMBINED = 6

interface Location {
  readonly id: LocationId
  readonly free: ReadonlyMap<Sku, number>
  /** Units of the demand it could serve alone. */
  readonly covers: number
}

const demandOf = (lines: ReadonlyArray<WantedLine>): Map<Sku, number> => {
  const demand = new Map<Sku, number>()
  for (const { qty, sku } of lines) demand.set(sku, (demand.get(sku) ?? 0) + qty)
  return demand
}

/** The locations that can serve anything, those that cover most first; among equals the code of the location decides. */
const locationsOf = (levels: Iterable<Level>, demand: ReadonlyMap<Sku, number>): ReadonlyArray<Location> => {
  const free = new Map<LocationId, Map<Sku, number>>()
  for (const level of levels) {
    const units = reservable(level)
    if (units <= 0 || !demand.has(level.sku)) continue
    const skus = free.get(level.locationId)
    if (skus === undefined) free.set(level.locationId, new Map([[level.sku, units]]))
    else skus.set(level.sku, units)
  }
  const locations = [...free].map(([id, skus]): Location => {
    let covers = 0
    for (const [sku, units] of skus) covers += Math.min(units, demand.get(sku) ?? 0)
    return { id, free: skus, covers }
  })
  return locations.sort((a, b) => b.covers - a.covers || (a.id < b.id ? -1 : 1))
}

/** All ways to choose `size` of the locations, those that come first in the list first. */
function* combinations(locations: ReadonlyArray<Location>, size: number, from = 0): Generator<ReadonlyArray<Location>> {
  if (size === 0) {
    yield []
    return
  }
  for (let i = from; i <= locations.length - size; i++) {
    const first = locations[i]
    if (first === undefined) return
    for (const rest of combinations(locations, size - 1, i + 1)) yield [first, ...rest]
  }
}

const freeOf = (locations: ReadonlyArray<Location>, sku: Sku): number => {
  let units = 0
  for (const location of locations) units += location.free.get(sku) ?? 0
  return units
}

const coverAll = (locations: ReadonlyArray<Location>, demand: ReadonlyMap<Sku, number>): boolean => {
  for (const [sku, qty] of demand) if (freeOf(locations, sku) < qty) return false
  return true
}

/** A single location that covers all > the fewest locations that do > the locations that cover most. */
const choose = (
  locations: ReadonlyArray<Location>,
  demand: ReadonlyMap<Sku, number>,
  allowSplit: boolean
): ReadonlyArray<Location> => {
  if (!allowSplit) return locations.slice(0, 1)
  if (!coverAll(locations, demand)) return locations
  const candidates = locations.slice(0, MAX_COMBINED)
  for (let size = 1; size <= candidates.length; size++) {
    for (const chosen of combinations(candidates, size)) if (coverAll(chosen, demand)) return chosen
  }
  return locations
}

/**
 * Spreads the wanted lines over locations. Lines of one sku are summed before the check (invariant I3), so that a sku
 * named twice is not promised twice. With shortages, `lines` holds what a partial reservation would get.
 */
export const allocate = (
  lines: ReadonlyArray<WantedLine>,
  levels: Iterable<Level>,
  allowSplit: boolean
): Allocation => {
  const demand = demandOf(lines)
  const chosen = choose(locationsOf(levels, demand), demand, allowSplit)
  const left = new Map(chosen.map((location) => [location.id, new Map(location.free)]))
  const promised: Array<ReservedLine> = []
  for (const { lineId, qty, sku } of lines) {
    let open = qty
    for (const [locationId, skus] of left) {
      const take = Math.min(open, skus.get(sku) ?? 0)
      if (take === 0) continue
      promised.push({ lineId, sku, locationId, qty: take })
      skus.set(sku, (skus.get(sku) ?? 0) - take)
      open -= take
      if (open === 0) break
    }
  }
  const shortages: Array<Shortage> = []
  for (const [sku, wanted] of demand) {
    const available = freeOf(chosen, sku)
    if (available < wanted) shortages.push({ sku, wanted, available })
  }
  return { lines: promised, shortages }
}

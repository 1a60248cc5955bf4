import type { LocationId } from "@holdfast/contracts/Location"
import type { Sku } from "@holdfast/contracts/Sku"
import type { LedgerKind } from "@holdfast/contracts/Stock"
import type { Level } from "./Level.ts"

/** Changes of the buckets that the ledger tells about. */
export interface Delta {
  readonly onHand: number
  readonly reserved: number
  readonly onHold: number
  readonly damaged: number
}

const none: Delta = { onHand: 0, reserved: 0, onHold: 0, damaged: 0 }

/** What one unit of each kind of movement does to the buckets (spec §8). */
const effects: Readonly<Record<LedgerKind, Delta>> = {
  receive: { ...none, onHand: 1 },
  ship: { ...none, onHand: -1, reserved: -1 },
  adjust: { ...none, onHand: 1 },
  count: { ...none, onHand: 1 },
  reserve: { ...none, reserved: 1 },
  release: { ...none, reserved: -1 },
  hold: { ...none, onHold: 1 },
  unhold: { ...none, onHold: -1 },
  damage: { ...none, onHold: -1, damaged: 1 },
  scrap: { ...none, onHand: -1, onHold: -1 },
  return_restock: { ...none, onHold: -1 },
  transfer_out: { ...none, onHand: -1 },
  transfer_in: { ...none, onHand: 1 }
}

/** What caused a movement; with sku, location, kind and lot it stands in the ledger once (invariant I6). */
export interface MovementCause {
  readonly refType: string
  readonly refId: string
  readonly reason?: string | undefined
}

/** Units of a sku that change their bucket at a location. */
export interface Movement extends MovementCause {
  readonly sku: Sku
  readonly locationId: LocationId
  readonly lot: string
  readonly kind: LedgerKind
  readonly delta: Delta
}

/** Where units are: what movements are summed by. */
export interface Place {
  readonly sku: Sku
  readonly locationId: LocationId
}

/** One text per place; neither part contains a space. */
export const keyOf = (place: Place): string => `${place.sku} ${place.locationId}`

const add = (a: Delta, b: Delta, times = 1): Delta => ({
  onHand: a.onHand + b.onHand * times,
  reserved: a.reserved + b.reserved * times,
  onHold: a.onHold + b.onHold * times,
  damaged: a.damaged + b.damaged * times
})

/** Units of one cause, before they are summed. */
export interface Units extends Place {
  readonly lot?: string | undefined
  readonly qty: number
}

/** One movement per place and lot: the units of a command are summed before anything is checked (invariant I3). */
export const make = (
  kind: LedgerKind,
  units: Iterable<Units>,
  cause: MovementCause
): ReadonlyArray<Movement> => {
  const effect = effects[kind]
  const sums = new Map<string, Movement>()
  for (const { locationId, lot = "", qty, sku } of units) {
    const key = `${sku} ${locationId} ${lot}`
    const before = sums.get(key)?.delta ?? none
    sums.set(key, { ...cause, sku, locationId, lot, kind, delta: add(before, effect, qty) })
  }
  return [...sums.values()]
}

/** What an operation does to a place; `kind` is that of its first movement there. */
export interface Change extends Place {
  readonly kind: LedgerKind
  readonly delta: Delta
}

/** What the movements of one operation do to each place, in (sku, location) order: the order of all row locks. */
export const byPlace = (movements: Iterable<Movement>): ReadonlyArray<Change> => {
  const sums = new Map<string, Change>()
  for (const { delta, kind, locationId, sku } of movements) {
    const key = keyOf({ sku, locationId })
    const before = sums.get(key)
    sums.set(
      key,
      before === undefined ? { sku, locationId, kind, delta } : { ...before, delta: add(before.delta, delta) }
    )
  }
  return [...sums.entries()].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0).map(([, place]) => place)
}

/** The level after a change. Never clamped: whether the result is allowed is for `isWithinBounds` to say. */
export const apply = <L extends Level>(level: L, delta: Delta): L => ({
  ...level,
  onHand: level.onHand + delta.onHand,
  reserved: level.reserved + delta.reserved,
  onHold: level.onHold + delta.onHold,
  damaged: level.damaged + delta.damaged
})

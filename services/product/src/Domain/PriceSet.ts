import type { Price, PriceInput } from "@holdfast/contracts/Product"

/** A price without the id that tells it from others. */
export type PriceTerms = Omit<Price, "id">

/** Prices of one slot compete: at most one of them holds at an instant (invariant C3). */
const slotOf = (price: Pick<PriceTerms, "channel" | "customerGroup" | "currency" | "minQty">): string =>
  [price.channel ?? "", price.customerGroup ?? "", price.currency, price.minQty].join(" ")

const isSame = (a: PriceTerms, b: PriceTerms): boolean =>
  slotOf(a) === slotOf(b) && a.validFrom === b.validFrom && a.validTo === b.validTo && a.amount === b.amount &&
  a.compareAt === b.compareAt

/**
 * The terms of prices as they are set, in their order. A price without a beginning goes on from that of the present price
 * it only repeats, and begins now otherwise.
 */
export const terms = (
  inputs: ReadonlyArray<PriceInput>,
  present: ReadonlyArray<Price>,
  now: string
): ReadonlyArray<PriceTerms> =>
  inputs.map((input) => {
    const fresh: PriceTerms = { ...input, minQty: input.minQty ?? 1, validFrom: input.validFrom ?? now }
    if (input.validFrom !== undefined) return fresh
    const repeated = present.find((price) =>
      price.validFrom <= now && isSame({ ...fresh, validFrom: price.validFrom }, price)
    )
    return repeated === undefined ? fresh : { ...fresh, validFrom: repeated.validFrom }
  })

/** Places of prices that never hold, because they end before they begin. */
export const neverHold = (prices: ReadonlyArray<PriceTerms>): ReadonlyArray<number> =>
  prices.flatMap((price, index) => price.validTo !== undefined && price.validTo <= price.validFrom ? [index] : [])

/** The places of two prices that would hold at once, or `undefined` (invariant C3). */
export const overlap = (
  prices: ReadonlyArray<PriceTerms>
): { readonly first: number; readonly second: number } | undefined => {
  const places = prices.map((price, index) => ({ price, index, slot: slotOf(price) }))
  places.sort((a, b) => a.slot < b.slot ? -1 : a.slot > b.slot ? 1 : a.price.validFrom < b.price.validFrom ? -1 : 1)
  for (const [n, place] of places.entries()) {
    const before = places[n - 1]
    if (before === undefined || before.slot !== place.slot) continue
    if (before.price.validTo === undefined || before.price.validTo > place.price.validFrom) {
      return { first: Math.min(before.index, place.index), second: Math.max(before.index, place.index) }
    }
  }
  return undefined
}

/** What replacing a set of prices by another one does to each price. */
export interface Replacement {
  readonly kept: ReadonlyArray<Price>
  /** The price takes the place of one of the same slot and beginning, and its id. */
  readonly changed: ReadonlyArray<{ readonly old: Price; readonly terms: PriceTerms }>
  readonly added: ReadonlyArray<PriceTerms>
  readonly ended: ReadonlyArray<Price>
}

/** Compares the present set with the wanted one; both are free of overlaps. */
export const replace = (present: ReadonlyArray<Price>, wanted: ReadonlyArray<PriceTerms>): Replacement => {
  const nameOf = (price: PriceTerms) => `${slotOf(price)} ${price.validFrom}`
  const left = new Map(present.map((price) => [nameOf(price), price]))
  const kept: Array<Price> = []
  const changed: Array<{ readonly old: Price; readonly terms: PriceTerms }> = []
  const added: Array<PriceTerms> = []
  for (const price of wanted) {
    const old = left.get(nameOf(price))
    left.delete(nameOf(price))
    if (old === undefined) added.push(price)
    else if (isSame(old, price)) kept.push(old)
    else changed.push({ old, terms: price })
  }
  return { kept, changed, added, ended: [...left.values()] }
}

import type { Price } from "@holdfast/contracts/Product"

/** What a price is asked for; `at` as RFC 3339 text of fixed width. */
export interface Circumstances {
  readonly currency: string
  readonly channel?: string | undefined
  readonly group?: string | undefined
  readonly qty: number
  readonly at: string
}

const holds = (price: Price, asked: Circumstances): boolean =>
  price.currency === asked.currency &&
  (price.channel === undefined || price.channel === asked.channel) &&
  (price.customerGroup === undefined || price.customerGroup === asked.group) &&
  price.minQty <= asked.qty &&
  price.validFrom <= asked.at &&
  (price.validTo === undefined || asked.at < price.validTo)

/** The rank of a price that holds, the most telling part first (spec §4). */
const rank = (price: Price): ReadonlyArray<number | string> => [
  price.customerGroup === undefined ? 0 : 1,
  price.channel === undefined ? 0 : 1,
  price.minQty,
  price.validFrom
]

/** Above 0 where `a` is chosen before `b`: by group, channel, highest minQty, latest validFrom. */
export const compare = (a: Price, b: Price): number => {
  const other = rank(b)
  for (const [i, part] of rank(a).entries()) {
    const against = other[i] ?? 0
    if (part !== against) return part > against ? 1 : -1
  }
  return 0
}

/**
 * The price that holds, or `undefined`: not sellable. Prices of one set never tie, since no two of them hold for the same
 * channel, group and minQty at once (invariant C3).
 */
export const choose = (prices: Iterable<Price>, asked: Circumstances): Price | undefined => {
  let best: Price | undefined
  for (const price of prices) {
    if (holds(price, asked) && (best === undefined || compare(price, best) > 0)) best = price
  }
  return best
}

import type { Currency } from "@holdfast/contracts/Currency"
import type { Instant } from "@holdfast/contracts/Instant"
import type { Price } from "@holdfast/contracts/Product"

/** For what a price is sought. */
export interface Circumstances {
  readonly currency: Currency
  readonly channel: string
  readonly group: string | undefined
  readonly qty: number
  readonly at: Instant
}

const holds = (price: Price, sought: Circumstances): boolean =>
  price.currency === sought.currency &&
  (price.channel === undefined || price.channel === sought.channel) &&
  (price.customerGroup === undefined || price.customerGroup === sought.group) &&
  price.minQty <= sought.qty &&
  price.validFrom <= sought.at &&
  (price.validTo === undefined || sought.at < price.validTo)

/** By customer group, then channel, then highest minQty, then latest validFrom (spec §4). */
const better = (a: Price, b: Price): boolean => {
  const rank = (price: Price) =>
    [
      price.customerGroup === undefined ? 0 : 1,
      price.channel === undefined ? 0 : 1,
      price.minQty,
      Date.parse(price.validFrom)
    ] as const
  const [left, right] = [rank(a), rank(b)]
  const differing = left.findIndex((value, i) => value !== right[i])
  return differing >= 0 && (left[differing] ?? 0) > (right[differing] ?? 0)
}

/** The price that holds; `undefined` means that the thing is not for sale so. */
export const choose = (prices: ReadonlyArray<Price>, sought: Circumstances): Price | undefined =>
  prices.filter((price) => holds(price, sought)).reduce<Price | undefined>(
    (best, price) => best === undefined || better(price, best) ? price : best,
    undefined
  )

import type { Product } from "@holdfast/contracts/Product"

/**
 * What keeps a product from being published on the channels at the time (invariant C2), as paths into the product. A
 * price counts if anyone may have it, now or later, for a single unit.
 */
export const missing = (product: Product, channels: ReadonlyArray<string>, now: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  if (Object.keys(product.title).length === 0) found.push("title")
  if ((product.media ?? []).length === 0) found.push("media")
  if (product.taxClass === undefined) found.push("taxClass")
  if (product.variants.length === 0) found.push("variants")
  for (const variant of product.variants) {
    const path = `variant.${variant.sku}`
    for (const channel of channels) {
      const priced = variant.prices.some((price) =>
        price.customerGroup === undefined && price.minQty === 1 &&
        (price.channel === undefined || price.channel === channel) &&
        (price.validTo === undefined || price.validTo > now)
      )
      if (!priced) found.push(`${path}.price.${channel}`)
    }
    if (product.type === "bundle" && (variant.components ?? []).length === 0) found.push(`${path}.components`)
    if (product.type === "digital") continue
    if (variant.weightGrams === undefined) found.push(`${path}.weightGrams`)
    if (variant.dims === undefined) found.push(`${path}.dims`)
  }
  return found
}

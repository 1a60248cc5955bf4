import type { Price, Product, Variant } from "@holdfast/contracts/Product"

/** What an order needs to know of a sku. */
export interface Sellable {
  readonly sku: string
  readonly productId: Product["id"]
  readonly variantId: Variant["id"] | null
  readonly title: string
  readonly taxClass: string | null
  readonly weightGrams: number | null
  readonly active: boolean
  readonly channels: ReadonlyArray<string>
  readonly prices: ReadonlyArray<Price>
}

/** A sku of which no more is known than that it exists. */
export const unknown = (sku: string, productId: Product["id"]): Sellable => ({
  sku,
  productId,
  variantId: null,
  title: sku,
  taxClass: null,
  weightGrams: null,
  active: false,
  channels: [],
  prices: []
})

/** Everything about the variants of a product as the catalogue has it. */
export const ofProduct = (product: Product): ReadonlyArray<Sellable> =>
  product.variants.map((variant) => ({
    sku: variant.sku,
    productId: product.id,
    variantId: variant.id,
    title: product.title["en"] ?? Object.values(product.title)[0] ?? variant.sku,
    taxClass: product.taxClass ?? null,
    weightGrams: variant.weightGrams ?? null,
    active: product.state === "active",
    channels: product.publishedChannels,
    prices: variant.prices
  }))

/** One price came, went or changed. */
export const reprice = (sellable: Sellable, old: Price | undefined, now: Price | undefined): Sellable => ({
  ...sellable,
  prices: [
    ...sellable.prices.filter((price) => price.id !== old?.id && price.id !== now?.id),
    ...(now === undefined ? [] : [now])
  ]
})

/** The product is sold on these channels too; that makes it active. */
export const publish = (sellable: Sellable, channels: ReadonlyArray<string>): Sellable => ({
  ...sellable,
  active: true,
  channels: [...new Set([...sellable.channels, ...channels])]
})

/** The product is not sold on these channels any more. */
export const unpublish = (sellable: Sellable, channels: ReadonlyArray<string>): Sellable => ({
  ...sellable,
  channels: sellable.channels.filter((channel) => !channels.includes(channel))
})

import { NotFound } from "@holdfast/contracts/Errors"
import * as Instant from "@holdfast/contracts/Instant"
import type { ResolvedPrice } from "@holdfast/contracts/Product"
import { PriceNotFound } from "@holdfast/contracts/ProductErrors"
import type { Sku } from "@holdfast/contracts/Sku"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as PriceChoice from "./Domain/PriceChoice.ts"
import * as ProductState from "./Domain/ProductState.ts"
import * as Repository from "./Repository.ts"

/** What prices are asked for, whatever the skus; now where no time is given. */
export interface Circumstances {
  readonly currency: string
  readonly channel?: string | undefined
  readonly group?: string | undefined
  readonly at?: string | undefined
}

/** A sku and how many of it. */
export interface Item {
  readonly sku: Sku
  readonly qty: number
}

/** One line of text, in English where there is English. */
const titleOf = (title: Readonly<Record<string, string>>, sku: Sku): string =>
  (title["en"] ?? Object.values(title)[0] ?? sku).replace(/\s+/g, " ").trim()

/** The price of each item, `undefined` where none holds; skus that do not exist are left out of `variants`. */
const resolveAll = (items: ReadonlyArray<Item>, circumstances: Circumstances) =>
  Effect.gen(function*() {
    const at = circumstances.at ?? Instant.fromMillis(yield* Clock.currentTimeMillis)
    const variants = new Map(
      (yield* Repository.variantsBySku([...new Set(items.map((item) => item.sku))])).map((row) => [row.sku, row])
    )
    const productIds = [...new Set([...variants.values()].map((row) => row.productId))]
    const products = new Map((yield* Repository.productsOf(productIds)).map((row) => [row.id, row]))
    const contents = new Map((yield* Repository.contentsOf(productIds)).map((row) => [row.productId, row]))
    const prices = Arr.groupBy(
      yield* Repository.pricesOf([...variants.values()].map((row) => row.id)),
      (price) => price.variantId
    )
    const resolve = ({ qty, sku }: Item): ResolvedPrice | undefined => {
      const variant = variants.get(sku)
      const product = variant === undefined ? undefined : products.get(variant.productId)
      const content = variant === undefined ? undefined : contents.get(variant.productId)
      if (variant === undefined || product === undefined || content === undefined) return undefined
      const price = PriceChoice.choose((prices[variant.id] ?? []).map(Repository.toPrice), {
        ...circumstances,
        qty,
        at
      })
      if (price === undefined) return undefined
      return {
        sku,
        variantId: variant.id,
        productId: product.id,
        priceId: price.id,
        title: titleOf(content.title, sku),
        qty,
        currency: price.currency,
        amount: price.amount,
        ...(content.taxClass === null ? {} : { taxClass: content.taxClass }),
        ...(variant.weightGrams === null ? {} : { weightGrams: variant.weightGrams }),
        sellable: ProductState.isSellable(product, circumstances.channel)
      }
    }
    return { variants, prices: items.map(resolve) }
  })

export const resolve = (item: Item, circumstances: Circumstances) =>
  Effect.gen(function*() {
    const { prices: [price], variants } = yield* resolveAll([item], circumstances)
    if (!variants.has(item.sku)) return yield* new NotFound({ resource: "variant", id: item.sku })
    if (price === undefined) return yield* new PriceNotFound({ sku: item.sku })
    return price
  })

export const resolveMany = (items: ReadonlyArray<Item>, circumstances: Circumstances) =>
  Effect.map(resolveAll(items, circumstances), ({ prices }) => ({
    prices: prices.filter((price) => price !== undefined),
    missing: [...new Set(items.filter((_, index) => prices[index] === undefined).map((item) => item.sku))]
  }))

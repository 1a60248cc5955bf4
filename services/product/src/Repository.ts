import type { ProductId, VariantId } from "@holdfast/contracts/Id"
import type { Price, Product, ProductSummary, Variant } from "@holdfast/contracts/Product"
import type { Sku } from "@holdfast/contracts/Sku"
import type { ReadError } from "@holdfast/database/StoreError"
import type { Row } from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SearchText from "./Domain/SearchText.ts"
import { BundleItems, Prices, ProductContents, Products, Variants } from "./Tables.ts"

export type ProductRow = Row<typeof Products>
export type ContentRow = Row<typeof ProductContents>
export type VariantRow = Row<typeof Variants>
export type PriceRow = Row<typeof Prices>
export type BundleItemRow = Row<typeof BundleItems>

type Optional<T> =
  & { readonly [K in keyof T as null extends T[K] ? never : K]: T[K] }
  & { readonly [K in keyof T as null extends T[K] ? K : never]?: NonNullable<T[K]> }

/** A row as the world sees it: what is null in the table is absent. */
const withoutNulls = <T extends object>(row: T): Optional<T> =>
  // The entries that are left are those that Optional names.
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)) as Optional<T>

/** Values of one `in (…)`; the engines bound the number of parameters. */
const CHUNK = 500

const inChunks = <A, B>(
  values: ReadonlyArray<A>,
  read: (chunk: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<B>, ReadError, Transaction.Reader>
) =>
  values.length <= CHUNK
    ? read(values)
    : Effect.map(Effect.forEach(Arr.chunksOf(values, CHUNK), read), Arr.flatten)

export const findProduct = (id: ProductId) => Transaction.get(Products, { id })

export const findContent = (productId: ProductId) => Transaction.get(ProductContents, { productId })

export const productBySlug = (slug: string) =>
  Effect.map(Transaction.select(Products, { where: [["slug", "=", slug]] }), Arr.head)

export const variantBySku = (sku: Sku) =>
  Effect.map(Transaction.select(Variants, { where: [["sku", "=", sku]] }), Arr.head)

export const variantsBySku = (skus: ReadonlyArray<Sku>) =>
  inChunks(skus, (chunk) => Transaction.select(Variants, { where: [["sku", "in", chunk]] }))

export const variantsByGtin = (gtins: ReadonlyArray<string>) =>
  Transaction.select(Variants, { where: [["gtin", "in", gtins]] })

export const variantsOf = (productIds: ReadonlyArray<ProductId>) =>
  inChunks(productIds, (chunk) =>
    Transaction.select(Variants, {
      where: [["productId", "in", chunk]],
      orderBy: [["productId", "asc"], ["position", "asc"]]
    }))

export const pricesOf = (variantIds: ReadonlyArray<VariantId>) =>
  inChunks(variantIds, (chunk) =>
    Transaction.select(Prices, {
      where: [["variantId", "in", chunk]],
      orderBy: [["variantId", "asc"], ["currency", "asc"], ["minQty", "asc"], ["validFrom", "asc"], ["id", "asc"]]
    }))

export const bundleItemsOf = (variantIds: ReadonlyArray<VariantId>) =>
  inChunks(variantIds, (chunk) =>
    Transaction.select(BundleItems, {
      where: [["variantId", "in", chunk]],
      orderBy: [["variantId", "asc"], ["position", "asc"]]
    }))

export const productsOf = (ids: ReadonlyArray<ProductId>) =>
  inChunks(ids, (chunk) => Transaction.select(Products, { where: [["id", "in", chunk]] }))

export const contentsOf = (ids: ReadonlyArray<ProductId>) =>
  inChunks(ids, (chunk) => Transaction.select(ProductContents, { where: [["productId", "in", chunk]] }))

export const toPrice = ({ variantId: _, ...row }: PriceRow): Price => withoutNulls(row)

const toVariant = (
  { backorderAllowed, backorderLimit, position: _, ...row }: VariantRow,
  prices: ReadonlyArray<PriceRow>,
  items: ReadonlyArray<BundleItemRow>
): Variant => ({
  ...withoutNulls(row),
  backorder: { allowed: backorderAllowed, limit: backorderLimit },
  ...(items.length === 0 ? {} : { components: items.map(({ componentSku, qty }) => ({ sku: componentSku, qty })) }),
  prices: prices.map(toPrice)
})

/** Variants as the world sees them, in the order given. */
export const toVariants = (rows: ReadonlyArray<VariantRow>) =>
  Effect.gen(function*() {
    const ids = rows.map((row) => row.id)
    const prices = Arr.groupBy(yield* pricesOf(ids), (price) => price.variantId)
    const items = Arr.groupBy(yield* bundleItemsOf(ids), (item) => item.variantId)
    return rows.map((row) => toVariant(row, prices[row.id] ?? [], items[row.id] ?? []))
  })

const toContent = ({ productId: _id, tags: _tags, words: _words, ...row }: ContentRow) => withoutNulls(row)

/** The product with its content and variants. */
export const toProduct = (row: ProductRow): Effect.Effect<Product, ReadError, Transaction.Reader> =>
  Effect.gen(function*() {
    const content = yield* findContent(row.id)
    if (Option.isNone(content)) return yield* Effect.dieMessage(`${row.id} has no content`)
    const variants = yield* toVariants(yield* variantsOf([row.id]))
    return { ...row, ...toContent(content.value), variants }
  })

/** Rows as they stand in lists, in the order given. */
export const toSummaries = (
  rows: ReadonlyArray<ProductRow>
): Effect.Effect<ReadonlyArray<ProductSummary>, ReadError, Transaction.Reader> =>
  Effect.gen(function*() {
    const ids = rows.map((row) => row.id)
    const contents = new Map((yield* contentsOf(ids)).map((content) => [content.productId, content]))
    const variants = Arr.groupBy(yield* variantsOf(ids), (variant) => variant.productId)
    return rows.flatMap((row) => {
      const content = contents.get(row.id)
      if (content === undefined) return []
      const { brand, categoryIds, taxClass, title } = toContent(content)
      return [{
        id: row.id,
        slug: row.slug,
        type: row.type,
        title,
        ...(brand === undefined ? {} : { brand }),
        ...(categoryIds === undefined ? {} : { categoryIds }),
        ...(taxClass === undefined ? {} : { taxClass }),
        state: row.state,
        publishedChannels: row.publishedChannels,
        updatedAt: row.updatedAt,
        version: row.version,
        skus: (variants[row.id] ?? []).map((variant) => variant.sku)
      }]
    })
  })

/** What a list is narrowed to. */
export interface Filter {
  readonly words: ReadonlyArray<string>
  readonly tags: ReadonlyArray<string>
  readonly state?: string | undefined
  readonly channel?: string | undefined
  readonly updatedSince?: string | undefined
}

const Ids = Schema.decodeUnknown(Schema.Array(Schema.Struct({ id: Schema.String })))

/** Products behind a position of the list, by last change. */
export const search = (filter: Filter, after: ReadonlyArray<string | number> | undefined, limit: number) =>
  Effect.gen(function*() {
    const conditions: Array<string> = []
    const parameters: Array<unknown> = []
    const where = (condition: string, ...values: ReadonlyArray<unknown>) => {
      conditions.push(condition)
      parameters.push(...values)
    }
    for (const word of filter.words) {
      where("product_content.words like ? escape '\\'", SearchText.containing(` ${word}`))
    }
    for (const tag of filter.tags) {
      where("product_content.tags like ? escape '\\'", SearchText.containing(`\n${tag}\n`))
    }
    if (filter.state !== undefined) where("product.state = ?", filter.state)
    if (filter.channel !== undefined) {
      // The channels are JSON text: a channel's code needs no escaping there.
      const published = SearchText.containing(JSON.stringify(filter.channel))
      where("product.state = 'active' and cast(product.published_channels as text) like ? escape '\\'", published)
    }
    if (filter.updatedSince !== undefined) where("product.updated_at >= ?", filter.updatedSince)
    if (after !== undefined) {
      const [updatedAt = "", id = ""] = after
      where(
        "(product.updated_at > ? or (product.updated_at = ? and product.id > ?))",
        String(updatedAt),
        String(updatedAt),
        String(id)
      )
    }
    const found = yield* Effect.orDie(Ids(
      yield* Transaction.query(
        "select product.id from product join product_content on product_content.product_id = product.id" +
          `${conditions.length === 0 ? "" : ` where ${conditions.join(" and ")}`}` +
          " order by product.updated_at, product.id limit ?",
        [...parameters, limit]
      )
    ))
    // The ids were read from the table of products.
    const ids = found.map((row) => row.id as ProductId)
    const rows = new Map((yield* productsOf(ids)).map((row) => [row.id, row]))
    return ids.flatMap((id) => {
      const row = rows.get(id)
      return row === undefined ? [] : [row]
    })
  })

/** What the bundles consist of that can be reached from the skus, to any depth. */
export const bundlesBelow = (skus: ReadonlyArray<Sku>) =>
  Effect.gen(function*() {
    const bundles = new Map<Sku, ReadonlyArray<Sku>>()
    const seen = new Set(skus)
    for (let frontier = [...seen]; frontier.length > 0;) {
      const variants = yield* variantsBySku(frontier)
      const items = Arr.groupBy(yield* bundleItemsOf(variants.map(({ id }) => id)), (item) => item.variantId)
      frontier = []
      for (const { id, sku } of variants) {
        const components = (items[id] ?? []).map((item) => item.componentSku)
        if (components.length > 0) bundles.set(sku, components)
        for (const component of components) {
          if (seen.has(component)) continue
          seen.add(component)
          frontier.push(component)
        }
      }
    }
    return bundles
  })

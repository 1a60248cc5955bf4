import { NotFound, VersionConflict } from "@holdfast/contracts/Errors"
import { ProductId } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import type { ProductEdit, ProductInput, VariantInput } from "@holdfast/contracts/Product"
import { ProductIncomplete, ProductStateConflict, SlugTaken } from "@holdfast/contracts/ProductErrors"
import * as Events from "@holdfast/contracts/ProductEvents"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { given } from "./Domain/Edit.ts"
import * as ProductState from "./Domain/ProductState.ts"
import * as PublishGate from "./Domain/PublishGate.ts"
import * as SearchText from "./Domain/SearchText.ts"
import type { ContentRow, ProductRow } from "./Repository.ts"
import * as Repository from "./Repository.ts"
import { ProductContents, Products } from "./Tables.ts"
import * as Variants from "./Variants.ts"

/** The content with what it is found by. */
const indexed = (content: Omit<ContentRow, "words" | "tags">, skus: ReadonlyArray<string>): ContentRow => ({
  ...content,
  words: SearchText.words([
    ...skus,
    content.brand ?? "",
    ...Object.values(content.title),
    ...Object.values(content.description ?? {})
  ]),
  tags: SearchText.tags([
    ...(content.categoryIds ?? []).map(SearchText.categoryTag),
    ...Object.entries(content.attributes ?? {}).map(([name, value]) => SearchText.attributeTag(name, value))
  ])
})

const checkSlug = (slug: string, own: ProductId | undefined) =>
  Effect.gen(function*() {
    const taken = yield* Repository.productBySlug(slug)
    if (Option.isSome(taken) && taken.value.id !== own) return yield* new SlugTaken({ slug })
  })

const find = (id: ProductId) =>
  Effect.flatMap(
    Repository.findProduct(id),
    (row) => Option.isSome(row) ? Effect.succeed(row.value) : new NotFound({ resource: "product", id })
  )

/** The state that the action leads to. */
const advance = (row: ProductRow, action: ProductState.Action) => {
  const state = ProductState.next(row.state, action)
  return state === undefined
    ? new ProductStateConflict({ productId: row.id, state: row.state, action })
    : Effect.succeed(state)
}

const write = (row: ProductRow, change: Partial<Pick<ProductRow, "slug" | "state" | "publishedChannels">>) =>
  Effect.flatMap(Transaction.now, (now) =>
    Transaction.update(
      Products,
      { id: row.id },
      (before) => ({ ...before, ...change, updatedAt: Instant.fromMillis(now) })
    ))

const skusOf = (id: ProductId) =>
  Effect.map(Repository.variantsOf([id]), (variants) => variants.map((variant) => variant.sku))

export const read = (id: ProductId) => Effect.flatMap(find(id), Repository.toProduct)

/** A draft, with its variants and their prices. */
export const create = (input: ProductInput) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const variants = input.variants ?? []
    yield* checkSlug(input.slug, undefined)
    yield* Variants.check(input.type, variants)
    const id = ProductId.make(tx.nextId("prd"), { disableValidation: true })
    const now = Instant.fromMillis(tx.now)
    const row = yield* tx.insert(Products, {
      id,
      slug: input.slug,
      type: input.type,
      state: "draft",
      publishedChannels: [],
      createdAt: now,
      updatedAt: now
    })
    const skus = variants.map((variant) => variant.sku)
    yield* tx.insert(
      ProductContents,
      indexed({
        productId: id,
        title: input.title,
        description: input.description ?? null,
        brand: input.brand ?? null,
        categoryIds: input.categoryIds ?? null,
        attributes: input.attributes ?? null,
        media: input.media ?? null,
        taxClass: input.taxClass ?? null
      }, skus)
    )
    const added = yield* Variants.addAll(id, 0, variants)
    const snapshot = yield* Repository.toProduct(row)
    yield* tx.emit(Events.ProductCreated, { productId: id, type: input.type, title: input.title, skus, snapshot })
    yield* Variants.tell(added)
    return yield* Repository.toProduct(row)
  })

const tellUpdated = (row: ProductRow, changed: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const snapshot = yield* Repository.toProduct(row)
    yield* Transaction.emit(Events.ProductUpdated, { productId: row.id, changed, snapshot })
    return snapshot
  })

/** Fields left out stay as they are. */
export const edit = (id: ProductId, expectedVersion: number | undefined, input: ProductEdit) =>
  Effect.gen(function*() {
    const row = yield* find(id)
    if (expectedVersion !== undefined && expectedVersion !== row.version) {
      return yield* new VersionConflict({ resource: "product", id, expected: expectedVersion, actual: row.version })
    }
    yield* advance(row, "edit")
    const { slug, ...content } = given(input)
    if (slug !== undefined) yield* checkSlug(slug, id)
    const skus = yield* skusOf(id)
    yield* Transaction.update(ProductContents, { productId: id }, (before) => indexed({ ...before, ...content }, skus))
    const after = yield* write(row, slug === undefined ? {} : { slug })
    return yield* tellUpdated(after, Object.keys(given(input)))
  })

/** A variant more; what is published stays so, with it. */
export const addVariant = (id: ProductId, input: VariantInput) =>
  Effect.gen(function*() {
    const row = yield* find(id)
    yield* advance(row, "edit")
    yield* Variants.check(row.type, [input])
    const skus = yield* skusOf(id)
    const added = yield* Variants.addAll(id, skus.length, [input])
    yield* Transaction.update(
      ProductContents,
      { productId: id },
      (before) => indexed(before, [...skus, input.sku])
    )
    const after = yield* write(row, {})
    yield* Variants.tell(added)
    yield* tellUpdated(after, ["variants"])
    return yield* Variants.read(input.sku)
  })

/** Publishes through the gate of invariant C2; a draft or suspended product becomes active. */
export const publish = (id: ProductId, channels: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const row = yield* find(id)
    const state = yield* advance(row, "publish")
    const now = yield* Transaction.now
    const publishedChannels = [...new Set([...row.publishedChannels, ...channels])]
    const product = yield* Repository.toProduct(row)
    // All channels pass the gate again: what was suspended comes back to each of them.
    const missing = PublishGate.missing(product, publishedChannels, Instant.fromMillis(now))
    if (missing.length > 0) return yield* new ProductIncomplete({ productId: id, missing })
    const isNew = state !== row.state || publishedChannels.length > row.publishedChannels.length
    if (!isNew) return product
    const after = yield* write(row, { state, publishedChannels })
    const skus = product.variants.map((variant) => variant.sku)
    yield* Transaction.emit(Events.ProductPublished, { productId: id, channels: publishedChannels, skus })
    return yield* Repository.toProduct(after)
  })

export const unpublish = (id: ProductId, channels: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const row = yield* find(id)
    yield* advance(row, "unpublish")
    const left = row.publishedChannels.filter((channel) => channels.includes(channel))
    if (left.length === 0) return yield* Repository.toProduct(row)
    const publishedChannels = row.publishedChannels.filter((channel) => !channels.includes(channel))
    const after = yield* write(row, { publishedChannels })
    yield* Transaction.emit(Events.ProductUnpublished, { productId: id, channels: left, skus: yield* skusOf(id) })
    return yield* Repository.toProduct(after)
  })

export const suspend = (id: ProductId, reason: string) =>
  Effect.gen(function*() {
    const row = yield* find(id)
    const after = yield* write(row, { state: yield* advance(row, "suspend") })
    yield* Transaction.emit(Events.ProductSuspended, { productId: id, reason })
    return yield* Repository.toProduct(after)
  })

export const discontinue = (id: ProductId, lastOrderDate: string | undefined) =>
  Effect.gen(function*() {
    const row = yield* find(id)
    const after = yield* write(row, { state: yield* advance(row, "discontinue") })
    yield* Transaction.emit(Events.ProductDiscontinued, {
      productId: id,
      skus: yield* skusOf(id),
      ...(lastOrderDate === undefined ? {} : { lastOrderDate })
    })
    return yield* Repository.toProduct(after)
  })

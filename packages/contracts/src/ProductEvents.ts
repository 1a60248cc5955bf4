import * as Schema from "effect/Schema"
import { Channel } from "./Channel.ts"
import { Gtin } from "./Gtin.ts"
import { ProductId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import * as Message from "./Message.ts"
import { Dimensions, Price, Product, ProductType } from "./Product.ts"
import { Sku } from "./Sku.ts"

const key = (payload: { readonly productId: ProductId }) => payload.productId

/** A product came, as a draft. */
export const ProductCreated = Message.event("product.created", {
  payload: Schema.Struct({
    productId: ProductId,
    type: ProductType,
    title: Product.fields.title,
    skus: Schema.Array(Sku),
    snapshot: Schema.optional(Product)
  }),
  key
})

/** A product was edited: `changed` names the fields, `snapshot` is the product after it. */
export const ProductUpdated = Message.event("product.updated", {
  payload: Schema.Struct({ productId: ProductId, changed: Schema.Array(Schema.String), snapshot: Product }),
  key
})

/** A variant came or was edited: its physical data now. */
export const VariantChanged = Message.event("product.variant_changed", {
  payload: Schema.Struct({
    productId: ProductId,
    sku: Sku,
    weightGrams: Schema.optional(Schema.Number),
    dims: Schema.optional(Dimensions),
    flags: Schema.Struct({
      lotTracked: Schema.Boolean,
      serialTracked: Schema.Boolean,
      backorder: Schema.Struct({ allowed: Schema.Boolean, limit: Schema.Number })
    }),
    gtin: Schema.optional(Gtin)
  }),
  key
})

/** One price of a set came (`old` absent), went (`new` absent) or changed; `validFrom` of the new one, or when the old ended. */
export const PriceChanged = Message.event("product.price_changed", {
  payload: Schema.Struct({
    productId: ProductId,
    sku: Sku,
    channel: Schema.optional(Channel),
    old: Schema.optional(Price),
    new: Schema.optional(Price),
    validFrom: Instant
  }),
  key
})

const publication = Schema.Struct({ productId: ProductId, channels: Schema.Array(Channel), skus: Schema.Array(Sku) })

/** The skus are for sale on these channels now. */
export const ProductPublished = Message.event("product.published", { payload: publication, key })

/** The skus are no longer for sale on these channels. */
export const ProductUnpublished = Message.event("product.unpublished", { payload: publication, key })

/** The product is not for sale until it is published again. */
export const ProductSuspended = Message.event("product.suspended", {
  payload: Schema.Struct({ productId: ProductId, reason: Schema.String }),
  key
})

/** No new orders take the skus; open orders are served. */
export const ProductDiscontinued = Message.event("product.discontinued", {
  payload: Schema.Struct({
    productId: ProductId,
    skus: Schema.Array(Sku),
    lastOrderDate: Schema.optional(Instant)
  }),
  key
})

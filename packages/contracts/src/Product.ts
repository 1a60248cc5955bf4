import * as Schema from "effect/Schema"
import { NonNegativeAmount } from "./Amount.ts"
import { Channel } from "./Channel.ts"
import { Country } from "./Country.ts"
import { Currency } from "./Currency.ts"
import * as Dictionary from "./Dictionary.ts"
import { Gtin } from "./Gtin.ts"
import { PriceId, ProductId, VariantId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import * as Integer from "./Integer.ts"
import * as Language from "./Language.ts"
import { Quantity } from "./Quantity.ts"
import { Sku } from "./Sku.ts"
import * as Text from "./Text.ts"

/** What kind of goods a product is; `digital` has no weight or dimensions. */
export const ProductType = Schema.Literal("simple", "variable", "bundle", "digital")
export type ProductType = typeof ProductType.Type

/** draft → active → discontinued → archived; active ⇄ suspended (spec §4). */
export const ProductState = Schema.Literal("draft", "active", "suspended", "discontinued", "archived")
export type ProductState = typeof ProductState.Type

/**
 * Free names and values of a product or variant, e.g. `{ "colour": "red" }`: at most 100.
 *
 * @category schemas
 */
export const Attributes = Dictionary.of(Text.codeForm(64), Text.line(500), 0, 100, "a word")
export type Attributes = typeof Attributes.Type

/** A picture or film, by its address. */
export const Media = Schema.Struct({
  url: Text.line(2000),
  alt: Schema.optional(Text.line(200)),
  position: Integer.between(0, 1000)
})

/** Millimetres of the packed unit. */
export const Dimensions = Schema.Struct({
  l: Integer.between(1, 100_000),
  w: Integer.between(1, 100_000),
  h: Integer.between(1, 100_000)
}).annotations({ description: "Length, width and height in millimetres" })
export type Dimensions = typeof Dimensions.Type

/** Units of another sku inside a bundle. */
export const BundleItem = Schema.Struct({ sku: Sku, qty: Quantity })
export type BundleItem = typeof BundleItem.Type

const priceFields = {
  channel: Schema.optional(Channel).annotations({ description: "Only on this channel; all when left out" }),
  customerGroup: Schema.optional(Text.code(64)).annotations({ description: "Only for this group; all when left out" }),
  currency: Currency,
  amount: NonNegativeAmount.annotations({ description: "Price of one unit in minor units" }),
  compareAt: Schema.optional(NonNegativeAmount).annotations({
    description: "The price before, to show struck through"
  }),
  minQty: Schema.optional(Quantity).annotations({ description: "From this quantity on; 1 when left out" }),
  validTo: Schema.optional(Instant).annotations({ description: "Until before this time; open when left out" })
}

/**
 * A price as it is set: `PUT /variants/{sku}/prices` replaces all of a variant's prices with such.
 *
 * @category schemas
 */
export const PriceInput = Schema.Struct({
  ...priceFields,
  validFrom: Schema.optional(Instant).annotations({ description: "From this time on; now when left out" })
}).annotations({ identifier: "PriceInput" })
export type PriceInput = typeof PriceInput.Type

/**
 * A price: at most one for a variant, channel, group, currency, quantity and instant (invariant C3).
 *
 * @category schemas
 */
export const Price = Schema.Struct({ id: PriceId, ...priceFields, minQty: Quantity, validFrom: Instant })
  .annotations({ identifier: "Price" })
export type Price = typeof Price.Type

const backorder = Schema.Struct({ allowed: Schema.Boolean, limit: Integer.between(0, 1_000_000_000) })

const variantFields = {
  sku: Sku,
  gtin: Schema.optional(Gtin),
  options: Schema.optional(Attributes).annotations({ description: "What sets it apart, e.g. { \"size\": \"L\" }" }),
  weightGrams: Schema.optional(Integer.between(0, 100_000_000)),
  dims: Schema.optional(Dimensions),
  hsCode: Schema.optional(Text.code(12)).annotations({ description: "Customs tariff number" }),
  originCountry: Schema.optional(Country),
  hazmatClass: Schema.optional(Text.code(16)),
  shelfLifeDays: Schema.optional(Integer.between(1, 36_500)),
  returnPolicyCode: Schema.optional(Text.code(64)),
  qualityPlanCode: Schema.optional(Text.code(64)),
  components: Schema.optional(Schema.Array(BundleItem).pipe(Schema.maxItems(100))).annotations({
    description: "What a bundle consists of"
  })
}

const flags = { lotTracked: Schema.Boolean, serialTracked: Schema.Boolean, backorder }
const optionalFlags = {
  lotTracked: Schema.optional(Schema.Boolean),
  serialTracked: Schema.optional(Schema.Boolean),
  backorder: Schema.optional(backorder)
}

/**
 * A variant as it is created, its prices with it.
 *
 * @category schemas
 */
export const VariantInput = Schema.Struct({
  ...variantFields,
  ...optionalFlags,
  prices: Schema.optional(Schema.Array(PriceInput).pipe(Schema.maxItems(500)))
}).annotations({ identifier: "VariantInput" })
export type VariantInput = typeof VariantInput.Type

/**
 * An edit of a variant: a field left out stays as it is. The sku never changes.
 *
 * @category schemas
 */
export const VariantEdit = Schema.Struct({ ...variantFields, ...optionalFlags }).omit("sku")
  .annotations({ identifier: "VariantEdit" })
export type VariantEdit = typeof VariantEdit.Type

/**
 * A variant: the physical data that warehouse and carriers need, and its prices.
 *
 * @category schemas
 */
export const Variant = Schema.Struct({
  id: VariantId,
  productId: ProductId,
  ...variantFields,
  ...flags,
  prices: Schema.Array(Price),
  version: Integer.Version
}).annotations({ identifier: "Variant" })
export type Variant = typeof Variant.Type

/** A word for URLs: lower-case letters and digits with hyphens between. */
export const Slug = Schema.String.pipe(
  Schema.pattern(/^[a-z0-9](?:[a-z0-9-]{0,126}[a-z0-9])?$/, {
    message: () => "a slug must be 1 to 128 lower-case letters, digits or hyphens, no hyphen at either end"
  })
)

/** Names the table of rates that taxes goods, e.g. `standard`. */
export const TaxClass = Text.code(64)

const productFields = {
  slug: Slug,
  type: ProductType,
  title: Language.translated(200),
  description: Schema.optional(Language.translated(20_000)),
  brand: Schema.optional(Text.line(200)),
  categoryIds: Schema.optional(Schema.Array(Text.code(64)).pipe(Schema.maxItems(50))),
  attributes: Schema.optional(Attributes),
  media: Schema.optional(Schema.Array(Media).pipe(Schema.maxItems(50))),
  taxClass: Schema.optional(TaxClass)
}

/**
 * A product as it is created, in state `draft`, with variants if they are known.
 *
 * @category schemas
 */
export const ProductInput = Schema.Struct({
  ...productFields,
  variants: Schema.optional(Schema.Array(VariantInput).pipe(Schema.maxItems(100)))
}).annotations({ identifier: "ProductInput" })
export type ProductInput = typeof ProductInput.Type

/**
 * An edit of a product: a field left out stays as it is.
 *
 * @category schemas
 */
export const ProductEdit = Schema.partial(Schema.Struct(productFields).omit("type")).annotations({
  identifier: "ProductEdit"
})
export type ProductEdit = typeof ProductEdit.Type

const productState = {
  id: ProductId,
  ...productFields,
  state: ProductState,
  publishedChannels: Schema.Array(Channel),
  createdAt: Instant,
  updatedAt: Instant,
  version: Integer.Version
}

/**
 * A product with its variants.
 *
 * @category schemas
 */
export const Product = Schema.Struct({ ...productState, variants: Schema.Array(Variant) })
  .annotations({ identifier: "Product" })
export type Product = typeof Product.Type

/**
 * A product in a list.
 *
 * @category schemas
 */
export const ProductSummary = Schema.Struct({
  ...Schema.Struct(productState).pick(
    "id",
    "slug",
    "type",
    "title",
    "brand",
    "categoryIds",
    "taxClass",
    "state",
    "publishedChannels",
    "updatedAt",
    "version"
  ).fields,
  skus: Schema.Array(Sku)
}).annotations({ identifier: "ProductSummary" })
export type ProductSummary = typeof ProductSummary.Type

/**
 * The price that holds for a sku, a quantity, a channel, a group and a time, with what an order copies beside it.
 *
 * @category schemas
 */
export const ResolvedPrice = Schema.Struct({
  sku: Sku,
  variantId: VariantId,
  productId: ProductId,
  priceId: PriceId,
  title: Text.line(200),
  qty: Quantity,
  currency: Currency,
  amount: NonNegativeAmount.annotations({ description: "Price of one unit in minor units" }),
  taxClass: Schema.optional(TaxClass),
  weightGrams: Schema.optional(Schema.Number),
  sellable: Schema.Boolean.annotations({ description: "Active, and published on the channel that was asked for" })
}).annotations({ identifier: "ResolvedPrice" })
export type ResolvedPrice = typeof ResolvedPrice.Type

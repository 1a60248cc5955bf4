import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as Schema from "effect/Schema"
import { Channel } from "./Channel.ts"
import { CommandPolicy } from "./CommandPolicy.ts"
import { Currency } from "./Currency.ts"
import { Description, Summary } from "./Documentation.ts"
import { Common } from "./Errors.ts"
import { ProductId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import * as Page from "./Page.ts"
import {
  PriceInput,
  Product,
  ProductEdit,
  ProductInput,
  ProductState,
  ProductSummary,
  ResolvedPrice,
  Variant,
  VariantEdit,
  VariantInput
} from "./Product.ts"
import {
  BundleCycle,
  ComponentUnknown,
  GtinTaken,
  PriceNotFound,
  PriceOverlap,
  ProductIncomplete,
  ProductStateConflict,
  SkuTaken,
  SlugTaken
} from "./ProductErrors.ts"
import * as Quantity from "./Quantity.ts"
import { Sku } from "./Sku.ts"
import * as Text from "./Text.ts"

const byId = Schema.Struct({ id: ProductId })
const bySku = Schema.Struct({ sku: Sku })

const circumstances = {
  currency: Currency,
  channel: Schema.optional(Channel),
  group: Schema.optional(Text.code(64)).annotations({ description: "Customer group" }),
  at: Schema.optional(Instant).annotations({ description: "The price at this time; now when left out" })
}

const channels = Schema.Array(Channel).pipe(Schema.minItems(1), Schema.maxItems(50))

/**
 * The parameters of `GET /products`; those named `attr.<name>` filter by attributes.
 *
 * @category schemas
 */
export const ProductQuery = Schema.Struct({
  ...Page.parameters,
  q: Schema.optional(Text.line(200)).annotations({ description: "Words of title, brand, sku or description" }),
  category: Schema.optional(Text.code(64)),
  state: Schema.optional(ProductState),
  channel: Schema.optional(Channel).annotations({ description: "Only what is published there" }),
  updatedSince: Page.updatedSince
}, {
  key: Schema.TemplateLiteral("attr.", Schema.String),
  value: Schema.UndefinedOr(Text.line(500))
})

/**
 * Catalogue, variants and prices (spec §4).
 *
 * @category apis
 */
export const ProductApi = HttpApiGroup.make("product")
  .add(
    HttpApiEndpoint.post("create", "/products")
      .setPayload(ProductInput)
      .addSuccess(Product, { status: 201 })
      .addError(SkuTaken)
      .addError(GtinTaken)
      .addError(SlugTaken)
      .addError(PriceOverlap)
      .addError(BundleCycle)
      .addError(ComponentUnknown)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Create a product")
      .annotate(
        Description,
        "The product is a draft until it is published. Variants and their prices may come with it."
      )
  )
  .add(
    HttpApiEndpoint.get("get", "/products/:id")
      .setPath(byId)
      .addSuccess(Product)
      .annotate(Summary, "Read a product with its variants and prices")
  )
  .add(
    HttpApiEndpoint.get("list", "/products")
      .setUrlParams(
        ProductQuery
      )
      .addSuccess(Page.of(ProductSummary))
      .annotate(Summary, "List or search products")
      .annotate(Description, "`attr.<name>=<value>` filters by an attribute, e.g. `attr.colour=red`.")
  )
  .add(
    HttpApiEndpoint.patch("edit", "/products/:id")
      .setPath(byId)
      .setPayload(ProductEdit)
      .addSuccess(Product)
      .addError(SlugTaken)
      .addError(ProductStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional", ifMatch: "required" })
      .annotate(Summary, "Edit a product")
      .annotate(Description, "Fields left out stay as they are.")
  )
  .add(
    HttpApiEndpoint.post("addVariant", "/products/:id/variants")
      .setPath(byId)
      .setPayload(VariantInput)
      .addSuccess(Variant, { status: 201 })
      .addError(SkuTaken)
      .addError(GtinTaken)
      .addError(PriceOverlap)
      .addError(BundleCycle)
      .addError(ComponentUnknown)
      .addError(ProductStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Add a variant to a product")
  )
  .add(
    HttpApiEndpoint.get("getVariant", "/variants/:sku")
      .setPath(bySku)
      .addSuccess(Variant)
      .annotate(Summary, "Read a variant with its prices")
  )
  .add(
    HttpApiEndpoint.patch("editVariant", "/variants/:sku")
      .setPath(bySku)
      .setPayload(VariantEdit)
      .addSuccess(Variant)
      .addError(GtinTaken)
      .addError(BundleCycle)
      .addError(ComponentUnknown)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional", ifMatch: "required" })
      .annotate(Summary, "Edit a variant")
      .annotate(Description, "Fields left out stay as they are; the sku never changes.")
  )
  .add(
    HttpApiEndpoint.put("setPrices", "/variants/:sku/prices")
      .setPath(bySku)
      .setPayload(Schema.Struct({ prices: Schema.Array(PriceInput).pipe(Schema.maxItems(500)) }))
      .addSuccess(Variant)
      .addError(PriceOverlap)
      .annotate(CommandPolicy, { writeClass: "provisional", idempotencyKey: "optional", ifMatch: "required" })
      .annotate(Summary, "Replace all prices of a variant")
      .annotate(
        Description,
        "The set is replaced as one unit; prices that are not in it end. If-Match is the variant's ETag."
      )
  )
  .add(
    HttpApiEndpoint.get("resolve", "/prices/resolve")
      .setUrlParams(
        Schema.Struct({
          sku: Sku,
          qty: Schema.optional(Schema.NumberFromString.pipe(Schema.compose(Quantity.Quantity))),
          ...circumstances
        })
      )
      .addSuccess(ResolvedPrice)
      .addError(PriceNotFound)
      .annotate(Summary, "The price that holds")
      .annotate(
        Description,
        "Chosen by customer group, channel, highest minQty not above qty, latest validFrom; else the base price."
      )
  )
  .add(
    HttpApiEndpoint.post("resolveMany", "/prices/resolve")
      .setPayload(
        Schema.Struct({
          ...circumstances,
          items: Schema.Array(Schema.Struct({ sku: Sku, qty: Quantity.Quantity })).pipe(
            Schema.minItems(1),
            Schema.maxItems(1000)
          )
        })
      )
      .addSuccess(
        Schema.Struct({
          prices: Schema.Array(ResolvedPrice),
          missing: Schema.Array(Sku).annotations({ description: "Skus that do not exist or have no price" })
        })
      )
      .annotate(Summary, "The prices that hold for the lines of a cart")
      .annotate(Description, "Reads only: no Idempotency-Key is needed.")
  )
  .add(
    HttpApiEndpoint.post("publish", "/products/:id/publish")
      .setPath(byId)
      .setPayload(Schema.Struct({ channels }))
      .addSuccess(Product)
      .addError(ProductIncomplete)
      .addError(ProductStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Publish a product on channels")
      .annotate(
        Description,
        "A draft or suspended product becomes active. It needs title, media, tax class, a price, and weight and dimensions for physical goods."
      )
  )
  .add(
    HttpApiEndpoint.post("unpublish", "/products/:id/unpublish")
      .setPath(byId)
      .setPayload(Schema.Struct({ channels }))
      .addSuccess(Product)
      .addError(ProductStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Take a product off channels")
  )
  .add(
    HttpApiEndpoint.post("suspend", "/products/:id/suspend")
      .setPath(byId)
      .setPayload(Schema.Struct({ reason: Text.line(200) }))
      .addSuccess(Product)
      .addError(ProductStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Suspend an active product")
      .annotate(Description, "For a recall or missing data; publish again to end it.")
  )
  .add(
    HttpApiEndpoint.post("discontinue", "/products/:id/discontinue")
      .setPath(byId)
      .setPayload(Schema.Struct({ lastOrderDate: Schema.optional(Instant) }))
      .addSuccess(Product)
      .addError(ProductStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Discontinue a product")
      .annotate(Description, "No new orders take its skus; open orders are served.")
  )
  .addError(Common)

import * as Schema from "effect/Schema"
import { problem } from "./Problem.ts"
import { ProductState } from "./Product.ts"
import { Sku } from "./Sku.ts"

/**
 * Another variant has this sku (invariant C1).
 *
 * @category errors
 */
export class SkuTaken extends Schema.TaggedError<SkuTaken>()(
  "SkuTaken",
  { sku: Sku },
  problem({
    code: "sku_taken",
    status: 409,
    title: "The sku is taken",
    detail: "Choose another sku, or edit the variant that has it.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Another variant has this GTIN (invariant C1).
 *
 * @category errors
 */
export class GtinTaken extends Schema.TaggedError<GtinTaken>()(
  "GtinTaken",
  { gtin: Schema.String },
  problem({
    code: "gtin_taken",
    status: 409,
    title: "The GTIN is taken",
    detail: "Check the number: another variant already has this GTIN.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Another product has this slug.
 *
 * @category errors
 */
export class SlugTaken extends Schema.TaggedError<SlugTaken>()(
  "SlugTaken",
  { slug: Schema.String },
  problem({
    code: "slug_taken",
    status: 409,
    title: "The slug is taken",
    detail: "Choose another slug, or edit the product that has it.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The product's state has no such step (spec §4).
 *
 * @category errors
 */
export class ProductStateConflict extends Schema.TaggedError<ProductStateConflict>()(
  "ProductStateConflict",
  { productId: Schema.String, state: ProductState, action: Schema.String },
  problem({
    code: "product_state_conflict",
    status: 409,
    title: "The product's state does not allow this",
    detail: "Read the product's state: drafts and suspended products are published first, discontinued ones stay so.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The gate before publishing (invariant C2): `missing` names what is not there, e.g. `price.GBP`, `variant.85123A.weightGrams`.
 *
 * @category errors
 */
export class ProductIncomplete extends Schema.TaggedError<ProductIncomplete>()(
  "ProductIncomplete",
  { productId: Schema.String, missing: Schema.Array(Schema.String) },
  problem({
    code: "product_incomplete",
    status: 422,
    title: "The product is not ready to be published",
    detail: "Add what is listed in missing, then publish again.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Two prices of the set would hold at once (invariant C3); `first` and `second` are their places in the request.
 *
 * @category errors
 */
export class PriceOverlap extends Schema.TaggedError<PriceOverlap>()(
  "PriceOverlap",
  { sku: Sku, first: Schema.Number, second: Schema.Number },
  problem({
    code: "price_overlap",
    status: 422,
    title: "Two prices overlap",
    detail:
      "Let the validity of the two named prices not overlap, or let them differ in channel, group, currency or minQty.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * No price of the sku holds under these circumstances: it is not sellable.
 *
 * @category errors
 */
export class PriceNotFound extends Schema.TaggedError<PriceNotFound>()(
  "PriceNotFound",
  { sku: Sku },
  problem({
    code: "price_not_found",
    status: 404,
    title: "No price holds for this sku",
    detail: "Set a price for the sku in this currency, or ask for another channel, group or time.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * A bundle would contain itself (invariant C4).
 *
 * @category errors
 */
export class BundleCycle extends Schema.TaggedError<BundleCycle>()(
  "BundleCycle",
  { skus: Schema.Array(Sku) },
  problem({
    code: "bundle_cycle",
    status: 422,
    title: "The bundle contains itself",
    detail: "Take out one of the listed skus so that no bundle contains itself, directly or through others.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * A bundle names skus that do not exist.
 *
 * @category errors
 */
export class ComponentUnknown extends Schema.TaggedError<ComponentUnknown>()(
  "ComponentUnknown",
  { skus: Schema.Array(Sku) },
  problem({
    code: "component_unknown",
    status: 422,
    title: "A component of the bundle does not exist",
    detail: "Create the listed skus first, or take them out of the bundle.",
    severity: "low",
    recovery: "fail"
  })
) {}

import { PriceId, ProductId, VariantId } from "@holdfast/contracts/Id"
import * as Product from "@holdfast/contracts/Product"
import { Sku } from "@holdfast/contracts/Sku"
import * as Table from "@holdfast/database/Table"
import * as Schema from "effect/Schema"

// Times are RFC 3339 text of fixed width, so that the order of the texts is the order of the times.

const Strings = Schema.Array(Schema.String)
const Texts = Schema.Record({ key: Schema.String, value: Schema.String })

/** What changes with a product's life; small, as it is written at each step of it. */
export const Products = Table.make("product", {
  columns: {
    id: Table.textOf(ProductId),
    slug: Table.text,
    type: Table.textOf(Product.ProductType),
    state: Table.textOf(Product.ProductState),
    publishedChannels: Table.json(Strings),
    createdAt: Table.text,
    updatedAt: Table.text,
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})

/** What a product says of itself, and the same prepared for searching: see `Domain/SearchText.ts`. */
export const ProductContents = Table.make("product_content", {
  columns: {
    productId: Table.textOf(ProductId),
    title: Table.json(Texts),
    description: Table.nullable(Table.json(Texts)),
    brand: Table.nullable(Table.text),
    categoryIds: Table.nullable(Table.json(Strings)),
    attributes: Table.nullable(Table.json(Texts)),
    media: Table.nullable(Table.json(Schema.Array(Product.Media))),
    taxClass: Table.nullable(Table.text),
    words: Table.text,
    tags: Table.text
  },
  key: ["productId"],
  merge: Table.partOf("product")
})

export const Variants = Table.make("variant", {
  columns: {
    id: Table.textOf(VariantId),
    productId: Table.textOf(ProductId),
    sku: Table.textOf(Sku),
    position: Table.integer,
    gtin: Table.nullable(Table.text),
    options: Table.nullable(Table.json(Texts)),
    weightGrams: Table.nullable(Table.integer),
    dims: Table.nullable(Table.json(Product.Dimensions)),
    hsCode: Table.nullable(Table.text),
    originCountry: Table.nullable(Table.text),
    hazmatClass: Table.nullable(Table.text),
    shelfLifeDays: Table.nullable(Table.integer),
    returnPolicyCode: Table.nullable(Table.text),
    qualityPlanCode: Table.nullable(Table.text),
    lotTracked: Table.boolean,
    serialTracked: Table.boolean,
    backorderAllowed: Table.boolean,
    backorderLimit: Table.integer,
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})

export const BundleItems = Table.make("bundle_item", {
  columns: {
    variantId: Table.textOf(VariantId),
    componentSku: Table.textOf(Sku),
    position: Table.integer,
    qty: Table.integer
  },
  key: ["variantId", "componentSku"],
  merge: Table.partOf("variant")
})

export const Prices = Table.make("price", {
  columns: {
    id: Table.textOf(PriceId),
    variantId: Table.textOf(VariantId),
    channel: Table.nullable(Table.text),
    customerGroup: Table.nullable(Table.text),
    currency: Table.text,
    amount: Table.integer,
    compareAt: Table.nullable(Table.integer),
    minQty: Table.integer,
    validFrom: Table.text,
    validTo: Table.nullable(Table.text)
  },
  key: ["id"],
  merge: Table.partOf("variant")
})

export const tables = [Products, ProductContents, Variants, BundleItems, Prices]

import * as Handler from "@holdfast/agent/Handler"
import * as Page from "@holdfast/contracts/Page"
import { ProductApi } from "@holdfast/contracts/ProductApi"
import * as Effect from "effect/Effect"
import * as Catalogue from "./Catalogue.ts"
import * as SearchText from "./Domain/SearchText.ts"
import * as Pricing from "./Pricing.ts"
import * as Repository from "./Repository.ts"
import * as Variants from "./Variants.ts"

const ATTRIBUTE = "attr."

export const handlers = Handler.group(ProductApi, {
  create: Handler.command(({ payload }) => Catalogue.create(payload)),
  get: Handler.query(({ path }) => Catalogue.read(path.id)),
  list: Handler.query(({ urlParams }) =>
    Effect.gen(function*() {
      const { after, category, channel, limit = Page.defaultLimit, q = "", state, updatedSince } = urlParams
      const tags = category === undefined ? [] : [SearchText.categoryTag(category)]
      for (const [name, value] of Object.entries(urlParams)) {
        if (!name.startsWith(ATTRIBUTE) || typeof value !== "string") continue
        tags.push(SearchText.attributeTag(name.slice(ATTRIBUTE.length), value))
      }
      const filter = { words: SearchText.wordsOf(q), tags, state, channel, updatedSince }
      const rows = yield* Repository.search(filter, after, limit + 1)
      const summaries = new Map(
        (yield* Repository.toSummaries(rows.slice(0, limit))).map((summary) => [summary.id, summary])
      )
      const page = Page.make(rows, limit, (row) => [row.updatedAt, row.id], (row) => summaries.get(row.id))
      return { ...page, items: page.items.filter((item) => item !== undefined) }
    })
  ),
  edit: Handler.command(({ expectedVersion, path, payload }) => Catalogue.edit(path.id, expectedVersion, payload)),
  publish: Handler.command(({ path, payload }) => Catalogue.publish(path.id, payload.channels)),
  unpublish: Handler.command(({ path, payload }) => Catalogue.unpublish(path.id, payload.channels)),
  suspend: Handler.command(({ path, payload }) => Catalogue.suspend(path.id, payload.reason)),
  discontinue: Handler.command(({ path, payload }) => Catalogue.discontinue(path.id, payload.lastOrderDate)),

  addVariant: Handler.command(({ path, payload }) => Catalogue.addVariant(path.id, payload)),
  getVariant: Handler.query(({ path }) => Variants.read(path.sku)),
  editVariant: Handler.command(({ expectedVersion, path, payload }) =>
    Variants.edit(path.sku, expectedVersion, payload)
  ),
  setPrices: Handler.command(({ expectedVersion, path, payload }) =>
    Variants.setPrices(path.sku, expectedVersion, payload.prices)
  ),

  resolve: Handler.query(({ urlParams: { qty = 1, sku, ...circumstances } }) =>
    Pricing.resolve({ sku, qty }, circumstances)
  ),
  resolveMany: Handler.query(({ payload: { items, ...circumstances } }) => Pricing.resolveMany(items, circumstances))
})

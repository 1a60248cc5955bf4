import type { PriceInput, ProductInput, VariantInput } from "@holdfast/contracts/Product"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as AgentOperations from "@holdfast/testing/AgentOperations"
import { Effect } from "effect"
import { handlers } from "../src/Handlers.ts"
import { initial } from "../src/migrations/0001_initial.ts"

export const store = Sqlite.layerTemporary({ agent: "product", migrations: [initial] })

export const product = AgentOperations.make("product", handlers)

export const variant = (sku: string, more: Partial<VariantInput> = {}): VariantInput => ({
  sku,
  weightGrams: 250,
  dims: { l: 100, w: 50, h: 50 },
  prices: [{ currency: "GBP", amount: 1299 }],
  ...more
})

let slugs = 0

/** A product that can be published, unless more says otherwise. */
export const create = (variants: ReadonlyArray<VariantInput>, more: Partial<ProductInput> = {}) =>
  product.call("create", {
    payload: {
      slug: `product-${slugs++}`,
      type: "variable",
      title: { en: "Pole lantern" },
      media: [{ url: "https://example.com/lantern.jpg", position: 0 }],
      taxClass: "standard",
      variants,
      ...more
    }
  })

export const gbp = (amount: number, more: Partial<PriceInput> = {}): PriceInput => ({
  currency: "GBP",
  amount,
  ...more
})

/** How the effect is refused; one that is not refused fails the test. */
export const refusal = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, never, R> =>
  Effect.matchEffect(effect, {
    onFailure: Effect.succeed,
    onSuccess: () => Effect.dieMessage("this should have been refused")
  })

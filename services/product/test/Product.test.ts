// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Gtin from "@holdfast/contracts/Gtin"
import { ProductApi } from "@holdfast/contracts/ProductApi"
import * as Events from "@holdfast/contracts/ProductEvents"
import type { Database } from "@holdfast/database/Database"
import * as SchemaAgreement from "@holdfast/testing/SchemaAgreement"
import { Effect, Option, Schema, TestClock } from "effect"
import { tables } from "../src/Tables.ts"
import { create, gbp, product, refusal, store, variant } from "./Shop.ts"

const test = (title: string, body: Effect.Effect<void, unknown, Database>) =>
  it.effect(title, () => Effect.provide(body, store))

const tagOf = <A, E, R>(effect: Effect.Effect<A, E & { readonly _tag: string }, R>) =>
  Effect.map(refusal(effect), (error) => error._tag)

describe("schema", () => {
  test(
    "the declared tables and the migrations agree",
    Effect.map(SchemaAgreement.differences(tables), (found) => assert.deepStrictEqual(found, []))
  )
})

describe("codes", () => {
  it("the check digit of the GTIN 950600013435 is 2", () => {
    assert.strictEqual(Gtin.checkDigit("950600013435"), 2)
    assert.isTrue(Schema.is(Gtin.Gtin)("9506000134352"))
    assert.isFalse(Schema.is(Gtin.Gtin)("9506000134353"))
  })

  test(
    "a sku, a GTIN and a slug are taken once, also within one request, and a refusal leaves nothing",
    Effect.gen(function*() {
      yield* create([variant("A", { gtin: "9506000134352" })], { slug: "lantern" })
      assert.strictEqual(yield* tagOf(create([variant("B"), variant("A")])), "SkuTaken")
      assert.strictEqual(yield* tagOf(create([variant("B"), variant("B")])), "SkuTaken")
      assert.strictEqual(yield* tagOf(create([variant("B", { gtin: "9506000134352" })])), "GtinTaken")
      assert.strictEqual(yield* tagOf(create([], { slug: "lantern" })), "SlugTaken")
      const other = yield* create([variant("B")])
      const b = product.call("editVariant", { path: { sku: "B" }, payload: { gtin: "9506000134352" } })
      assert.strictEqual(yield* tagOf(b), "GtinTaken")
      assert.strictEqual(
        yield* tagOf(product.call("edit", { path: { id: other.id }, payload: { slug: "lantern" } })),
        "SlugTaken"
      )
      yield* product.call("editVariant", { path: { sku: "A" }, payload: { gtin: "9506000134352", weightGrams: 1 } })
      assert.strictEqual((yield* product.call("list", { urlParams: {} })).items.length, 2)
      assert.strictEqual((yield* product.said(Events.ProductCreated)).length, 2)
    })
  )
})

describe("life", () => {
  test(
    "a draft is published only when nothing is missing, and the gate names what is",
    Effect.gen(function*() {
      const draft = yield* create([{ sku: "A", prices: [gbp(100, { channel: "web" })] }], { media: [] })
      const publish = product.call("publish", { path: { id: draft.id }, payload: { channels: ["web", "shop"] } })
      assert.deepInclude(yield* refusal(publish), {
        _tag: "ProductIncomplete",
        missing: ["media", "variant.A.price.shop", "variant.A.weightGrams", "variant.A.dims"]
      })
      yield* product.call("edit", {
        path: { id: draft.id },
        payload: { media: [{ url: "https://example.com/a.jpg", position: 0 }] }
      })
      yield* product.call("editVariant", {
        path: { sku: "A" },
        payload: { weightGrams: 10, dims: { l: 1, w: 1, h: 1 } }
      })
      yield* product.call("setPrices", { path: { sku: "A" }, payload: { prices: [gbp(100)] } })
      const published = yield* publish
      assert.deepInclude(published, { state: "active", publishedChannels: ["web", "shop"] })
      const again = yield* product.call("publish", { path: { id: draft.id }, payload: { channels: ["web"] } })
      assert.strictEqual(again.version, published.version)
      assert.deepStrictEqual(yield* product.said(Events.ProductPublished), [
        { productId: draft.id, channels: ["web", "shop"], skus: ["A"] }
      ])
    })
  )

  test(
    "digital goods need no weight; a bundle needs its components",
    Effect.gen(function*() {
      const song = yield* create([{ sku: "SONG", prices: [gbp(99)] }], { type: "digital" })
      yield* product.call("publish", { path: { id: song.id }, payload: { channels: ["web"] } })
      const bundle = yield* create([variant("SET")], { type: "bundle" })
      const refused = yield* refusal(
        product.call("publish", { path: { id: bundle.id }, payload: { channels: ["web"] } })
      )
      assert.deepInclude(refused, { missing: ["variant.SET.components"] })
    })
  )

  test(
    "suspended and discontinued products are not sellable; only a suspended one comes back",
    Effect.gen(function*() {
      const { id } = yield* create([variant("A")])
      const sellable = Effect.map(
        product.call("resolve", { urlParams: { sku: "A", currency: "GBP", channel: "web" } }),
        (price) => price.sellable
      )
      const publish = product.call("publish", { path: { id }, payload: { channels: ["web"] } })
      const suspend = product.call("suspend", { path: { id }, payload: { reason: "recall" } })
      const discontinue = product.call("discontinue", { path: { id }, payload: {} })
      assert.isFalse(yield* sellable)
      assert.strictEqual(yield* tagOf(suspend), "ProductStateConflict")
      yield* publish
      assert.isTrue(yield* sellable)
      yield* suspend
      assert.isFalse(yield* sellable)
      yield* publish
      yield* product.call("unpublish", { path: { id }, payload: { channels: ["web"] } })
      assert.isFalse(yield* sellable)
      yield* publish
      yield* discontinue
      assert.isFalse(yield* sellable)
      assert.strictEqual(yield* tagOf(publish), "ProductStateConflict")
      assert.deepStrictEqual(yield* product.said(Events.ProductDiscontinued), [{ productId: id, skus: ["A"] }])
      assert.deepStrictEqual(yield* product.said(Events.ProductSuspended), [{ productId: id, reason: "recall" }])
    })
  )

  test(
    "an edit changes what it names and nothing else, and only the version that was read",
    Effect.gen(function*() {
      const first = yield* create([variant("A", { options: { size: "L" } })], { brand: "Holdfast" })
      const edit = (expectedVersion: number) =>
        product.call("edit", { path: { id: first.id }, expectedVersion, payload: { title: { en: "Lamp" } } })
      const second = yield* edit(1)
      assert.deepInclude(second, { brand: "Holdfast", title: { en: "Lamp" }, version: 2, variants: first.variants })
      assert.deepInclude(yield* refusal(edit(1)), { _tag: "VersionConflict", expected: 1, actual: 2 })
      const heavier = (expectedVersion: number) =>
        product.call("editVariant", { path: { sku: "A" }, expectedVersion, payload: { weightGrams: 300 } })
      const changed = yield* heavier(1)
      assert.deepInclude(changed, { weightGrams: 300, options: { size: "L" }, version: 2 })
      assert.strictEqual(yield* tagOf(heavier(1)), "VersionConflict")
      const prices = product.call("setPrices", { path: { sku: "A" }, expectedVersion: 1, payload: { prices: [] } })
      assert.strictEqual(yield* tagOf(prices), "VersionConflict")
    })
  )

  test(
    "events carry all that a projection of sellable skus and prices needs",
    Effect.gen(function*() {
      const { id } = yield* create([variant("A", { backorder: { allowed: true, limit: 5 } })])
      yield* product.call("publish", { path: { id }, payload: { channels: ["web"] } })
      yield* product.call("addVariant", { path: { id }, payload: variant("B") })
      yield* product.call("setPrices", { path: { sku: "A" }, payload: { prices: [gbp(1500)] } })
      const [created] = yield* product.said(Events.ProductCreated)
      const [a] = created?.snapshot?.variants ?? []
      assert.deepInclude(a?.prices[0], { currency: "GBP", amount: 1299, minQty: 1 })
      const variants = yield* product.said(Events.VariantChanged)
      assert.deepStrictEqual(variants.map(({ flags, sku }) => [sku, flags.backorder.limit]), [["A", 5], ["B", 0]])
      const [updated] = yield* product.said(Events.ProductUpdated)
      assert.deepInclude(updated?.snapshot, { state: "active", publishedChannels: ["web"] })
      assert.deepStrictEqual(updated?.snapshot.variants.map(({ sku }) => sku), ["A", "B"])
      const changes = (yield* product.said(Events.PriceChanged)).map((
        change
      ) => [change.sku, change.old?.amount, change.new?.amount])
      assert.deepStrictEqual(changes, [["A", undefined, 1299], ["B", undefined, 1299], ["A", 1299, 1500]])
    })
  )

  test(
    "what is answered is what the API declares",
    Effect.gen(function*() {
      const made = yield* create([variant("A", { gtin: "9506000134352" })], {
        description: { en: "Lights\nthe way", de: "Leuchtet" },
        attributes: { colour: "red" },
        categoryIds: ["lamps"]
      })
      const shape = Object.values(ProductApi.endpoints)
      const create200 = shape.find((endpoint) => endpoint.name === "create")
      assert.isTrue(create200 !== undefined && Schema.is(Schema.make(create200.successSchema.ast))(made))
      const list = shape.find((endpoint) => endpoint.name === "list")
      const page = yield* product.call("list", { urlParams: {} })
      assert.isTrue(list !== undefined && Schema.is(Schema.make(list.successSchema.ast))(page))
    })
  )
})

describe("prices", () => {
  const resolve = (more: { channel?: string; group?: string; qty?: number; at?: string } = {}) =>
    Effect.map(
      product.call("resolve", { urlParams: { sku: "A", currency: "GBP", ...more } }),
      (price) => price.amount
    )

  test(
    "the price is chosen by group, channel, quantity and time",
    Effect.gen(function*() {
      yield* create([variant("A", {
        prices: [
          gbp(1000, { validFrom: "2026-01-01T00:00:00.000Z" }),
          gbp(900, { minQty: 10, validFrom: "2026-01-01T00:00:00.000Z" }),
          gbp(950, { channel: "web", validFrom: "2026-01-01T00:00:00.000Z" }),
          gbp(980, { customerGroup: "trade", validFrom: "2026-01-01T00:00:00.000Z" }),
          gbp(700, {
            channel: "web",
            minQty: 2,
            validFrom: "2026-06-01T00:00:00.000Z",
            validTo: "2026-07-01T00:00:00.000Z"
          })
        ]
      })])
      const at = "2026-03-01T00:00:00.000Z"
      assert.strictEqual(yield* resolve({ at }), 1000)
      assert.strictEqual(yield* resolve({ at, qty: 10 }), 900)
      assert.strictEqual(yield* resolve({ at, qty: 10, channel: "web" }), 950)
      assert.strictEqual(yield* resolve({ at, qty: 10, channel: "web", group: "trade" }), 980)
      assert.strictEqual(yield* resolve({ at: "2026-06-01T00:00:00.000Z", qty: 2, channel: "web" }), 700)
      assert.strictEqual(yield* resolve({ at: "2026-07-01T00:00:00.000Z", qty: 2, channel: "web" }), 950)
      assert.strictEqual(yield* tagOf(resolve({ at: "2025-12-31T23:59:59.999Z" })), "PriceNotFound")
      const euros = product.call("resolve", { urlParams: { sku: "A", currency: "EUR", at } })
      assert.strictEqual(yield* tagOf(euros), "PriceNotFound")
      const nobody = product.call("resolve", { urlParams: { sku: "NOBODY", currency: "GBP", at } })
      assert.strictEqual(yield* tagOf(nobody), "NotFound")
    })
  )

  test(
    "the prices of a cart are resolved at once; what is unknown or has no price is named",
    Effect.gen(function*() {
      yield* create([variant("A"), variant("B", { prices: [] })])
      const { missing, prices } = yield* product.call("resolveMany", {
        payload: { currency: "GBP", items: [{ sku: "A", qty: 2 }, { sku: "B", qty: 1 }, { sku: "C", qty: 1 }] }
      })
      assert.deepStrictEqual(prices.map(({ amount, qty, sku, title }) => [sku, qty, amount, title]), [
        ["A", 2, 1299, "Pole lantern"]
      ])
      assert.deepStrictEqual(missing, ["B", "C"])
    })
  )

  test(
    "two prices never hold at once, and a set that would let them is refused as a whole",
    Effect.gen(function*() {
      yield* create([variant("A")])
      const set = (prices: ReadonlyArray<ReturnType<typeof gbp>>) =>
        product.call("setPrices", { path: { sku: "A" }, payload: { prices } })
      const june = { validFrom: "2026-06-01T00:00:00.000Z", validTo: "2026-07-01T00:00:00.000Z" }
      const july = { validFrom: "2026-07-01T00:00:00.000Z" }
      assert.deepInclude(yield* refusal(set([gbp(1, july), gbp(2), gbp(3, june)])), {
        _tag: "PriceOverlap",
        first: 1,
        second: 2
      })
      assert.strictEqual(yield* tagOf(set([gbp(1, { ...june, validTo: june.validFrom })])), "InvalidRequest")
      assert.strictEqual(yield* resolve(), 1299)
      const both = yield* set([gbp(1, june), gbp(2, july), gbp(3, { ...june, channel: "web" })])
      assert.deepStrictEqual([both.prices.length, both.version], [3, 2])
      assert.strictEqual(yield* tagOf(resolve()), "PriceNotFound")
    })
  )

  test(
    "setting the same prices again changes nothing, also later",
    Effect.gen(function*() {
      yield* create([variant("A")])
      const set = product.call("setPrices", {
        path: { sku: "A" },
        payload: { prices: [gbp(1299), gbp(900, { minQty: 5 })] }
      })
      const first = yield* set
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(yield* set, first)
      assert.strictEqual((yield* product.said(Events.PriceChanged)).length, 2)
    })
  )
})

describe("bundles", () => {
  const bundle = (sku: string, ...components: ReadonlyArray<string>) =>
    variant(sku, { components: components.map((component) => ({ sku: component, qty: 2 })) })

  test(
    "no bundle contains itself, directly or through others, however it is made",
    Effect.gen(function*() {
      yield* create([variant("A")])
      yield* create([bundle("SET", "A")], { type: "bundle" })
      yield* create([bundle("BIG", "SET", "A")], { type: "bundle" })
      const edit = product.call("editVariant", {
        path: { sku: "SET" },
        payload: { components: [{ sku: "BIG", qty: 1 }] }
      })
      assert.deepInclude(yield* refusal(edit), { _tag: "BundleCycle", skus: ["SET", "BIG"] })
      assert.strictEqual(yield* tagOf(create([bundle("ME", "ME")], { type: "bundle" })), "BundleCycle")
      assert.strictEqual(
        yield* tagOf(create([bundle("X", "Y"), bundle("Y", "SET", "X")], { type: "bundle" })),
        "BundleCycle"
      )
      assert.strictEqual(yield* tagOf(create([bundle("X", "NOBODY")], { type: "bundle" })), "ComponentUnknown")
      assert.strictEqual(yield* tagOf(create([bundle("X", "A")])), "InvalidRequest")
      assert.strictEqual(yield* tagOf(create([bundle("X", "A", "A")], { type: "bundle" })), "InvalidRequest")
      yield* create([bundle("X", "Y"), bundle("Y", "SET")], { type: "bundle" })
      const set = yield* product.call("getVariant", { path: { sku: "SET" } })
      assert.deepStrictEqual(set.components, [{ sku: "A", qty: 2 }])
    })
  )
})

describe("lists", () => {
  test(
    "products are found by words, categories, attributes, channel and state, page by page",
    Effect.gen(function*() {
      const lamp = yield* create([variant("85123A")], {
        title: { en: "Crème brûlée lamp 100%" },
        brand: "Glow_Works",
        categoryIds: ["lamps"],
        attributes: { colour: "Red" }
      })
      const mug = yield* create([variant("22423")], {
        title: { en: "Mug", de: "Becher" },
        attributes: { colour: "red wine" }
      })
      yield* product.call("publish", { path: { id: mug.id }, payload: { channels: ["web"] } })
      const find = (urlParams: Record<string, string>) =>
        Effect.map(product.call("list", { urlParams }), (page) => page.items.map((item) => item.skus[0]))
      assert.deepStrictEqual(yield* find({ q: "creme BRUL" }), ["85123A"])
      assert.deepStrictEqual(yield* find({ q: "85123" }), ["85123A"])
      assert.deepStrictEqual(yield* find({ q: "becher" }), ["22423"])
      assert.deepStrictEqual(yield* find({ q: "100%" }), ["85123A"])
      assert.deepStrictEqual(yield* find({ q: "glow works" }), ["85123A"])
      assert.deepStrictEqual(yield* find({ q: "rûle" }), [])
      assert.deepStrictEqual(yield* find({ category: "lamps" }), ["85123A"])
      assert.deepStrictEqual(yield* find({ category: "lamp" }), [])
      assert.deepStrictEqual(yield* find({ "attr.colour": "red" }), ["85123A"])
      assert.deepStrictEqual(yield* find({ "attr.colour": "r_d" }), [])
      assert.deepStrictEqual(yield* find({ channel: "web" }), ["22423"])
      assert.deepStrictEqual(yield* find({ state: "draft" }), ["85123A"])
      yield* TestClock.adjust("1 minute")
      yield* product.call("edit", { path: { id: lamp.id }, payload: { brand: "Other" } })
      assert.deepStrictEqual(yield* find({ updatedSince: "1970-01-01T00:01:00.000Z" }), ["85123A"])
      const first = yield* product.call("list", { urlParams: { limit: 1 } })
      assert.deepStrictEqual(first.items.map(({ id }) => id), [mug.id])
      const after = Option.getOrThrow(
        Option.map(Option.fromNullable(first.items[0]), (item) => [item.updatedAt, item.id])
      )
      const second = yield* product.call("list", { urlParams: { limit: 1, after } })
      assert.deepStrictEqual([second.items.map(({ id }) => id), second.next], [[lamp.id], undefined])
    })
  )
})

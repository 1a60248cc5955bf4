import { InvalidRequest, NotFound, VersionConflict } from "@holdfast/contracts/Errors"
import { PriceId, type ProductId, VariantId } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import type {
  BundleItem,
  PriceInput,
  ProductType,
  Variant,
  VariantEdit,
  VariantInput
} from "@holdfast/contracts/Product"
import { BundleCycle, ComponentUnknown, GtinTaken, PriceOverlap, SkuTaken } from "@holdfast/contracts/ProductErrors"
import * as Events from "@holdfast/contracts/ProductEvents"
import type { Sku } from "@holdfast/contracts/Sku"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Bundle from "./Domain/Bundle.ts"
import { given } from "./Domain/Edit.ts"
import * as PriceSet from "./Domain/PriceSet.ts"
import type { VariantRow } from "./Repository.ts"
import * as Repository from "./Repository.ts"
import { BundleItems, Prices, Products, Variants } from "./Tables.ts"

const wrong = (path: string, message: string) => new InvalidRequest({ issues: [{ path, message }] })

const firstRepeated = <A>(values: ReadonlyArray<A>): A | undefined =>
  values.find((value, index) => values.indexOf(value) !== index)

/** Invariant C1; the unique indexes stand behind it. */
const checkCodes = (inputs: ReadonlyArray<VariantInput>) =>
  Effect.gen(function*() {
    const skus = inputs.map((input) => input.sku)
    const [taken] = yield* Repository.variantsBySku(skus)
    const sku = firstRepeated(skus) ?? taken?.sku
    if (sku !== undefined) return yield* new SkuTaken({ sku })
    yield* checkGtins(inputs.flatMap((input) => input.gtin === undefined ? [] : [input.gtin]), undefined)
  })

const checkGtins = (gtins: ReadonlyArray<string>, own: VariantId | undefined) =>
  Effect.gen(function*() {
    const taken = (yield* Repository.variantsByGtin(gtins)).find((variant) => variant.id !== own)
    const gtin = firstRepeated(gtins) ?? taken?.gtin
    if (gtin !== undefined && gtin !== null) return yield* new GtinTaken({ gtin })
  })

/** Invariant C4, for variants that come together with those they may consist of. */
const checkComponents = (
  type: ProductType,
  inputs: ReadonlyArray<{ readonly sku: Sku; readonly components?: ReadonlyArray<BundleItem> | undefined }>
) =>
  Effect.gen(function*() {
    const parts = new Map<Sku, ReadonlyArray<Sku>>()
    for (const { components = [], sku } of inputs) {
      if (components.length > 0) parts.set(sku, components.map((component) => component.sku))
    }
    if (parts.size === 0) return
    if (type !== "bundle") {
      return yield* wrong("components", "only variants of a product of type bundle have components")
    }
    for (const skus of parts.values()) {
      const twice = firstRepeated(skus)
      if (twice !== undefined) return yield* wrong("components", `names ${twice} more than once`)
    }
    const components = [...new Set([...parts.values()].flat())]
    const known = new Set([
      ...(yield* Repository.variantsBySku(components)).map((variant) => variant.sku),
      ...inputs.map((input) => input.sku)
    ])
    const unknown = components.filter((sku) => !known.has(sku))
    if (unknown.length > 0) return yield* new ComponentUnknown({ skus: unknown })
    const bundles = new Map([...(yield* Repository.bundlesBelow(components)), ...parts])
    for (const sku of parts.keys()) {
      const skus = Bundle.cycle(bundles, sku)
      if (skus !== undefined) return yield* new BundleCycle({ skus })
    }
  })

const checkPrices = (sku: Sku, prices: ReadonlyArray<PriceSet.PriceTerms>) =>
  Effect.gen(function*() {
    const [never] = PriceSet.neverHold(prices)
    if (never !== undefined) return yield* wrong(`prices[${never}].validTo`, "must be later than validFrom")
    const overlap = PriceSet.overlap(prices)
    if (overlap !== undefined) return yield* new PriceOverlap({ sku, ...overlap })
  })

const priceRow = (variantId: VariantId, terms: PriceSet.PriceTerms) => ({
  variantId,
  channel: terms.channel ?? null,
  customerGroup: terms.customerGroup ?? null,
  currency: terms.currency,
  amount: terms.amount,
  compareAt: terms.compareAt ?? null,
  minQty: terms.minQty,
  validFrom: terms.validFrom,
  validTo: terms.validTo ?? null
})

type PriceChange = typeof Events.PriceChanged.payload.Type

/** Replaces the price set as one unit; returns what to tell of each price that came, went or changed. */
const replacePrices = (variant: VariantRow, inputs: ReadonlyArray<PriceInput>) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const now = Instant.fromMillis(tx.now)
    const present = (yield* Repository.pricesOf([variant.id])).map(Repository.toPrice)
    const wanted = PriceSet.terms(inputs, present, now)
    yield* checkPrices(variant.sku, wanted)
    const { added, changed, ended } = PriceSet.replace(present, wanted)
    const changes: Array<PriceChange> = []
    const note = (terms: PriceSet.PriceTerms, what: Pick<PriceChange, "old" | "new" | "validFrom">) => {
      const channel = terms.channel === undefined ? {} : { channel: terms.channel }
      changes.push({ productId: variant.productId, sku: variant.sku, ...channel, ...what })
    }
    // Those that end go first: no two prices of one slot may begin together.
    for (const old of ended) {
      yield* tx.remove(Prices, { id: old.id })
      note(old, { old, validFrom: now })
    }
    for (const { old, terms } of changed) {
      yield* tx.update(Prices, { id: old.id }, () => ({ id: old.id, ...priceRow(variant.id, terms) }))
      note(terms, { old, new: { ...terms, id: old.id }, validFrom: terms.validFrom })
    }
    for (const terms of added) {
      const id = PriceId.make(tx.nextId("prc"), { disableValidation: true })
      yield* tx.insert(Prices, { id, ...priceRow(variant.id, terms) })
      note(terms, { new: { ...terms, id }, validFrom: terms.validFrom })
    }
    return changes
  })

const tellPrices = (changes: ReadonlyArray<PriceChange>) =>
  Effect.forEach(changes, (change) => Transaction.emit(Events.PriceChanged, change), { discard: true })

const replaceComponents = (variantId: VariantId, components: ReadonlyArray<BundleItem>) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    for (const item of yield* Repository.bundleItemsOf([variantId])) yield* tx.remove(BundleItems, item)
    for (const [position, { qty, sku }] of components.entries()) {
      yield* tx.insert(BundleItems, { variantId, componentSku: sku, position, qty })
    }
  })

const announce = (variant: VariantRow) =>
  Transaction.emit(Events.VariantChanged, {
    productId: variant.productId,
    sku: variant.sku,
    ...(variant.weightGrams === null ? {} : { weightGrams: variant.weightGrams }),
    ...(variant.dims === null ? {} : { dims: variant.dims }),
    flags: {
      lotTracked: variant.lotTracked,
      serialTracked: variant.serialTracked,
      backorder: { allowed: variant.backorderAllowed, limit: variant.backorderLimit }
    },
    ...(variant.gtin === null ? {} : { gtin: variant.gtin })
  })

const insert = (productId: ProductId, position: number, input: VariantInput) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const row = yield* tx.insert(Variants, {
      id: VariantId.make(tx.nextId("var"), { disableValidation: true }),
      productId,
      sku: input.sku,
      position,
      gtin: input.gtin ?? null,
      options: input.options ?? null,
      weightGrams: input.weightGrams ?? null,
      dims: input.dims ?? null,
      hsCode: input.hsCode ?? null,
      originCountry: input.originCountry ?? null,
      hazmatClass: input.hazmatClass ?? null,
      shelfLifeDays: input.shelfLifeDays ?? null,
      returnPolicyCode: input.returnPolicyCode ?? null,
      qualityPlanCode: input.qualityPlanCode ?? null,
      lotTracked: input.lotTracked ?? false,
      serialTracked: input.serialTracked ?? false,
      backorderAllowed: input.backorder?.allowed ?? false,
      backorderLimit: input.backorder?.limit ?? 0
    })
    yield* replaceComponents(row.id, input.components ?? [])
    return row
  })

/** Refuses what cannot become variants of such a product; nothing is written. */
export const check = (type: ProductType, inputs: ReadonlyArray<VariantInput>) =>
  Effect.gen(function*() {
    if (inputs.length === 0) return
    yield* checkCodes(inputs)
    yield* checkComponents(type, inputs)
  })

/** A variant just made, and what to tell of its prices. */
interface Added {
  readonly row: VariantRow
  readonly changes: ReadonlyArray<PriceChange>
}

/** Adds checked variants with their prices behind those there are. {@link tell} tells of them, after the product. */
export const addAll = (productId: ProductId, from: number, inputs: ReadonlyArray<VariantInput>) =>
  Effect.forEach(inputs, (input, index) =>
    Effect.gen(function*() {
      const row = yield* insert(productId, from + index, input)
      const changes = yield* replacePrices(row, input.prices ?? [])
      return { row, changes } satisfies Added
    }))

export const tell = (added: ReadonlyArray<Added>) =>
  Effect.forEach(added, ({ changes, row }) => Effect.zipRight(announce(row), tellPrices(changes)), { discard: true })

const find = (sku: Sku, expectedVersion: number | undefined) =>
  Effect.gen(function*() {
    const row = yield* Repository.variantBySku(sku)
    if (Option.isNone(row)) return yield* new NotFound({ resource: "variant", id: sku })
    const { id, version } = row.value
    if (expectedVersion !== undefined && expectedVersion !== version) {
      return yield* new VersionConflict({ resource: "variant", id, expected: expectedVersion, actual: version })
    }
    return row.value
  })

const view = (row: VariantRow) =>
  Effect.flatMap(
    Repository.toVariants([row]),
    ([variant]): Effect.Effect<Variant> =>
      variant === undefined ? Effect.dieMessage(`${row.id} cannot be read back`) : Effect.succeed(variant)
  )

export const read = (sku: Sku) => Effect.flatMap(find(sku, undefined), view)

/** Fields left out stay as they are. */
export const edit = (sku: Sku, expectedVersion: number | undefined, input: VariantEdit) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const found = yield* find(sku, expectedVersion)
    const { backorder, components, ...fields } = given(input)
    if (input.gtin !== undefined) yield* checkGtins([input.gtin], found.id)
    if (components !== undefined) {
      const product = yield* tx.get(Products, { id: found.productId })
      if (Option.isNone(product)) return yield* Effect.dieMessage(`${found.id} is of no product`)
      yield* checkComponents(product.value.type, [{ sku, components }])
      yield* replaceComponents(found.id, components)
    }
    const row = yield* tx.update(Variants, { id: found.id }, (before) => ({
      ...before,
      ...fields,
      ...(backorder === undefined ? {} : { backorderAllowed: backorder.allowed, backorderLimit: backorder.limit })
    }))
    yield* announce(row)
    return yield* view(row)
  })

/** The set is replaced as one unit; setting the same prices again changes nothing. */
export const setPrices = (sku: Sku, expectedVersion: number | undefined, inputs: ReadonlyArray<PriceInput>) =>
  Effect.gen(function*() {
    const found = yield* find(sku, expectedVersion)
    const changes = yield* replacePrices(found, inputs)
    if (changes.length === 0) return yield* view(found)
    yield* tellPrices(changes)
    // The prices follow the variant's version, so that two who set them at once cannot both win.
    return yield* view(yield* Transaction.update(Variants, { id: found.id }, (row) => row))
  })

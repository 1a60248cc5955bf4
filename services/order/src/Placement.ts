import { type Address, destination } from "@holdfast/contracts/Address"
import * as Errors from "@holdfast/contracts/Errors"
import type { CartId } from "@holdfast/contracts/Id"
import { type CustomerId, OrderId, OrderLineId, PaymentId, ReservationId, type VariantId } from "@holdfast/contracts/Id"
import * as Identifier from "@holdfast/contracts/Identifier"
import * as Instant from "@holdfast/contracts/Instant"
import type { Order, OrderImport, OrderPlacement, ShippingOption, Totals } from "@holdfast/contracts/Order"
import {
  AddressInvalid,
  CartChanged,
  SkuNotSellable,
  SkuUnknown,
  TotalsMismatch
} from "@holdfast/contracts/OrderErrors"
import { OrderPlaced } from "@holdfast/contracts/OrderEvents"
import type { Row } from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as FraudFeatures from "./Domain/FraudFeatures.ts"
import * as PostalCode from "./Domain/PostalCode.ts"
import * as PriceChoice from "./Domain/PriceChoice.ts"
import * as Shipping from "./Domain/Shipping.ts"
import * as Tax from "./Domain/Tax.ts"
import * as Total from "./Domain/Totals.ts"
import { HashKey } from "./HashKey.ts"
import * as Repository from "./Repository.ts"
import { checkout } from "./Sagas/CheckoutSaga.ts"
import { Lines, Orders, Placements, Sellables } from "./Tables.ts"

/** An unpaid order is given up after this long, in milliseconds (spec §3). */
const EXPIRES_AFTER = 30 * 60 * 1000

/** How many reservations and payments a checkout may try by itself. */
const RESERVATIONS = 3

interface PricedLine extends Total.LineInput, Total.LineAmounts {
  readonly sku: string
  readonly title: string
  readonly variantId: VariantId | null
  readonly weightGrams: number | null
}

/** An order with all its amounts, ready to be stored. */
interface Accepted {
  readonly channel: string
  readonly externalRef: string | null
  readonly cartId: CartId | null
  readonly placedAt: string
  readonly currency: string
  readonly taxInclusive: boolean
  readonly lines: ReadonlyArray<PricedLine>
  readonly totals: Totals
  readonly customer: {
    readonly customerId?: CustomerId | undefined
    readonly ref?: string | undefined
    readonly email?: string | undefined
    readonly name?: string | undefined
    readonly phone?: string | undefined
  }
  readonly shipTo: Address
  readonly billTo: Address
  readonly shippingOption: ShippingOption | null
  readonly client: OrderPlacement["client"]
  /** `null`: the channel has the money. */
  readonly methodToken: string | null
}

const ids = <Id>(prefix: string, make: (id: string) => Id, count: number) =>
  Effect.map(Effect.replicateEffect(Transaction.nextId(prefix), count), (made) => made.map((id) => make(id)))

/** Leaves out what is not there. */
const compact = <A extends object>(record: { readonly [K in keyof A]?: A[K] | undefined }): A =>
  // Only undefined properties go, which the target does not have.
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as A

/** Stores the order as placed, tells of it and starts its checkout. */
const accept = (accepted: Accepted) =>
  Effect.gen(function*() {
    const { channel, currency, customer, lines, totals } = accepted
    const key = Redacted.value(yield* HashKey)
    const now = yield* Transaction.now
    const at = Instant.fromMillis(now)
    const orderId = OrderId.make(yield* Transaction.nextId("ord"))
    const paidByChannel = accepted.methodToken === null
    const amount = { amount: totals.grand, currency }
    const reservationIds = yield* ids("rsv", ReservationId.make, RESERVATIONS)
    const paymentIds = paidByChannel || totals.grand === 0 ? [] : yield* ids("pay", PaymentId.make, 2)
    const [reservationId] = reservationIds
    if (reservationId === undefined) return yield* Effect.dieMessage("a checkout needs a reservation")

    const row = yield* Transaction.insert(Orders, {
      id: orderId,
      number: null,
      channel,
      externalRef: accepted.externalRef,
      cartId: accepted.cartId,
      customerId: customer.customerId ?? null,
      customerRef: customer.ref ?? null,
      currency,
      ...totals,
      taxInclusive: accepted.taxInclusive,
      state: "placed",
      paymentStatus: paidByChannel && totals.grand > 0 ? "paid" : "none",
      fulfilmentStatus: "unfulfilled",
      returnStatus: "none",
      authorized: 0,
      captured: paidByChannel ? totals.grand : 0,
      refunded: 0,
      cancelledValue: 0,
      paidByChannel,
      paymentId: paymentIds[0] ?? null,
      reservationId,
      fraudAssessmentId: null,
      placedAt: accepted.placedAt,
      acceptedAt: now,
      expiresAt: now + EXPIRES_AFTER,
      confirmedAt: null,
      cancelledAt: null,
      cancelReason: null,
      updatedAt: at
    })
    const placed = yield* Transaction.insert(Placements, {
      orderId,
      buyer: compact({ email: customer.email, name: customer.name, phone: customer.phone }),
      shipTo: accepted.shipTo,
      billTo: accepted.billTo,
      shippingOption: accepted.shippingOption
    })
    const rows: Array<Repository.LineRow> = []
    for (const [position, line] of lines.entries()) {
      rows.push(
        yield* Transaction.insert(Lines, {
          id: OrderLineId.make(yield* Transaction.nextId("oli")),
          orderId,
          position,
          sku: line.sku,
          variantId: line.variantId,
          title: line.title,
          qty: line.qty,
          unitPrice: line.unitPrice,
          discount: line.discount,
          taxRateBp: line.taxRateBp,
          tax: line.tax,
          lineTotal: line.lineTotal,
          weightGrams: line.weightGrams,
          qtyPicked: 0,
          qtyShipped: 0,
          qtyDelivered: 0,
          qtyCancelled: 0,
          qtyReturned: 0
        })
      )
    }
    yield* Repository.record(orderId, "placed", { channel, grand: totals.grand, currency })
    yield* Transaction.emit(OrderPlaced, {
      orderId,
      channel,
      ...(accepted.externalRef === null ? {} : { externalRef: accepted.externalRef }),
      ...(customer.customerId === undefined ? {} : { customerId: customer.customerId }),
      currency,
      totals,
      lines: rows.map(({ id, lineTotal, qty, sku, unitPrice }) => ({ lineId: id, sku, qty, unitPrice, lineTotal })),
      shipTo: destination(accepted.shipTo),
      placedAt: accepted.placedAt,
      expiresAt: Instant.fromMillis(row.expiresAt)
    })
    yield* checkout.start(orderId, {
      orderId,
      ...(customer.customerId === undefined ? {} : { customerId: customer.customerId }),
      amount,
      shipTo: destination(accepted.shipTo),
      features: FraudFeatures.of({
        placedAt: accepted.placedAt,
        channel,
        grand: amount,
        shipping: accepted.shipTo,
        billing: accepted.billTo,
        shippingOption: accepted.shippingOption?.code,
        customerId: customer.customerId,
        customerRef: customer.ref,
        email: customer.email,
        name: customer.name,
        phone: customer.phone,
        ipAddress: accepted.client?.ipAddress,
        deviceId: accepted.client?.deviceId,
        sessionStartedAt: accepted.client?.sessionStartedAt
      }, (kind, value) => Identifier.hash(key, kind, value)),
      expiresAt: row.expiresAt,
      reservationId,
      reservationIds,
      paymentId: paymentIds[0] ?? null,
      paymentIds,
      methodToken: accepted.methodToken,
      authorized: false,
      assessed: [],
      assessmentId: null,
      review: "none",
      unheard: []
    })
    return Repository.view(row, placed, rows, [])
  })

/** The loser of a race for a cart or an external reference gets the winner's order (invariant O1). */
const once = <E, R>(
  existing: Effect.Effect<Order | undefined, E, R>,
  accepting: ReturnType<typeof accept>
) =>
  Effect.catchTag(
    accepting,
    "ConstraintViolated",
    (violated) =>
      violated.kind === "unique" && violated.table === Orders.name
        ? Effect.flatMap(existing, (order) => order === undefined ? Effect.fail(violated) : Effect.succeed(order))
        : Effect.fail(violated)
  )

const found = (rows: ReadonlyArray<Row<typeof Orders>>) =>
  rows[0] === undefined ? Effect.succeed(undefined) : Effect.orDieWith(
    // The order was just read.
    Repository.load(rows[0].id),
    (error) => error
  )

const invalid = (path: string, message: string) => new Errors.InvalidRequest({ issues: [{ path, message }] })

const checkAddress = (address: Address, which: "shipping" | "billing") =>
  PostalCode.isValid(address) ? Effect.void : Effect.fail(new AddressInvalid({ address: which, field: "postalCode" }))

/** Discounts of lines that are larger than the line cannot come from the catalogue. */
const fromCatalogue = <A, E, R>(effect: Effect.Effect<A, E | TotalsMismatch, R>) =>
  Effect.catchIf(effect, (error): error is TotalsMismatch => error instanceof TotalsMismatch, Effect.die)

/** A cart becomes an order at today's prices (spec §18.2, step 0). */
export const place = (placement: OrderPlacement) =>
  Effect.gen(function*() {
    const cartId = placement.cartId
    const existing = cartId === undefined
      ? Effect.succeed(undefined)
      : Effect.flatMap(Transaction.select(Orders, { where: [["cartId", "=", cartId]] }), found)
    const earlier = yield* existing
    if (earlier !== undefined) return earlier

    const { addresses, currency, customer } = placement
    const channel = placement.channel ?? "web"
    const shipTo = addresses.shipping
    const billTo = addresses.billing ?? shipTo
    yield* checkAddress(shipTo, "shipping")
    yield* checkAddress(billTo, "billing")
    const option = placement.shippingOption ?? { code: Shipping.defaultOption }
    const shipping = Shipping.price(option.code, currency)
    if (shipping === undefined) {
      return yield* invalid("shippingOption.code", "must be one of standard, express, pickup")
    }

    const skus = [...new Set(placement.lines.map((line) => line.sku))]
    const known = new Map(
      (yield* Transaction.select(Sellables, { where: [["sku", "in", skus]] })).map((row) => [row.sku, row])
    )
    const missing = skus.filter((sku) => !known.has(sku))
    if (missing.length > 0) return yield* new SkuUnknown({ skus: missing })
    const at = Instant.fromMillis(yield* Transaction.now)
    const unsellable = new Set<string>()
    const lines = placement.lines.flatMap(({ qty, sku }) => {
      const sellable = known.get(sku)
      const price = sellable?.active === true && sellable.channels.includes(channel)
        ? PriceChoice.choose(sellable.prices, { currency, channel, group: customer.group, qty, at })
        : undefined
      if (sellable === undefined || price === undefined) {
        unsellable.add(sku)
        return []
      }
      return [{
        sku,
        title: sellable.title,
        variantId: sellable.variantId,
        weightGrams: sellable.weightGrams,
        qty,
        unitPrice: price.amount,
        discount: 0,
        taxRateBp: Tax.rate(shipTo.country, sellable.taxClass ?? "standard")
      }]
    })
    if (unsellable.size > 0) return yield* new SkuNotSellable({ skus: [...unsellable] })

    const taxInclusive = Tax.isInclusive(shipTo.country)
    const priced = yield* fromCatalogue(Total.compute({
      lines,
      taxInclusive,
      discount: 0,
      shipping,
      shippingTaxRateBp: Tax.rate(shipTo.country, "standard"),
      fees: 0
    }))
    const { expectedTotal } = placement
    if (expectedTotal !== undefined && expectedTotal !== priced.totals.grand) {
      return yield* new CartChanged({ expectedTotal, actualTotal: priced.totals.grand, currency })
    }
    return yield* once(
      existing,
      accept({
        channel,
        externalRef: null,
        cartId: cartId ?? null,
        placedAt: at,
        currency,
        taxInclusive,
        lines: priced.lines,
        totals: priced.totals,
        customer,
        shipTo,
        billTo,
        shippingOption: option,
        client: placement.client,
        methodToken: placement.paymentMethodToken
      })
    )
  })

const agree = (field: string, expected: number, actual: number) =>
  expected === actual ? Effect.void : Effect.fail(new TotalsMismatch({ field, expected, actual }))

/**
 * An order agreed elsewhere, at its own prices (spec §18.7). It does not depend on the catalogue: what it says is what was
 * agreed, and a sku that nobody stocks ends it `out_of_stock`.
 */
export const importOrder = (order: OrderImport) =>
  Effect.gen(function*() {
    const { channel, currency, externalRef, shipTo } = order
    const existing = Effect.flatMap(
      Transaction.select(Orders, { where: [["channel", "=", channel], ["externalRef", "=", externalRef]] }),
      found
    )
    const earlier = yield* existing
    if (earlier !== undefined) return earlier

    const billTo = order.billTo ?? shipTo
    // A channel may keep postal codes to itself; one that is given must be right.
    if (shipTo.postalCode !== "") yield* checkAddress(shipTo, "shipping")
    if (billTo.postalCode !== "") yield* checkAddress(billTo, "billing")
    const taxInclusive = order.taxInclusive ?? true
    const agreed = order.totals
    const standard = Tax.rate(shipTo.country, "standard")
    const lineDiscounts = order.lines.reduce((sum, line) => sum + (line.discount ?? 0), 0)
    if (agreed !== undefined && agreed.discount < lineDiscounts) {
      return yield* new TotalsMismatch({ field: "totals.discount", expected: lineDiscounts, actual: agreed.discount })
    }
    const priced = yield* Total.compute({
      lines: order.lines.map((line) => ({
        sku: line.sku,
        title: line.title ?? line.sku,
        variantId: null,
        weightGrams: null,
        qty: line.qty,
        unitPrice: line.unitPrice,
        discount: line.discount ?? 0,
        taxRateBp: line.taxRateBp ?? standard
      })),
      taxInclusive,
      discount: agreed === undefined ? 0 : agreed.discount - lineDiscounts,
      shipping: agreed?.shipping ?? 0,
      shippingTaxRateBp: standard,
      fees: agreed?.fees ?? 0
    })
    // The channel rounds its taxes in its own way: its sum stands.
    const { lines, totals } = agreed === undefined ? priced : Total.withTax(priced, agreed.tax, taxInclusive)
    if (agreed !== undefined) {
      yield* agree("totals.items", totals.items, agreed.items)
      yield* agree("totals.grand", totals.grand, agreed.grand)
    }
    return yield* once(
      existing,
      accept({
        channel,
        externalRef,
        cartId: null,
        placedAt: order.placedAt,
        currency,
        taxInclusive,
        lines,
        totals,
        customer: order.customer,
        shipTo,
        billTo,
        shippingOption: order.shippingOption ?? null,
        client: undefined,
        methodToken: order.paymentMethodToken ?? null
      })
    )
  })

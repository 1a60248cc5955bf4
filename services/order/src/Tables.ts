import { Address } from "@holdfast/contracts/Address"
import {
  AssessmentId,
  CartId,
  CustomerId,
  OrderId,
  OrderLineId,
  PaymentId,
  ProductId,
  ReservationId,
  VariantId
} from "@holdfast/contracts/Id"
import {
  CancelReason,
  FulfilmentStatus,
  HoldReason,
  OrderState,
  PaymentStatus,
  ReturnStatus,
  ShippingOption
} from "@holdfast/contracts/Order"
import { Price } from "@holdfast/contracts/Product"
import * as Table from "@holdfast/database/Table"
import * as Schema from "effect/Schema"

/**
 * The order itself, small: it is written at every step. `placedAt` is the order's own time, `acceptedAt` when it came here
 * (milliseconds).
 */
export const Orders = Table.make("orders", {
  columns: {
    id: Table.textOf(OrderId),
    number: Table.nullable(Table.text),
    channel: Table.text,
    externalRef: Table.nullable(Table.text),
    cartId: Table.nullable(Table.textOf(CartId)),
    customerId: Table.nullable(Table.textOf(CustomerId)),
    customerRef: Table.nullable(Table.text),
    currency: Table.text,
    items: Table.integer,
    discount: Table.integer,
    shipping: Table.integer,
    fees: Table.integer,
    tax: Table.integer,
    grand: Table.integer,
    taxInclusive: Table.boolean,
    state: Table.textOf(OrderState),
    paymentStatus: Table.textOf(PaymentStatus),
    fulfilmentStatus: Table.textOf(FulfilmentStatus),
    returnStatus: Table.textOf(ReturnStatus),
    authorized: Table.integer,
    captured: Table.integer,
    refunded: Table.integer,
    cancelledValue: Table.integer,
    paidByChannel: Table.boolean,
    paymentId: Table.nullable(Table.textOf(PaymentId)),
    reservationId: Table.nullable(Table.textOf(ReservationId)),
    fraudAssessmentId: Table.nullable(Table.textOf(AssessmentId)),
    placedAt: Table.text,
    acceptedAt: Table.integer,
    expiresAt: Table.integer,
    confirmedAt: Table.nullable(Table.text),
    cancelledAt: Table.nullable(Table.text),
    cancelReason: Table.nullable(Table.textOf(CancelReason)),
    updatedAt: Table.text,
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})

const Buyer = Schema.Struct({
  email: Schema.optional(Schema.String),
  name: Schema.optional(Schema.String),
  phone: Schema.optional(Schema.String)
})

/** What was said when the order was placed and never changes. */
export const Placements = Table.make("order_placement", {
  columns: {
    orderId: Table.textOf(OrderId),
    buyer: Table.json(Buyer),
    shipTo: Table.json(Address),
    billTo: Table.json(Address),
    shippingOption: Table.nullable(Table.json(ShippingOption))
  },
  key: ["orderId"],
  merge: Table.partOf("orders")
})

/** A line, as priced at placement, and what became of its units. */
export const Lines = Table.make("order_line", {
  columns: {
    id: Table.textOf(OrderLineId),
    orderId: Table.textOf(OrderId),
    position: Table.integer,
    sku: Table.text,
    variantId: Table.nullable(Table.textOf(VariantId)),
    title: Table.text,
    qty: Table.integer,
    unitPrice: Table.integer,
    discount: Table.integer,
    taxRateBp: Table.integer,
    tax: Table.integer,
    lineTotal: Table.integer,
    weightGrams: Table.nullable(Table.integer),
    qtyPicked: Table.integer,
    qtyShipped: Table.integer,
    qtyDelivered: Table.integer,
    qtyCancelled: Table.integer,
    qtyReturned: Table.integer
  },
  key: ["id"],
  merge: Table.partOf("orders")
})

export const Holds = Table.make("order_hold", {
  columns: {
    id: Table.text,
    orderId: Table.textOf(OrderId),
    reason: Table.textOf(HoldReason),
    note: Table.nullable(Table.text),
    placedBy: Table.text,
    placedAt: Table.text,
    releasedAt: Table.nullable(Table.text),
    releasedBy: Table.nullable(Table.text)
  },
  key: ["id"],
  merge: Table.partOf("orders")
})

/** What happened to an order; `n` counts within it. */
export const Timeline = Table.make("timeline_entry", {
  columns: {
    id: Table.text,
    orderId: Table.textOf(OrderId),
    n: Table.integer,
    at: Table.text,
    actor: Table.text,
    kind: Table.text,
    data: Table.json(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
  },
  key: ["id"],
  merge: Table.ledger
})

/** Numbers given out so far, by series. */
export const Counters = Table.make("counter", {
  columns: { series: Table.text, last: Table.integer, version: Table.integer },
  key: ["series"],
  merge: Table.versioned
})

/** What the catalogue said of a sku: enough to price a cart without asking. */
export const Sellables = Table.make("sellable", {
  columns: {
    sku: Table.text,
    productId: Table.textOf(ProductId),
    variantId: Table.nullable(Table.textOf(VariantId)),
    title: Table.text,
    taxClass: Table.nullable(Table.text),
    weightGrams: Table.nullable(Table.integer),
    active: Table.boolean,
    channels: Table.json(Schema.Array(Schema.String)),
    prices: Table.json(Schema.Array(Price)),
    version: Table.integer
  },
  key: ["sku"],
  merge: Table.versioned
})

export const tables = [Orders, Placements, Lines, Holds, Timeline, Counters, Sellables] as const

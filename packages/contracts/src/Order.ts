import * as Schema from "effect/Schema"
import { Actor } from "./Actor.ts"
import { Address } from "./Address.ts"
import { NonNegativeAmount } from "./Amount.ts"
import { Channel } from "./Channel.ts"
import { Email, Phone } from "./Contact.ts"
import { Currency } from "./Currency.ts"
import { AssessmentId, CartId, CustomerId, OrderId, OrderLineId, PaymentId, ReservationId, VariantId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import * as Integer from "./Integer.ts"
import { Count, Quantity } from "./Quantity.ts"
import { Rate } from "./Rate.ts"
import { Sku } from "./Sku.ts"
import * as Text from "./Text.ts"

/** The most lines of an order. */
export const maxLines = 1000

/** Spec §3, state machine; holds are flags beside it. */
export const OrderState = Schema.Literal(
  "placed",
  "confirmed",
  "in_fulfilment",
  "cancelling",
  "cancelled",
  "partially_shipped",
  "shipped",
  "delivered",
  "completed",
  "returned_to_sender"
)
export type OrderState = typeof OrderState.Type

/** Why an order is held. */
export const HoldReason = Schema.Literal(
  "awaiting_payment",
  "fraud_review",
  "address_invalid",
  "out_of_stock",
  "quality_hold",
  "manual"
)
export type HoldReason = typeof HoldReason.Type

/** Why an order ended `cancelled`; `stock_unknown`: stock did not answer in time. */
export const CancelReason = Schema.Literal(
  "out_of_stock",
  "stock_unknown",
  "payment_declined",
  "payment_failed",
  "payment_expired",
  "fraud_decline",
  "customer",
  "staff",
  "channel"
)
export type CancelReason = typeof CancelReason.Type

/** From payment sums versus the grand total minus granted refunds. */
export const PaymentStatus = Schema.Literal(
  "none",
  "authorized",
  "partially_paid",
  "paid",
  "partially_refunded",
  "refunded",
  "overcharged",
  "voided"
)
export type PaymentStatus = typeof PaymentStatus.Type

/** How much of the order has left. */
export const FulfilmentStatus = Schema.Literal("unfulfilled", "partial", "fulfilled", "delivered")
export type FulfilmentStatus = typeof FulfilmentStatus.Type

/** How much of the order came back. */
export const ReturnStatus = Schema.Literal("none", "requested", "partial", "returned")
export type ReturnStatus = typeof ReturnStatus.Type

/**
 * Totals in minor units of the order's currency: grand = items − discount + shipping + fees + tax, tax added only when
 * prices exclude it (invariant O2).
 *
 * @category schemas
 */
export const Totals = Schema.Struct({
  items: NonNegativeAmount,
  discount: NonNegativeAmount,
  shipping: NonNegativeAmount,
  fees: NonNegativeAmount,
  tax: NonNegativeAmount,
  grand: NonNegativeAmount
}).annotations({ identifier: "Totals" })
export type Totals = typeof Totals.Type

/** How the buyer wants it sent. */
export const ShippingOption = Schema.Struct({
  code: Text.code(64).annotations({ description: "e.g. standard or express" }),
  carrierHint: Schema.optional(Text.code(64)),
  promiseDate: Schema.optional(Instant)
}).annotations({ identifier: "ShippingOption" })
export type ShippingOption = typeof ShippingOption.Type

/**
 * A number of units of an order's line, e.g. to cancel.
 *
 * @category schemas
 */
export const LineQuantity = Schema.Struct({ lineId: OrderLineId, qty: Quantity }).annotations({
  identifier: "LineQuantity"
})
export type LineQuantity = typeof LineQuantity.Type

/** Units of 1 to 1000 lines. */
export const LineQuantities = Schema.Array(LineQuantity).pipe(Schema.minItems(1), Schema.maxItems(maxLines))

/**
 * A line as public view; amounts in minor units of the order's currency.
 *
 * @category schemas
 */
export const OrderLine = Schema.Struct({
  id: OrderLineId,
  sku: Sku,
  variantId: Schema.optional(VariantId),
  title: Schema.String.annotations({ description: "As it was when the order was placed" }),
  qty: Quantity,
  unitPrice: NonNegativeAmount,
  discount: NonNegativeAmount,
  taxRateBp: Rate,
  tax: NonNegativeAmount,
  lineTotal: NonNegativeAmount.annotations({ description: "qty × unitPrice − discount" }),
  qtyReserved: Count,
  qtyPicked: Count,
  qtyShipped: Count,
  qtyDelivered: Count,
  qtyCancelled: Count,
  qtyReturned: Count,
  weightGrams: Schema.optional(Count)
}).annotations({ identifier: "OrderLine" })
export type OrderLine = typeof OrderLine.Type

/** A hold, in force until `releasedAt`. */
export const Hold = Schema.Struct({
  reason: HoldReason,
  note: Schema.optional(Schema.String),
  placedBy: Schema.String,
  placedAt: Instant,
  releasedAt: Schema.optional(Instant)
}).annotations({ identifier: "Hold" })
export type Hold = typeof Hold.Type

const summary = {
  id: OrderId,
  number: Schema.optional(Schema.String).annotations({ description: "For people; given when the order is confirmed" }),
  channel: Channel,
  externalRef: Schema.optional(Schema.String).annotations({ description: "The channel's own number of the order" }),
  customerId: Schema.optional(CustomerId),
  customerRef: Schema.optional(Schema.String).annotations({ description: "The channel's own number of the customer" }),
  currency: Currency,
  totals: Totals,
  state: OrderState,
  paymentStatus: PaymentStatus,
  fulfilmentStatus: FulfilmentStatus,
  returnStatus: ReturnStatus,
  placedAt: Instant,
  confirmedAt: Schema.optional(Instant),
  cancelledAt: Schema.optional(Instant),
  cancelReason: Schema.optional(CancelReason),
  updatedAt: Instant,
  version: Integer.Version
}

/**
 * An order in a list: without its lines.
 *
 * @category schemas
 */
export const OrderSummary = Schema.Struct({
  ...summary,
  holds: Schema.Array(HoldReason).annotations({ description: "Holds in force" })
}).annotations({ identifier: "OrderSummary" })
export type OrderSummary = typeof OrderSummary.Type

/**
 * An order as public view. Never holds payment tokens.
 *
 * @category schemas
 */
export const Order = Schema.Struct({
  ...summary,
  cartId: Schema.optional(CartId),
  email: Schema.optional(Email),
  lines: Schema.Array(OrderLine),
  addresses: Schema.Struct({ shipping: Address, billing: Address }),
  shippingOption: Schema.optional(ShippingOption),
  taxInclusive: Schema.Boolean.annotations({ description: "Whether prices and totals.items include the tax" }),
  holds: Schema.Array(Hold),
  expiresAt: Schema.optional(Instant).annotations({
    description: "Unpaid by then, the order is cancelled"
  }),
  paymentId: Schema.optional(PaymentId),
  reservationId: Schema.optional(ReservationId),
  fraudAssessmentId: Schema.optional(AssessmentId)
}).annotations({ identifier: "Order" })
export type Order = typeof Order.Type

/**
 * One entry of an order's history; never changed.
 *
 * @category schemas
 */
export const TimelineEntry = Schema.Struct({
  at: Instant,
  actor: Schema.String,
  kind: Schema.String.annotations({ description: "e.g. placed, payment.authorized, hold_released" }),
  data: Schema.Record({ key: Schema.String, value: Schema.Unknown })
}).annotations({ identifier: "TimelineEntry" })
export type TimelineEntry = typeof TimelineEntry.Type

/** A means of payment as the payment agent knows it; no card data, and never given back. */
export const PaymentMethodToken = Text.code(255).annotations({
  description:
    "Token of a means of payment, from the payment provider's form; sandbox: ok, decline_insufficient, threeds …"
})

const Client = Schema.Struct({
  ipAddress: Schema.optional(
    Schema.String.pipe(Schema.pattern(/^[0-9A-Fa-f.:]{2,45}$/, { message: () => "must be an IPv4 or IPv6 address" }))
  ),
  deviceId: Schema.optional(Text.line(255)),
  sessionStartedAt: Schema.optional(Instant)
}).annotations({
  identifier: "Client",
  description: "What the shop knows of the buyer's device, for the fraud check; hashed before it is stored"
})

/**
 * A cart to be ordered: prices come from the catalogue.
 *
 * @category schemas
 */
export const OrderPlacement = Schema.Struct({
  cartId: Schema.optional(CartId).annotations({ description: "A cart becomes one order, however often it is sent" }),
  channel: Schema.optional(Channel).annotations({ description: "web when left out" }),
  currency: Currency,
  lines: Schema.Array(Schema.Struct({ sku: Sku, qty: Quantity })).pipe(
    Schema.minItems(1),
    Schema.maxItems(maxLines)
  ),
  customer: Schema.Struct({
    customerId: Schema.optional(CustomerId).annotations({ description: "Absent: a guest" }),
    email: Email,
    name: Schema.optional(Text.line(200)),
    phone: Schema.optional(Phone),
    group: Schema.optional(Text.code(64)).annotations({ description: "Customer group, for prices" })
  }),
  addresses: Schema.Struct({
    shipping: Address,
    billing: Schema.optional(Address).annotations({ description: "The shipping address when left out" })
  }),
  shippingOption: Schema.optional(ShippingOption),
  paymentMethodToken: PaymentMethodToken,
  expectedTotal: Schema.optional(NonNegativeAmount).annotations({
    description: "The grand total the buyer saw; another one is refused with cart_changed"
  }),
  client: Schema.optional(Client)
}).annotations({ identifier: "OrderPlacement" })
export type OrderPlacement = typeof OrderPlacement.Type

/**
 * An order agreed elsewhere, at the prices given here: the body of `POST /orders/import` and of the command order.import.
 * It is paid by a token, through the whole checkout, or was paid to the channel.
 *
 * @category schemas
 */
export const OrderImport = Schema.Struct({
  channel: Channel,
  externalRef: Text.line(128).annotations({ description: "The channel's number of the order: one order for each" }),
  externalVersion: Schema.optional(Integer.between(0, Number.MAX_SAFE_INTEGER)),
  placedAt: Instant,
  currency: Currency,
  taxInclusive: Schema.optional(Schema.Boolean).annotations({
    description: "Whether the unit prices include the tax; yes when left out"
  }),
  lines: Schema.Array(
    Schema.Struct({
      sku: Sku,
      qty: Quantity,
      unitPrice: NonNegativeAmount.annotations({ description: "As agreed, in minor units" }),
      discount: Schema.optional(NonNegativeAmount),
      taxRateBp: Schema.optional(Rate),
      title: Schema.optional(Text.line(200))
    })
  ).pipe(Schema.minItems(1), Schema.maxItems(maxLines)),
  totals: Schema.optional(Totals).annotations({
    description: "As agreed, with shipping and fees; left out: the sum of the lines, no shipping"
  }),
  customer: Schema.Struct({
    customerId: Schema.optional(CustomerId),
    ref: Schema.optional(Text.line(64)).annotations({
      description: "The channel's number of the customer; absent: a guest"
    }),
    email: Schema.optional(Email),
    name: Schema.optional(Text.line(200)),
    phone: Schema.optional(Phone)
  }),
  shipTo: Address,
  billTo: Schema.optional(Address).annotations({ description: "shipTo when left out" }),
  shippingOption: Schema.optional(ShippingOption),
  shipBy: Schema.optional(Instant),
  paymentMethodToken: Schema.optional(PaymentMethodToken),
  paidByChannel: Schema.optional(Schema.Boolean).annotations({
    description: "true: the channel has the money, nothing is authorised here"
  })
}).pipe(
  Schema.filter((order) =>
    (order.paymentMethodToken !== undefined) !== (order.paidByChannel === true)
      ? undefined
      : { path: ["paymentMethodToken"], message: "send either paymentMethodToken or paidByChannel: true" }
  )
).annotations({ identifier: "OrderImport" })
export type OrderImport = typeof OrderImport.Type

/** The body of `POST /orders/{id}/cancel`. */
export const CancelRequest = Schema.Struct({
  reason: CancelReason.pipe(Schema.pickLiteral("customer", "staff", "channel")),
  note: Schema.optional(Text.line(500)),
  lines: Schema.optional(LineQuantities).annotations({ description: "Only these units; the whole order when left out" })
}).annotations({ identifier: "CancelRequest" })
export type CancelRequest = typeof CancelRequest.Type

/** Holds that people place and release; the others belong to a process that ends them by itself. */
const manualHolds = HoldReason.pipe(Schema.pickLiteral("address_invalid", "quality_hold", "manual"))

/** The body of `POST /orders/{id}/holds`. */
export const HoldRequest = Schema.Struct({
  reason: manualHolds,
  note: Schema.optional(Text.line(500)),
  by: Schema.optional(Actor)
}).annotations({ identifier: "HoldRequest" })
export type HoldRequest = typeof HoldRequest.Type

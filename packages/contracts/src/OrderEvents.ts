import * as Schema from "effect/Schema"
import { Destination } from "./Address.ts"
import { NonNegativeAmount } from "./Amount.ts"
import { Channel } from "./Channel.ts"
import { Currency } from "./Currency.ts"
import { CustomerId, OrderId, OrderLineId, PaymentId, ReservationId, ShipmentId } from "./Id.ts"
import { Instant } from "./Instant.ts"
import * as Message from "./Message.ts"
import { Money } from "./Money.ts"
import { CancelReason, HoldReason, LineQuantity, PaymentStatus, ShippingOption, Totals } from "./Order.ts"
import { Quantity } from "./Quantity.ts"
import { Sku } from "./Sku.ts"

const key = (payload: { readonly orderId: OrderId }) => payload.orderId

const line = Schema.Struct({
  lineId: OrderLineId,
  sku: Sku,
  qty: Quantity,
  unitPrice: NonNegativeAmount,
  lineTotal: NonNegativeAmount
})

/** An order was stored; checkout begins. Amounts are in `currency`. */
export const OrderPlaced = Message.event("order.placed", {
  payload: Schema.Struct({
    orderId: OrderId,
    channel: Channel,
    externalRef: Schema.optional(Schema.String),
    customerId: Schema.optional(CustomerId),
    currency: Currency,
    totals: Totals,
    lines: Schema.Array(line),
    shipTo: Destination,
    placedAt: Instant,
    expiresAt: Schema.optional(Instant)
  }),
  key
})

/** The pivot of checkout: stock is committed, money authorised. `paymentId` is absent where the channel has the money. */
export const OrderConfirmed = Message.event("order.confirmed", {
  payload: Schema.Struct({
    orderId: OrderId,
    number: Schema.String,
    currency: Currency,
    totals: Totals,
    paymentId: Schema.optional(PaymentId),
    reservationId: ReservationId,
    promiseDate: Schema.optional(Instant)
  }),
  key
})

/** The order takes no step of fulfilment until the hold is released. */
export const OrderHeld = Message.event("order.held", {
  payload: Schema.Struct({ orderId: OrderId, reason: HoldReason, note: Schema.optional(Schema.String) }),
  key
})

/** The hold is no longer in force. */
export const OrderHoldReleased = Message.event("order.hold_released", {
  payload: Schema.Struct({ orderId: OrderId, reason: HoldReason, by: Schema.String }),
  key
})

/** Goods may leave; the full address travels only in the commands warehouse.fulfil and transport.plan. */
export const FulfilmentRequested = Message.event("order.fulfilment_requested", {
  payload: Schema.Struct({
    orderId: OrderId,
    number: Schema.String,
    lines: Schema.Array(Schema.Struct({ lineId: OrderLineId, sku: Sku, qty: Quantity })),
    shipTo: Destination,
    shippingOption: Schema.optional(ShippingOption),
    priority: Schema.Number,
    shipBy: Schema.optional(Instant)
  }),
  key
})

/** Lines were added or removed; `totals` are the new ones. */
export const OrderAmended = Message.event("order.amended", {
  payload: Schema.Struct({
    orderId: OrderId,
    added: Schema.Array(line),
    removed: Schema.Array(LineQuantity),
    currency: Currency,
    totals: Totals
  }),
  key
})

/** The order's payment sums changed its payment status. */
export const PaymentStatusChanged = Message.event("order.payment_status_changed", {
  payload: Schema.Struct({
    orderId: OrderId,
    from: PaymentStatus,
    to: PaymentStatus,
    currency: Currency,
    authorized: NonNegativeAmount,
    captured: NonNegativeAmount,
    refunded: NonNegativeAmount
  }),
  key
})

/** Units left; `partial`: not all of them. */
export const OrderShipped = Message.event("order.shipped", {
  payload: Schema.Struct({
    orderId: OrderId,
    partial: Schema.Boolean,
    shipmentIds: Schema.Array(ShipmentId),
    lines: Schema.Array(LineQuantity)
  }),
  key
})

/** All parcels arrived. */
export const OrderDelivered = Message.event("order.delivered", {
  payload: Schema.Struct({ orderId: OrderId, deliveredAt: Instant }),
  key
})

/** A cancellation begins; without `lines` it is of the whole order. */
export const CancelRequested = Message.event("order.cancel_requested", {
  payload: Schema.Struct({
    orderId: OrderId,
    reason: CancelReason,
    lines: Schema.optional(Schema.Array(LineQuantity)),
    by: Schema.String
  }),
  key
})

/** Units were cancelled and all that belonged to them undone; `full`: the order has ended. */
export const OrderCancelled = Message.event("order.cancelled", {
  payload: Schema.Struct({
    orderId: OrderId,
    reason: CancelReason,
    lines: Schema.Array(LineQuantity),
    refundDue: Money,
    full: Schema.Boolean
  }),
  key
})

/** The order has ended well. */
export const OrderCompleted = Message.event("order.completed", {
  payload: Schema.Struct({ orderId: OrderId, completedAt: Instant }),
  key
})

/**
 * The answer to an order.import that cannot become an order: nothing was stored. Keyed as the command, since there is no
 * order id.
 */
export const ImportRefused = Message.event("order.import_refused", {
  payload: Schema.Struct({
    channel: Channel,
    externalRef: Schema.String,
    code: Schema.String,
    detail: Schema.String
  }),
  key: (payload) => `${payload.channel}:${payload.externalRef}`
})

import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as Schema from "effect/Schema"
import { AmountTooLarge } from "./Amount.ts"
import { Channel } from "./Channel.ts"
import { CommandPolicy } from "./CommandPolicy.ts"
import { Description, Summary } from "./Documentation.ts"
import { Common } from "./Errors.ts"
import { CustomerId, OrderId } from "./Id.ts"
import {
  CancelRequest,
  HoldReason,
  HoldRequest,
  Order,
  OrderImport,
  OrderPlacement,
  OrderState,
  OrderSummary,
  PaymentMethodToken,
  TimelineEntry
} from "./Order.ts"
import {
  AddressInvalid,
  CancelQuantityExceeded,
  CartChanged,
  HoldNotFound,
  HoldNotReleasable,
  OrderNotPayable,
  OrderStateConflict,
  SkuNotSellable,
  SkuUnknown,
  TotalsMismatch
} from "./OrderErrors.ts"
import * as Page from "./Page.ts"
import { Saga } from "./Saga.ts"
import * as Text from "./Text.ts"

const byId = Schema.Struct({ id: OrderId })

/**
 * Orders from placement to their end (spec §3).
 *
 * @category apis
 */
export const OrderApi = HttpApiGroup.make("order")
  .add(
    HttpApiEndpoint.post("place", "/orders")
      .setPayload(OrderPlacement)
      .addSuccess(Order, { status: 202 })
      .addError(CartChanged)
      .addError(SkuUnknown)
      .addError(SkuNotSellable)
      .addError(AddressInvalid)
      .addError(AmountTooLarge)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Place an order")
      .annotate(
        Description,
        "Stored as placed, then checked out: stock is reserved, fraud assessed, the payment authorised. Read the order until it is confirmed or cancelled."
      )
  )
  .add(
    HttpApiEndpoint.post("import", "/orders/import")
      .setPayload(OrderImport)
      .addSuccess(Order, { status: 202 })
      .addError(SkuUnknown)
      .addError(TotalsMismatch)
      .addError(AddressInvalid)
      .addError(AmountTooLarge)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Import an order agreed elsewhere")
      .annotate(
        Description,
        "At the prices given. One order for each channel and externalRef: a second import answers with the first order."
      )
  )
  .add(
    HttpApiEndpoint.get("get", "/orders/:id")
      .setPath(byId)
      .addSuccess(Order)
      .annotate(Summary, "Read an order")
  )
  .add(
    HttpApiEndpoint.get("list", "/orders")
      .setUrlParams(
        Schema.Struct({
          ...Page.parameters,
          state: Schema.optional(OrderState),
          customerId: Schema.optional(CustomerId),
          channel: Schema.optional(Channel),
          externalRef: Schema.optional(Text.line(128)),
          updatedSince: Page.updatedSince
        })
      )
      .addSuccess(Page.of(OrderSummary))
      .annotate(Summary, "List orders")
  )
  .add(
    HttpApiEndpoint.post("cancel", "/orders/:id/cancel")
      .setPath(byId)
      .setPayload(CancelRequest)
      .addSuccess(Order, { status: 202 })
      .addError(OrderStateConflict)
      .addError(CancelQuantityExceeded)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Cancel an order or some of its units")
      .annotate(
        Description,
        "Possible until a parcel is handed over. Stock is released and money voided or refunded before the order is cancelled."
      )
  )
  .add(
    HttpApiEndpoint.post("pay", "/orders/:id/pay")
      .setPath(byId)
      .setPayload(Schema.Struct({ paymentMethodToken: PaymentMethodToken }))
      .addSuccess(Order, { status: 202 })
      .addError(OrderNotPayable)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Try another means of payment")
      .annotate(Description, "After a decline, until expiresAt: a new payment for the same order.")
  )
  .add(
    HttpApiEndpoint.post("hold", "/orders/:id/holds")
      .setPath(byId)
      .setPayload(HoldRequest)
      .addSuccess(Order)
      .addError(OrderStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Hold an order")
      .annotate(
        Description,
        "A held order takes no step of fulfilment. A hold that is in force already stays as it is."
      )
  )
  .add(
    HttpApiEndpoint.del("releaseHold", "/orders/:id/holds/:reason")
      .setPath(Schema.Struct({ id: OrderId, reason: HoldReason }))
      .addSuccess(Order)
      .addError(HoldNotFound)
      .addError(HoldNotReleasable)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Release a hold")
  )
  .add(
    HttpApiEndpoint.get("timeline", "/orders/:id/timeline")
      .setPath(byId)
      .setUrlParams(Schema.Struct(Page.parameters))
      .addSuccess(Page.of(TimelineEntry))
      .annotate(Summary, "What happened to an order, oldest first")
  )
  .add(
    HttpApiEndpoint.get("saga", "/orders/:id/saga")
      .setPath(byId)
      .addSuccess(Schema.Struct({ items: Schema.Array(Saga) }))
      .annotate(Summary, "The sagas of an order and where they stand")
  )
  .addError(Common)

import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as Schema from "effect/Schema"
import { Channel } from "./Channel.ts"
import { CommandPolicy } from "./CommandPolicy.ts"
import { Description, Summary } from "./Documentation.ts"
import { Common } from "./Errors.ts"
import { OrderId, ReservationId } from "./Id.ts"
import {
  CountOutdated,
  ExtensionUsed,
  InsufficientStock,
  ReceiptReused,
  ReleaseExceedsReserved,
  ReservationStateConflict,
  SameLocation,
  StockWouldBeNegative
} from "./InventoryErrors.ts"
import { LocationId } from "./Location.ts"
import * as Page from "./Page.ts"
import { ExtendRequest, ReleaseRequest, Reservation, ReservationRequest, ReservationState } from "./Reservation.ts"
import { Sku } from "./Sku.ts"
import {
  Adjustment,
  Availability,
  LedgerCheck,
  LedgerKind,
  Receipt,
  ReceiptResult,
  StockLedgerEntry,
  StockLevel,
  Transfer,
  TransferResult
} from "./Stock.ts"
import * as Text from "./Text.ts"

const byId = Schema.Struct({ id: ReservationId })

/**
 * Stock and its promises (spec §8).
 *
 * @category apis
 */
export const InventoryApi = HttpApiGroup.make("inventory")
  .add(
    HttpApiEndpoint.post("receive", "/receipts")
      .setPayload(Receipt)
      .addSuccess(ReceiptResult, { status: 201 })
      .addError(ReceiptReused)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Receive goods")
      .annotate(Description, "Adds to what is on hand. The same refId again changes nothing.")
  )
  .add(
    HttpApiEndpoint.post("adjust", "/adjustments")
      .setPayload(Adjustment)
      .addSuccess(StockLevel)
      .addError(CountOutdated)
      .addError(StockWouldBeNegative)
      .annotate(CommandPolicy, { writeClass: "refused", idempotencyKey: "required" })
      .annotate(Summary, "Correct what is on hand")
      .annotate(
        Description,
        "By a difference (delta), or by a count (expected, counted) that is refused when stock moved since expected was read."
      )
  )
  .add(
    HttpApiEndpoint.post("transfer", "/transfers")
      .setPayload(Transfer)
      .addSuccess(TransferResult, { status: 201 })
      .addError(SameLocation)
      .addError(StockWouldBeNegative)
      .annotate(CommandPolicy, { writeClass: "refused", idempotencyKey: "required" })
      .annotate(Summary, "Move goods between locations")
      .annotate(Description, "Only what is available can move; all lines or none.")
  )
  .add(
    HttpApiEndpoint.get("stock", "/stock")
      .setUrlParams(
        Schema.Struct({ ...Page.parameters, sku: Schema.optional(Sku), locationId: Schema.optional(LocationId) })
      )
      .addSuccess(Page.of(StockLevel))
      .annotate(Summary, "List stock levels")
  )
  .add(
    HttpApiEndpoint.get("level", "/stock/:sku")
      .setPath(Schema.Struct({ sku: Sku }))
      .addSuccess(Schema.Struct({ items: Schema.Array(StockLevel) }))
      .annotate(Summary, "The levels of a sku, by location")
  )
  .add(
    HttpApiEndpoint.get("availability", "/availability")
      .setUrlParams(Schema.Struct({ sku: Sku, channel: Schema.optional(Channel) }))
      .addSuccess(Availability)
      .annotate(Summary, "What can be promised of a sku")
  )
  .add(
    HttpApiEndpoint.post("reserve", "/reservations")
      .setPayload(ReservationRequest)
      .addSuccess(Reservation, { status: 201 })
      .addError(InsufficientStock)
      .addError(ReservationStateConflict)
      .annotate(CommandPolicy, { writeClass: "bounded", idempotencyKey: "required" })
      .annotate(Summary, "Reserve stock for an order")
      .annotate(Description, "All lines or none, unless partial. An order that has a live reservation gets that one.")
  )
  .add(
    HttpApiEndpoint.get("getReservation", "/reservations/:id")
      .setPath(byId)
      .addSuccess(Reservation)
      .annotate(Summary, "Read a reservation")
  )
  .add(
    HttpApiEndpoint.get("listReservations", "/reservations")
      .setUrlParams(
        Schema.Struct({
          ...Page.parameters,
          orderId: Schema.optional(OrderId),
          state: Schema.optional(ReservationState),
          updatedSince: Page.updatedSince
        })
      )
      .addSuccess(Page.of(Reservation))
      .annotate(Summary, "List reservations, e.g. of an order")
  )
  .add(
    HttpApiEndpoint.post("commit", "/reservations/:id/commit")
      .setPath(byId)
      .addSuccess(Reservation)
      .addError(ReservationStateConflict)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Commit a held reservation")
      .annotate(Description, "It does not expire any more.")
  )
  .add(
    HttpApiEndpoint.post("extend", "/reservations/:id/extend")
      .setPath(byId)
      .setPayload(ExtendRequest)
      .addSuccess(Reservation)
      .addError(ReservationStateConflict)
      .addError(ExtensionUsed)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Hold a reservation longer")
      .annotate(Description, "Possible once.")
  )
  .add(
    HttpApiEndpoint.post("release", "/reservations/:id/release")
      .setPath(byId)
      .setPayload(ReleaseRequest)
      .addSuccess(Reservation)
      .addError(ReservationStateConflict)
      .addError(ReleaseExceedsReserved)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Give reserved stock back")
  )
  .add(
    HttpApiEndpoint.get("ledger", "/ledger")
      .setUrlParams(
        Schema.Struct({
          ...Page.parameters,
          sku: Schema.optional(Sku),
          locationId: Schema.optional(LocationId),
          kind: Schema.optional(LedgerKind),
          refId: Schema.optional(Text.line(128))
        })
      )
      .addSuccess(Page.of(StockLedgerEntry))
      .annotate(Summary, "List movements of stock, oldest first")
  )
  .add(
    HttpApiEndpoint.post("verifyLedger", "/ledger/verify")
      .addSuccess(LedgerCheck)
      .annotate(Summary, "Compare the ledger and open reservations with the levels")
      .annotate(Description, "Reads only; an empty list of mismatches means that all is right.")
  )
  .addError(Common)

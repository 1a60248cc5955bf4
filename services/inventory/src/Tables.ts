import { OrderId, OrderLineId, ReservationId } from "@holdfast/contracts/Id"
import { LocationId } from "@holdfast/contracts/Location"
import { ReservationState } from "@holdfast/contracts/Reservation"
import { Sku } from "@holdfast/contracts/Sku"
import { LedgerKind } from "@holdfast/contracts/Stock"
import * as Table from "@holdfast/database/Table"

// Times are milliseconds since the epoch.

export const StockLevels = Table.make("stock_level", {
  columns: {
    sku: Table.textOf(Sku),
    locationId: Table.textOf(LocationId),
    onHand: Table.integer,
    reserved: Table.integer,
    onHold: Table.integer,
    damaged: Table.integer,
    incoming: Table.integer,
    safetyBuffer: Table.integer,
    backorderLimit: Table.integer,
    version: Table.integer
  },
  key: ["sku", "locationId"],
  merge: Table.delta("onHand", "reserved", "onHold", "damaged", "incoming")
})

/** The cause, the place, the kind and the lot are the key: a movement is written once (invariant I6). */
export const LedgerEntries = Table.make("ledger_entry", {
  columns: {
    id: Table.text,
    refId: Table.text,
    refType: Table.text,
    kind: Table.textOf(LedgerKind),
    sku: Table.textOf(Sku),
    locationId: Table.textOf(LocationId),
    /** Empty where no lot is named: a key has no null. */
    lot: Table.text,
    dOnHand: Table.integer,
    dReserved: Table.integer,
    dOnHold: Table.integer,
    dDamaged: Table.integer,
    reason: Table.nullable(Table.text),
    actor: Table.text,
    at: Table.integer
  },
  key: ["refId", "refType", "kind", "sku", "locationId", "lot"],
  merge: Table.ledger
})

export const Reservations = Table.make("reservation", {
  columns: {
    id: Table.textOf(ReservationId),
    orderId: Table.textOf(OrderId),
    state: Table.textOf(ReservationState),
    expiresAt: Table.nullable(Table.integer),
    ttlSeconds: Table.integer,
    extensions: Table.integer,
    /** Null: released before it was ever reserved; it stays so that the reserve that comes late finds it. */
    heldAt: Table.nullable(Table.integer),
    createdAt: Table.integer,
    updatedAt: Table.integer,
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})

/** Immutable but for partial releases and shipments; a line can be promised from several locations. */
export const ReservationLines = Table.make("reservation_line", {
  columns: {
    reservationId: Table.textOf(ReservationId),
    lineId: Table.textOf(OrderLineId),
    locationId: Table.textOf(LocationId),
    sku: Table.textOf(Sku),
    position: Table.integer,
    qty: Table.integer,
    consumed: Table.integer
  },
  key: ["reservationId", "lineId", "locationId"],
  merge: Table.partOf("reservation")
})

/** What the catalogue says about a sku, for levels that come later; a sku without a row has no backorders. */
export const SkuSettings = Table.make("sku_setting", {
  columns: { sku: Table.textOf(Sku), backorderLimit: Table.integer, version: Table.integer },
  key: ["sku"],
  merge: Table.versioned
})

export const tables = [StockLevels, LedgerEntries, Reservations, ReservationLines, SkuSettings]

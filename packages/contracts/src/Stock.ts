import * as Schema from "effect/Schema"
import { Channel } from "./Channel.ts"
import { Instant } from "./Instant.ts"
import * as Integer from "./Integer.ts"
import { LocationId } from "./Location.ts"
import { Count, Quantity, QuantityDelta } from "./Quantity.ts"
import { Sku } from "./Sku.ts"
import * as Text from "./Text.ts"

/** A whole number either way; a balance that may be negative, or a movement. */
const Signed = Integer.between(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)

/** A batch of goods received together, by its number. */
export const Lot = Text.code(64)

/**
 * How many units of a sku are where, by bucket: available = onHand − reserved − onHold − damaged (spec §8).
 *
 * @category schemas
 */
export const StockLevel = Schema.Struct({
  sku: Sku,
  locationId: LocationId,
  onHand: Count,
  reserved: Count,
  onHold: Count,
  damaged: Count,
  incoming: Count,
  available: Signed,
  safetyBuffer: Count,
  backorderLimit: Count,
  version: Integer.Version
}).annotations({ identifier: "StockLevel" })
export type StockLevel = typeof StockLevel.Type

/** What moved stock. */
export const LedgerKind = Schema.Literal(
  "receive",
  "ship",
  "adjust",
  "reserve",
  "release",
  "hold",
  "unhold",
  "damage",
  "scrap",
  "return_restock",
  "transfer_out",
  "transfer_in",
  "count"
)
export type LedgerKind = typeof LedgerKind.Type

/**
 * One movement of stock; append-only, once for each cause (invariant I6).
 *
 * @category schemas
 */
export const StockLedgerEntry = Schema.Struct({
  n: Schema.Union(Schema.Number, Schema.String),
  sku: Sku,
  locationId: LocationId,
  lot: Schema.optional(Lot),
  kind: LedgerKind,
  dOnHand: Signed,
  dReserved: Signed,
  dOnHold: Signed,
  dDamaged: Signed,
  refType: Schema.String.annotations({ description: "What caused it: receipt, reservation, adjustment, transfer …" }),
  refId: Schema.String,
  reason: Schema.optional(Schema.String),
  actor: Schema.String,
  at: Instant
}).annotations({ identifier: "StockLedgerEntry" })
export type StockLedgerEntry = typeof StockLedgerEntry.Type

/**
 * Goods that came in; the same `refId` again changes nothing.
 *
 * @category schemas
 */
export const Receipt = Schema.Struct({
  refId: Text.line(128).annotations({ description: "Your number of the delivery: received once" }),
  locationId: LocationId,
  lines: Schema.Array(Schema.Struct({ sku: Sku, qty: Quantity, lot: Schema.optional(Lot) })).pipe(
    Schema.minItems(1),
    Schema.maxItems(1000)
  )
}).annotations({ identifier: "Receipt" })
export type Receipt = typeof Receipt.Type

/**
 * What was received, and the levels after it.
 *
 * @category schemas
 */
export const ReceiptResult = Schema.Struct({
  refId: Schema.String,
  locationId: LocationId,
  stock: Schema.Array(StockLevel)
}).annotations({ identifier: "ReceiptResult" })
export type ReceiptResult = typeof ReceiptResult.Type

const adjusted = { sku: Sku, locationId: LocationId, lot: Schema.optional(Lot) }

/**
 * A correction of what is on hand: by a difference, or by a count that names what it expected to find (compare and set).
 *
 * @category schemas
 */
export const Adjustment = Schema.Union(
  Schema.Struct({ ...adjusted, delta: QuantityDelta, reason: Text.line(200) }),
  Schema.Struct({
    ...adjusted,
    expected: Count.annotations({ description: "The onHand you last read" }),
    // Far from the end of the whole numbers, so that goods can still come in.
    counted: Integer.between(0, 1_000_000_000_000).annotations({ description: "The onHand there really is" }),
    reason: Schema.optional(Text.line(200))
  })
).annotations({ identifier: "Adjustment" })
export type Adjustment = typeof Adjustment.Type

/**
 * Goods that move between locations.
 *
 * @category schemas
 */
export const Transfer = Schema.Struct({
  from: LocationId,
  to: LocationId,
  lines: Schema.Array(Schema.Struct({ sku: Sku, qty: Quantity, lot: Schema.optional(Lot) })).pipe(
    Schema.minItems(1),
    Schema.maxItems(1000)
  ),
  reason: Schema.optional(Text.line(200))
}).annotations({ identifier: "Transfer" })
export type Transfer = typeof Transfer.Type

/** What was moved, and the levels after it at both ends. */
export const TransferResult = Schema.Struct({
  id: Schema.String,
  from: LocationId,
  to: LocationId,
  stock: Schema.Array(StockLevel)
}).annotations({ identifier: "TransferResult" })
export type TransferResult = typeof TransferResult.Type

/**
 * What can be promised of a sku.
 *
 * @category schemas
 */
export const Availability = Schema.Struct({
  sku: Sku,
  channel: Schema.optional(Channel),
  available: Signed.annotations({ description: "Over all locations" }),
  sellable: Signed.annotations({ description: "available − buffers + backorder limit" }),
  locations: Schema.Array(Schema.Struct({ locationId: LocationId, available: Signed, sellable: Signed }))
}).annotations({ identifier: "Availability" })
export type Availability = typeof Availability.Type

/**
 * The comparison of ledger sums and open reservations with the levels (invariants I4, I5).
 *
 * @category schemas
 */
export const LedgerCheck = Schema.Struct({
  checked: Count.annotations({ description: "Levels compared" }),
  entries: Count.annotations({ description: "Ledger rows summed" }),
  mismatches: Schema.Array(
    Schema.Struct({
      sku: Sku,
      locationId: LocationId,
      bucket: Schema.Literal("onHand", "reserved", "onHold", "damaged"),
      source: Schema.Literal("ledger", "reservations"),
      sum: Signed,
      level: Signed
    })
  )
}).annotations({ identifier: "LedgerCheck" })
export type LedgerCheck = typeof LedgerCheck.Type

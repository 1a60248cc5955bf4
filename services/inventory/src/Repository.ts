import type { OrderId, ReservationId } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import type { LocationId } from "@holdfast/contracts/Location"
import type { Reservation, ReservedLine } from "@holdfast/contracts/Reservation"
import type { Sku } from "@holdfast/contracts/Sku"
import type { StockLedgerEntry, StockLevel } from "@holdfast/contracts/Stock"
import type { ReadError } from "@holdfast/database/StoreError"
import type { Row } from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Level from "./Domain/Level.ts"
import type { LedgerEntries } from "./Tables.ts"
import { ReservationLines, Reservations, SkuSettings, StockLevels } from "./Tables.ts"

export type LevelRow = Row<typeof StockLevels>
export type LedgerRow = Row<typeof LedgerEntries>
export type ReservationRow = Row<typeof Reservations>
export type ReservationLineRow = Row<typeof ReservationLines>

/** A reservation with its lines in the order in which they were promised. */
export interface Promise {
  readonly row: ReservationRow
  readonly lines: ReadonlyArray<ReservationLineRow>
}

/** Values of one `in (…)`; the engines bound the number of parameters. */
const CHUNK = 500

const inChunks = <A, B>(
  values: ReadonlyArray<A>,
  read: (chunk: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<B>, ReadError, Transaction.Reader>
) =>
  values.length <= CHUNK
    ? read(values)
    : Effect.map(Effect.forEach(Arr.chunksOf(values, CHUNK), read), Arr.flatten)

/** All levels of the skus, at every location. */
export const levelsOf = (skus: Iterable<Sku>) =>
  inChunks([...new Set(skus)], (chunk) => Transaction.select(StockLevels, { where: [["sku", "in", chunk]] }))

/** The backorder limit of a sku, for a level that does not exist yet. */
export const backorderLimitOf = (sku: Sku) =>
  Effect.map(
    Transaction.get(SkuSettings, { sku }),
    Option.match({ onNone: () => 0, onSome: (setting) => setting.backorderLimit })
  )

export const linesOf = (reservationIds: ReadonlyArray<ReservationId>) =>
  inChunks(reservationIds, (chunk) =>
    Transaction.select(ReservationLines, {
      where: [["reservationId", "in", chunk]],
      orderBy: [["reservationId", "asc"], ["position", "asc"]]
    }))

export const withLines = (row: ReservationRow): Effect.Effect<Promise, ReadError, Transaction.Reader> =>
  Effect.map(linesOf([row.id]), (lines) => ({ row, lines }))

export const findReservation = (id: ReservationId) => Transaction.get(Reservations, { id })

export const reservationsOfOrder = (orderId: OrderId) =>
  Transaction.select(Reservations, {
    where: [["orderId", "=", orderId]],
    orderBy: [["createdAt", "asc"], ["id", "asc"]]
  })

/** Held reservations whose time is over, the oldest first. */
export const dueReservations = (now: number, limit: number) =>
  Transaction.select(Reservations, {
    where: [["expiresAt", "is not null"], ["expiresAt", "<=", now]],
    orderBy: [["expiresAt", "asc"], ["id", "asc"]],
    limit
  })

export const insertLines = (reservationId: ReservationId, lines: ReadonlyArray<ReservedLine>) =>
  Effect.forEach(
    lines,
    (line, position) => Transaction.insert(ReservationLines, { ...line, reservationId, position, consumed: 0 }),
    { discard: true }
  )

const OrderIds = Schema.decodeUnknown(Schema.Array(Schema.Struct({ order_id: Schema.String })))

/** Orders that hold units of the sku at the location, the first ones first. */
export const ordersHolding = (sku: Sku, locationId: LocationId, limit: number) =>
  Transaction.query(
    "select distinct r.order_id, r.created_at from reservation r join reservation_line l on l.reservation_id = r.id " +
      "where l.sku = ? and l.location_id = ? and r.state in ('held', 'committed') order by r.created_at, r.order_id limit ?",
    [sku, locationId, limit]
  ).pipe(Effect.flatMap((rows) => Effect.orDie(OrderIds(rows))), Effect.map(Arr.map((row) => row.order_id as OrderId)))

export const toStockLevel = (row: LevelRow): StockLevel => ({ ...row, available: Level.available(row) })

export const toReservation = ({ lines, row }: Promise): Reservation => ({
  id: row.id,
  orderId: row.orderId,
  state: row.state,
  ...(row.expiresAt === null ? {} : { expiresAt: Instant.fromMillis(row.expiresAt) }),
  extended: row.extensions > 0,
  lines: lines.map(({ consumed, lineId, locationId, qty, sku }) => ({ lineId, sku, locationId, qty, consumed })),
  createdAt: Instant.fromMillis(row.createdAt),
  updatedAt: Instant.fromMillis(row.updatedAt),
  version: row.version
})

export const toLedgerEntry = (row: LedgerRow): StockLedgerEntry => ({
  n: row.id,
  sku: row.sku,
  locationId: row.locationId,
  ...(row.lot === "" ? {} : { lot: row.lot }),
  kind: row.kind,
  dOnHand: row.dOnHand,
  dReserved: row.dReserved,
  dOnHold: row.dOnHold,
  dDamaged: row.dDamaged,
  refType: row.refType,
  refId: row.refId,
  ...(row.reason === null ? {} : { reason: row.reason }),
  actor: row.actor,
  at: Instant.fromMillis(row.at)
})

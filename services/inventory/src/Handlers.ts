import * as Handler from "@holdfast/agent/Handler"
import { DegradedWriteRefused, NotFound } from "@holdfast/contracts/Errors"
import * as Instant from "@holdfast/contracts/Instant"
import { InventoryApi } from "@holdfast/contracts/InventoryApi"
import { InsufficientStock, ReservationStateConflict } from "@holdfast/contracts/InventoryErrors"
import * as Page from "@holdfast/contracts/Page"
import type { Query } from "@holdfast/database/Query"
import * as Transaction from "@holdfast/database/Transaction"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Level from "./Domain/Level.ts"
import * as LedgerVerification from "./LedgerVerification.ts"
import * as Repository from "./Repository.ts"
import * as Reservations from "./Reservations.ts"
import { LedgerEntries, Reservations as ReservationTable, StockLevels } from "./Tables.ts"
import * as Warehousing from "./Warehousing.ts"

/** The reservation as the command left it; it is a conflict where the command found it at its end. */
const answering = (wished: Reservations.Settled["_tag"]) => (answer: Reservations.Settled) =>
  Effect.gen(function*() {
    const { row } = answer.promise
    if (answer._tag !== wished) {
      return yield* new ReservationStateConflict({ reservationId: row.id, state: row.state })
    }
    yield* Reservations.announce(answer)
    return Repository.toReservation(answer.promise)
  })

const optional = <A, B>(value: A | undefined, comparison: (value: A) => B): ReadonlyArray<B> =>
  value === undefined ? [] : [comparison(value)]

export const handlers = Handler.group(InventoryApi, {
  receive: Handler.command(({ payload }) => Warehousing.receive(payload)),
  adjust: Handler.command(({ payload }) => Warehousing.adjust(payload)),
  transfer: Handler.command(({ payload }) => Warehousing.transfer(payload)),

  stock: Handler.query(({ urlParams: { after, limit = Page.defaultLimit, locationId, sku } }) => {
    const where: Query<typeof StockLevels.columns>["where"] = [
      ...optional(sku, (value) => ["sku", "=", value] as const),
      ...optional(locationId, (value) => ["locationId", "=", value] as const)
    ]
    return Effect.map(
      Transaction.select(StockLevels, {
        where,
        orderBy: [["sku", "asc"], ["locationId", "asc"]],
        limit: limit + 1,
        ...(after === undefined ? {} : { after })
      }),
      (rows) => Page.make(rows, limit, (row) => [row.sku, row.locationId], Repository.toStockLevel)
    )
  }),
  level: Handler.query(({ path }) =>
    Effect.map(Repository.levelsOf([path.sku]), (levels) => ({ items: levels.map(Repository.toStockLevel) }))
  ),
  availability: Handler.query(({ urlParams: { channel, sku } }) =>
    Effect.map(Repository.levelsOf([sku]), (levels) => {
      const locations = levels.map((level) => ({
        locationId: level.locationId,
        available: Level.available(level),
        sellable: Level.sellable(level)
      }))
      return {
        sku,
        ...(channel === undefined ? {} : { channel }),
        available: locations.reduce((sum, location) => sum + location.available, 0),
        sellable: locations.reduce((sum, location) => sum + location.sellable, 0),
        locations
      }
    })
  ),

  reserve: Handler.command(({ payload }) =>
    Effect.gen(function*() {
      const answer = yield* Reservations.reserve(payload)
      if (answer._tag === "Rejected") return yield* new InsufficientStock({ shortages: answer.shortages })
      if (answer._tag === "BeyondBound") return yield* new DegradedWriteRefused({ level: 1 })
      return yield* answering("Confirmed")(answer)
    })
  ),
  commit: Handler.command(({ path }) =>
    Effect.flatMap(Reservations.commit({ reservationId: path.id }), answering("Confirmed"))
  ),
  extend: Handler.command(({ path, payload }) =>
    Effect.flatMap(Reservations.extend({ reservationId: path.id }, payload), answering("Confirmed"))
  ),
  release: Handler.command(({ path, payload }) =>
    Effect.flatMap(Reservations.release({ reservationId: path.id }, payload), answering("Released"))
  ),
  getReservation: Handler.query(({ path }) =>
    Effect.gen(function*() {
      const row = yield* Repository.findReservation(path.id)
      if (Option.isNone(row)) return yield* new NotFound({ resource: "reservation", id: path.id })
      return Repository.toReservation(yield* Repository.withLines(row.value))
    })
  ),
  listReservations: Handler.query(
    ({ urlParams: { after, limit = Page.defaultLimit, orderId, state, updatedSince } }) =>
      Effect.gen(function*() {
        const where: Query<typeof ReservationTable.columns>["where"] = [
          ...optional(orderId, (value) => ["orderId", "=", value] as const),
          ...optional(state, (value) => ["state", "=", value] as const),
          ...optional(updatedSince, (value) => ["updatedAt", ">=", Instant.toMillis(value)] as const)
        ]
        const rows = yield* Transaction.select(ReservationTable, {
          where,
          orderBy: [["updatedAt", "asc"], ["id", "asc"]],
          limit: limit + 1,
          ...(after === undefined ? {} : { after })
        })
        const shown = rows.slice(0, limit).map((row) => row.id)
        const lines = Arr.groupBy(yield* Repository.linesOf(shown), (line) => line.reservationId)
        return Page.make(
          rows,
          limit,
          (row) => [row.updatedAt, row.id],
          (row) => Repository.toReservation({ row, lines: lines[row.id] ?? [] })
        )
      })
  ),

  ledger: Handler.query(({ urlParams: { after, kind, limit = Page.defaultLimit, locationId, refId, sku } }) => {
    const where: Query<typeof LedgerEntries.columns>["where"] = [
      ...optional(sku, (value) => ["sku", "=", value] as const),
      ...optional(locationId, (value) => ["locationId", "=", value] as const),
      ...optional(kind, (value) => ["kind", "=", value] as const),
      ...optional(refId, (value) => ["refId", "=", value] as const)
    ]
    return Effect.map(
      Transaction.select(LedgerEntries, {
        where,
        orderBy: [["at", "asc"], ["id", "asc"]],
        limit: limit + 1,
        ...(after === undefined ? {} : { after })
      }),
      (rows) => Page.make(rows, limit, (row) => [row.at, row.id], Repository.toLedgerEntry)
    )
  }),
  verifyLedger: Handler.query(() => LedgerVerification.verify)
})

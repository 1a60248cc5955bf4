import { NotFound } from "@holdfast/contracts/Errors"
import type { OrderId, ReservationId } from "@holdfast/contracts/Id"
import { ReservationId as ReservationIdSchema } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import { ExtensionUsed, ReservationStateConflict } from "@holdfast/contracts/InventoryErrors"
import * as Events from "@holdfast/contracts/InventoryEvents"
import type { LineQuantity } from "@holdfast/contracts/Order"
import type { ExtendRequest, ReleaseRequest, ReservationRequest, ReservedLine } from "@holdfast/contracts/Reservation"
import { defaultTtlSeconds, reviewReason, type Shortage } from "@holdfast/contracts/Reservation"
import * as Transaction from "@holdfast/database/Transaction"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { Allocation } from "./Domain/Allocation.ts"
import { allocate } from "./Domain/Allocation.ts"
import * as Bound from "./Domain/Bound.ts"
import * as Extension from "./Domain/Extension.ts"
import * as GivingBack from "./Domain/GivingBack.ts"
import * as Movement from "./Domain/Movement.ts"
import * as ReservationState from "./Domain/ReservationState.ts"
import type { Promise, ReservationRow } from "./Repository.ts"
import * as Repository from "./Repository.ts"
import * as Stock from "./Stock.ts"
import { ReservationLines, Reservations, StockLevels } from "./Tables.ts"

// How a command on a reservation ends; HTTP and messages tell it each in their own way. A command that fails has written
// nothing.

interface Confirmed {
  readonly _tag: "Confirmed"
  readonly promise: Promise
}

interface Rejected {
  readonly _tag: "Rejected"
  readonly orderId: OrderId
  readonly shortages: ReadonlyArray<Shortage>
}

/** The stock is there, and more than this process may promise while the primary store is away. */
interface BeyondBound {
  readonly _tag: "BeyondBound"
}

interface Expired {
  readonly _tag: "Expired"
  readonly promise: Promise
}

interface Released {
  readonly _tag: "Released"
  readonly promise: Promise
  readonly lines: ReadonlyArray<LineQuantity>
  readonly reason: string | undefined
}

/** A command that found its reservation. */
export type Settled = Confirmed | Expired | Released

const confirmed = (promise: Promise): Confirmed => ({ _tag: "Confirmed", promise })

const released = (promise: Promise, lines: ReadonlyArray<LineQuantity>, reason?: string): Released => ({
  _tag: "Released",
  promise,
  lines,
  reason
})

const conflict = (row: ReservationRow) => new ReservationStateConflict({ reservationId: row.id, state: row.state })

/** The ledger's name of what a version of a reservation did. */
const causeOf = (row: ReservationRow, reason?: string): Movement.MovementCause => ({
  refType: `reservation:${row.version}`,
  refId: row.id,
  reason
})

/** The answer to a step that the reservation's state does not allow. */
const answerOfState = (promise: Promise): Effect.Effect<Expired | Released, ReservationStateConflict> => {
  if (promise.row.state === "expired") return Effect.succeed({ _tag: "Expired", promise })
  if (promise.row.state === "released") return Effect.succeed(released(promise, []))
  return conflict(promise.row)
}

const moveStock = (
  kind: "reserve" | "release",
  lines: ReadonlyArray<ReservedLine>,
  cause: Movement.MovementCause,
  levels?: ReadonlyArray<Repository.LevelRow>
) =>
  Effect.gen(function*() {
    const present = levels ?? (yield* Repository.levelsOf(lines.map((line) => line.sku)))
    // The bounds were checked against these levels, or units go back: a refusal here is a bug.
    yield* Effect.catchTag(
      Stock.move(present, Movement.make(kind, lines, cause)),
      "StockWouldBeNegative",
      (error) => Effect.die(error)
    )
  })

/** The reservation that a reserve meets: of its own id, the order's open one, or a release that came first. */
const standing = (request: ReservationRequest, rows: ReadonlyArray<ReservationRow>): ReservationRow | undefined =>
  rows.find((row) => row.id === request.reservationId) ??
    rows.find((row) => ReservationState.isOpen(row.state)) ??
    (request.reservationId === undefined ? rows.find((row) => row.heldAt === null) : undefined)

const serves = (request: ReservationRequest, { lines, shortages }: Allocation): boolean =>
  lines.length > 0 && (shortages.length === 0 || request.partial === true)

const hold = (request: ReservationRequest, expired: ReservationRow | undefined) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const levels = yield* Repository.levelsOf(request.lines.map((line) => line.sku))
    const { bound } = tx
    const offered = bound === undefined
      ? levels
      : levels.map((level) => Bound.within(level, bound.atStart(StockLevels, level), bound.share))
    const { lines, shortages } = allocate(request.lines, offered, request.allowSplit ?? true)
    if (!serves(request, { lines, shortages })) {
      const unbound = bound === undefined
        ? { lines, shortages }
        : allocate(request.lines, levels, request.allowSplit ?? true)
      return serves(request, unbound)
        ? { _tag: "BeyondBound" } satisfies BeyondBound
        : { _tag: "Rejected", orderId: request.orderId, shortages: unbound.shortages } satisfies Rejected
    }
    const ttlSeconds = request.ttlSeconds ?? defaultTtlSeconds
    const held = {
      orderId: request.orderId,
      state: "held",
      expiresAt: tx.now + ttlSeconds * 1000,
      ttlSeconds,
      extensions: 0,
      heldAt: tx.now,
      updatedAt: tx.now
    } as const
    if (expired !== undefined) {
      const old = yield* Repository.linesOf([expired.id])
      yield* Effect.forEach(old, (line) => tx.remove(ReservationLines, line), { discard: true })
    }
    const row = expired === undefined
      ? yield* tx.insert(Reservations, {
        ...held,
        id: request.reservationId ?? ReservationIdSchema.make(tx.nextId("rsv"), { disableValidation: true }),
        createdAt: tx.now
      })
      : yield* tx.update(Reservations, { id: expired.id }, (before) => ({ ...before, ...held }))
    yield* Repository.insertLines(row.id, lines)
    yield* moveStock("reserve", lines, causeOf(row), levels)
    return confirmed({
      row,
      lines: lines.map((line, position) => ({ ...line, reservationId: row.id, position, consumed: 0 }))
    })
  })

/**
 * Promises stock to an order: all lines or none, unless partial. An order that has a reservation gets that one; one whose
 * release came first gets nothing.
 */
export const reserve = (request: ReservationRequest) =>
  Effect.gen(function*() {
    const rows = yield* Repository.reservationsOfOrder(request.orderId)
    const row = standing(request, rows)
    if (row === undefined && request.reservationId !== undefined) {
      const other = yield* Repository.findReservation(request.reservationId)
      if (Option.isSome(other)) return yield* conflict(other.value)
    }
    if (row === undefined || ReservationState.next(row.state, "reserve") === "held") return yield* hold(request, row)
    const promise = yield* Repository.withLines(row)
    return row.state === "released" ? released(promise, []) : confirmed(promise)
  })

/** The order is named by commands, not by paths: a reservation of another order is as good as unknown. */
const find = (id: ReservationId, orderId: OrderId | undefined) =>
  Effect.map(
    Repository.findReservation(id),
    Option.filter((row) => orderId === undefined || row.orderId === orderId)
  )

const unknown = (id: ReservationId) => new NotFound({ resource: "reservation", id })

/** Who a command speaks of. */
export interface Target {
  readonly reservationId: ReservationId
  readonly orderId?: OrderId | undefined
}

/** A held reservation does not expire any more. */
export const commit = (target: Target) =>
  Effect.gen(function*() {
    const found = yield* find(target.reservationId, target.orderId)
    if (Option.isNone(found)) return yield* unknown(target.reservationId)
    const promise = yield* Repository.withLines(found.value)
    const state = ReservationState.next(promise.row.state, "commit")
    if (state === undefined) return yield* answerOfState(promise)
    if (state === promise.row.state) return confirmed(promise)
    const now = yield* Transaction.now
    const row = yield* Transaction.update(
      Reservations,
      { id: promise.row.id },
      (before) => ({ ...before, state, expiresAt: null, updatedAt: now })
    )
    return confirmed({ ...promise, row })
  })

/** A held reservation expires later. */
export const extend = (target: Target, request: ExtendRequest) =>
  Effect.gen(function*() {
    const found = yield* find(target.reservationId, target.orderId)
    if (Option.isNone(found)) return yield* unknown(target.reservationId)
    const promise = yield* Repository.withLines(found.value)
    if (ReservationState.next(promise.row.state, "extend") === undefined) return yield* answerOfState(promise)
    const now = yield* Transaction.now
    const { expiresAt } = promise.row
    const until = Extension.extend(promise.row, now, request.ttlSeconds, request.reason === reviewReason)
    if (until === undefined) {
      return yield* new ExtensionUsed({
        reservationId: promise.row.id,
        ...(expiresAt === null ? {} : { expiresAt: Instant.fromMillis(expiresAt) })
      })
    }
    const row = yield* Transaction.update(
      Reservations,
      { id: promise.row.id },
      (before) => ({ ...before, expiresAt: until, extensions: before.extensions + 1, updatedAt: now })
    )
    return confirmed({ ...promise, row })
  })

/** Remembers a release that came before its reserve. */
const releaseUnknown = (id: ReservationId, orderId: OrderId, reason: string | undefined) =>
  Effect.gen(function*() {
    const now = yield* Transaction.now
    const row = yield* Transaction.insert(Reservations, {
      id,
      orderId,
      state: "released",
      expiresAt: null,
      ttlSeconds: 0,
      extensions: 0,
      heldAt: null,
      createdAt: now,
      updatedAt: now
    })
    return released({ row, lines: [] }, [], reason)
  })

const end = (row: ReservationRow, state: "released" | "expired" | "consumed") =>
  Effect.flatMap(Transaction.now, (now) =>
    Transaction.update(
      Reservations,
      { id: row.id },
      (before) => ({ ...before, state, expiresAt: null, updatedAt: now })
    ))

const shrink = (promise: Promise, back: ReadonlyArray<ReservedLine>) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const given = new Map(back.map((line) => [`${line.lineId} ${line.locationId}`, line.qty]))
    const kept: Array<Repository.ReservationLineRow> = []
    for (const line of promise.lines) {
      const qty = given.get(`${line.lineId} ${line.locationId}`) ?? 0
      if (qty === 0) kept.push(line)
      else if (qty === line.qty) yield* tx.remove(ReservationLines, line)
      else kept.push(yield* tx.update(ReservationLines, line, (row) => ({ ...row, qty: row.qty - qty })))
    }
    const open = kept.some((line) => GivingBack.openUnits(line) > 0)
    const row = open
      ? yield* tx.update(Reservations, { id: promise.row.id }, (before) => ({ ...before, updatedAt: tx.now }))
      : yield* end(promise.row, kept.length === 0 ? "released" : "consumed")
    return { row, lines: kept }
  })

/**
 * Gives units back: all that is not shipped, or the units named. Whoever releases wants an end, so what has expired or is
 * released already is answered with nothing given back.
 */
export const release = (target: Target, request: ReleaseRequest) =>
  Effect.gen(function*() {
    const { orderId, reservationId } = target
    const found = yield* find(reservationId, orderId)
    if (Option.isNone(found)) {
      const foreign = Option.isSome(yield* Repository.findReservation(reservationId))
      if (orderId === undefined || foreign || request.lines !== undefined) return yield* unknown(reservationId)
      return yield* releaseUnknown(reservationId, orderId, request.reason)
    }
    const promise = yield* Repository.withLines(found.value)
    const { row } = promise
    if (ReservationState.next(row.state, "release") === undefined) return yield* conflict(row)
    if (!ReservationState.isOpen(row.state)) {
      const ended = row.state === "expired" ? yield* end(row, "released") : row
      return released({ ...promise, row: ended }, [], request.reason)
    }
    const back = request.lines === undefined
      ? Either.right(GivingBack.openLines(promise.lines))
      : GivingBack.giveBack(row.id, promise.lines, request.lines)
    if (Either.isLeft(back)) return yield* back.left
    const whole = request.lines === undefined && promise.lines.every((line) => line.consumed === 0)
    const after = whole
      ? { row: yield* end(row, "released"), lines: promise.lines }
      : yield* shrink(promise, back.right)
    yield* moveStock("release", back.right, causeOf(after.row, request.reason))
    return released(after, GivingBack.byLine(back.right), request.reason)
  })

/** Lines that one run of the expiry gives back at most, and reservations; the rest waits for the next run. */
const MAX_EXPIRED_LINES = 5_000
const MAX_EXPIRED = 500

/** Reservations whose lines are read at once. */
const READ_AT_ONCE = 50

const dueLines = (due: ReadonlyArray<ReservationRow>) =>
  Effect.gen(function*() {
    const promises: Array<Promise> = []
    let count = 0
    for (let i = 0; i < due.length && count < MAX_EXPIRED_LINES; i += READ_AT_ONCE) {
      const rows = due.slice(i, i + READ_AT_ONCE)
      const lines = Arr.groupBy(yield* Repository.linesOf(rows.map((row) => row.id)), (line) => line.reservationId)
      for (const row of rows) {
        if (count >= MAX_EXPIRED_LINES) break
        const promise = { row, lines: lines[row.id] ?? [] }
        promises.push(promise)
        count += promise.lines.length
      }
    }
    return promises
  })

/** Gives back what is held beyond its time; each level is written once, however many reservations held it. */
export const expire = Effect.gen(function*() {
  const tx = yield* Transaction.Transaction
  const due = yield* dueLines(yield* Repository.dueReservations(tx.now, MAX_EXPIRED))
  if (due.length === 0) return
  const movements: Array<Movement.Movement> = []
  for (const promise of due) {
    const row = yield* end(promise.row, "expired")
    movements.push(...Movement.make("release", GivingBack.openLines(promise.lines), causeOf(row, "expired")))
    yield* tx.emit(Events.ReservationExpired, { reservationId: row.id, orderId: row.orderId })
  }
  const levels = yield* Repository.levelsOf(movements.map((movement) => movement.sku))
  yield* Stock.move(levels, movements)
})

/** Tells how a command ended. */
export const announce = (answer: Settled | Rejected) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    switch (answer._tag) {
      case "Confirmed": {
        const { lines, row } = answer.promise
        return yield* tx.emit(Events.ReservationConfirmed, {
          reservationId: row.id,
          orderId: row.orderId,
          state: row.state === "held" ? "held" : "committed",
          ...(row.expiresAt === null ? {} : { expiresAt: Instant.fromMillis(row.expiresAt) }),
          lines: lines.map(({ lineId, locationId, qty, sku }) => ({ lineId, sku, locationId, qty }))
        })
      }
      case "Rejected":
        return yield* tx.emit(Events.ReservationRejected, { orderId: answer.orderId, shortages: answer.shortages })
      case "Expired": {
        const { row } = answer.promise
        return yield* tx.emit(Events.ReservationExpired, { reservationId: row.id, orderId: row.orderId })
      }
      case "Released": {
        const { row } = answer.promise
        return yield* tx.emit(Events.ReservationReleased, {
          reservationId: row.id,
          orderId: row.orderId,
          lines: answer.lines,
          ...(answer.reason === undefined ? {} : { reason: answer.reason })
        })
      }
    }
  })

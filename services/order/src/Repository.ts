import { NotFound, VersionConflict } from "@holdfast/contracts/Errors"
import type { OrderId } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import type { Hold, Order, OrderLine, OrderSummary, Totals } from "@holdfast/contracts/Order"
import type { Row } from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as LineQuantities from "./Domain/LineQuantities.ts"
import type { Trigger } from "./Domain/OrderState.ts"
import * as OrderState from "./Domain/OrderState.ts"
import { Counters, Holds, Lines, Orders, Placements, Timeline } from "./Tables.ts"

export type OrderRow = Row<typeof Orders>
export type LineRow = Row<typeof Lines>
export type HoldRow = Row<typeof Holds>
export type PlacementRow = Row<typeof Placements>

/** The order, or `NotFound`; `VersionConflict` where the caller expects another version. */
export const order = (id: OrderId, expectedVersion?: number) =>
  Effect.gen(function*() {
    const row = yield* Transaction.get(Orders, { id })
    if (Option.isNone(row)) return yield* new NotFound({ resource: "order", id })
    const { version } = row.value
    if (expectedVersion !== undefined && expectedVersion !== version) {
      return yield* new VersionConflict({ resource: "order", id, expected: expectedVersion, actual: version })
    }
    return row.value
  })

/** The lines in the order in which they were ordered. */
export const lines = (orderId: OrderId) =>
  Transaction.select(Lines, { where: [["orderId", "=", orderId]], orderBy: [["position", "asc"]] })

/** What was said at placement; every order has it. */
export const placement = (orderId: OrderId) => Effect.map(Transaction.get(Placements, { orderId }), Option.getOrThrow)

/** All holds, oldest first. */
export const holds = (orderId: OrderId) =>
  Transaction.select(Holds, { where: [["orderId", "=", orderId]], orderBy: [["placedAt", "asc"], ["id", "asc"]] })

/** Changes columns of the order. */
export const change = (id: OrderId, columns: (row: OrderRow) => Partial<Omit<OrderRow, "id" | "version" | "state">>) =>
  Effect.flatMap(
    Transaction.now,
    (now) =>
      Transaction.update(Orders, { id }, (row) => ({ ...row, ...columns(row), updatedAt: Instant.fromMillis(now) }))
  )

/** Takes the order to another state; a way that the state machine does not have is a bug, which nothing of may be stored. */
export const transition = (
  id: OrderId,
  trigger: Trigger,
  columns: (row: OrderRow) => Partial<Omit<OrderRow, "id" | "version" | "state">>
) =>
  Effect.gen(function*() {
    const now = yield* Transaction.now
    const { state } = Option.getOrThrow(yield* Transaction.get(Orders, { id }))
    const next = OrderState.next(state, trigger)
    if (next === undefined) {
      return yield* Effect.dieMessage(`illegal transition: ${id} is ${state}, where there is no ${trigger}`)
    }
    return yield* Transaction.update(Orders, { id }, (row) => ({
      ...row,
      ...columns(row),
      state: next,
      updatedAt: Instant.fromMillis(now)
    }))
  })

/** Adds to the order's history. */
export const record = (
  orderId: OrderId,
  kind: string,
  data: Readonly<Record<string, unknown>> = {},
  actor = "agent:order"
) =>
  Effect.gen(function*() {
    const [last] = yield* Transaction.select(Timeline, {
      where: [["orderId", "=", orderId]],
      orderBy: [["n", "desc"]],
      limit: 1
    })
    const now = yield* Transaction.now
    yield* Transaction.insert(Timeline, {
      id: yield* Transaction.nextId("evt"),
      orderId,
      n: (last?.n ?? 0) + 1,
      at: Instant.fromMillis(now),
      actor,
      kind,
      data
    })
  })

/** Marks units as cancelled. */
export const cancelUnits = (units: Iterable<{ readonly lineId: LineRow["id"]; readonly qty: number }>) =>
  Effect.forEach(
    units,
    ({ lineId, qty }) =>
      Transaction.update(Lines, { id: lineId }, (line) => LineQuantities.move(line, "cancel", qty) ?? line),
    {
      discard: true
    }
  )

/** The next number of a series, from 1; gapless, since it is taken in the transaction that uses it. */
export const nextNumber = (series: string) =>
  Effect.gen(function*() {
    const counter = yield* Transaction.get(Counters, { series })
    const row = Option.isNone(counter)
      ? yield* Transaction.insert(Counters, { series, last: 1 })
      : yield* Transaction.update(Counters, { series }, ({ last }) => ({ series, last: last + 1 }))
    return row.last
  })

const given = <K extends string, A>(key: K, value: A | null): { readonly [P in K]?: A } =>
  // A computed key widens to string; the object has this one key or none.
  (value === null ? {} : { [key]: value }) as { readonly [P in K]?: A }

export const totalsOf = ({ discount, fees, grand, items, shipping, tax }: OrderRow): Totals => ({
  items,
  discount,
  shipping,
  fees,
  tax,
  grand
})

const shared = (row: OrderRow) => ({
  id: row.id,
  ...given("number", row.number),
  channel: row.channel,
  ...given("externalRef", row.externalRef),
  ...given("customerId", row.customerId),
  ...given("customerRef", row.customerRef),
  currency: row.currency,
  totals: totalsOf(row),
  state: row.state,
  paymentStatus: row.paymentStatus,
  fulfilmentStatus: row.fulfilmentStatus,
  returnStatus: row.returnStatus,
  placedAt: row.placedAt,
  ...given("confirmedAt", row.confirmedAt),
  ...given("cancelledAt", row.cancelledAt),
  ...given("cancelReason", row.cancelReason),
  updatedAt: row.updatedAt,
  version: row.version
})

/** States in which stock is committed to the order. */
const reserving = new Set<OrderRow["state"]>(["confirmed", "in_fulfilment", "cancelling", "partially_shipped"])

const lineView = (state: OrderRow["state"]) => (line: LineRow): OrderLine => ({
  id: line.id,
  sku: line.sku,
  ...given("variantId", line.variantId),
  title: line.title,
  qty: line.qty,
  unitPrice: line.unitPrice,
  discount: line.discount,
  taxRateBp: line.taxRateBp,
  tax: line.tax,
  lineTotal: line.lineTotal,
  qtyReserved: reserving.has(state) ? LineQuantities.movable(line, "ship") : 0,
  qtyPicked: line.qtyPicked,
  qtyShipped: line.qtyShipped,
  qtyDelivered: line.qtyDelivered,
  qtyCancelled: line.qtyCancelled,
  qtyReturned: line.qtyReturned,
  ...given("weightGrams", line.weightGrams)
})

const holdView = (hold: HoldRow): Hold => ({
  reason: hold.reason,
  ...given("note", hold.note),
  placedBy: hold.placedBy,
  placedAt: hold.placedAt,
  ...given("releasedAt", hold.releasedAt)
})

/** The public view of an order from its rows. */
export const view = (
  row: OrderRow,
  placed: PlacementRow,
  its: ReadonlyArray<LineRow>,
  held: ReadonlyArray<HoldRow>
): Order => ({
  ...shared(row),
  ...given("cartId", row.cartId),
  ...given("email", placed.buyer.email ?? null),
  lines: its.map(lineView(row.state)),
  addresses: { shipping: placed.shipTo, billing: placed.billTo },
  ...given("shippingOption", placed.shippingOption),
  taxInclusive: row.taxInclusive,
  holds: held.map(holdView),
  ...(row.state === "placed" ? { expiresAt: Instant.fromMillis(row.expiresAt) } : {}),
  ...given("paymentId", row.paymentId),
  ...given("reservationId", row.reservationId),
  ...given("fraudAssessmentId", row.fraudAssessmentId)
})

/** The public view of an order. */
export const load = (id: OrderId) =>
  Effect.gen(function*() {
    const row = yield* order(id)
    return view(row, yield* placement(id), yield* lines(id), yield* holds(id))
  })

/** An order in a list. */
export const summary = (row: OrderRow, held: ReadonlyArray<HoldRow>): OrderSummary => ({
  ...shared(row),
  holds: held.map((hold) => hold.reason)
})

/** The holds in force of many orders. */
export const holdsInForce = (orderIds: ReadonlyArray<OrderId>) =>
  Effect.map(
    Transaction.select(Holds, { where: [["orderId", "in", orderIds], ["releasedAt", "is null"]] }),
    (rows) => (orderId: OrderId) => rows.filter((row) => row.orderId === orderId)
  )

import type { ReadError } from "@holdfast/database/StoreError"
import type { ReaderShape } from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Text = Schema.String
const Count = Schema.Int
const Nullable = Schema.NullOr(Text)

/** Reads rows of portable SQL through a schema; a column of another type is a bug of the query. */
const rows = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeUnknown(Schema.Array(schema))
  return (reader: ReaderShape, sql: string): Effect.Effect<ReadonlyArray<A>, ReadError> =>
    Effect.flatMap(reader.query(sql), (found) => Effect.orDie(decode(found)))
}

/** An order's header as verification sees it; money in minor units. */
export const Order = Schema.Struct({
  id: Text,
  channel: Text,
  external_ref: Nullable,
  currency: Text,
  items: Count,
  discount: Count,
  shipping: Count,
  fees: Count,
  tax: Count,
  grand: Count,
  tax_inclusive: Count,
  state: Text,
  cancel_reason: Nullable,
  number: Nullable,
  paid_by_channel: Count,
  cancelled_value: Count
})
export type Order = typeof Order.Type

export const orders = (reader: ReaderShape) =>
  rows(Order)(
    reader,
    `select id, channel, external_ref, currency, items, discount, shipping, fees, tax, grand, tax_inclusive, state,
       cancel_reason, number, paid_by_channel, cancelled_value from orders order by id`
  )

export const Line = Schema.Struct({
  id: Text,
  order_id: Text,
  sku: Text,
  qty: Count,
  unit_price: Count,
  discount: Count,
  tax: Count,
  line_total: Count,
  qty_cancelled: Count
})
export type Line = typeof Line.Type

export const lines = (reader: ReaderShape) =>
  rows(Line)(
    reader,
    `select id, order_id, sku, qty, unit_price, discount, tax, line_total, qty_cancelled from order_line
     order by order_id, position`
  )

export const Payment = Schema.Struct({
  id: Text,
  order_id: Text,
  currency: Text,
  amount: Count,
  authorized: Count,
  captured: Count,
  voided: Count,
  refunded: Count,
  charged_back: Count,
  state: Text
})
export type Payment = typeof Payment.Type

export const payments = (reader: ReaderShape) =>
  rows(Payment)(
    reader,
    `select id, order_id, currency, amount, authorized, captured, voided, refunded, charged_back, state from payment`
  )

export const LedgerSum = Schema.Struct({ payment_id: Text, kind: Text, total: Count })
export type LedgerSum = typeof LedgerSum.Type

export const ledgerSums = (reader: ReaderShape) =>
  rows(LedgerSum)(
    reader,
    "select payment_id, kind, sum(amount) as total from ledger_entry group by payment_id, kind"
  )

export const Level = Schema.Struct({
  sku: Text,
  location_id: Text,
  on_hand: Count,
  reserved: Count,
  on_hold: Count,
  damaged: Count,
  backorder_limit: Count,
  l_on_hand: Count,
  l_reserved: Count,
  l_on_hold: Count,
  l_damaged: Count,
  promised: Count
})
export type Level = typeof Level.Type

export const levels = (reader: ReaderShape) =>
  rows(Level)(
    reader,
    `select s.sku, s.location_id, s.on_hand, s.reserved, s.on_hold, s.damaged, s.backorder_limit,
       coalesce(l.on_hand, 0) as l_on_hand, coalesce(l.reserved, 0) as l_reserved,
       coalesce(l.on_hold, 0) as l_on_hold, coalesce(l.damaged, 0) as l_damaged,
       coalesce(r.promised, 0) as promised
     from stock_level s
     left join (select sku, location_id, sum(d_on_hand) as on_hand, sum(d_reserved) as reserved,
         sum(d_on_hold) as on_hold, sum(d_damaged) as damaged
       from ledger_entry group by sku, location_id) l on l.sku = s.sku and l.location_id = s.location_id
     left join (select rl.sku, rl.location_id, sum(rl.qty - rl.consumed) as promised
       from reservation_line rl join reservation rv on rv.id = rl.reservation_id
       where rv.state in ('held', 'committed') group by rl.sku, rl.location_id) r
       on r.sku = s.sku and r.location_id = s.location_id`
  )

export const Promise = Schema.Struct({ order_id: Text, line_id: Text, state: Text, qty: Count })
export type Promise = typeof Promise.Type

export const promises = (reader: ReaderShape) =>
  rows(Promise)(
    reader,
    `select rv.order_id, rl.line_id, rv.state, sum(rl.qty) as qty
     from reservation rv join reservation_line rl on rl.reservation_id = rv.id
     where rv.state in ('held', 'committed') group by rv.order_id, rl.line_id, rv.state`
  )

export const StockTotals = Schema.Struct({ on_hand: Count, reserved: Count, ledger_rows: Count })

export const stockTotals = (reader: ReaderShape) =>
  Effect.map(
    rows(StockTotals)(
      reader,
      `select coalesce(sum(on_hand), 0) as on_hand, coalesce(sum(reserved), 0) as reserved,
         (select count(*) from ledger_entry) as ledger_rows from stock_level`
    ),
    (found) => found[0] ?? { on_hand: 0, reserved: 0, ledger_rows: 0 }
  )

export const Saga = Schema.Struct({ id: Text, type: Text, key: Text, state: Text, step: Text, last_error: Nullable })
export type Saga = typeof Saga.Type

export const unfinishedSagas = (reader: ReaderShape) =>
  rows(Saga)(reader, "select id, type, key, state, step, last_error from saga where ended_at is null")

export const Letter = Schema.Struct({ id: Text, type: Text, status: Text, error_code: Text, error_message: Text })
export type Letter = typeof Letter.Type

export const unsettledLetters = (reader: ReaderShape) =>
  rows(Letter)(
    reader,
    "select id, type, status, error_code, error_message from dead_letter where status in ('open', 'parked')"
  )

export const Cursor = Schema.Struct({ source: Text, seq: Count })

export const cursors = (reader: ReaderShape) => rows(Cursor)(reader, "select source, seq from cursor")

export const Pending = Schema.Struct({ seq: Count, type: Text, topic: Text })
export type Pending = typeof Pending.Type

/** Messages of an outbox behind a place in it; `topics` are constants of the program. */
export const outboxAfter = (reader: ReaderShape, seq: number, topics: ReadonlyArray<string>) =>
  rows(Pending)(
    reader,
    `select seq, type, topic from outbox where seq > ${Math.trunc(seq)} and topic in (${
      topics.map((topic) => `'${topic.replaceAll("'", "''")}'`).join(", ")
    }) order by seq limit 1000`
  )

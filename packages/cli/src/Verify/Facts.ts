import { PUBLISHED } from "@holdfast/database/SqliteRelay"
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
  return (
    reader: ReaderShape,
    sql: string,
    parameters: ReadonlyArray<unknown> = []
  ): Effect.Effect<ReadonlyArray<A>, ReadError> =>
    Effect.flatMap(reader.query(sql, parameters), (found) => Effect.orDie(decode(found)))
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

export const Pending = Schema.Struct({ seq: Count, event_id: Text, type: Text, topic: Text, created_at: Count })
export type Pending = typeof Pending.Type

const pendingColumns = "seq, event_id, type, topic, created_at"

const placeholders = (values: ReadonlyArray<unknown>): string => values.map(() => "?").join(", ")

/** Messages of an outbox behind a place in it. */
export const outboxAfter = (reader: ReaderShape, seq: number, topics: ReadonlyArray<string>, limit: number) =>
  rows(Pending)(
    reader,
    `select ${pendingColumns} from outbox where seq > ? and topic in (${placeholders(topics)}) order by seq limit ?`,
    [seq, ...topics, limit]
  )

/** Messages that Postgres does not know as published. */
export const unmarked = (reader: ReaderShape) =>
  rows(Pending)(reader, `select ${pendingColumns} from outbox where published_at is null order by seq limit 1000`)

/** Messages behind the place up to which a store in a file has published. */
export const behindPublished = (reader: ReaderShape) =>
  rows(Pending)(
    reader,
    `select ${pendingColumns} from outbox where seq > (select coalesce(max(seq), 0) from cursor where source = ?)
     order by seq limit 1000`,
    [PUBLISHED]
  )

const Id = Schema.Struct({ id: Text })

const known = (table: "operation" | "dead_letter") => (reader: ReaderShape, ids: ReadonlyArray<string>) =>
  ids.length === 0 ? Effect.succeed([]) : Effect.map(
    rows(Id)(reader, `select id from ${table} where id in (${placeholders(ids)})`, ids),
    (found) => found.map(({ id }) => id)
  )

/** Those of the ids that have a record. */
export const knownOperations = known("operation")

/** Those of the ids that are letters, settled or not. */
export const knownLetters = known("dead_letter")

export const Withheld = Schema.Struct({ operation_id: Text, command: Text, behind: Nullable, reason: Nullable })
export type Withheld = typeof Withheld.Type

/** Operations of an outage that wait for a person. */
export const withheld = (reader: ReaderShape) =>
  rows(Withheld)(
    reader,
    `select w.operation_id, w.command, w.behind,
       (select min(c.reason) from conflict c where c.operation_id = w.operation_id) as reason
     from withheld_operation w where w.status = 'open' order by w.at`
  )

export const Intent = Schema.Struct({ operation_id: Text, command: Text })
export type Intent = typeof Intent.Type

/** Commands that were accepted during an outage and have not been carried out. */
export const waitingIntents = (reader: ReaderShape) =>
  rows(Intent)(reader, "select operation_id, command from intent where status = 'waiting' order by accepted_at")

export const Backlog = Schema.Struct({ pending: Count, oldest: Schema.NullOr(Count) })
export type Backlog = typeof Backlog.Type

/** What a file has taken alone and not merged yet. */
export const backlog = (reader: ReaderShape) =>
  Effect.map(
    rows(Backlog)(
      reader,
      "select count(*) as pending, min(accepted_at) as oldest from backlog where status = 'pending'"
    ),
    (found) => found[0] ?? { pending: 0, oldest: null }
  )

/** Whether the file follows a schema in Postgres, which is the store of record. */
export const isShadow = (reader: ReaderShape) =>
  Effect.map(reader.query("select id from shadow where incarnation <> ''"), (found) => found.length > 0)

import type { LedgerCheck } from "@holdfast/contracts/Stock"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Sums come as numbers or, from Postgres, as text. */
const Sum = Schema.Union(Schema.Number, Schema.NumberFromString)

const buckets = ["onHand", "reserved", "onHold", "damaged"] as const

const Rows = Schema.decodeUnknown(Schema.Array(Schema.Struct({
  sku: Schema.String,
  location_id: Schema.String,
  l_on_hand: Sum,
  l_reserved: Sum,
  l_on_hold: Sum,
  l_damaged: Sum,
  s_on_hand: Sum,
  s_reserved: Sum,
  s_on_hold: Sum,
  s_damaged: Sum,
  promised: Sum
})))

const Counts = Schema.decodeUnknown(Schema.Tuple(Schema.Struct({ levels: Sum, entries: Sum })))

/** Three sides of each (sku, location) brought together; only where they differ does a row come out. */
const differences = `
  select sku, location_id,
    sum(l_on_hand) as l_on_hand, sum(l_reserved) as l_reserved,
    sum(l_on_hold) as l_on_hold, sum(l_damaged) as l_damaged,
    sum(s_on_hand) as s_on_hand, sum(s_reserved) as s_reserved,
    sum(s_on_hold) as s_on_hold, sum(s_damaged) as s_damaged,
    sum(promised) as promised
  from (
    select sku, location_id, on_hand as l_on_hand, reserved as l_reserved, on_hold as l_on_hold, damaged as l_damaged,
      0 as s_on_hand, 0 as s_reserved, 0 as s_on_hold, 0 as s_damaged, 0 as promised
    from stock_level
    union all
    select sku, location_id, 0, 0, 0, 0, d_on_hand, d_reserved, d_on_hold, d_damaged, 0 from ledger_entry
    union all
    select line.sku, line.location_id, 0, 0, 0, 0, 0, 0, 0, 0, line.qty - line.consumed
    from reservation_line line join reservation on reservation.id = line.reservation_id
    where reservation.state in ('held', 'committed')
  ) sides
  group by sku, location_id
  having sum(l_on_hand) <> sum(s_on_hand) or sum(l_reserved) <> sum(s_reserved)
    or sum(l_on_hold) <> sum(s_on_hold) or sum(l_damaged) <> sum(s_damaged)
    or sum(l_reserved) <> sum(promised)
  order by sku, location_id`

/** Invariants I4 and I5: ledger sums and open reservations against the levels, as one consistent reading. */
export const verify = Effect.gen(function*() {
  const rows = yield* Effect.orDie(Rows(yield* Transaction.query(differences)))
  const [counts] = yield* Effect.orDie(
    Counts(
      yield* Transaction.query(
        "select (select count(*) from stock_level) as levels, (select count(*) from ledger_entry) as entries"
      )
    )
  )
  const mismatches = rows.flatMap((row) => {
    const place = { sku: row.sku, locationId: row.location_id }
    const level = { onHand: row.l_on_hand, reserved: row.l_reserved, onHold: row.l_on_hold, damaged: row.l_damaged }
    const ledger = { onHand: row.s_on_hand, reserved: row.s_reserved, onHold: row.s_on_hold, damaged: row.s_damaged }
    const found: Array<LedgerCheck["mismatches"][number]> = []
    for (const bucket of buckets) {
      if (ledger[bucket] === level[bucket]) continue
      found.push({ ...place, bucket, source: "ledger", sum: ledger[bucket], level: level[bucket] })
    }
    if (row.promised !== level.reserved) {
      found.push({ ...place, bucket: "reserved", source: "reservations", sum: row.promised, level: level.reserved })
    }
    return found
  })
  return { checked: counts.levels, entries: counts.entries, mismatches }
})

import * as Migration from "@holdfast/database/Migration"

/** A table read by its key only: SQLite keeps the rows in the key's own tree. */
const keyed = (statement: string) => ({ sqlite: `${statement} without rowid`, postgres: statement })

/**
 * The check constraints are the last word on stock (invariants I1, I2, I7): what breaks them is refused, never clamped.
 */
export const initial = Migration.make("0001_initial", [
  keyed(`create table stock_level (
    sku text not null,
    location_id text not null,
    on_hand bigint not null check (on_hand >= 0),
    reserved bigint not null check (reserved >= 0),
    on_hold bigint not null check (on_hold >= 0),
    damaged bigint not null check (damaged >= 0),
    incoming bigint not null check (incoming >= 0),
    safety_buffer bigint not null check (safety_buffer >= 0),
    backorder_limit bigint not null check (backorder_limit >= 0),
    version bigint not null,
    primary key (sku, location_id),
    check (on_hand - reserved - on_hold - damaged + backorder_limit >= 0)
  )`),
  keyed(`create table ledger_entry (
    id text not null,
    ref_id text not null,
    ref_type text not null,
    kind text not null,
    sku text not null,
    location_id text not null,
    lot text not null,
    d_on_hand bigint not null,
    d_reserved bigint not null,
    d_on_hold bigint not null,
    d_damaged bigint not null,
    reason text,
    actor text not null,
    at bigint not null,
    primary key (ref_id, ref_type, kind, sku, location_id, lot)
  )`),
  "create index ledger_entry_at on ledger_entry (at, id)",
  "create index ledger_entry_sku on ledger_entry (sku, at, id)",
  `create table reservation (
    id text primary key,
    order_id text not null,
    state text not null check (state in ('held', 'committed', 'consumed', 'expired', 'released')),
    expires_at bigint,
    ttl_seconds bigint not null,
    extensions bigint not null,
    held_at bigint,
    created_at bigint not null,
    updated_at bigint not null,
    version bigint not null,
    check ((state = 'held') = (expires_at is not null))
  )`,
  "create index reservation_order on reservation (order_id)",
  "create unique index reservation_open_order on reservation (order_id) where state in ('held', 'committed')",
  "create index reservation_expiry on reservation (expires_at) where expires_at is not null",
  "create index reservation_updated on reservation (updated_at, id)",
  keyed(`create table reservation_line (
    reservation_id text not null,
    line_id text not null,
    location_id text not null,
    sku text not null,
    position bigint not null,
    qty bigint not null check (qty > 0),
    consumed bigint not null check (consumed >= 0 and consumed <= qty),
    primary key (reservation_id, line_id, location_id)
  )`),
  "create table sku_setting (sku text primary key, backorder_limit bigint not null check (backorder_limit >= 0), version bigint not null)"
])

import * as Migration from "@holdfast/database/Migration"

/** The states in which a payment is or may become money, as they are in this migration. */
const live =
  "'processing', 'requires_action', 'unknown', 'authorized', 'partially_captured', 'captured', 'captured_final'"

/** P1, P7: amounts, and what they may not exceed. */
const sums = `
  check (amount > 0),
  check (authorized >= 0 and capture_reserved >= 0 and captured >= 0 and voided >= 0),
  check (refund_reserved >= 0 and refunded >= 0 and charged_back >= 0),
  check (authorized <= amount),
  check (captured + capture_reserved + voided <= authorized),
  check (refunded + refund_reserved <= captured - charged_back)`

export const initial = Migration.make("0001_initial", [
  `create table payment (
    id text primary key,
    order_id text not null,
    customer_id text,
    provider text not null,
    method_kind text not null,
    method_token text not null,
    currency text not null check (length(currency) = 3),
    amount bigint not null,
    authorized bigint not null,
    capture_reserved bigint not null,
    captured bigint not null,
    voided bigint not null,
    refund_reserved bigint not null,
    refunded bigint not null,
    charged_back bigint not null,
    state text not null,
    capture_mode text not null check (capture_mode in ('manual', 'automatic')),
    provider_ref text,
    auth_expires_at text,
    action json,
    decline_code text,
    risk json,
    void_wish json,
    warned boolean not null,
    due_at bigint,
    created_at text not null,
    updated_at text not null,
    version bigint not null,${sums}
  )`,
  // P2: an order is paid at most once.
  `create unique index payment_live on payment (order_id) where state in (${live})`,
  "create index payment_order on payment (order_id, created_at)",
  "create index payment_updated on payment (updated_at, id)",
  "create index payment_state on payment (state, updated_at, id)",
  "create index payment_due on payment (due_at) where due_at is not null",
  `create table attempt (
    id text primary key,
    payment_id text not null references payment (id),
    kind text not null check (kind in ('authorize', 'capture', 'void', 'refund', 'query')),
    seq bigint not null,
    amount bigint not null check (amount >= 0),
    reserved bigint not null check (reserved >= 0),
    final boolean not null,
    refund_id text,
    idempotency_key text not null unique,
    state text not null check (state in ('sent', 'succeeded', 'failed', 'unknown')),
    tries bigint not null,
    next_at bigint,
    provider_ref text,
    error_code text,
    started_at text not null,
    ended_at text,
    correlation_id text not null,
    causation_id text not null,
    check ((next_at is null) = (ended_at is not null)),
    check ((state in ('sent', 'unknown')) = (next_at is not null))
  )`,
  // P4: one row, thus one key, for each (payment, kind, seq).
  "create unique index attempt_seq on attempt (payment_id, kind, seq)",
  "create index attempt_next on attempt (next_at) where next_at is not null",
  `create table refund (
    id text primary key,
    payment_id text not null references payment (id),
    order_id text not null,
    rma_id text,
    refund_key text,
    amount bigint not null check (amount > 0),
    currency text not null,
    reason text not null,
    state text not null check (state in ('pending', 'succeeded', 'failed', 'cancelled')),
    provider_ref text,
    error_code text,
    created_at text not null,
    updated_at text not null,
    version bigint not null
  )`,
  "create unique index refund_key on refund (payment_id, refund_key) where refund_key is not null",
  "create index refund_payment on refund (payment_id, created_at, id)",
  `create table ledger_entry (
    payment_id text not null references payment (id),
    n bigint not null,
    kind text not null,
    amount bigint not null check (amount > 0),
    currency text not null,
    provider text not null,
    provider_ref text,
    at text not null,
    primary key (payment_id, n)
  )`,
  // P3: what the gateway did once is booked once.
  "create unique index ledger_entry_once on ledger_entry (provider, provider_ref, kind) where provider_ref is not null",
  `create table webhook_event (
    provider text not null,
    event_id text not null,
    type text not null,
    received_at text not null,
    payload json not null,
    processed_at text,
    version bigint not null,
    primary key (provider, event_id)
  )`,
  "create index webhook_event_open on webhook_event (received_at) where processed_at is null",
  `create table dispute (
    id text primary key,
    payment_id text not null references payment (id),
    provider text not null,
    provider_ref text not null,
    amount bigint not null check (amount > 0),
    charged_back bigint not null check (charged_back >= 0 and charged_back <= amount),
    currency text not null,
    reason text not null,
    due_by text not null,
    state text not null check (state in ('needs_response', 'under_review', 'won', 'lost')),
    evidence json not null,
    created_at text not null,
    updated_at text not null,
    version bigint not null
  )`,
  "create unique index dispute_once on dispute (provider, provider_ref)",
  "create table payment_tombstone (payment_id text primary key, order_id text not null, at text not null)"
])

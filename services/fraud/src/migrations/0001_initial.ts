import * as Migration from "@holdfast/database/Migration"
import * as RulesetV1 from "../Domain/RulesetV1.ts"

/** A JSON document as an SQL literal. */
const literal = (value: unknown): string => `'${JSON.stringify(value).replaceAll("'", "''")}'`

/** 2026-01-01T00:00:00.000Z: seeded rows are the same in every store. */
const SEEDED_AT = 1_767_225_600_000

export const initial = Migration.make("0001_initial", [
  `create table assessment (
    id text primary key,
    order_id text not null,
    stage text not null check (stage in ('pre_auth', 'post_auth', 'return')),
    ruleset bigint not null,
    score bigint not null check (score between 0 and 100),
    outcome text not null check (outcome in ('approve', 'review', 'block_and_review', 'decline')),
    hits json not null,
    skipped json not null,
    fallback boolean not null,
    features_hash text not null,
    facts json not null,
    snapshot json not null,
    by_score text not null,
    took_micros bigint not null,
    at bigint not null
  )`,
  "create unique index assessment_effective on assessment (order_id, stage)",
  "create index assessment_at on assessment (at, id)",
  "create index assessment_outcome on assessment (outcome, at, id)",
  "create index assessment_ruleset on assessment (ruleset)",
  `create table shadow_score (
    assessment_id text not null,
    ruleset bigint not null,
    order_id text not null,
    score bigint not null,
    outcome text not null,
    agrees boolean not null,
    hits json not null,
    primary key (assessment_id, ruleset)
  )`,
  "create index shadow_score_ruleset on shadow_score (ruleset)",
  `create table ruleset (
    number bigint primary key,
    state text not null check (state in ('draft', 'shadow', 'live', 'retired')),
    rules json not null,
    thresholds json not null,
    note text,
    created_at bigint not null,
    updated_at bigint not null,
    version bigint not null
  )`,
  "create unique index ruleset_live on ruleset (state) where state = 'live'",
  "create index ruleset_in_use on ruleset (state) where state in ('live', 'shadow')",
  `create table list_entry (
    list text not null check (list in ('deny', 'allow', 'watch')),
    kind text not null,
    value_hash text not null,
    reason text not null,
    expires_at bigint,
    added_by text not null,
    at bigint not null,
    version bigint not null,
    primary key (list, kind, value_hash)
  )`,
  "create index list_entry_value on list_entry (value_hash)",
  "create index list_entry_expires_at on list_entry (expires_at) where expires_at is not null",
  `create table counter (
    counter text not null,
    subject_kind text not null,
    subject text not null,
    member text not null,
    bucket bigint not null,
    n bigint not null check (n >= 0),
    version bigint not null,
    primary key (counter, subject_kind, subject, member, bucket)
  )`,
  "create index counter_window on counter (subject, counter, subject_kind, bucket)",
  `create table order_profile (
    order_id text primary key,
    placed_at bigint not null,
    channel text not null,
    currency text not null,
    grand bigint not null,
    customer text,
    card json,
    auth_expires_at bigint,
    delivered boolean not null,
    returned boolean not null,
    disputed boolean not null,
    cancelled boolean not null,
    version bigint not null
  )`,
  "create index order_profile_customer on order_profile (customer, placed_at, grand) where customer is not null",
  "create index order_profile_segment on order_profile (channel, currency, placed_at, grand)",
  `create table sighting (
    order_id text not null,
    kind text not null,
    hash text not null,
    placed_at bigint not null,
    primary key (order_id, kind, hash)
  )`,
  "create index sighting_first on sighting (hash, kind, placed_at)",
  `create table taint (
    kind text not null,
    hash text not null,
    order_id text not null,
    version bigint not null,
    primary key (kind, hash, order_id)
  )`,
  "create index taint_hash on taint (hash)",
  "create index taint_order on taint (order_id)",
  `create table label (
    id text primary key,
    order_id text not null,
    kind text not null check (kind in ('chargeback', 'confirmed', 'cleared')),
    at bigint not null,
    labelled_by text not null
  )`,
  "create index label_order on label (order_id)",
  `create table review_case (
    id text primary key,
    order_id text not null,
    score bigint not null,
    state text not null check (state in ('pending', 'investigating', 'snoozed', 'closed')),
    assignee text,
    claimed_by text,
    decision text check (decision in ('approve', 'decline')),
    outcome text not null check (outcome in ('confirmed_fraud', 'suspicious', 'false_positive', 'unset')),
    opened_at bigint not null,
    due_at bigint not null,
    auth_expires_at bigint,
    snoozed_until bigint,
    reminded_at bigint,
    escalated_at bigint,
    closed_at bigint,
    next_at bigint,
    updated_at bigint not null,
    version bigint not null
  )`,
  "create unique index review_case_open on review_case (order_id) where state <> 'closed'",
  "create index review_case_order on review_case (order_id)",
  "create index review_case_next on review_case (next_at) where next_at is not null",
  "create index review_case_state on review_case (state, opened_at, id)",
  "create index review_case_opened on review_case (opened_at, id)",
  "create index review_case_updated on review_case (updated_at)",
  `create table case_note (
    id text primary key,
    case_id text not null,
    at bigint not null,
    author text not null,
    body text not null
  )`,
  "create index case_note_case on case_note (case_id)",
  `insert into ruleset (number, state, rules, thresholds, note, created_at, updated_at, version)
    values (1, 'live', ${literal(RulesetV1.rules)}, ${
    literal(RulesetV1.thresholds)
  }, 'Ruleset v1', ${SEEDED_AT}, ${SEEDED_AT}, 1)`
])

import * as Schema from "effect/Schema"
import * as Migration from "./Migration.ts"
import * as Table from "./Table.ts"

/** JSON whose shape belongs to whoever wrote it. */
const document = Table.json(Schema.Unknown)

/**
 * Record of every operation: HTTP idempotency and message inbox in one (spec §1.3). `answer` is what the caller got;
 * `outcome` is `done` or `refused` (the domain said no: nothing else was written).
 */
export const Operations = Table.make("operation", {
  columns: {
    n: Table.integer,
    id: Table.text,
    command: Table.text,
    writeClass: Table.text,
    fingerprint: Table.text,
    answer: Table.text,
    outcome: Table.text,
    receivedAt: Table.integer,
    expiresAt: Table.integer,
    mergedAt: Table.nullable(Table.integer)
  },
  key: ["id"],
  merge: Table.ledger
})

/** Messages in the order of their commits; `envelope` is the whole CloudEvent. */
export const Outbox = Table.make("outbox", {
  columns: {
    seq: Table.integer,
    eventId: Table.text,
    type: Table.text,
    topic: Table.text,
    key: Table.text,
    envelope: document,
    createdAt: Table.integer,
    publishedAt: Table.nullable(Table.integer)
  },
  key: ["seq"],
  merge: Table.ledger
})

/** Row images by operation: `before` is null for an insert, `after` for a delete. */
export const Changes = Table.make("change", {
  columns: {
    n: Table.integer,
    operationId: Table.text,
    tableName: Table.text,
    rowKey: document,
    before: Table.nullable(document),
    after: Table.nullable(document)
  },
  key: ["n"],
  merge: Table.ledger
})

/** What could not merge after an outage: seen and decided by a person. */
export const Conflicts = Table.make("conflict", {
  columns: {
    id: Table.text,
    operationId: Table.text,
    tableName: Table.text,
    rowKey: document,
    policy: Table.text,
    primaryRow: Table.nullable(document),
    outageRow: Table.nullable(document),
    reason: Table.text,
    status: Table.textOf(Schema.Literal("open", "resolved")),
    settledBy: Table.nullable(Table.text)
  },
  key: ["id"],
  merge: Table.ledger
})

export const SagaState = Schema.Literal("running", "compensating", "done", "compensated", "needs_operator")
export type SagaState = typeof SagaState.Type

/** One row per saga; at most one unfinished per (type, key). Times are milliseconds since the epoch. */
export const Sagas = Table.make("saga", {
  columns: {
    id: Table.text,
    type: Table.text,
    key: Table.text,
    definitionVersion: Table.integer,
    state: Table.textOf(SagaState),
    step: Table.text,
    data: document,
    misses: Table.integer,
    deadlineAt: Table.nullable(Table.integer),
    leaseOwner: Table.nullable(Table.text),
    leaseUntil: Table.nullable(Table.integer),
    lastError: Table.nullable(Table.text),
    startedAt: Table.integer,
    endedAt: Table.nullable(Table.integer),
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})

export const DeadLetterStatus = Schema.Literal("parked", "open", "replayed", "discarded")
export type DeadLetterStatus = typeof DeadLetterStatus.Type

/** Messages that could not be handled: `parked` waits for its next attempt, `open` waits for a person. */
export const DeadLetters = Table.make("dead_letter", {
  columns: {
    id: Table.text,
    topic: Table.text,
    source: Table.text,
    eventId: Table.text,
    key: Table.text,
    type: Table.text,
    envelope: document,
    errorCode: Table.text,
    errorMessage: Table.text,
    attempts: Table.integer,
    firstAt: Table.integer,
    nextAt: Table.nullable(Table.integer),
    status: Table.textOf(DeadLetterStatus),
    settledBy: Table.nullable(Table.text),
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})

/** How far a consumer has handled each source's messages. */
export const Cursors = Table.make("cursor", {
  columns: { source: Table.text, seq: Table.integer },
  key: ["source"],
  merge: Table.ledger
})

/** Grows with each row. SQLite gives the number of a deleted last row again, so the last row is never purged. */
const counted = (column: string) => ({
  sqlite: `${column} integer primary key`,
  postgres: `${column} bigint generated always as identity primary key`
})

const both = (make: (dialect: "sqlite" | "postgres") => string) => ({
  sqlite: make("sqlite"),
  postgres: make("postgres")
})

/** The tables every agent's store has, in the kernel's own line of migrations. */
export const migrations: ReadonlyArray<Migration.Migration> = [
  Migration.make("0001_kernel", [
    both((dialect) =>
      `create table operation (
        ${counted("n")[dialect]},
        id text not null unique,
        command text not null,
        write_class text not null,
        fingerprint text not null,
        answer text not null,
        outcome text not null check (outcome in ('done', 'refused')),
        received_at bigint not null,
        expires_at bigint not null,
        merged_at bigint
      )`
    ),
    "create index operation_expires_at on operation (expires_at)",
    both((dialect) =>
      `create table outbox (
        ${counted("seq")[dialect]},
        event_id text not null,
        type text not null,
        topic text not null,
        key text not null,
        envelope json not null,
        created_at bigint not null,
        published_at bigint
      )`
    ),
    both((dialect) =>
      `create table change (
        ${counted("n")[dialect]},
        operation_id text not null,
        table_name text not null,
        row_key json not null,
        before json,
        after json
      )`
    ),
    `create table conflict (
      id text primary key,
      operation_id text not null,
      table_name text not null,
      row_key json not null,
      policy text not null,
      primary_row json,
      outage_row json,
      reason text not null,
      status text not null check (status in ('open', 'resolved')),
      settled_by text
    )`,
    `create table saga (
      id text primary key,
      type text not null,
      key text not null,
      definition_version bigint not null,
      state text not null check (state in ('running', 'compensating', 'done', 'compensated', 'needs_operator')),
      step text not null,
      data json not null,
      misses bigint not null,
      deadline_at bigint,
      lease_owner text,
      lease_until bigint,
      last_error text,
      started_at bigint not null,
      ended_at bigint,
      version bigint not null
    )`,
    "create unique index saga_unfinished on saga (type, key) where ended_at is null",
    "create index saga_key on saga (type, key)",
    "create index saga_deadline on saga (deadline_at) where deadline_at is not null",
    `create table dead_letter (
      id text primary key,
      topic text not null,
      source text not null,
      event_id text not null,
      key text not null,
      type text not null,
      envelope json not null,
      error_code text not null,
      error_message text not null,
      attempts bigint not null,
      first_at bigint not null,
      next_at bigint,
      status text not null check (status in ('parked', 'open', 'replayed', 'discarded')),
      settled_by text,
      version bigint not null
    )`,
    "create index dead_letter_status on dead_letter (status, id)",
    "create index dead_letter_key on dead_letter (key, source, topic, first_at)",
    "create index dead_letter_first on dead_letter (first_at, id)",
    "create table cursor (source text primary key, seq bigint not null)"
  ])
]

/** Every system table, for tests that compare declarations with migrations. */
export const all = [Operations, Outbox, Changes, Conflicts, Sagas, DeadLetters, Cursors] as const

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

/**
 * An operation of an outage whose changes are not in the primary: one of its rows is in conflict, or it waits behind one
 * that is. `changes` holds all of them, so that whoever settles it, on whatever machine, has them.
 */
export const Withheld = Table.make("withheld_operation", {
  columns: {
    operationId: Table.text,
    command: Table.text,
    changes: document,
    behind: Table.nullable(Table.text),
    at: Table.integer,
    status: Table.textOf(Schema.Literal("open", "applied", "discarded")),
    settledBy: Table.nullable(Table.text)
  },
  key: ["operationId"],
  merge: Table.ledger
})

/** A command that was accepted during an outage and runs after it, under its own id. */
export const Intents = Table.make("intent", {
  columns: {
    operationId: Table.text,
    command: Table.text,
    request: document,
    acceptedAt: Table.integer,
    status: Table.textOf(Schema.Literal("waiting", "done")),
    version: Table.integer
  },
  key: ["operationId"],
  merge: Table.versioned
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

/**
 * What the file has taken while the primary was away, and what became of it. A place in the file: the primary has no such
 * table.
 */
export const Backlog = Table.make("backlog", {
  columns: {
    n: Table.integer,
    operationId: Table.text,
    acceptedAt: Table.integer,
    firstChange: Table.integer,
    lastChange: Table.integer,
    firstMessage: Table.integer,
    lastMessage: Table.integer,
    status: Table.textOf(Schema.Literal("pending", "merged", "withheld")),
    mergedAt: Table.nullable(Table.integer)
  },
  key: ["n"],
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
  ]),
  Migration.make("0002_replication", [
    `create table withheld_operation (
      operation_id text primary key,
      command text not null,
      changes json not null,
      behind text,
      at bigint not null,
      status text not null check (status in ('open', 'applied', 'discarded')),
      settled_by text
    )`,
    "create index withheld_operation_open on withheld_operation (at) where status = 'open'",
    `create table intent (
      operation_id text primary key,
      command text not null,
      request json not null,
      accepted_at bigint not null,
      status text not null check (status in ('waiting', 'done')),
      version bigint not null
    )`,
    "create index intent_waiting on intent (accepted_at) where status = 'waiting'",
    "create index conflict_operation on conflict (operation_id)",
    { sqlite: "", postgres: "create index outbox_unpublished on outbox (seq) where published_at is null" },
    // What one side has and the other has not: the primary its place in the log and who follows it, the shadow how far it
    // has followed and what it has taken alone.
    both((dialect) =>
      dialect === "postgres"
        ? `create table replication (
          id integer primary key check (id = 1),
          incarnation text not null,
          epoch bigint not null,
          head bigint not null,
          operation_n bigint not null,
          outbox_seq bigint not null,
          change_n bigint not null
        )`
        : `create table shadow (
          id integer primary key check (id = 1),
          incarnation text not null,
          head bigint not null,
          operation_n bigint not null,
          outbox_seq bigint not null,
          change_n bigint not null,
          replicas bigint not null
        )`
    ),
    both((dialect) =>
      dialect === "postgres"
        ? `create table replica (
          instance text primary key,
          seen_at timestamptz not null,
          change_n bigint not null
        )`
        : `create table backlog (
          n integer primary key,
          operation_id text not null unique,
          accepted_at bigint not null,
          first_change bigint not null,
          last_change bigint not null,
          first_message bigint not null,
          last_message bigint not null,
          status text not null check (status in ('pending', 'merged', 'withheld')),
          merged_at bigint
        )`
    ),
    { sqlite: "create index backlog_pending on backlog (n) where status = 'pending'", postgres: "" },
    "create index outbox_event on outbox (event_id)",
    // What the file has to bring back when its primary has forgotten the operation.
    { sqlite: "alter table outbox add column operation_id text", postgres: "" },
    { sqlite: "create index outbox_operation on outbox (operation_id) where operation_id is not null", postgres: "" },
    {
      sqlite: "",
      postgres: "create table publisher (id integer primary key check (id = 1), instance text, until timestamptz)"
    }
  ])
]

/** Every system table of both sides, for tests that compare declarations with migrations. */
export const all = [Operations, Outbox, Changes, Conflicts, Withheld, Intents, Sagas, DeadLetters, Cursors] as const

/** Those whose rows are recorded as changes, like an agent's own. */
export const replicated = [Conflicts, Withheld, Intents, Sagas, DeadLetters] as const

import * as Message from "@holdfast/contracts/Message"
import * as Migration from "@holdfast/database/Migration"
import type { Operation } from "@holdfast/database/Operation"
import * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import { Data, Effect, Schema } from "effect"

export const Accounts = Table.make("account", {
  columns: {
    id: Table.text,
    balance: Table.integer,
    frozen: Table.boolean,
    tags: Table.json(Schema.Array(Schema.String)),
    note: Table.nullable(Table.text),
    version: Table.integer
  },
  key: ["id"],
  merge: Table.delta("balance")
})

export const Entries = Table.make("entry", {
  columns: { id: Table.text, accountId: Table.text, amount: Table.integer, at: Table.integer },
  key: ["id"],
  merge: Table.ledger
})

export const migrations = [
  Migration.make("0001_accounts", [
    "create table account (id text primary key, balance bigint not null check (balance >= 0), frozen boolean not null, tags json not null, note text, version bigint not null)",
    "create table entry (id text primary key, account_id text not null, amount bigint not null, at bigint not null)"
  ])
]

export class Refused extends Data.TaggedError("Refused")<{ readonly why: string }> {}

export const Moved = Message.event("bank.moved", {
  payload: Schema.Struct({ account: Schema.String, amount: Schema.Int }),
  key: (payload) => payload.account
})

let unnamed = 0
export const operation = <A, E, R>(
  handler: Effect.Effect<A, E, R>,
  options: { readonly id?: string; readonly fingerprint?: string } = {}
): Operation<A, E, R> => ({
  id: options.id ?? `op-${unnamed++}`,
  command: "test",
  writeClass: "mergeable",
  fingerprint: options.fingerprint ?? "same",
  cause: { correlationId: "c", causationId: "r" },
  keepMillis: 60_000,
  handler,
  answer: (value) => JSON.stringify(value) ?? "null",
  refusal: (error) => error instanceof Refused ? error.why : undefined
})

export const open = (id: string, balance: number) =>
  Transaction.insert(Accounts, { id, balance, frozen: false, tags: ["a", "b"], note: null })

export const deposit = (id: string, amount: number) =>
  Effect.gen(function*() {
    const row = yield* Transaction.update(
      Accounts,
      { id },
      (account) => ({ ...account, balance: account.balance + amount })
    )
    yield* Transaction.insert(Entries, {
      id: yield* Transaction.nextId("evt"),
      accountId: id,
      amount,
      at: yield* Transaction.now
    })
    yield* Transaction.emit(Moved, { account: id, amount })
    return row.balance
  })

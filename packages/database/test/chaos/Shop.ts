import * as Message from "@holdfast/contracts/Message"
import * as Migration from "@holdfast/database/Migration"
import type { Operation } from "@holdfast/database/Operation"
import * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import { Effect, Option, Schema } from "effect"
import { operation as bankOperation, Refused } from "../Bank.ts"
import type { Holding } from "../Outage.ts"

export const Stock = Table.make("stock", {
  columns: { sku: Table.text, onHand: Table.integer, place: Table.text, version: Table.integer },
  key: ["sku"],
  merge: Table.delta("onHand")
})
export const Products = Table.make("product", {
  columns: { id: Table.text, slug: Table.text, title: Table.text, version: Table.integer },
  key: ["id"],
  merge: Table.versioned
})
export const Movements = Table.make("movement", {
  columns: { id: Table.text, sku: Table.text, amount: Table.integer },
  key: ["id"],
  merge: Table.ledger
})
export const tables = [Stock, Products, Movements] as const

export const shop: Holding = {
  agent: "shop",
  tables,
  migrations: [
    Migration.make("0001_shop", [
      "create table stock (sku text primary key, on_hand bigint not null check (on_hand >= 0), place text not null, version bigint not null)",
      "create table product (id text primary key, slug text not null unique, title text not null, version bigint not null)",
      "create table movement (id text primary key, sku text not null references stock (sku), amount bigint not null)"
    ])
  ]
}

export const Sold = Message.event("shop.sold", {
  payload: Schema.Struct({ sku: Schema.String, amount: Schema.Int }),
  key: (payload) => payload.sku
})

export const operation = <A, E, R>(
  id: string,
  handler: Effect.Effect<A, E, R>,
  options: { readonly writeClass?: Operation<A, E, R>["writeClass"]; readonly fingerprint?: string } = {}
): Operation<A, E, R> => ({ ...bankOperation(handler, { id }), ...options })

export const stock = (sku: string, onHand: number) => Transaction.insert(Stock, { sku, onHand, place: "A1" })

/** Sells within the bound; the last of the primary's stock where it is there. */
export const sell = (sku: string, amount: number) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const row = Option.getOrThrow(yield* Transaction.get(Stock, { sku }))
    if (row.onHand < amount) return yield* new Refused({ why: "sold out" })
    if (tx.bound !== undefined) {
      const start = tx.bound.atStart(Stock, row)?.onHand ?? 0
      const mine = Math.floor(start * tx.bound.share)
      if (start - row.onHand + amount > mine) return yield* new Refused({ why: "beyond the share" })
    }
    yield* Transaction.update(Stock, { sku }, (before) => ({ ...before, onHand: before.onHand - amount }))
    yield* Transaction.insert(Movements, { id: yield* Transaction.nextId("mov"), sku, amount: -amount })
    yield* Transaction.emit(Sold, { sku, amount })
  })

/** Takes goods away without looking at any bound. */
export const take = (sku: string, amount: number) =>
  Effect.gen(function*() {
    yield* Transaction.update(Stock, { sku }, (before) => ({ ...before, onHand: before.onHand - amount }))
    yield* Transaction.insert(Movements, { id: yield* Transaction.nextId("mov"), sku, amount: -amount })
  })

export const product = (id: string, slug: string) => Transaction.insert(Products, { id, slug, title: id })

export const rename = (id: string, title: string) =>
  Transaction.update(Products, { id }, (before) => ({ ...before, title }))

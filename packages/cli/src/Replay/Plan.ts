import type { Invoice, SetAsideReason } from "./Invoice.ts"
import { group, setAsideReason } from "./Invoice.ts"
import type { InvoiceRow, UnreadableRow } from "./InvoiceRow.ts"
import { amountMicros, isReadable } from "./InvoiceRow.ts"

/** Rows and what they are worth in millionths. */
export interface Tally {
  readonly rows: number
  readonly micros: number
}

/** A sku as it first appears. */
export interface NewProduct {
  readonly sku: string
  readonly title: string
  /** Pence. */
  readonly price: number
}

/** Goods to be on hand before a day's orders are placed. */
export interface Delivery {
  readonly sku: string
  readonly qty: number
}

/**
 * One day of the retailer, ready to be replayed.
 *
 * @category models
 */
export interface Day {
  readonly date: string
  readonly rows: Tally
  readonly sold: Tally
  readonly setAside: Readonly<Partial<Record<SetAsideReason, Tally>>>
  readonly unreadable: ReadonlyArray<UnreadableRow>
  readonly products: ReadonlyArray<NewProduct>
  readonly deliveries: ReadonlyArray<Delivery>
  readonly invoices: ReadonlyArray<Invoice>
}

const none: Tally = { rows: 0, micros: 0 }

/** One row more. */
const tally = (before: Tally, micros: number): Tally => ({ rows: before.rows + 1, micros: before.micros + micros })

/** Adds tallies. */
export const sum = (tallies: Iterable<Tally>): Tally => {
  let total = none
  for (const { micros, rows } of tallies) total = { rows: total.rows + rows, micros: total.micros + micros }
  return total
}

/**
 * Plans a day. Exactly what the day sells is delivered first, so that a unit reserved twice would show as a shortage.
 *
 * @category planning
 */
export const day = (date: string, rows: ReadonlyArray<InvoiceRow | UnreadableRow>): Day => {
  const readable = rows.filter(isReadable)
  const setAside: Partial<Record<SetAsideReason, Tally>> = {}
  const goods: Array<InvoiceRow> = []
  let read = none
  let sold = none
  for (const row of rows) {
    if (isReadable(row)) continue
    read = tally(read, 0)
    setAside.unreadable = tally(setAside.unreadable ?? none, 0)
  }
  for (const row of readable) {
    const micros = amountMicros(row)
    const reason = setAsideReason(row)
    read = tally(read, micros)
    if (reason === undefined) {
      sold = tally(sold, micros)
      goods.push(row)
    } else setAside[reason] = tally(setAside[reason] ?? none, micros)
  }
  const invoices = group(goods)
  const products = new Map<string, NewProduct>()
  const demand = new Map<string, number>()
  for (const { lines } of invoices) {
    for (const { qty, sku, title, unitPrice } of lines) {
      if (!products.has(sku)) products.set(sku, { sku, title, price: unitPrice })
      demand.set(sku, (demand.get(sku) ?? 0) + qty)
    }
  }
  return {
    date,
    rows: read,
    sold,
    setAside,
    unreadable: rows.filter((row): row is UnreadableRow => !isReadable(row)),
    products: [...products.values()],
    deliveries: [...demand].map(([sku, qty]) => ({ sku, qty })),
    invoices
  }
}

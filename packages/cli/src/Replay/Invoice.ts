import type { InvoiceRow } from "./InvoiceRow.ts"
import { MICROS_PER_MINOR } from "./InvoiceRow.ts"

/**
 * Why a row becomes no order line. What later agents will own (cancellations, corrections) is set aside here, counted and
 * summed, never dropped.
 *
 * @category models
 */
export type SetAsideReason =
  | "unreadable"
  | "cancellation"
  | "adjustment"
  | "stock_correction"
  | "zero_quantity"
  | "no_price"
  | "no_whole_pence"
  | "not_goods"
  | "out_of_range"

/** One line of an order: skus are upper case, because the files mix cases of one code. */
export interface InvoiceLine {
  readonly sku: string
  readonly title: string
  readonly qty: number
  /** Pence. */
  readonly unitPrice: number
}

/**
 * The goods of one invoice, in the order of the file.
 *
 * @category models
 */
export interface Invoice {
  readonly number: string
  /** The earliest time on its rows, local time of the shop. */
  readonly date: string
  /** `undefined` for guests. */
  readonly customer: string | undefined
  readonly country: string
  readonly lines: ReadonlyArray<InvoiceLine>
}

/** Codes of goods begin with five digits, or are dotcom gift-shop codes; the rest is postage, fees, vouchers. */
const goods = /^(\d{5}|DCGS)/

/** The order agent takes quantities up to a million. */
const MAX_QUANTITY = 1_000_000

/**
 * What a row is: the reason to set it aside, or `undefined` for goods that were sold.
 *
 * @category rules
 */
export const setAsideReason = (row: InvoiceRow): SetAsideReason | undefined => {
  if (row.invoice.startsWith("C")) return "cancellation"
  if (row.invoice.startsWith("A")) return "adjustment"
  if (row.quantity < 0) return "stock_correction"
  if (row.quantity === 0) return "zero_quantity"
  if (row.priceMicros <= 0) return "no_price"
  if (!goods.test(row.stockCode.toUpperCase())) return "not_goods"
  if (row.priceMicros % MICROS_PER_MINOR !== 0) return "no_whole_pence"
  return row.quantity > MAX_QUANTITY ? "out_of_range" : undefined
}

/** Skus hold letters, digits, dots, underscores and dashes. */
const skuOf = (stockCode: string): string => stockCode.toUpperCase().replace(/[^A-Z0-9._-]/g, "-").slice(0, 64)

const titleOf = (row: InvoiceRow): string => row.description.replace(/[\u0000-\u001f\u007f]/g, " ").trim().slice(0, 200)

/**
 * Groups sold goods into invoices, in the order in which their first rows stand.
 *
 * @category rules
 */
export const group = (rows: ReadonlyArray<InvoiceRow>): ReadonlyArray<Invoice> => {
  const byNumber = new Map<string, Array<InvoiceRow>>()
  for (const row of rows) {
    const known = byNumber.get(row.invoice)
    if (known === undefined) byNumber.set(row.invoice, [row])
    else known.push(row)
  }
  return [...byNumber].flatMap(([number, members]) => {
    const [first] = members
    if (first === undefined) return []
    return [{
      number,
      date: members.reduce((earliest, { date }) => date < earliest ? date : earliest, first.date),
      customer: first.customer === "" ? undefined : first.customer,
      country: first.country,
      lines: members.map((row) => ({
        sku: skuOf(row.stockCode),
        title: titleOf(row) === "" ? skuOf(row.stockCode) : titleOf(row),
        qty: row.quantity,
        unitPrice: row.priceMicros / MICROS_PER_MINOR
      }))
    }]
  })
}

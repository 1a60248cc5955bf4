import type { InvoiceRow } from "./InvoiceRow.ts"
import { MICROS_PER_MINOR } from "./InvoiceRow.ts"
import type { Day } from "./Plan.ts"
import * as Plan from "./Plan.ts"

/** A small, fast generator of pseudo-random numbers (mulberry32): the same seed makes the same day everywhere. */
const random = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const adjectives = ["WHITE", "RED", "RETROSPOT", "WOODEN", "VINTAGE", "GLASS", "KNITTED", "PAPER"]
const things = ["LANTERN", "MUG", "T-LIGHT HOLDER", "LUNCH BAG", "HOT WATER BOTTLE", "CAKE STAND", "DOORMAT", "BUNTING"]
const countries = ["United Kingdom", "United Kingdom", "United Kingdom", "United Kingdom", "Germany", "France", "EIRE"]

const DATE = "2011-02-01"

/**
 * A day of invoices of the retailer's shape: many small lines, a few large orders, guests, one code twice in an invoice,
 * both letter cases, postage, corrections, cancellations and prices that are no whole pence.
 *
 * @category constructors
 */
export const day = (options: { readonly seed: number; readonly invoices: number }): Day => {
  const next = random(options.seed)
  const below = (n: number) => Math.floor(next() * n)
  const catalogue = Array.from({ length: 200 }, (_, i) => ({
    code: `${20_000 + i * 17}${["", "", "A", "B"][i % 4]}`,
    description: `${adjectives[i % adjectives.length]} ${
      things[Math.floor(i / adjectives.length) % things.length]
    } ${i}`,
    pence: 25 + below(1_200)
  }))
  const rows: Array<InvoiceRow> = []
  for (let i = 0; i < options.invoices; i++) {
    const minute = 480 + Math.floor(i * 600 / options.invoices)
    const date = `${DATE} ${String(Math.floor(minute / 60)).padStart(2, "0")}:${
      String(minute % 60).padStart(2, "0")
    }:00`
    const common = {
      invoice: String(600_000 + i),
      date,
      customer: next() < 0.9 ? String(12_000 + below(80)) : "",
      country: countries[below(countries.length)] ?? "United Kingdom"
    }
    const lines = 1 + Math.floor(next() ** 3 * 60)
    const wholesale = next() < 0.05
    for (let line = 0; line < lines; line++) {
      const item = catalogue[below(catalogue.length)]
      if (item === undefined) continue
      rows.push({
        ...common,
        stockCode: next() < 0.02 ? item.code.toLowerCase() : item.code,
        description: item.description,
        quantity: (1 + below(12)) * (wholesale ? 20 : 1),
        priceMicros: (next() < 0.9 ? item.pence : Math.ceil(item.pence * 0.85)) * MICROS_PER_MINOR
      })
    }
    const other = (
      stockCode: string,
      description: string,
      quantity: number,
      priceMicros: number,
      invoice = common.invoice
    ) => rows.push({ ...common, invoice, stockCode, description, quantity, priceMicros })
    if (i % 11 === 3) other("POST", "POSTAGE", 1, 18_000_000)
    if (i % 17 === 5) other("21777", "CAKE STAND", -2, 0)
    if (i % 19 === 7) other("20000", "WHITE LANTERN 0", -1, 1_250_000, `C${common.invoice}`)
    if (i % 23 === 9) other("20017", "RED LANTERN 1", 3, 1_234_000 + 500)
    if (i % 29 === 11) other("20034A", "", 5, 0)
  }
  return Plan.day(DATE, rows)
}

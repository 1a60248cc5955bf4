import type { Currency } from "@holdfast/contracts/Currency"
import { exponent } from "@holdfast/contracts/Currency"
import type { Money } from "@holdfast/contracts/Money"

/** 150 EUR in whole units of other currencies, roughly: the rule needs no exchange rate of the day. */
const limits: Readonly<Record<string, number>> = {
  EUR: 150,
  GBP: 130,
  USD: 160,
  CHF: 145,
  JPY: 24_000,
  SEK: 1_700,
  NOK: 1_700,
  DKK: 1_120,
  PLN: 640,
  AUD: 250,
  CAD: 225
}

const limit = (currency: Currency): number => (limits[currency] ?? 150) * 10 ** exponent(currency)

/** What the order decides when fraud does not answer in time (spec §16): large orders are reviewed, the rest approved. */
export const outcome = (grand: Money): "approve" | "review" =>
  grand.amount > limit(grand.currency) ? "review" : "approve"

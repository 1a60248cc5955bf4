import type { Country } from "@holdfast/contracts/Country"
import type { Rate } from "@holdfast/contracts/Rate"

interface Regime {
  /** Whether catalogue prices include the tax there. */
  readonly inclusive: boolean
  readonly rates: Readonly<Record<string, Rate>>
}

const vat = (standard: Rate, reduced: Rate): Regime => ({ inclusive: true, rates: { standard, reduced, zero: 0 } })

/** Sandbox of the tax port: rates by ship-to country and product tax class, in basis points. */
const regimes: Readonly<Record<string, Regime>> = {
  GB: vat(2000, 500),
  IE: vat(2300, 1350),
  DE: vat(1900, 700),
  FR: vat(2000, 550),
  NL: vat(2100, 900),
  BE: vat(2100, 600),
  ES: vat(2100, 1000),
  IT: vat(2200, 1000),
  PT: vat(2300, 600),
  AT: vat(2000, 1000),
  DK: vat(2500, 2500),
  SE: vat(2500, 1200),
  FI: vat(2550, 1400),
  PL: vat(2300, 800),
  CH: vat(810, 260),
  NO: vat(2500, 1500),
  AU: vat(1000, 0),
  JP: vat(1000, 800),
  // Sales tax is added to the price; the sandbox knows one rate for the whole country.
  US: { inclusive: false, rates: { standard: 700, reduced: 0, zero: 0 } },
  CA: { inclusive: false, rates: { standard: 500, reduced: 0, zero: 0 } }
}

/** Where the table has no country, goods leave untaxed. */
const untaxed: Regime = { inclusive: true, rates: {} }

const regimeOf = (country: Country): Regime => regimes[country] ?? untaxed

/** Whether catalogue prices include the tax for buyers in the country. */
export const isInclusive = (country: Country): boolean => regimeOf(country).inclusive

/** The rate of a tax class in a country; an unknown class counts as `standard`. */
export const rate = (country: Country, taxClass: string): Rate => {
  const { rates } = regimeOf(country)
  return rates[taxClass] ?? rates["standard"] ?? 0
}

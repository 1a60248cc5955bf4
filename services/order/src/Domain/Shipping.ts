import type { Amount } from "@holdfast/contracts/Amount"
import type { Currency } from "@holdfast/contracts/Currency"
import { exponent } from "@holdfast/contracts/Currency"

/** Sandbox prices of the shipping options, in whole units of the currency's hundredths. */
const prices: Readonly<Record<string, number>> = { standard: 495, express: 1295, pickup: 0 }

/** What an order ships by when it names no option. */
export const defaultOption = "standard"

/** The price of a shipping option in minor units, or `undefined` for an option there is not. */
export const price = (code: string, currency: Currency): Amount | undefined => {
  const hundredths = prices[code]
  return hundredths === undefined ? undefined : Math.round(hundredths * 10 ** (exponent(currency) - 2))
}

/** Whether the option is the quick one, which fraud looks at. */
export const isExpress = (code: string | undefined): boolean => code === "express"

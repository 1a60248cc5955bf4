import type { Country } from "@holdfast/contracts/Country"

/** The sandbox of the BIN facts port: countries of the issuers of well-known test cards, by the first six digits. */
const sandbox: ReadonlyMap<string, Country> = new Map([
  ["424242", "US"],
  ["400005", "US"],
  ["555555", "US"],
  ["378282", "US"],
  ["400082", "GB"],
  ["400027", "DE"],
  ["400025", "FR"],
  ["400007", "BR"],
  ["400064", "RU"]
])

/** Where the issuer of a card is, by the first digits of its number. */
export const countryOf = (bin: string): Country | undefined => sandbox.get(bin.slice(0, 6))

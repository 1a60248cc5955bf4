import * as Schema from "effect/Schema"

const byExponent: Readonly<Record<number, string>> = {
  0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
  2: "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC " +
    "CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD " +
    "KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO " +
    "NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL " +
    "THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
  3: "BHD IQD JOD KWD LYD OMR TND",
  4: "CLF UYW"
}

/**
 * ISO 4217 alpha-3 codes with the number of decimals of their minor unit. A table of its own, since CLDR's digits (`Intl`)
 * differ from ISO's for some currencies.
 */
export const exponents: ReadonlyMap<string, number> = new Map(
  Object.entries(byExponent).flatMap(([exponent, codes]) =>
    codes.split(" ").map((code) => [code, Number(exponent)] as const)
  )
)

/**
 * A currency by its ISO 4217 alpha-3 code, upper case.
 *
 * @category schemas
 */
export const Currency = Schema.String.pipe(
  Schema.filter((code) => exponents.has(code), {
    jsonSchema: { pattern: "^[A-Z]{3}$" },
    arbitrary: () => (fc) => fc.constantFrom(...exponents.keys()),
    message: () => "a currency must be an ISO 4217 code such as EUR, in upper case"
  }),
  Schema.annotations({ description: "ISO 4217 alpha-3", examples: ["GBP"] })
)
export type Currency = typeof Currency.Type

/**
 * Decimals of the currency's minor unit: JPY 0, EUR 2, KWD 3. A code that is not in the table counts as 2.
 *
 * @category accessors
 */
export const exponent = (currency: Currency): number => exponents.get(currency) ?? 2

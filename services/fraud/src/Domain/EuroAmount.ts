import { type Currency, exponent } from "@holdfast/contracts/Currency"

/**
 * Units of a currency that stand for one EUR in the rules' amounts; 1 for those that are not named. Coarse on purpose and
 * never changed by the day: the same order must score the same whenever it is scored.
 */
const unitsForOne: Readonly<Record<string, number>> = {
  AED: 4,
  ARS: 1000,
  BRL: 6,
  CLP: 1000,
  CNY: 8,
  COP: 4500,
  CZK: 25,
  DKK: 7.5,
  EGP: 50,
  HKD: 8.5,
  HUF: 400,
  IDR: 17_000,
  ILS: 4,
  INR: 90,
  ISK: 150,
  JPY: 160,
  KRW: 1500,
  KZT: 500,
  MXN: 20,
  NGN: 1600,
  NOK: 11.5,
  PHP: 60,
  PKR: 300,
  PLN: 4.3,
  RON: 5,
  RSD: 117,
  RUB: 100,
  SAR: 4,
  SEK: 11,
  THB: 38,
  TRY: 40,
  TWD: 35,
  UAH: 45,
  VND: 27_000,
  ZAR: 20
}

/** An amount of whole EUR, as the rules name it, in minor units of the order's currency. */
export const inMinorUnits = (euros: number, currency: Currency): number =>
  euros * (unitsForOne[currency] ?? 1) * 10 ** exponent(currency)

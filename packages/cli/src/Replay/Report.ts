import * as Count from "../Count.ts"
import type { SetAsideReason } from "./Invoice.ts"
import { formatMicros, MICROS_PER_MINOR } from "./InvoiceRow.ts"
import type { Day, Tally } from "./Plan.ts"
import * as Plan from "./Plan.ts"

/**
 * How one order ended.
 *
 * @category models
 */
export interface Ending {
  readonly invoice: string
  readonly orderId: string
  /** `confirmed`, `cancelled`, or where it was left. */
  readonly state: string
  /** Why it was cancelled, or what holds it. */
  readonly reason: string | undefined
  /** Pence. */
  readonly grand: number
}

/**
 * What a replay did: every row is in an order or set aside, and both add up to what was read.
 *
 * @category models
 */
export interface Report {
  readonly days: number
  readonly read: Tally
  readonly inOrders: Tally
  readonly setAside: ReadonlyArray<readonly [SetAsideReason, Tally]>
  readonly endings: ReadonlyArray<
    { readonly state: string; readonly reason: string | undefined; readonly orders: number; readonly minor: number }
  >
  readonly orders: number
  readonly unreadable: ReadonlyArray<string>
  /** Empty when everything adds up. */
  readonly mismatches: ReadonlyArray<string>
  readonly seconds: number
}

/** Adds up the days that were replayed and how their orders ended. */
export const make = (days: ReadonlyArray<Day>, endings: ReadonlyArray<Ending>, seconds: number): Report => {
  const read = Plan.sum(days.map((day) => day.rows))
  const inOrders = Plan.sum(days.map((day) => day.sold))
  const reasons = new Map<SetAsideReason, Tally>()
  for (const day of days) {
    for (const [reason, tally] of Object.entries(day.setAside)) {
      // Object.entries widens the keys; they are the record's own.
      const key = reason as SetAsideReason
      reasons.set(key, Plan.sum([reasons.get(key) ?? { rows: 0, micros: 0 }, tally]))
    }
  }
  const groups = new Map<string, { state: string; reason: string | undefined; orders: number; minor: number }>()
  for (const { grand, reason, state } of endings) {
    const key = `${state} ${reason ?? ""}`
    const group = groups.get(key) ?? { state, reason, orders: 0, minor: 0 }
    groups.set(key, { ...group, orders: group.orders + 1, minor: group.minor + grand })
  }
  const setAside = [...reasons].sort(([a], [b]) => a < b ? -1 : 1)
  const away = Plan.sum(setAside.map(([, tally]) => tally))
  const ordered = endings.reduce((total, { grand }) => total + grand, 0)
  const invoices = days.reduce((total, day) => total + day.invoices.length, 0)
  const mismatch = (what: string, a: number, b: number) => a === b ? [] : [`${what}: ${a} is not ${b}`]
  return {
    days: days.length,
    read,
    inOrders,
    setAside,
    endings: [...groups.values()].sort((a, b) => `${a.state}${a.reason}` < `${b.state}${b.reason}` ? -1 : 1),
    orders: endings.length,
    unreadable: days.flatMap((day) => day.unreadable.map(({ line, problem }) => `${day.date}:${line}: ${problem}`)),
    mismatches: [
      ...mismatch("rows in orders + rows set aside = rows read", inOrders.rows + away.rows, read.rows),
      ...mismatch("their amounts (millionths)", inOrders.micros + away.micros, read.micros),
      ...mismatch("orders = invoices with goods", endings.length, invoices),
      ...mismatch("orders' totals = their rows (millionths)", ordered * MICROS_PER_MINOR, inOrders.micros)
    ],
    seconds
  }
}

const count = (n: number): string => n.toLocaleString("en-GB")
const pounds = (micros: number): string => formatMicros(micros)

/** The report as people read it. */
export const format = (report: Report): string => {
  const line = (label: string, rows: number, micros: number) =>
    `  ${label.padEnd(34)}${count(rows).padStart(9)}${pounds(micros).padStart(18)}`
  return [
    `${Count.of(report.days, "day")}, ${count(report.orders)} ${Count.noun(report.orders, "order")} in ${
      report.seconds.toFixed(1)
    } s`,
    "",
    `  ${"rows".padEnd(34)}${"count".padStart(9)}${"GBP".padStart(18)}`,
    line("read", report.read.rows, report.read.micros),
    line("in orders", report.inOrders.rows, report.inOrders.micros),
    ...report.setAside.map(([reason, tally]) => line(`set aside: ${reason}`, tally.rows, tally.micros)),
    "",
    `  ${"orders".padEnd(34)}${"count".padStart(9)}${"GBP".padStart(18)}`,
    ...report.endings.map(({ minor, orders, reason, state }) =>
      line(reason === undefined ? state : `${state}: ${reason}`, orders, minor * MICROS_PER_MINOR)
    ),
    ...(report.unreadable.length === 0 ? [] : ["", "unreadable lines:", ...report.unreadable.map((one) => `  ${one}`)]),
    "",
    report.mismatches.length === 0
      ? "Every row is accounted for."
      : ["DOES NOT ADD UP:", ...report.mismatches.map((one) => `  ${one}`)].join("\n")
  ].join("\n")
}

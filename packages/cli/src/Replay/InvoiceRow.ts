/**
 * One line of the retailer's CSV files. Prices and amounts are integers in millionths of the currency, because a few
 * prices are no whole pence and sums must be exact.
 *
 * @category models
 */
export interface InvoiceRow {
  readonly invoice: string
  readonly stockCode: string
  readonly description: string
  readonly quantity: number
  /** As in the file: `YYYY-MM-DD HH:MM:SS`, local time of the shop. */
  readonly date: string
  readonly priceMicros: number
  /** Empty for guests. */
  readonly customer: string
  readonly country: string
}

/** Millionths in one unit of currency. */
export const MICROS = 1_000_000

/** Millionths in one penny. */
export const MICROS_PER_MINOR = MICROS / 100

/** What a row is worth, signs and all, in millionths. */
export const amountMicros = (row: Pick<InvoiceRow, "quantity" | "priceMicros">): number =>
  row.quantity * row.priceMicros

/** Millionths as text with as many decimals as needed, at least two: `1449780.58`. */
export const formatMicros = (micros: number): string => {
  const sign = micros < 0 ? "-" : ""
  const whole = Math.floor(Math.abs(micros) / MICROS)
  const fraction = String(Math.abs(micros) % MICROS).padStart(6, "0").replace(/0{1,4}$/, "")
  return `${sign}${whole}.${fraction}`
}

/** Why a line of a file is not a row. */
export interface UnreadableRow {
  readonly line: number
  readonly problem: string
}

const integer = /^-?\d{1,9}$/
const decimal = /^(-?)(\d{1,9})(?:\.(\d{1,6}))?$/
const dateTime = /^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$/

/**
 * Reads the fields of a line, by column name.
 *
 * @category parsing
 */
export const parse = (
  fields: Readonly<Record<string, string | undefined>>,
  line: number
): InvoiceRow | UnreadableRow => {
  const invoice = (fields["InvoiceNo"] ?? "").trim()
  const quantity = (fields["Quantity"] ?? "").trim()
  const price = decimal.exec((fields["UnitPrice"] ?? "").trim())
  const date = (fields["InvoiceDate"] ?? "").trim()
  if (invoice === "") return { line, problem: "no InvoiceNo" }
  if (!integer.test(quantity)) return { line, problem: `Quantity is no integer: "${quantity}"` }
  if (price === null) return { line, problem: `UnitPrice is no amount: "${fields["UnitPrice"] ?? ""}"` }
  if (!dateTime.test(date)) return { line, problem: `InvoiceDate is no time: "${date}"` }
  const [, sign, whole, fraction = ""] = price
  const micros = Number(whole) * MICROS + Number(fraction.padEnd(6, "0"))
  return {
    invoice,
    stockCode: (fields["StockCode"] ?? "").trim(),
    description: (fields["Description"] ?? "").trim(),
    quantity: Number(quantity),
    date,
    priceMicros: sign === "-" ? -micros : micros,
    customer: (fields["CustomerID"] ?? "").trim().replace(/\.0$/, ""),
    country: (fields["Country"] ?? "").trim()
  }
}

/** Tells a row from a line that could not be read. */
export const isReadable = (row: InvoiceRow | UnreadableRow): row is InvoiceRow => !("problem" in row)

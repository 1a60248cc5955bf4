import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import { parse as parseCsv } from "csv-parse/sync"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Count from "../Count.ts"
import * as InvoiceRow from "./InvoiceRow.ts"
import type { Day } from "./Plan.ts"
import * as Plan from "./Plan.ts"

/**
 * The folder or a file in it cannot be replayed; `detail` says what to do.
 *
 * @category errors
 */
export class InvoicesUnreadable extends Data.TaggedError("InvoicesUnreadable")<{ readonly detail: string }> {}

const columns = [
  "InvoiceNo",
  "StockCode",
  "Description",
  "Quantity",
  "InvoiceDate",
  "UnitPrice",
  "CustomerID",
  "Country"
]

/** Reads one file's text into rows; a line that is no row stays as a problem with its number. */
export const rowsOf = (
  text: string,
  file: string
): Effect.Effect<ReadonlyArray<InvoiceRow.InvoiceRow | InvoiceRow.UnreadableRow>, InvoicesUnreadable> =>
  Effect.gen(function*() {
    const records = yield* Effect.try({
      try: (): ReadonlyArray<ReadonlyArray<string>> =>
        parseCsv(text, { bom: true, relax_column_count: true, relax_quotes: true, skip_empty_lines: true }),
      catch: (cause) => new InvoicesUnreadable({ detail: `${file} is no CSV: ${String(cause)}` })
    })
    const [header, ...lines] = records
    const missing = columns.filter((column) => !(header ?? []).includes(column))
    if (header === undefined || missing.length > 0) {
      return yield* new InvoicesUnreadable({
        detail: `${file} lacks the columns ${missing.join(", ")}; expected is a header line with ${columns.join(",")}`
      })
    }
    return lines.map((line, index) =>
      line.length === header.length
        ? InvoiceRow.parse(Object.fromEntries(header.map((column, i) => [column, line[i]])), index + 2)
        : { line: index + 2, problem: `${Count.of(line.length, "field")} instead of ${header.length}` }
    )
  })

/**
 * The days of a folder, one `*.csv` file each, in the order of their names; `from` and `to` count from 1, both included.
 * Files are read one at a time, as the days are asked for.
 *
 * @category reading
 */
export const days = (
  folder: string,
  range: { readonly from: number; readonly to: number }
): Effect.Effect<
  ReadonlyArray<{ readonly date: string; readonly read: Effect.Effect<Day, InvoicesUnreadable> }>,
  InvoicesUnreadable,
  FileSystem.FileSystem | Path.Path
> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* fs.readDirectory(folder).pipe(
      Effect.mapError(() =>
        new InvoicesUnreadable({ detail: `the folder ${folder} cannot be read; give one with CSV files` })
      )
    )
    const files = names.filter((name) => name.endsWith(".csv")).sort()
    if (files.length === 0) {
      return yield* new InvoicesUnreadable({ detail: `there are no .csv files in ${folder}` })
    }
    if (range.from > files.length) {
      return yield* new InvoicesUnreadable({
        detail: `${folder} has ${Count.of(files.length, "day")}; --days begins behind them`
      })
    }
    return files.slice(range.from - 1, range.to).map((name) => {
      const date = name.replace(/\.csv$/, "")
      return {
        date,
        read: fs.readFileString(path.join(folder, name)).pipe(
          Effect.mapError((error) => new InvoicesUnreadable({ detail: `${name} cannot be read: ${error.message}` })),
          Effect.flatMap((text) => rowsOf(text, name)),
          Effect.map((rows) => Plan.day(date, rows))
        )
      }
    })
  })

import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { group, setAsideReason } from "../src/Replay/Invoice.ts"
import * as InvoiceFile from "../src/Replay/InvoiceFile.ts"
import type { InvoiceRow } from "../src/Replay/InvoiceRow.ts"
import { formatMicros, parse } from "../src/Replay/InvoiceRow.ts"
import * as Plan from "../src/Replay/Plan.ts"
import * as Report from "../src/Replay/Report.ts"
import * as Sample from "../src/Replay/Sample.ts"

const row = (changes: Partial<InvoiceRow>): InvoiceRow => ({
  invoice: "536365",
  stockCode: "85123A",
  description: "WHITE HANGING HEART",
  quantity: 6,
  date: "2010-12-01 08:26:00",
  priceMicros: 2_550_000,
  customer: "17850",
  country: "United Kingdom",
  ...changes
})

describe("rows of the retailer's files", () => {
  it("reads prices exactly, however many decimals they have", () => {
    const price = (text: string) => {
      const read = parse({ InvoiceNo: "1", Quantity: "1", UnitPrice: text, InvoiceDate: "2010-12-01 08:26:00" }, 2)
      return "problem" in read ? read.problem : read.priceMicros
    }
    assert.strictEqual(price("2.55"), 2_550_000)
    assert.strictEqual(price("0.001"), 1_000)
    assert.strictEqual(price("-11062.06"), -11_062_060_000)
    assert.strictEqual(price("1e3"), "UnitPrice is no amount: \"1e3\"")
    assert.strictEqual(formatMicros(1_449_780_580_000), "1449780.58")
    assert.strictEqual(formatMicros(-1_000), "-0.001")
  })

  it.each([
    [row({}), undefined],
    [row({ invoice: "C536379" }), "cancellation"],
    [row({ invoice: "A563185", priceMicros: -1 }), "adjustment"],
    [row({ quantity: -3 }), "stock_correction"],
    [row({ quantity: 0 }), "zero_quantity"],
    [row({ priceMicros: 0 }), "no_price"],
    [row({ priceMicros: 2_555_000 }), "no_whole_pence"],
    [row({ stockCode: "POST" }), "not_goods"],
    [row({ stockCode: "gift_0001_20" }), "not_goods"],
    [row({ stockCode: "DCGS0003" }), undefined],
    [row({ quantity: 2_000_000 }), "out_of_range"]
  ])("tells goods from the rest", (one, reason) => assert.strictEqual(setAsideReason(one), reason))

  it("groups invoices in the file's order, one code in two cases as one sku", () => {
    const invoices = group([
      row({ invoice: "2", stockCode: "85123a", date: "2010-12-01 09:01:00" }),
      row({ invoice: "1" }),
      row({ invoice: "2", stockCode: "85123A", date: "2010-12-01 09:00:00", description: "" })
    ])
    assert.deepStrictEqual(invoices.map(({ number }) => number), ["2", "1"])
    assert.deepStrictEqual(invoices[0]?.lines.map(({ sku }) => sku), ["85123A", "85123A"])
    assert.strictEqual(invoices[0]?.date, "2010-12-01 09:00:00")
    assert.strictEqual(invoices[0]?.lines[1]?.title, "85123A")
  })

  it.effect("keeps a line that is no row as a problem with its number, and refuses a file without the columns", () =>
    Effect.gen(function*() {
      const header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
      const rows = yield* InvoiceFile.rowsOf(
        `${header}\n536365,85123A,"A, B",6,2010-12-01 08:26:00,2.55,17850.0,EIRE\nbroken,line\n1,2,3,x,y,z,,\n`,
        "day.csv"
      )
      assert.deepInclude(rows[0], { description: "A, B", customer: "17850", quantity: 6 })
      assert.deepStrictEqual(rows[1], { line: 3, problem: "2 fields instead of 8" })
      assert.deepStrictEqual(rows[2], { line: 4, problem: "Quantity is no integer: \"x\"" })
      const error = yield* Effect.flip(InvoiceFile.rowsOf("a,b\n1,2\n", "other.csv"))
      assert.include(error.detail, "other.csv lacks the columns InvoiceNo")
    }))
})

describe("a day's plan", () => {
  it("accounts for every row and penny of any day", () => {
    FastCheck.assert(FastCheck.property(
      FastCheck.array(FastCheck.record({
        invoice: FastCheck.constantFrom("1", "2", "3", "C4", "A5"),
        stockCode: FastCheck.constantFrom("20001", "20001a", "POST", "DCGS1", "M"),
        quantity: FastCheck.integer({ min: -50, max: 1_500_000 }),
        priceMicros: FastCheck.constantFrom(-10_000, 0, 1_000, 2_550_000, 999_990_000)
      })),
      (changes) => {
        const rows = changes.map(row)
        const day = Plan.day("2010-12-01", rows)
        const away = Plan.sum(Object.values(day.setAside))
        assert.strictEqual(day.sold.rows + away.rows, rows.length)
        assert.strictEqual(day.sold.micros + away.micros, rows.reduce((s, r) => s + r.quantity * r.priceMicros, 0))
        const ordered = day.invoices.flatMap(({ lines }) => lines)
        assert.strictEqual(ordered.length, day.sold.rows)
        assert.strictEqual(ordered.reduce((s, line) => s + line.qty * line.unitPrice, 0) * 10_000, day.sold.micros)
        assert.strictEqual(
          day.deliveries.reduce((s, { qty }) => s + qty, 0),
          ordered.reduce((s, { qty }) => s + qty, 0)
        )
      }
    ))
  })

  it("makes the same sample from the same seed, messy as real data", () => {
    const day = Sample.day({ seed: 7, invoices: 200 })
    assert.deepStrictEqual(Sample.day({ seed: 7, invoices: 200 }), day)
    assert.notDeepEqual(Sample.day({ seed: 8, invoices: 200 }), day)
    assert.strictEqual(day.invoices.length, 200)
    assert.hasAllKeys(day.setAside, ["cancellation", "stock_correction", "no_price", "no_whole_pence", "not_goods"])
  })

  it("reports what does not add up", () => {
    const day = Sample.day({ seed: 1, invoices: 5 })
    const endings = day.invoices.map((invoice) => ({
      invoice: invoice.number,
      orderId: `ord_${invoice.number}`,
      state: "confirmed",
      reason: undefined,
      grand: invoice.lines.reduce((sum, line) => sum + line.qty * line.unitPrice, 0)
    }))
    assert.deepStrictEqual(Report.make([day], endings, 1).mismatches, [])
    assert.lengthOf(Report.make([day], endings.slice(1), 1).mismatches, 2)
    assert.lengthOf(
      Report.make([day], endings.map((one, i) => i === 0 ? { ...one, grand: one.grand + 1 } : one), 1).mismatches,
      1
    )
  })
})

import { assert, it } from "@effect/vitest"
import * as Count from "../src/Count.ts"
import * as Report from "../src/Replay/Report.ts"

it("one of something is said in the singular", () => {
  assert.deepStrictEqual([0, 1, 2].map((n) => Count.of(n, "day")), ["0 days", "1 day", "2 days"])
  assert.deepStrictEqual([1, 2].map((n) => Count.of(n, "check fails", "checks fail")), [
    "1 check fails",
    "2 checks fail"
  ])
  const day = {
    date: "sample",
    rows: none,
    sold: none,
    setAside: {},
    invoices: [],
    unreadable: [],
    products: [],
    deliveries: []
  }
  const ending = { invoice: "1", orderId: "ord_1", state: "confirmed", reason: undefined, grand: 0 }
  assert.match(Report.format(Report.make([day], [ending], 1)), /^1 day, 1 order in 1\.0 s\n/)
  assert.match(Report.format(Report.make([day, day], [ending, ending], 1)), /^2 days, 2 orders in 1\.0 s\n/)
})

const none = { rows: 0, micros: 0 }

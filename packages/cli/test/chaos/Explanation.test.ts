import { assert, describe, it } from "@effect/vitest"
import type { Ending } from "../../src/Replay/Report.ts"
import type { Evidence } from "./Explanation.ts"
import * as Explanation from "./Explanation.ts"

const ending = (invoice: string, changes: Partial<Ending> = {}): Ending => ({
  invoice,
  orderId: `ord_${invoice}`,
  state: "confirmed",
  reason: undefined,
  grand: 1_000,
  ...changes
})

const cancelled = (reason: string) => ending("1", { state: "cancelled", reason })

const entry = (kind: string, second: number, data: Evidence["timeline"][number]["data"] = {}) => ({
  kind,
  data,
  at: new Date(Date.UTC(2026, 0, 1, 12, 0, 0) + second * 1_000).toISOString()
})

const evidence = (changes: Partial<Evidence>): Evidence => ({
  timeline: [entry("placed", 0), entry("cancelled", 40)],
  assessments: [],
  ...changes
})

const judge = (disturbed: Ending, found: Evidence, undisturbed = ending("1")) =>
  Explanation.report(Explanation.differences([undisturbed], [disturbed]), () => found)

describe("an order that ended otherwise", () => {
  it.each([
    [
      "a deadline",
      cancelled("stock_unknown"),
      evidence({ timeline: [entry("placed", 0), entry("cancelled", 31, { cause: "reserve_timeout" })] }),
      "deadline"
    ]
  ])("is explained by %s", (_, disturbed, found, rule) => {
    const report = judge(disturbed, found)
    assert.deepStrictEqual(report.explained.map((one) => one.rule), [rule])
    assert.deepStrictEqual(report.unexplained, [])
  })

  it("is explained by fraud's silence", () => {
    const late = { outcome: "decline", at: entry("", 6).at }
    const report = judge(
      ending("1"),
      evidence({ timeline: [entry("placed", 0)], assessments: [late] }),
      cancelled("fraud_decline")
    )
    assert.deepStrictEqual(report.explained.map((one) => one.rule), ["fraud fallback"])
  })

  it.each([
    ["stock that was lacking, since undisturbed it is not", cancelled("out_of_stock"), evidence({})],
    [
      "a deadline that had not passed",
      cancelled("stock_unknown"),
      evidence({ timeline: [entry("placed", 0), entry("cancelled", 12, { cause: "reserve_timeout" })] })
    ],
    ["a reason without a cause", cancelled("payment_failed"), evidence({})],
    ["a customer nobody has seen", cancelled("customer"), evidence({})],
    ["another total", ending("1", { grand: 999 }), evidence({})]
  ])("is not explained by %s", (_, disturbed, found) => {
    const report = judge(disturbed, found)
    assert.lengthOf(report.unexplained, 1)
    assert.lengthOf(report.explained, 0)
  })

  it("is not explained where it came too late to say so, or is none", () => {
    const punctual = { outcome: "decline", at: entry("", 2).at }
    const found = evidence({ timeline: [entry("placed", 0)], assessments: [punctual] })
    assert.lengthOf(judge(ending("1"), found, cancelled("fraud_decline")).unexplained, 1)
    const lost = Explanation.report(Explanation.differences([ending("1"), ending("2")], [ending("1")]), () => found)
    assert.deepStrictEqual(lost.unexplained, ["2 (): confirmed, disturbed no order"])
    const doubled = Explanation.report(Explanation.differences([ending("1")], [ending("1"), ending("3")]), () => found)
    assert.lengthOf(doubled.unexplained, 1)
  })

  it("is nobody's business where nothing differs", () => {
    assert.deepStrictEqual(Explanation.differences([ending("1")], [ending("1", { orderId: "another" })]), [])
  })
})

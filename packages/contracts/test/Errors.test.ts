import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Amount from "../src/Amount.ts"
import * as Errors from "../src/Errors.ts"
import * as FraudErrors from "../src/FraudErrors.ts"
import * as InventoryErrors from "../src/InventoryErrors.ts"
import * as Money from "../src/Money.ts"
import * as OrderErrors from "../src/OrderErrors.ts"
import * as PaymentErrors from "../src/PaymentErrors.ts"
import * as Problem from "../src/Problem.ts"
import * as ProductErrors from "../src/ProductErrors.ts"

const exported: ReadonlyArray<unknown> = [
  Amount,
  Errors,
  FraudErrors,
  InventoryErrors,
  Money,
  OrderErrors,
  PaymentErrors,
  ProductErrors
].flatMap((module) => Object.values<unknown>(module))

const problems = exported.flatMap((one) => {
  const problem = typeof one === "function" && one.prototype !== undefined ? Problem.of(one.prototype) : undefined
  return problem === undefined ? [] : [problem]
})

const imperatives =
  /\b(Send|Correct|Check|Use|Wait|Read|Repeat|repeat|Lower|Choose|Add|Let|Set|Take|Create|Show|Cancel|Pay|pay|Release|Decide|Commit|Name|Capture|Refund|Go on|Have|Sign|Leave|Put)\b/

describe("public errors", () => {
  it("have one code each, and each code one meaning", () => {
    const codes = problems.map((problem) => problem.code)
    assert.isAbove(codes.length, 50)
    assert.deepStrictEqual(codes.filter((code, i) => codes.indexOf(code) !== i), [])
    assert.deepStrictEqual(Problem.all().map((problem) => problem.code), [...codes].sort())
    for (const code of codes) assert.match(code, /^[a-z]+(_[a-z]+)*$/)
  })

  it("tell the user in a sentence what to do", () => {
    for (const { code, detail, title } of problems) {
      assert.match(detail, imperatives, code)
      assert.match(detail, /^[A-Z].{20,}\.$/, code)
      assert.notMatch(title, /\.$/, code)
    }
  })

  it("ask to retry only where a retry can help", () => {
    for (const { code, recovery, status } of problems) {
      if (recovery === "retry") assert.include([409, 429, 503, 504], status, code)
      if (status < 500 && !["request_in_progress", "rate_limited"].includes(code)) {
        assert.strictEqual(recovery, "fail", code)
      }
    }
  })

  it("have the statuses the HTTP conventions name", () => {
    const statuses = Object.fromEntries(problems.map((problem) => [problem.code, problem.status]))
    assert.deepInclude(statuses, {
      invalid_request: 400,
      not_found: 404,
      method_not_allowed: 405,
      payload_too_large: 413,
      unsupported_media_type: 415,
      idempotency_key_required: 400,
      idempotency_key_invalid: 400,
      idempotency_key_reused: 422,
      request_in_progress: 409,
      precondition_required: 428,
      version_conflict: 412,
      degraded_write_refused: 503,
      overloaded: 503,
      rate_limited: 429,
      deadline_exceeded: 504,
      draining: 503,
      internal_error: 500,
      store_unavailable: 503,
      cart_changed: 409
    })
  })

  it("survive the way through the operation's record", () => {
    const failure = new OrderErrors.CartChanged({ expectedTotal: 1, actualTotal: 2, currency: "GBP" })
    const stored: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(OrderErrors.CartChanged)(failure)))
    const again = Schema.decodeUnknownSync(OrderErrors.CartChanged)(stored)
    assert.strictEqual(Problem.of(again)?.code, "cart_changed")
    assert.strictEqual(again.actualTotal, 2)
  })
})

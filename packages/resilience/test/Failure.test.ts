import { assert, describe, it } from "@effect/vitest"
import { Data } from "effect"
import * as Failure from "../src/Failure.ts"

class Lost extends Data.TaggedError("Lost")<{ readonly committed: boolean }> {}
class Conflict extends Data.TaggedError("Conflict") {}

describe("classification", () => {
  const classifier = Failure.classifier<Lost | Conflict>({
    Lost: ({ committed }) => ({ severity: "high", recovery: committed ? "fail" : "retry" }),
    Conflict: { severity: "low", recovery: "fail" }
  })

  it("follows from the tag, or from the failure where the tag does not decide", () => {
    assert.strictEqual(classifier.recovery(new Lost({ committed: false })), "retry")
    assert.strictEqual(classifier.recovery(new Lost({ committed: true })), "fail")
    assert.strictEqual(classifier.severity(new Conflict()), "low")
  })

  it("a tag left out does not compile", () => {
    // @ts-expect-error Conflict is missing
    Failure.classifier<Lost | Conflict>({ Lost: { severity: "high", recovery: "retry" } })
    // @ts-expect-error "later" is no recovery
    Failure.classifier<Conflict>({ Conflict: { severity: "high", recovery: "later" } })
  })

  it("every failure of a policy has its class and says what is the matter", () => {
    const failures: ReadonlyArray<[Failure.PolicyFailure, Failure.Recovery]> = [
      [new Failure.BreakerOpen({ policy: "p", retryAfterMs: 5 }), "fallback"],
      [new Failure.BulkheadFull({ policy: "p", limit: 1, reason: "queue" }), "degrade"],
      [new Failure.AttemptTimeout({ policy: "p", timeoutMs: 5 }), "retry"],
      [new Failure.DeadlineExceeded({ operation: "p" }), "fail"],
      [new Failure.RateLimited({ policy: "p", retryAfterMs: 5 }), "retry"]
    ]
    for (const [failure, recovery] of failures) {
      assert.strictEqual(Failure.policyFailures.recovery(failure), recovery)
      assert.isTrue(Failure.isPolicyFailure(failure))
      assert.include(failure.message, "\"p\"")
    }
    assert.isFalse(Failure.isPolicyFailure(new Conflict()))
  })

  it("a wait is read off a failure only where it is one", () => {
    assert.strictEqual(Failure.retryAfterMs({ retryAfterMs: 5 }), 5)
    for (const wrong of [undefined, null, {}, { retryAfterMs: "5" }, { retryAfterMs: -1 }, { retryAfterMs: NaN }]) {
      assert.isUndefined(Failure.retryAfterMs(wrong))
    }
  })
})

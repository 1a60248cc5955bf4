import { assert, describe, it } from "@effect/vitest"
import { PaymentState } from "@holdfast/contracts/Payment"
import { Effect, FastCheck as fc, TestClock } from "effect"
import type { Outcome } from "../src/Domain/Outcome.ts"
import * as PaymentStates from "../src/Domain/PaymentStates.ts"
import * as RetryMatrix from "../src/Domain/RetryMatrix.ts"
import * as Settlement from "../src/Domain/Settlement.ts"
import * as Sums from "../src/Domain/Sums.ts"
import * as VoidWish from "../src/Domain/VoidWish.ts"
import * as World from "./World.ts"

const approved: Outcome = { _tag: "Approved", providerRef: "x" }
const declined: Outcome = { _tag: "Declined", code: "card_declined" }
const pending: Outcome = { _tag: "Pending", providerRef: "x" }
const challenge: Outcome = { _tag: "ActionRequired", providerRef: "x", kind: "threeds", redirectUrl: "/", expiresAt: 0 }

type Step =
  | { readonly _tag: "capture"; readonly amount: number; readonly final: boolean }
  | { readonly _tag: "refund"; readonly amount: number }
  | { readonly _tag: "void" | "expire" | "chargeback" | "lose" }
  | { readonly _tag: "answer"; readonly which: number; readonly outcome: Outcome }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    _tag: fc.constant("capture" as const),
    amount: fc.integer({ min: 1, max: 120 }),
    final: fc.boolean()
  }),
  fc.record({ _tag: fc.constant("refund" as const), amount: fc.integer({ min: 1, max: 120 }) }),
  fc.record({ _tag: fc.constantFrom("void" as const, "expire" as const, "chargeback" as const, "lose" as const) }),
  {
    weight: 4,
    arbitrary: fc.record({
      _tag: fc.constant("answer" as const),
      which: fc.nat(3),
      outcome: fc.constantFrom(approved, approved, approved, declined, pending, challenge, Settlement.rejected)
    })
  }
)

interface Model {
  payment: Settlement.Payment
  wish: boolean
  attempts: Array<Settlement.Attempt>
  readonly ledger: Array<Sums.Entry>
}

/** The commands' rules in small: what they reserve, and what a wish to void does. */
const act = (model: Model, step: Step): void => {
  const { payment } = model
  switch (step._tag) {
    case "capture": {
      const capturable = Sums.capturable(payment)
      const promised = ["authorized", "partially_captured", "partially_refunded"].includes(payment.state)
      if (!promised || model.wish || step.amount > capturable) return
      const reserved = step.final ? capturable : step.amount
      model.payment = { ...payment, captureReserved: payment.captureReserved + reserved }
      model.attempts.push({ kind: "capture", amount: step.amount, reserved, final: step.final })
      return
    }
    case "refund":
      if (payment.state === "disputed" || payment.state === "charged_back") return
      if (payment.captured === 0 || step.amount > Sums.refundable(payment)) return
      model.payment = { ...payment, refundReserved: payment.refundReserved + step.amount }
      model.attempts.push({ kind: "refund", amount: step.amount, reserved: step.amount, final: false })
      return
    case "void":
      model.wish = true
      return pursue(model)
    case "expire": {
      const state = PaymentStates.next(payment.state, "authorization_expired")
      if (model.attempts.length > 0 || state === undefined || Sums.uncaptured(payment) === 0) return
      const rest = Sums.uncaptured(payment)
      model.payment = { ...payment, state, voided: payment.voided + rest }
      model.ledger.push({ kind: "void", amount: rest })
      return
    }
    case "chargeback": {
      const state = PaymentStates.next(payment.state, "disputed")
      const amount = Sums.refundable(payment)
      if (state === undefined || amount === 0) return
      model.payment = { ...payment, state, chargedBack: payment.chargedBack + amount }
      model.ledger.push({ kind: "chargeback", amount })
      return
    }
    case "lose": {
      const [attempt] = model.attempts
      if (attempt !== undefined) model.payment = { ...payment, state: Settlement.lose(payment, attempt) }
      return
    }
    case "answer": {
      const attempt = model.attempts[step.which % Math.max(1, model.attempts.length)]
      if (attempt === undefined) return
      // A gateway neither captures nor refunds nor voids with a challenge.
      if (attempt.kind !== "authorize" && step.outcome._tag === "ActionRequired") return
      const settlement = Settlement.settle(payment, attempt, step.outcome, false)
      assert.isDefined(settlement, `${step.outcome._tag} of ${attempt.kind} in ${payment.state}`)
      if (settlement === undefined) return
      model.payment = { ...payment, ...settlement.sums, state: settlement.state }
      model.ledger.push(...settlement.entries)
      if (settlement.attempt !== "unknown") {
        model.attempts = model.attempts.filter((other) => other !== attempt)
        if (attempt.kind === "void") {
          model.wish = false
          if (settlement.attempt === "succeeded") {
            model.attempts = model.attempts.filter(({ kind }) => kind !== "authorize")
          }
        }
      }
      return pursue(model)
    }
  }
}

const pursue = (model: Model): void => {
  if (!model.wish) return
  const prospect = VoidWish.prospect(model.payment)
  if (prospect === "wait") return
  if (prospect === "void") {
    if (!model.attempts.some(({ kind }) => kind === "void")) {
      model.attempts.push({ kind: "void", amount: 0, reserved: 0, final: false })
    }
    return
  }
  model.attempts = model.attempts.filter(({ kind }) => kind !== "void")
  model.wish = false
}

const begun = (captureMode: "manual" | "automatic"): Model => ({
  payment: { ...Sums.zero, state: "processing", amount: 100, captureMode },
  wish: false,
  attempts: [{ kind: "authorize", amount: 100, reserved: 0, final: false }],
  ledger: []
})

describe("whatever happens in whatever order", () => {
  it("P1 and P5 hold, and the state fits the sums", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("manual" as const, "automatic" as const),
        fc.array(step, { maxLength: 40 }),
        (mode, steps) => {
          const model = begun(mode)
          for (const one of steps) {
            act(model, one)
            const { payment } = model
            assert.isTrue(Sums.isSound(payment), JSON.stringify(payment))
            assert.deepInclude(payment, Sums.ofLedger(model.ledger))
            if (PaymentStates.isBarren(payment.state)) assert.strictEqual(payment.authorized, 0)
            if (payment.state === "voided" || payment.state === "auth_expired") {
              assert.strictEqual(Sums.uncaptured(payment), 0)
              assert.strictEqual(payment.captured, 0)
            }
            if (payment.state === "refunded") {
              assert.strictEqual(
                payment.refunded,
                payment.captured - payment.chargedBack
              )
            }
            if (payment.state === "captured" || payment.state === "captured_final") {
              assert.strictEqual(Sums.uncaptured(payment), 0)
            }
          }
        }
      ),
      { numRuns: 3_000, seed: 5 }
    )
  })

  it("final states have no way out, and every state can be reached", () => {
    const facts = [
      ...["sent", "action_required", "authorized", "answer_lost", "declined", "failed", "action_expired"],
      ...["captured_some", "captured_all", "captured_final", "voided", "authorization_expired"],
      ...["refunded_some", "refunded_all", "disputed", "dispute_won", "dispute_lost"]
    ] as ReadonlyArray<PaymentStates.Fact>
    const final = ["declined", "failed", "expired", "voided", "auth_expired", "refunded", "charged_back"]
    const reached = new Set<string>(["created"])
    for (let grown = true; grown;) {
      grown = false
      for (const state of PaymentState.literals) {
        if (!reached.has(state)) continue
        for (const fact of facts) {
          const to = PaymentStates.next(state, fact)
          if (to === undefined) continue
          if (final.includes(state)) assert.strictEqual(to, state)
          if (!reached.has(to)) {
            reached.add(to)
            grown = true
          }
        }
      }
    }
    assert.deepStrictEqual([...reached].sort(), [...PaymentState.literals].sort())
  })

  it("P6: no failure of a call ends an attempt, and none leads to another key", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<ReadonlyArray<RetryMatrix.Failure>>(
          ["no_answer", "server_error", "rate_limited"],
          ["key_in_use", "not_called", "unknown_key", "pending"]
        ).chain((failures) => fc.constantFrom(...failures)),
        fc.constantFrom("send" as const, "query" as const),
        fc.nat(1_000),
        fc.nat(100 * 60 * 60 * 1000),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (failure, before, tries, ageMillis, random) => {
          const next = RetryMatrix.next(failure, before, { tries, ageMillis, random })
          assert.include(["send", "query"], next.step)
          assert.isTrue(Number.isInteger(next.delayMillis) && next.delayMillis > 0 && next.delayMillis <= 60_000)
          if (failure === "no_answer") assert.strictEqual(next.step, "query")
          // The gateway may have forgotten the key by then: the same call would charge again.
          if (ageMillis >= RetryMatrix.keyLifetimeMillis) assert.strictEqual(next.step, "query")
        }
      ),
      { seed: 6 }
    )
  })
})

type Wish =
  | { readonly _tag: "capture"; readonly amount: number; readonly final: boolean }
  | { readonly _tag: "refund"; readonly amount: number }
  | { readonly _tag: "void" | "authorize" | "challenge" | "wait" }

const wish: fc.Arbitrary<Wish> = fc.oneof(
  fc.record({
    _tag: fc.constant("capture" as const),
    amount: fc.integer({ min: 1, max: 70 }),
    final: fc.boolean()
  }),
  fc.record({ _tag: fc.constant("refund" as const), amount: fc.integer({ min: 1, max: 70 }) }),
  fc.record({
    _tag: fc.constantFrom("void" as const, "authorize" as const, "challenge" as const, "wait" as const, "wait" as const)
  })
)

const tokens = [
  ...["ok", "decline_insufficient", "threeds", "slow_30s", "timeout_but_charged", "error_500_then_ok"],
  ...["webhook_first", "webhook_twice", "webhook_out_of_order", "capture_fails", "refund_async", "dispute_later"]
]

describe("the agent over its store and the sandbox", () => {
  it.scoped(
    "keeps P1, P5 and one charge under random commands, and its books agree with the gateway's",
    () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(Date.UTC(2026, 0, 1))
        const world = yield* World.open(yield* World.folder, { slow: "5 seconds", refundAfter: "2 seconds" })
        const lives = fc.sample(fc.tuple(fc.constantFrom(...tokens), fc.array(wish, { minLength: 1, maxLength: 8 })), {
          numRuns: 120,
          seed: 7
        })
        yield* Effect.forEach(lives.entries(), ([n, [token, wishes]]) =>
          Effect.gen(function*() {
            yield* world.authorize(n, token)
            for (const [i, one] of wishes.entries()) {
              switch (one._tag) {
                case "capture":
                  yield* world.capture(n, one.amount, one.final)
                  break
                case "refund":
                  yield* world.refund(n, one.amount, `r${i}`)
                  break
                case "void":
                  yield* world.void(n)
                  break
                case "authorize":
                  yield* world.authorize(n, token)
                  break
                case "challenge":
                  yield* world.sandbox.completeChallenge(World.paymentId(n), n % 2 === 0 ? "authenticated" : "failed")
                  break
                case "wait":
                  yield* World.settle
                  break
              }
            }
          }), { concurrency: 8, discard: true })
        const numbers = lives.map((_, n) => n)
        // What waits for a customer who never comes waits longer than this test.
        yield* World.until(
          Effect.map(
            Effect.forEach(numbers, (n) => Effect.all([world.find(n), world.attempts(n)])),
            (all) =>
              all.every(([payment, attempts]) =>
                payment?.state === "requires_action" || attempts.every(({ nextAt }) => nextAt === null)
              )
          ),
          "5 minutes",
          "1 second"
        )
        for (const n of numbers) {
          assert.deepStrictEqual(yield* World.faults(world, n), [], `${lives[n]?.[0]} ${JSON.stringify(lives[n]?.[1])}`)
        }
        const states = new Set((yield* Effect.forEach(numbers, world.find)).map((payment) => payment?.state))
        assert.isAbove(states.size, 6)
      }),
    60_000
  )
})

import { assert, describe, it } from "@effect/vitest"
import type { CaseState, Rule } from "@holdfast/contracts/Fraud"
import * as Identifier from "@holdfast/contracts/Identifier"
import { FastCheck as fc } from "effect"
import * as CaseStates from "../src/Domain/CaseState.ts"
import { inMinorUnits } from "../src/Domain/EuroAmount.ts"
import * as Identifiers from "../src/Domain/Identifiers.ts"
import * as Learning from "../src/Domain/Learning.ts"
import * as Outcome from "../src/Domain/Outcome.ts"
import * as ReviewTimer from "../src/Domain/ReviewTimer.ts"
import * as RobustZ from "../src/Domain/RobustZ.ts"
import * as RulesetCheck from "../src/Domain/RulesetCheck.ts"
import * as RulesetState from "../src/Domain/RulesetState.ts"
import * as RulesetV1 from "../src/Domain/RulesetV1.ts"
import * as Window from "../src/Domain/Window.ts"
import { DAY, HOUR, MINUTE, START } from "./FraudDesk.ts"

describe("Outcome", () => {
  it("changes at 30, 60 and 85", () => {
    const at = (score: number) => Outcome.ofScore(score, RulesetV1.thresholds)
    assert.deepStrictEqual([0, 29, 30, 59, 60, 84, 85, 100].map(at), [
      "approve",
      "approve",
      "review",
      "review",
      "block_and_review",
      "block_and_review",
      "decline",
      "decline"
    ])
  })

  it("is cautious from 25 while the counters are stale, and never less cautious than the rules", () => {
    assert.strictEqual(Outcome.ofScore(25, Outcome.cautious(RulesetV1.thresholds)), "review")
    assert.strictEqual(Outcome.cautious({ review: 10, block: 60, decline: 85 }).review, 10)
  })

  it("without rules, an order above 150 EUR is reviewed", () => {
    assert.strictEqual(Outcome.withoutRules({ grand: 15_000, currency: "EUR" }), "approve")
    assert.strictEqual(Outcome.withoutRules({ grand: 15_001, currency: "EUR" }), "review")
  })

  it("a decision stands at later stages as long as nothing worse is seen", () => {
    const approved = { decision: "approve", score: 40 } as const
    assert.strictEqual(Outcome.afterDecision("review", 40, approved), "approve")
    assert.strictEqual(Outcome.afterDecision("review", 41, approved), "review")
    assert.strictEqual(Outcome.afterDecision("decline", 85, approved), "decline")
    assert.strictEqual(Outcome.afterDecision("approve", 0, { decision: "decline", score: 40 }), "decline")
    assert.strictEqual(Outcome.afterDecision("review", 40, undefined), "review")
  })

  it("explores about one mild review in a hundred, always the same ones, and no others", () => {
    const ids = Array.from({ length: 10_000 }, (_, n) => `ord_${n}`)
    const passed = ids.filter((id) => Outcome.explored("review", 44, id) === "approve")
    assert.isAbove(passed.length, 60)
    assert.isBelow(passed.length, 140)
    for (const id of passed) {
      assert.strictEqual(Outcome.explored("review", 45, id), "review")
      assert.strictEqual(Outcome.explored("block_and_review", 44, id), "block_and_review")
      assert.strictEqual(Outcome.explored("review", 44, id), "approve")
    }
  })
})

describe("RobustZ", () => {
  it("uses the mean deviation where most values are equal, and calls only a doubling unusual where all are", () => {
    assert.strictEqual(RobustZ.robustZ(RobustZ.spread([10, 10, 10, 10, 20]), 20), 10 / (1.2533 * 2))
    const equal = RobustZ.spread([10, 10, 10])
    assert.strictEqual(RobustZ.robustZ(equal, 19), 0)
    assert.strictEqual(RobustZ.robustZ(equal, 20), Infinity)
    assert.strictEqual(RobustZ.robustZ(RobustZ.nothing, 0), 0)
  })

  it("does not depend on the sequence of the values", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 1, maxLength: 20 }), (values) => {
      assert.deepStrictEqual(
        { ...RobustZ.spread(values), meanDeviation: 0 },
        { ...RobustZ.spread([...values].reverse()), meanDeviation: 0 }
      )
    }))
  })
})

describe("EuroAmount", () => {
  it("is major units of the order's currency, scaled where one unit is worth much less than a euro", () => {
    assert.deepStrictEqual(
      ["EUR", "GBP", "JPY", "KWD"].map((currency) => inMinorUnits(200, currency)),
      [20_000, 20_000, 32_000, 200_000]
    )
  })
})

describe("Window", () => {
  const within = (kind: Window.CounterKind, window: Window.Window, event: number, at: number) => {
    const bucket = Window.bucketOf(kind, event)
    const { after, upTo } = Window.bucketsOf(kind, window, at)
    return bucket > after && bucket <= upTo
  }

  it("holds what happened in the span before an instant to the bucket, and nothing later", () => {
    assert.isTrue(within("orders", "1h", START - 59 * MINUTE, START))
    assert.isFalse(within("orders", "1h", START - 60 * MINUTE, START))
    assert.isTrue(within("orders", "1h", START, START))
    assert.isFalse(within("orders", "1h", START + MINUTE, START))
    assert.isTrue(within("cards", "24h", START - DAY + MINUTE, START))
    assert.isFalse(within("cards", "24h", START - DAY, START))
    assert.isTrue(within("customers", "7d", START - 7 * DAY + HOUR, START))
    assert.isFalse(within("customers", "7d", START - 7 * DAY, START))
    assert.isTrue(within("customers", "30d", START - 29 * DAY, START))
  })

  const identifier: fc.Arbitrary<Window.Identifier> = fc.record({
    kind: fc.constantFrom("customer", "device", "ip", "cardFp", "address"),
    hash: fc.constantFrom("a", "b")
  })
  const text = ({ counter, member, subject }: Window.Increment) =>
    `${counter} ${subject.kind}:${subject.hash} ${member}`

  it("an order's identifiers count once, in whatever sequence and portions they are shown", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(identifier, { selector: ({ hash, kind }) => kind + hash, maxLength: 8 }),
        fc.nat(8),
        (all, cut) => {
          const once = Window.increments([], all).map(text).sort()
          const first = all.slice(0, cut)
          const portions = [...Window.increments([], first), ...Window.increments(first, all.slice(cut))]
          assert.deepStrictEqual(portions.map(text).sort(), once)
          assert.strictEqual(new Set(once).size, once.length)
        }
      )
    )
  })

  it("a card found later is counted for the customer, the device and the IP that were known", () => {
    const known: ReadonlyArray<Window.Identifier> = [{ kind: "customer", hash: "c" }, { kind: "device", hash: "d" }]
    assert.deepStrictEqual(Window.increments(known, [{ kind: "cardFp", hash: "k" }]).map(text), [
      "orders cardFp:k ",
      "cards customer:c k",
      "cards device:d k"
    ])
    assert.deepStrictEqual(Window.declineIncrements(known).map(text), ["declines device:d "])
  })
})

describe("Identifiers", () => {
  const hashOf: Identifiers.HashOf = (kind, value) => `${kind} ${value}`

  it("looks an address up by every network that can be listed", () => {
    const wanted = Identifiers.listable([], "203.0.113.0/24", hashOf).map(({ hash }) => hash)
    assert.strictEqual(wanted.length, 17)
    assert.includeMembers(wanted, ["cidr 203.0.113.0/24", "cidr 203.0.112.0/22", "cidr 203.0.0.0/8"])
    assert.include(
      Identifiers.listable([], "2001:db8:7::/48", hashOf).map(({ hash }) => hash),
      "cidr 2001:db8:0:0:0:0:0:0/32"
    )
  })

  it("takes only networks that it can recognise again", () => {
    const good = ["203.0.113.0/24", "10.0.0.0/8", "2001:db8::/32"]
    const bad = ["203.0.113.7", "203.0.113.0/25", "10.0.0.0/7", "2001:db8::/49", "300.0.0.0/8", "x/24", "/24", ""]
    assert.deepStrictEqual(good.filter(Identifiers.canBeListed), good)
    assert.deepStrictEqual(bad.filter(Identifiers.canBeListed), [])
  })

  it("an entry counts for its kind and until it expires", () => {
    const entry = { list: "deny", kind: "email", valueHash: "h", expiresAt: 10 } as const
    const wanted = [{ kind: "email", hash: "h" }] as const
    assert.deepStrictEqual(Identifiers.listed(wanted, [entry], 9), [{ list: "deny", kind: "email" }])
    assert.deepStrictEqual(Identifiers.listed(wanted, [entry], 10), [])
    assert.deepStrictEqual(Identifiers.listed([{ kind: "phone", hash: "h" }], [entry], 9), [])
  })

  it("a guest is known by e-mail, and a listed customer is not taken for one", () => {
    const shown = Identifiers.ofFeatures(
      { placedAt: "", grand: { amount: 1, currency: "GBP" }, email: { hash: "e" }, card: { fingerprint: "f" } },
      hashOf
    )
    assert.deepStrictEqual(shown, [
      { role: "customer", hash: "e" },
      { role: "email", hash: "e" },
      { role: "cardFp", hash: "cardFp f" }
    ])
    assert.notStrictEqual(Identifier.hash("k", "customer", "x"), Identifier.hash("k", "email", "x"))
  })
})

describe("hashes of identifiers", () => {
  it("do not depend on how people write the same identifier", () => {
    const same = (kind: Identifier.Kind, ...spellings: ReadonlyArray<string>) =>
      assert.strictEqual(new Set(spellings.map((one) => Identifier.hash("k", kind, one))).size, 1, spellings.join())
    same("email", "Ada@Example.org", " ada@example.org ")
    same("phone", "+44 20 7946 0123", "+442079460123", "0044 (20) 7946-0123")
    same("ip", "2001:DB8::1", "2001:db8:0:0:0:0:0:1")
    same("ip", "192.0.2.1", "::ffff:192.0.2.1")
    same("cidr", "203.0.113.9/24", "203.0.113.0/24")
    same("address", "1 High St., London SW1A 1AA GB", "1 high st LONDON, SW1A-1AA, gb")
  })

  it("need the key, and keep the kinds apart", () => {
    const all = ["email", "phone", "device", "cardFp", "customer"] as const
    const hashes = [...all.map((kind) => Identifier.hash("k", kind, "x")), Identifier.hash("other", "email", "x")]
    assert.strictEqual(new Set(hashes).size, hashes.length)
    for (const one of hashes) assert.match(one, /^[0-9a-f]{32}$/)
  })
})

describe("CaseState", () => {
  it("has the steps of the specification and no others", () => {
    const all: ReadonlyArray<CaseState> = ["pending", "investigating", "snoozed", "closed"]
    const steps = ["claim", "decide", "snooze", "wake", "end"] as const
    const found = all.map((state) => steps.map((by) => CaseStates.step(state, by) ?? "-"))
    assert.deepStrictEqual(found, [
      ["investigating", "closed", "snoozed", "-", "closed"],
      ["investigating", "closed", "snoozed", "-", "closed"],
      ["investigating", "closed", "snoozed", "pending", "closed"],
      ["investigating", "-", "-", "-", "-"]
    ])
  })
})

describe("ReviewTimer", () => {
  const review: ReviewTimer.Review = {
    state: "pending",
    score: 40,
    decided: false,
    openedAt: START,
    authExpiresAt: null,
    snoozedUntil: null,
    remindedAt: null,
    escalatedAt: null
  }
  const reminded = { ...review, remindedAt: START + 24 * HOUR }

  it("reminds after 24 hours and decides after 48 by the score", () => {
    assert.strictEqual(ReviewTimer.due(review, START + 24 * HOUR - 1), undefined)
    assert.strictEqual(ReviewTimer.due(review, START + 24 * HOUR), "remind")
    assert.strictEqual(ReviewTimer.due(reminded, START + 48 * HOUR - 1), undefined)
    const after = (score: number) => ReviewTimer.due({ ...reminded, score }, START + 48 * HOUR)
    assert.deepStrictEqual([30, 44, 45, 59, 60, 84].map(after), [
      "approve",
      "approve",
      "escalate",
      "escalate",
      "decline",
      "decline"
    ])
  })

  it("decides 12 hours before the authorisation ends, if that is sooner", () => {
    const short = { ...review, authExpiresAt: START + 30 * HOUR }
    assert.strictEqual(ReviewTimer.nextAt(short), START + 18 * HOUR)
    assert.strictEqual(ReviewTimer.due(short, START + 18 * HOUR), "approve")
  })

  it("F4: an escalated case ends before its authorisation does", () => {
    const escalated = { ...reminded, score: 50, escalatedAt: START + 48 * HOUR, authExpiresAt: START + 7 * DAY }
    assert.strictEqual(ReviewTimer.due(escalated, START + 6 * DAY), undefined)
    assert.strictEqual(ReviewTimer.nextAt(escalated), START + 7 * DAY - HOUR)
    assert.strictEqual(ReviewTimer.due(escalated, START + 7 * DAY - HOUR), "decline")
    assert.strictEqual(ReviewTimer.nextAt({ ...escalated, authExpiresAt: null }), null)
  })

  it("wakes a snoozed case, and a snooze does not delay the decision", () => {
    const snoozed = { ...reminded, state: "snoozed", snoozedUntil: START + 30 * HOUR } as const
    assert.strictEqual(ReviewTimer.due(snoozed, START + 30 * HOUR), "wake")
    const long = { ...reminded, state: "snoozed", snoozedUntil: START + 100 * HOUR } as const
    assert.strictEqual(ReviewTimer.due(long, START + 48 * HOUR), "approve")
    assert.strictEqual(ReviewTimer.due({ ...long, score: 40 }, START + 100 * HOUR), "approve")
  })

  it("leaves closed and decided cases alone, and always has a next look while something is due", () => {
    assert.strictEqual(ReviewTimer.nextAt({ ...review, state: "closed" }), null)
    assert.strictEqual(ReviewTimer.nextAt({ ...review, state: "investigating", decided: true }), null)
    const time = fc.option(fc.integer({ min: START, max: START + 10 * DAY }))
    fc.assert(
      fc.property(
        fc.record({
          state: fc.constantFrom<CaseState>("pending", "investigating", "snoozed", "closed"),
          score: fc.integer({ min: 30, max: 100 }),
          decided: fc.boolean(),
          openedAt: fc.constant(START),
          authExpiresAt: time,
          snoozedUntil: time,
          remindedAt: time,
          escalatedAt: time
        }),
        fc.integer({ min: START, max: START + 11 * DAY }),
        (one, now) => {
          const next = ReviewTimer.nextAt(one)
          assert.strictEqual(ReviewTimer.due(one, now) !== undefined, next !== null && next <= now)
        }
      )
    )
  })
})

describe("rulesets", () => {
  it("go from draft through shadow to live and retired", () => {
    assert.strictEqual(RulesetState.step("draft", "shadow"), "shadow")
    assert.strictEqual(RulesetState.step("shadow", "publish"), "live")
    assert.strictEqual(RulesetState.step("draft", "publish"), undefined)
    assert.strictEqual(RulesetState.step("retired", "publish"), undefined)
  })

  it("v1 works; unknown conditions, parameters, windows, codes twice and falling thresholds do not", () => {
    assert.deepStrictEqual(RulesetCheck.issues(RulesetV1), [])
    const rule = (condition: string, parameters: NonNullable<Rule["when"]["parameters"]> = {}): Rule => ({
      code: "X",
      when: { condition, parameters },
      points: 1
    })
    const issues = (...rules: ReadonlyArray<Rule>) =>
      RulesetCheck.issues({ rules, thresholds: RulesetV1.thresholds }).length
    assert.strictEqual(issues(rule("card_velocity", { shortMax: 9, long: "7d" })), 0)
    assert.strictEqual(issues(rule("toString")), 1)
    assert.strictEqual(issues(rule("card_velocity", { toString: 1 })), 1)
    assert.strictEqual(issues(rule("card_velocity", { short: "2h" })), 1)
    assert.strictEqual(issues(rule("card_velocity", { shortMax: "3" })), 1)
    assert.strictEqual(issues(rule("cvc_check"), rule("cvc_check")), 1)
    assert.strictEqual(
      RulesetCheck.issues({ ...RulesetV1, thresholds: { review: 60, block: 60, decline: 85 } }).length,
      1
    )
  })
})

describe("Learning", () => {
  it("measures a rule by the orders whose truth is known; the newest label counts", () => {
    const verdicts = [
      { orderId: "a", hits: ["R1"] },
      { orderId: "a", hits: ["R1", "R2"] },
      { orderId: "b", hits: ["R1"] },
      { orderId: "c", hits: ["R2"] },
      { orderId: "d", hits: [] }
    ]
    const truths = [
      { orderId: "a", kind: "chargeback" },
      { orderId: "b", kind: "cleared" },
      { orderId: "b", kind: "confirmed" },
      { orderId: "d", kind: "confirmed" }
    ] as const
    assert.deepStrictEqual(Learning.figures(["R1", "R2", "R3"], verdicts, truths), [
      { code: "R1", hits: 3, precisionBp: 5_000, recallBp: 5_000 },
      { code: "R2", hits: 2, precisionBp: 10_000, recallBp: 5_000 },
      { code: "R3", hits: 0, recallBp: 0 }
    ])
  })
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import type { Features } from "@holdfast/contracts/Fraud"
import { AssessOrder } from "@holdfast/contracts/FraudCommands"
import { CaseOpened, ListChanged, OrderAssessed, RulesetPublished } from "@holdfast/contracts/FraudEvents"
import { DisputeId, RefundId, RmaId } from "@holdfast/contracts/Id"
import { OrderDelivered } from "@holdfast/contracts/OrderEvents"
import {
  DisputeClosed,
  DisputeOpened,
  PaymentAuthorized,
  PaymentDeclined,
  PaymentRefunded
} from "@holdfast/contracts/PaymentEvents"
import { Database } from "@holdfast/database/Database"
import * as Transaction from "@holdfast/database/Transaction"
import * as SchemaAgreement from "@holdfast/testing/SchemaAgreement"
import { Effect, TestClock } from "effect"
import * as Outcome from "../src/Domain/Outcome.ts"
import * as RulesetV1 from "../src/Domain/RulesetV1.ts"
import * as Score from "../src/Domain/Score.ts"
import * as Lists from "../src/Lists.ts"
import * as Tables from "../src/Tables.ts"
import {
  assess,
  assessment,
  codes,
  DAY,
  desk,
  deskWith,
  fraud,
  hash,
  HOUR,
  instant,
  MINUTE,
  orderId,
  paymentId,
  plain,
  request,
  type Run,
  START,
  suspicious
} from "./FraudDesk.ts"

const test = (title: string, body: Run, store = desk) => it.effect(title, () => Effect.provide(body, store))

const gbp = (amount: number) => ({ amount, currency: "GBP" })
const ada: NonNullable<Features["customer"]> = { guest: false, hash: hash("customer", "ada") }
const emailOf = (address: string) => ({ hash: hash("email", address), domain: "example.org", nameSimilarity: 100 })
const card = (fingerprint: string): Partial<Features> => ({ card: { fingerprint } })
const about = (n: number) => ({ orderId: orderId(n), paymentId: paymentId(n) })
const decline = (n: number, fingerprint = "card_1", code = "insufficient_funds") =>
  fraud.hear(PaymentDeclined, { ...about(n), code, retryableByCustomer: true, fingerprint })
const dispute = (n: number) => ({ ...about(n), disputeId: DisputeId.make(`dsp_${"0".repeat(26)}`) })
const disputed = (n: number) =>
  fraud.hear(DisputeOpened, { ...dispute(n), amount: gbp(1), reason: "fraudulent", dueBy: instant(START) })
const bankDecides = (n: number, outcome: "won" | "lost") => fraud.hear(DisputeClosed, { ...dispute(n), outcome })
const scoreOf = (n: number, stage?: "pre_auth" | "post_auth" | "return") =>
  Effect.map(assessment(n, stage), (found) => [found.score, found.outcome, codes(found)] as const)

describe("schema", () => {
  test(
    "the declared tables and the migrations agree",
    Effect.map(SchemaAgreement.differences(Tables.all), (found) => assert.deepStrictEqual(found, []))
  )

  test(
    "a new shop starts with ruleset v1 live",
    Effect.gen(function*() {
      const { items } = yield* fraud.call("listRulesets", { urlParams: {} })
      assert.deepStrictEqual(items.map(({ rulesetVersion, state }) => [rulesetVersion, state]), [[1, "live"]])
      assert.deepStrictEqual(items[0]?.rules, RulesetV1.rules)
      assert.deepStrictEqual(items[0]?.thresholds, RulesetV1.thresholds)
    })
  )
})

describe("an assessment", () => {
  test(
    "is told with its reasons, and a review opens a case",
    Effect.gen(function*() {
      const found = yield* assess(1, suspicious())
      assert.deepStrictEqual([found.score, found.outcome, codes(found)], [40, "review", ["R03", "R05", "R14"]])
      const [told] = yield* fraud.said(OrderAssessed)
      assert.deepStrictEqual(told, {
        assessmentId: found.id,
        orderId: orderId(1),
        stage: "pre_auth",
        score: 40,
        outcome: "review",
        topReasons: ["R05", "R03", "R14"],
        rulesetVersion: 1,
        fallback: false
      })
      const opened = yield* fraud.said(CaseOpened)
      const { items } = yield* fraud.call("listCases", { urlParams: {} })
      assert.deepStrictEqual(opened.map(({ caseId, orderId: of, score }) => [caseId, of, score]), [
        [items[0]?.id, orderId(1), 40]
      ])
      assert.deepInclude(items[0], { state: "pending", outcome: "unset", assessmentIds: [found.id] })
    })
  )

  test(
    "F1: its facts and snapshot are stored, and give its score again",
    Effect.gen(function*() {
      for (let n = 0; n < 12; n++) {
        const features = plain(START + n * MINUTE, {
          customer: ada,
          email: emailOf("ada@example.org"),
          grand: gbp(n % 3 === 0 ? 150_000 : 21_000),
          ...(n % 2 === 0 ? { shippingCountry: "FR" } : {}),
          ...card(`card_${n % 4}`)
        })
        yield* assess(n, features)
      }
      const database = yield* Database
      const rows = yield* database.read(Transaction.select(Tables.Assessments, {}))
      assert.strictEqual(rows.length, 12)
      assert.isAbove(new Set(rows.map(({ score }) => score)).size, 2)
      for (const { byScore, facts, hits, score, skipped, snapshot } of rows) {
        const again = Score.score(RulesetV1, facts, snapshot)
        assert.deepStrictEqual([again.score, again.outcome, again.hits, again.skipped], [score, byScore, hits, skipped])
      }
    })
  )

  test(
    "F3: an order has one outcome for each stage; asked again, it is told again",
    Effect.gen(function*() {
      const first = yield* assess(1, suspicious())
      yield* fraud.hear(AssessOrder, request(1, plain()))
      const second = yield* assessment(1)
      assert.deepStrictEqual(second, first)
      const told = yield* fraud.said(OrderAssessed)
      assert.deepStrictEqual(told.map(({ assessmentId, outcome, score }) => [assessmentId, outcome, score]), [
        [first.id, "review", 40],
        [first.id, "review", 40]
      ])
      assert.strictEqual((yield* fraud.said(CaseOpened)).length, 1)
      const database = yield* Database
      const twice = yield* Effect.flip(
        Effect.asVoid(fraud.run(Effect.gen(function*() {
          const [row] = yield* Transaction.select(Tables.Assessments, {})
          if (row !== undefined) yield* Transaction.insert(Tables.Assessments, { ...row, id: `${row.id}2` as never })
        })))
      )
      assert.deepInclude(twice, { _tag: "ConstraintViolated", kind: "unique" })
      assert.strictEqual((yield* database.read(Transaction.select(Tables.Assessments, {}))).length, 1)
    })
  )

  test(
    "the same command five times at once is one assessment",
    Effect.gen(function*() {
      yield* Effect.forEach(
        [1, 2, 3, 4, 5],
        () => fraud.hear(AssessOrder, request(1, suspicious()), { id: "same" }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual((yield* fraud.said(OrderAssessed)).length, 1)
      assert.strictEqual((yield* fraud.said(CaseOpened)).length, 1)
    })
  )

  test(
    "over HTTP: the same facts give the same assessment, other facts are refused",
    Effect.gen(function*() {
      const first = yield* fraud.call("assess", { payload: request(1, suspicious()) })
      const second = yield* fraud.call("assess", { payload: request(1, suspicious()) })
      assert.deepStrictEqual(second, first)
      assert.deepStrictEqual(yield* fraud.call("getAssessment", { path: { id: first.id } }), first)
      const refused = yield* Effect.flip(fraud.call("assess", { payload: request(1, plain()) }))
      assert.deepInclude(refused, { _tag: "AlreadyAssessed", assessmentId: first.id })
      assert.strictEqual((yield* fraud.said(OrderAssessed)).length, 1)
    })
  )

  test(
    "of 27 points approves, and is a review while the bus is away: the counters may be stale",
    Effect.gen(function*() {
      const features = plain(START, {
        shippingCountry: "FR",
        email: { ...emailOf("x@yopmail.com"), domain: "yopmail.com" }
      })
      const heard = yield* assess(1, features)
      assert.deepStrictEqual([heard.score, heard.outcome], [27, "approve"])
      const alone = yield* fraud.call("assess", { payload: request(2, features) })
      assert.deepStrictEqual([alone.score, alone.outcome], [27, "review"])
      const mild = yield* fraud.call("assess", { payload: request(3, plain(START, { shippingCountry: "FR" })) })
      assert.strictEqual(mild.outcome, "approve")
    }),
    deskWith({ busAway: true })
  )

  test(
    "a later stage knows what the payment agent told of the card",
    Effect.gen(function*() {
      yield* assess(1, plain())
      for (const n of [7, 8, 9]) yield* assess(n, plain(START, card("card_1")))
      yield* fraud.hear(PaymentAuthorized, {
        ...about(1),
        amount: gbp(5_000),
        risk: { cvc: "fail", avs: "one_fails", threeDs: "authenticated", cardCountry: "US", fingerprint: "card_1" }
      })
      const found = yield* assess(1, plain(), "post_auth")
      assert.deepStrictEqual([found.score, codes(found)], [48, ["R06", "R07", "R08", "R09", "R23"]])
    })
  )

  test(
    "exploration lets its share of mild reviews pass, without a case",
    Effect.gen(function*() {
      const passes = (n: number) => Outcome.explored("review", 40, orderId(n)) === "approve"
      const all = Array.from({ length: 2_000 }, (_, n) => n)
      const chosen = [...all.filter(passes).slice(0, 2), ...all.filter((n) => !passes(n)).slice(0, 2)]
      const outcomes = yield* Effect.forEach(
        chosen,
        (n) => Effect.map(fraud.call("assess", { payload: request(n, suspicious()) }), ({ outcome }) => outcome)
      )
      assert.deepStrictEqual(outcomes, ["approve", "approve", "review", "review"])
      assert.strictEqual((yield* fraud.said(CaseOpened)).length, 2)
    }),
    deskWith({ explore: true })
  )
})

describe("windows in the orders' own time", () => {
  test(
    "R09: the fourth order of a card within an hour, the seventh within a day",
    Effect.gen(function*() {
      for (const [n, minute] of [0, 20, 40, 59, 130, 260, 390, 520].entries()) {
        yield* assess(n, plain(START + minute * MINUTE, card("card_1")))
      }
      const points = yield* Effect.forEach(
        [0, 1, 2, 3, 4, 5, 6, 7],
        (n) => Effect.map(assessment(n), ({ hits }) => hits.find(({ rule }) => rule === "R09")?.points ?? 0)
      )
      assert.deepStrictEqual(points, [0, 0, 0, 25, 0, 0, 18, 18])
      yield* assess(9, plain(START + 3 * DAY, card("card_1")))
      assert.deepStrictEqual(yield* scoreOf(9), [0, "approve", []])
    })
  )

  test(
    "an order counts once, at whichever stages and by whomever its card is shown",
    Effect.gen(function*() {
      for (const n of [1, 2, 3]) {
        yield* assess(n, plain(START + n * MINUTE, card("card_1")))
        yield* fraud.hear(PaymentAuthorized, { ...about(n), amount: gbp(1), risk: { fingerprint: "card_1" } })
        yield* assess(n, plain(START + n * MINUTE, card("card_1")), "post_auth")
      }
      assert.deepStrictEqual((yield* scoreOf(3, "post_auth"))[2], [])
    })
  )

  test(
    "R10: the third card of a customer within a day",
    Effect.gen(function*() {
      for (const n of [0, 1, 2]) yield* assess(n, plain(START + n * HOUR, { customer: ada, ...card(`card_${n}`) }))
      assert.deepStrictEqual(
        yield* Effect.forEach([1, 2], (n) => Effect.map(scoreOf(n), ([, , hits]) => hits)),
        [[], ["R10"]]
      )
      yield* assess(3, plain(START + 2 * DAY, { customer: ada, ...card("card_9") }))
      assert.deepStrictEqual((yield* scoreOf(3))[2], [])
    })
  )

  test(
    "R11: the fourth customer at an address or a device within seven days",
    Effect.gen(function*() {
      const buyer = (n: number) => ({ guest: false, hash: hash("customer", `buyer-${n}`) })
      const place = { hash: hash("address", "1 High Street") }
      const device = { hash: hash("device", "kiosk") }
      for (const n of [0, 1, 2, 3]) {
        yield* assess(n, plain(START + n * DAY, { customer: buyer(n), shippingAddress: place }))
        yield* assess(10 + n, plain(START + n * DAY, { customer: buyer(n), device }))
      }
      assert.deepStrictEqual(
        yield* Effect.forEach([2, 3, 12, 13], (n) => Effect.map(scoreOf(n), ([, , hits]) => hits)),
        [[], ["R11"], [], ["R11"]]
      )
      yield* assess(4, plain(START + 9 * DAY, { customer: buyer(4), shippingAddress: place }))
      assert.deepStrictEqual((yield* scoreOf(4))[2], [])
    })
  )

  test(
    "R12: three declines of a card, a device or an IP within an hour; what is no word of the bank does not count",
    Effect.gen(function*() {
      const ip = { hash: hash("ip", "192.0.2.7"), country: "GB", kind: "ordinary" as const }
      yield* assess(1, plain(START, { ip }))
      yield* decline(1)
      yield* decline(1, "card_2")
      yield* decline(1, "card_1", "gateway_error")
      yield* decline(1, "card_1", "action_expired")
      yield* assess(2, plain(START + MINUTE, { ip }))
      assert.notInclude((yield* scoreOf(2))[2], "R12")
      yield* decline(1)
      yield* assess(3, plain(START + 2 * MINUTE, { ip }))
      assert.include((yield* scoreOf(3))[2], "R12")
      yield* assess(4, plain(START + 61 * MINUTE, { ip }))
      assert.notInclude((yield* scoreOf(4))[2], "R12")
      // Two of the declines were of card_1, one of card_2: neither card has three.
      for (const [n, fingerprint] of ["card_1", "card_2"].entries()) {
        yield* assess(10 + n, plain(START + 3 * MINUTE, card(fingerprint)))
        assert.notInclude((yield* scoreOf(10 + n))[2], "R12")
      }
    })
  )

  test(
    "R02, R16: an e-mail and an address are new once",
    Effect.gen(function*() {
      const features = (at: number) =>
        plain(at, {
          email: emailOf("ada@example.org"),
          customer: { ...ada, ordersBefore: 9 },
          grand: gbp(20_001),
          shippingAddress: { hash: hash("address", "1 High Street") },
          expressShipping: true
        })
      yield* assess(1, features(START))
      yield* assess(2, features(START + 23 * HOUR))
      yield* assess(3, features(START + 24 * HOUR))
      assert.deepStrictEqual(
        yield* Effect.forEach([1, 2, 3], (n) => Effect.map(scoreOf(n), ([, , hits]) => hits)),
        [["R02", "R16"], ["R02"], []]
      )
    })
  )

  test(
    "R13, R14: a customer's own amounts, by currency, of earlier orders only",
    Effect.gen(function*() {
      const amounts = [60_000, 50_000, 52_000, 55_000, 48_000, 51_000]
      for (const [n, amount] of amounts.entries()) {
        yield* assess(n, plain(START + n * HOUR, { customer: ada, grand: gbp(amount) }))
      }
      assert.deepStrictEqual((yield* scoreOf(0))[2], ["R14"])
      yield* assess(10, plain(START + DAY, { customer: ada, grand: gbp(90_000) }))
      assert.deepStrictEqual((yield* scoreOf(10))[2], ["R13"])
      yield* assess(11, plain(START + DAY, { customer: ada, grand: { amount: 90_000, currency: "USD" } }))
      assert.deepStrictEqual((yield* scoreOf(11))[2], [])
      yield* assess(12, plain(START + 3 * HOUR, { customer: ada, grand: gbp(90_000) }))
      assert.deepStrictEqual((yield* scoreOf(12))[2], [])
    })
  )

  test(
    "R21, R24: returns and old deliveries",
    Effect.gen(function*() {
      for (const n of [0, 1, 2, 3, 4]) yield* assess(n, plain(START + n * HOUR, { customer: ada }))
      for (const n of [0, 1, 2]) yield* fraud.hear(OrderDelivered, { orderId: orderId(n), deliveredAt: instant(START) })
      yield* assess(10, plain(START + 59 * DAY, { customer: ada }))
      yield* assess(11, plain(START + 61 * DAY, { customer: ada }))
      assert.deepStrictEqual(
        yield* Effect.forEach([10, 11], (n) => Effect.map(scoreOf(n), ([, , hits]) => hits)),
        [[], ["R24"]]
      )
      for (const n of [0, 1, 2, 3, 4, 10]) {
        const refund = { ...about(n), refundId: RefundId.make(`ref_${"0".repeat(26)}`), amount: gbp(1) }
        yield* fraud.hear(PaymentRefunded, { ...refund, refundedTotal: gbp(1) })
      }
      yield* assess(12, plain(START + 62 * DAY, { customer: ada }))
      assert.deepStrictEqual((yield* scoreOf(12))[2], ["R24"], "a refund without a return is none")
      for (const n of [0, 1, 2, 3, 4, 10]) {
        const refund = { ...about(n), refundId: RefundId.make(`ref_${"0".repeat(26)}`), amount: gbp(1) }
        const rmaId = RmaId.make(`rma_${"0".repeat(26)}`)
        yield* fraud.hear(PaymentRefunded, { ...refund, rmaId, refundedTotal: gbp(1) })
      }
      yield* assess(13, plain(START + 63 * DAY, { customer: ada }))
      assert.deepStrictEqual((yield* scoreOf(13))[2], ["R21", "R24"])
      yield* assess(13, plain(START + 63 * DAY, { customer: ada }), "return")
      assert.deepStrictEqual(yield* scoreOf(13, "return"), [10, "approve", ["R21", "R24"]])
    })
  )

  /** Orders that touch every window, some at one minute. */
  const shop = Array.from({ length: 60 }, (_, n) =>
    plain(START + Math.floor(n / 2) * 17 * MINUTE, {
      customer: { guest: n % 3 === 0, ...(n % 3 === 0 ? {} : { hash: hash("customer", `c${n % 7}`) }) },
      email: emailOf(`mail${n % 11}@example.org`),
      grand: gbp(n === 45 ? 900_000 : 2_000 + (n * 7_919) % 90_000),
      device: { hash: hash("device", `d${n % 4}`) },
      shippingAddress: { hash: hash("address", `a${n % 9}`) },
      expressShipping: n % 5 === 0,
      ...card(`card_${n % 6}`)
    }))

  const digest = Effect.forEach(shop, (_, n) => scoreOf(n))

  it.effect("the same orders in the same sequence score the same at any speed, clock and date", () =>
    Effect.gen(function*() {
      const play = (prepare: Effect.Effect<unknown>, pause: Effect.Effect<unknown>) =>
        Effect.gen(function*() {
          yield* prepare
          for (const [n, features] of shop.entries()) {
            yield* fraud.hear(AssessOrder, request(n, features))
            for (const _ of n % 4 === 0 ? [1, 2, 3] : []) yield* decline(n, `card_${n % 6}`)
            yield* pause
          }
          return yield* digest
        }).pipe(Effect.provide(desk))
      const fast = yield* play(Effect.void, Effect.void)
      const slow = yield* play(TestClock.setTime(START + 16 * 365 * DAY), TestClock.adjust("3 hours"))
      const before = yield* play(TestClock.setTime(0), TestClock.adjust("1 millis"))
      assert.deepStrictEqual(slow, fast)
      assert.deepStrictEqual(before, fast)
      const seen = new Set(fast.flatMap(([, , hits]) => hits))
      assert.includeMembers([...seen], ["R02", "R09", "R10", "R11", "R12", "R13", "R14", "R16"])
    }))

  it.effect("orders that arrive in another sequence leave the same counters", () =>
    Effect.gen(function*() {
      const play = (sequence: ReadonlyArray<number>) =>
        Effect.gen(function*() {
          yield* Effect.forEach(
            sequence,
            (n) => fraud.hear(AssessOrder, request(n, shop[n] ?? plain())),
            { concurrency: "unbounded", discard: true }
          )
          const database = yield* Database
          const rows = yield* database.read(Transaction.select(Tables.Counters, {}))
          return rows.map(({ bucket, counter, member, n, subject, subjectKind }) =>
            `${counter} ${subjectKind} ${subject} ${member} ${bucket} ${n}`
          ).sort()
        }).pipe(Effect.provide(desk))
      const all = shop.map((_, n) => n)
      const inOrder = yield* play(all)
      assert.isAbove(inOrder.length, 100)
      assert.deepStrictEqual(yield* play([...all].reverse()), inOrder)
    }))
})

describe("earlier fraud (R17)", () => {
  const shown: Partial<Features> = {
    customer: ada,
    device: { hash: hash("device", "d") },
    shippingAddress: { hash: hash("address", "a") },
    ...card("card_1")
  }

  test(
    "a dispute taints customer, card, device and address; winning it clears them",
    Effect.gen(function*() {
      yield* assess(1, plain(START, { ...shown, billingAddress: { hash: hash("address", "b") } }))
      yield* disputed(1)
      const traces: ReadonlyArray<Partial<Features>> = [
        { customer: ada },
        card("card_1"),
        { device: { hash: hash("device", "d") } },
        { shippingAddress: { hash: hash("address", "b") } },
        { billingAddress: { hash: hash("address", "a") } }
      ]
      for (const [n, trace] of traces.entries()) {
        yield* assess(10 + n, plain(START + DAY, trace))
        assert.deepStrictEqual((yield* scoreOf(10 + n)).slice(0, 2), [85, "decline"])
      }
      yield* assess(20, plain(START + DAY, { device: { hash: hash("device", "e") } }))
      assert.deepStrictEqual(yield* scoreOf(20), [0, "approve", []])
      yield* bankDecides(1, "won")
      for (const [n, trace] of traces.entries()) {
        yield* assess(30 + n, plain(START + 2 * DAY, trace))
        assert.notInclude((yield* scoreOf(30 + n))[2], "R17")
      }
    })
  )

  test(
    "a lost dispute and a label over HTTP stay; a label of an order that nobody assessed is refused",
    Effect.gen(function*() {
      yield* assess(1, plain(START, shown))
      yield* fraud.call("label", { payload: { orderId: orderId(1), kind: "confirmed" } })
      yield* disputed(1)
      yield* bankDecides(1, "lost")
      yield* assess(2, plain(START + DAY, { customer: ada }))
      assert.include((yield* scoreOf(2))[2], "R17")
      yield* fraud.call("label", { payload: { orderId: orderId(1), kind: "cleared", at: instant(START) } })
      yield* assess(3, plain(START + DAY, { customer: ada }))
      assert.notInclude((yield* scoreOf(3))[2], "R17")
      const refused = yield* Effect.flip(fraud.call("label", { payload: { orderId: orderId(9), kind: "confirmed" } }))
      assert.deepInclude(refused, { _tag: "NotFound" })
    })
  )
})

describe("lists", () => {
  const put = (
    list: "deny" | "allow" | "watch",
    kind: "email" | "ip" | "cidr" | "customer" | "cardFp",
    value: string
  ) => fraud.call("addToList", { path: { list }, payload: { kind, value, reason: "test" } })

  test(
    "deny refuses, allow trusts, watch marks, and deny beats allow",
    Effect.gen(function*() {
      const email = emailOf("Eve@Example.org")
      yield* put("watch", "email", "eve@example.org")
      yield* assess(1, plain(START, { email }))
      assert.deepStrictEqual(yield* scoreOf(1), [0, "approve", ["watch"]])
      yield* put("deny", "email", " EVE@example.org ")
      yield* assess(2, plain(START, { email }))
      assert.deepStrictEqual(yield* scoreOf(2), [100, "decline", ["R18", "watch"]])
      yield* fraud.call("addToList", {
        path: { list: "allow" },
        payload: { kind: "customer", valueHash: ada.hash ?? "", reason: "known for years" }
      })
      yield* assess(3, suspicious(START, { customer: ada }))
      assert.deepStrictEqual(yield* scoreOf(3), [0, "approve", ["R03", "R05", "R14", "R25"]])
      yield* assess(4, plain(START, { email, customer: ada }))
      assert.deepStrictEqual((yield* scoreOf(4)).slice(0, 2), [100, "decline"])
    })
  )

  test(
    "a network is recognised by the prefix that travels, a card by its fingerprint",
    Effect.gen(function*() {
      yield* put("deny", "cidr", "198.51.0.0/16")
      yield* put("deny", "cardFp", "card_666")
      const ip = (prefix: string) => ({ ip: { country: "GB", kind: "ordinary" as const, prefix } })
      yield* assess(1, plain(START, ip("198.51.100.0/24")))
      yield* assess(2, plain(START, ip("198.52.100.0/24")))
      yield* assess(3, plain(START, card("card_666")))
      assert.deepStrictEqual(
        yield* Effect.forEach([1, 2, 3], (n) => Effect.map(scoreOf(n), ([score]) => score)),
        [100, 0, 100]
      )
      const refused = yield* Effect.flip(put("deny", "cidr", "198.51.100.7/32"))
      assert.deepInclude(refused, { _tag: "InvalidRequest" })
    })
  )

  test(
    "an entry ends when it expires, at once for verdicts, and is then removed and told of",
    Effect.gen(function*() {
      const email = emailOf("eve@example.org")
      const now = yield* TestClock.currentTimeMillis
      const entry = yield* fraud.call("addToList", {
        path: { list: "deny" },
        payload: { kind: "email", value: "eve@example.org", reason: "a week", expiresAt: instant(now + HOUR) }
      })
      yield* fraud.run(Lists.expire)
      yield* assess(1, plain(START, { email }))
      yield* TestClock.adjust("1 hour")
      yield* assess(2, plain(START, { email }))
      assert.deepStrictEqual(
        yield* Effect.forEach([1, 2], (n) => Effect.map(scoreOf(n), ([score]) => score)),
        [100, 0]
      )
      yield* fraud.run(Lists.expire)
      yield* fraud.run(Lists.expire)
      const { items } = yield* fraud.call("listEntries", { path: { list: "deny" }, urlParams: {} })
      assert.deepStrictEqual(items, [])
      assert.deepStrictEqual(
        (yield* fraud.said(ListChanged)).map(({ action, entryHash }) => [action, entryHash]),
        [["added", entry.valueHash], ["expired", entry.valueHash]]
      )
    })
  )

  test(
    "adding again changes reason and expiry, removing takes it off, and lists are paged",
    Effect.gen(function*() {
      const first = yield* put("deny", "email", "eve@example.org")
      const second = yield* fraud.call("addToList", {
        path: { list: "deny" },
        payload: { kind: "email", value: "eve@example.org", reason: "again" }
      })
      assert.deepStrictEqual(second, { ...first, reason: "again", version: 2 })
      for (const n of [1, 2, 3]) yield* put("deny", "ip", `192.0.2.${n}`)
      const page1 = yield* fraud.call("listEntries", { path: { list: "deny" }, urlParams: { limit: 3 } })
      assert.strictEqual(page1.items.length, 3)
      assert.isDefined(page1.next)
      const key = { list: "deny", kind: "email", valueHash: first.valueHash } as const
      assert.deepInclude(yield* fraud.call("removeFromList", { path: key }), { valueHash: first.valueHash })
      const missing = yield* Effect.flip(fraud.call("removeFromList", { path: key }))
      assert.deepInclude(missing, { _tag: "NotFound" })
      assert.deepStrictEqual(
        (yield* fraud.said(ListChanged)).map(({ action, kind }) => [action, kind]),
        [["added", "email"], ["added", "ip"], ["added", "ip"], ["added", "ip"], ["removed", "email"]]
      )
    })
  )
})

describe("privacy (F5)", () => {
  test(
    "nothing that was sent in clear is stored: the whole store is searched",
    Effect.gen(function*() {
      const secrets = ["eve@example.org", "192.0.2.77", "+442079460123", "card_fingerprint_77", "device-77"]
      const kinds = ["email", "ip", "phone", "cardFp", "device"] as const
      for (const [n, kind] of kinds.entries()) {
        yield* fraud.call("addToList", {
          path: { list: "deny" },
          payload: { kind, value: secrets[n] ?? "", reason: "test" }
        })
      }
      yield* fraud.call("assess", { payload: request(1, plain(START, card("card_fingerprint_78"))) })
      yield* fraud.hear(PaymentAuthorized, {
        ...about(1),
        amount: gbp(1),
        risk: { fingerprint: "card_fingerprint_78" }
      })
      yield* decline(1, "card_fingerprint_78")
      const database = yield* Database
      const tables = yield* database.read(Transaction.query("select name from sqlite_master where type = 'table'"))
      for (const { name } of tables) {
        const rows = yield* database.read(Transaction.query(`select * from "${String(name)}"`))
        const text = JSON.stringify(rows)
        for (const secret of secrets) assert.notInclude(text, secret, String(name))
        assert.notInclude(text, "card_fingerprint_78", String(name))
      }
    })
  )
})

describe("rulesets", () => {
  const severe = {
    rules: RulesetV1.rules.map((rule) => rule.code === "R03" ? { ...rule, points: 90 } : rule),
    thresholds: RulesetV1.thresholds
  }

  test(
    "F6: rules in shadow score beside the live ones and change nothing",
    Effect.gen(function*() {
      const draft = yield* fraud.call("createRuleset", { payload: severe })
      assert.deepInclude(draft, { rulesetVersion: 2, state: "draft" })
      yield* assess(1, suspicious())
      yield* fraud.call("shadow", { path: { version: 2 } })
      const foreign = plain(START, { shippingCountry: "FR" })
      yield* assess(2, foreign)
      yield* assess(3, plain())
      assert.deepStrictEqual(yield* scoreOf(2), [12, "approve", ["R03"]])
      const stats = yield* fraud.call("stats", { path: { version: 2 } })
      assert.deepInclude(stats, {
        assessed: 2,
        outcomes: { approve: 1, review: 0, block_and_review: 0, decline: 1 },
        agreesWithLive: 1
      })
      assert.deepInclude(stats.rules.find(({ code }) => code === "R03"), { hits: 1 })
      assert.strictEqual((yield* fraud.said(CaseOpened)).length, 1)
      const live = yield* fraud.call("stats", { path: { version: 1 } })
      assert.deepInclude(live, {
        assessed: 3,
        outcomes: { approve: 2, review: 1, block_and_review: 0, decline: 0 }
      })
      assert.notProperty(live, "agreesWithLive")
    })
  )

  test(
    "publishing a shadow retires the live rules; steps out of turn and stale edits are refused",
    Effect.gen(function*() {
      yield* fraud.call("createRuleset", { payload: severe })
      const early = yield* Effect.flip(fraud.call("publish", { path: { version: 2 } }))
      assert.deepInclude(early, { _tag: "RulesetStateConflict", state: "draft" })
      yield* fraud.call("shadow", { path: { version: 2 }, expectedVersion: 1 })
      const stale = yield* Effect.flip(fraud.call("publish", { path: { version: 2 }, expectedVersion: 1 }))
      assert.deepInclude(stale, { _tag: "VersionConflict", actual: 2 })
      const live = yield* fraud.call("publish", { path: { version: 2 } })
      assert.strictEqual(live.state, "live")
      const { items } = yield* fraud.call("listRulesets", { urlParams: {} })
      assert.deepStrictEqual(items.map(({ rulesetVersion, state }) => [rulesetVersion, state]), [
        [2, "live"],
        [1, "retired"]
      ])
      assert.deepStrictEqual((yield* fraud.said(RulesetPublished)).map(({ version }) => version), [2])
      const found = yield* assess(1, plain(START, { shippingCountry: "FR" }))
      assert.deepStrictEqual([found.outcome, found.rulesetVersion], ["decline", 2])
      const again = yield* Effect.flip(fraud.call("publish", { path: { version: 1 } }))
      assert.deepInclude(again, { _tag: "RulesetStateConflict", state: "retired" })
    })
  )

  test(
    "rules that cannot work are refused with what is wrong",
    Effect.gen(function*() {
      const refused = yield* Effect.flip(fraud.call("createRuleset", {
        payload: {
          rules: [{ code: "X1", when: { condition: "moon_phase" }, points: 5 }],
          thresholds: { review: 50, block: 40, decline: 85 }
        }
      }))
      assert.deepInclude(refused, { _tag: "RulesetInvalid" })
      assert.strictEqual("issues" in refused ? refused.issues.length : 0, 2)
    })
  )
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import { AssessOrder } from "@holdfast/contracts/FraudCommands"
import { CaseOpened, OrderAssessed, ReviewDecided } from "@holdfast/contracts/FraudEvents"
import { OrderCancelled } from "@holdfast/contracts/OrderEvents"
import { AuthorizationExpiring, PaymentAuthorized } from "@holdfast/contracts/PaymentEvents"
import { Database } from "@holdfast/database/Database"
import * as Transaction from "@holdfast/database/Transaction"
import { Effect, TestClock } from "effect"
import * as Reviewing from "../src/Reviewing.ts"
import { Cases } from "../src/Tables.ts"
import {
  assess,
  caseId,
  codes,
  DAY,
  desk,
  fraud,
  hash,
  HOUR,
  instant,
  orderId,
  paymentId,
  plain,
  request,
  type Run,
  START,
  suspicious
} from "./FraudDesk.ts"

const test = (title: string, body: Run) => it.effect(title, () => Effect.provide(body, desk))

const gbp = (amount: number) => ({ amount, currency: "GBP" })
const cases = Effect.map(fraud.call("listCases", { urlParams: {} }), ({ items }) => items)
const only = Effect.flatMap(cases, ([one]) => one === undefined ? Effect.dieMessage("no case") : Effect.succeed(one))
const open = (n = 1, features = suspicious()) => Effect.zipRight(assess(n, features), only)
const decided = Effect.map(
  fraud.said(ReviewDecided),
  (all) => all.map(({ by, outcome }) => [outcome, by] as const)
)
// Each run is an operation of its own.
const tick = Effect.suspend(() => fraud.run(Reviewing.tick))
const wait = (duration: number) => Effect.zipRight(TestClock.adjust(duration), tick)

/** 48 points. */
const between = suspicious(START, { card: { avs: "one_fails" } })
/** 65 points: R03, R05, R14, R08. */
const severe = suspicious(START, { card: { cvc: "fail" } })

describe("a case", () => {
  test(
    "is claimed and decided: the decision is told once, the case is closed",
    Effect.gen(function*() {
      const { id, version } = yield* open()
      const claimed = yield* fraud.call("claim", {
        path: { id },
        payload: { assignee: "ada" },
        expectedVersion: version
      })
      assert.deepInclude(claimed, { state: "investigating", assignee: "ada", version: 2 })
      const closed = yield* fraud.call("decide", {
        path: { id },
        payload: { decision: "approve", note: "called the customer" }
      })
      assert.deepInclude(closed, { state: "closed", decision: "approve", outcome: "false_positive" })
      assert.deepStrictEqual(closed.notes.map(({ by, text }) => [by, text]), [["ada", "called the customer"]])
      assert.deepStrictEqual(yield* decided, [["approve", "ada"]])
      yield* wait(3 * DAY)
      assert.deepStrictEqual(yield* decided, [["approve", "ada"]])
    })
  )

  test(
    "may be decided without being claimed; decided twice it is refused",
    Effect.gen(function*() {
      const { id } = yield* open()
      const decide = () => fraud.call("decide", { path: { id }, payload: { decision: "decline" } })
      assert.deepInclude(yield* decide(), { outcome: "suspicious", decision: "decline" })
      assert.deepInclude(yield* Effect.flip(decide()), { _tag: "CaseStateConflict", state: "closed" })
      assert.deepStrictEqual(yield* decided, [["decline", "test"]])
    })
  )

  test(
    "five decisions at once are one",
    Effect.gen(function*() {
      const { id } = yield* open()
      const results = yield* Effect.forEach(
        ["approve", "decline", "approve", "decline", "approve"] as const,
        (decision) => Effect.either(fraud.call("decide", { path: { id }, payload: { decision } })),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(results.filter(({ _tag }) => _tag === "Right").length, 1)
      assert.strictEqual((yield* decided).length, 1)
    })
  )

  test(
    "belongs to who claimed it",
    Effect.gen(function*() {
      const { id } = yield* open()
      yield* fraud.call("claim", { path: { id }, payload: { assignee: "ada" }, principal: "key-of-ada" })
      const claim = (assignee: string, principal: string) =>
        fraud.call("claim", { path: { id }, payload: { assignee }, principal })
      assert.deepInclude(yield* Effect.flip(claim("bob", "key-of-bob")), { _tag: "CaseTaken", assignee: "ada" })
      assert.deepInclude(yield* claim("ada", "key-of-ada"), { version: 2 })
      yield* fraud.call("snooze", {
        path: { id },
        payload: { until: instant((yield* TestClock.currentTimeMillis) + HOUR) },
        principal: "key-of-ada"
      })
      assert.deepInclude(yield* Effect.flip(claim("bob", "key-of-bob")), { _tag: "CaseTaken", assignee: "ada" })
      const payload = { decision: "approve" } as const
      const refused = yield* Effect.flip(fraud.call("decide", { path: { id }, payload, principal: "key-of-bob" }))
      assert.deepInclude(refused, { _tag: "CaseTaken" })
      yield* fraud.call("decide", { path: { id }, payload, principal: "key-of-ada" })
      assert.deepStrictEqual(yield* decided, [["approve", "ada"]])
    })
  )

  test(
    "a stale edit and an unknown case are refused",
    Effect.gen(function*() {
      const { id } = yield* open()
      const payload = { decision: "approve" } as const
      const stale = yield* Effect.flip(fraud.call("decide", { path: { id }, payload, expectedVersion: 7 }))
      assert.deepInclude(stale, { _tag: "VersionConflict", expected: 7, actual: 1 })
      const unknown = yield* Effect.flip(fraud.call("getCase", { path: { id: caseId(9) } }))
      assert.deepInclude(unknown, { _tag: "NotFound" })
    })
  )

  test(
    "reopened, a changed decision is told, the same one is not; fraud confirmed taints the customer",
    Effect.gen(function*() {
      const customer = { guest: false, hash: hash("customer", "eve") }
      const { id } = yield* open(1, suspicious(START, { customer }))
      yield* fraud.call("decide", { path: { id }, payload: { decision: "approve" } })
      const reopened = yield* fraud.call("claim", { path: { id }, payload: {} })
      assert.deepInclude(reopened, { state: "investigating", decision: "approve" })
      assert.notProperty(reopened, "closedAt")
      yield* fraud.call("decide", { path: { id }, payload: { decision: "approve" } })
      assert.deepStrictEqual(yield* decided, [["approve", "test"]])
      yield* fraud.call("claim", { path: { id }, payload: {} })
      yield* wait(3 * DAY)
      yield* fraud.call("decide", { path: { id }, payload: { decision: "decline", outcome: "confirmed_fraud" } })
      assert.deepStrictEqual(yield* decided, [["approve", "test"], ["decline", "test"]])
      assert.include(codes(yield* assess(2, plain(START + HOUR, { customer }))), "R17")
    })
  )

  test(
    "lists are filtered and paged, oldest first",
    Effect.gen(function*() {
      for (const n of [1, 2, 3, 4, 5]) {
        yield* assess(n, suspicious())
        yield* TestClock.adjust("1 second")
      }
      const all = yield* cases
      assert.deepStrictEqual(all.map((one) => one.orderId), [1, 2, 3, 4, 5].map(orderId))
      const first = yield* fraud.call("listCases", { urlParams: { limit: 3 } })
      assert.strictEqual(first.items.length, 3)
      assert.isDefined(first.next)
      const third = all[2]
      const fourth = all[3]
      if (third === undefined || fourth === undefined) return assert.fail("five cases")
      const rest = yield* fraud.call("listCases", {
        urlParams: { limit: 3, after: [Date.parse(third.openedAt), third.id] }
      })
      assert.deepStrictEqual(rest.items, all.slice(3))
      yield* fraud.call("decide", { path: { id: fourth.id }, payload: { decision: "approve" } })
      const count = (urlParams: Parameters<typeof fraud.call<"listCases">>[1]["urlParams"]) =>
        Effect.map(fraud.call("listCases", { urlParams }), ({ items }) => items.length)
      assert.strictEqual(yield* count({ state: "pending" }), 4)
      assert.strictEqual(yield* count({ orderId: orderId(2) }), 1)
      assert.strictEqual(yield* count({ updatedSince: fourth.openedAt }), 2)
    })
  )
})

describe("later stages of an order in review", () => {
  test(
    "join the open case; one decision ends both",
    Effect.gen(function*() {
      const first = yield* open()
      const second = yield* assess(1, severe, "post_auth")
      assert.strictEqual(second.outcome, "block_and_review")
      const one = yield* only
      assert.deepInclude(one, { id: first.id, score: 65 })
      assert.deepStrictEqual(one.assessmentIds.length, 2)
      assert.strictEqual((yield* fraud.said(CaseOpened)).length, 1)
    })
  )

  test(
    "are approved by what a person approved before, unless they look worse",
    Effect.gen(function*() {
      const { id } = yield* open()
      yield* fraud.call("decide", { path: { id }, payload: { decision: "approve" } })
      assert.deepInclude(yield* assess(1, suspicious(), "post_auth"), { score: 40, outcome: "approve" })
      assert.strictEqual((yield* cases).length, 1)
      yield* assess(2, suspicious())
      const second = (yield* cases).find((one) => one.orderId === orderId(2))
      if (second === undefined) return assert.fail("a second case")
      yield* fraud.call("decide", { path: { id: second.id }, payload: { decision: "approve" } })
      assert.deepInclude(yield* assess(2, between, "post_auth"), { score: 48, outcome: "review" })
      assert.strictEqual((yield* cases).length, 3)
    })
  )

  test(
    "that join a reopened case must be decided anew, and the clock watches again",
    Effect.gen(function*() {
      const { id } = yield* open()
      yield* fraud.call("decide", { path: { id }, payload: { decision: "approve" } })
      yield* wait(3 * DAY)
      yield* fraud.call("claim", { path: { id }, payload: {} })
      yield* assess(1, between, "post_auth")
      const joined = yield* only
      assert.deepInclude(joined, { id, state: "investigating", score: 48 })
      assert.notProperty(joined, "decision")
      assert.strictEqual(joined.dueAt, instant((yield* TestClock.currentTimeMillis) + 48 * HOUR))
      yield* fraud.call("decide", { path: { id }, payload: { decision: "approve" } })
      assert.deepStrictEqual(yield* decided, [["approve", "test"], ["approve", "test"]])
    })
  )

  test(
    "are declined once a person has declined",
    Effect.gen(function*() {
      const { id } = yield* open()
      yield* fraud.call("decide", { path: { id }, payload: { decision: "decline" } })
      assert.deepInclude(yield* assess(1, plain(), "post_auth"), { score: 0, outcome: "decline" })
    })
  )
})

describe("the clock", () => {
  test(
    "reminds after 24 hours, approves mild cases after 48, and tells so once",
    Effect.gen(function*() {
      const { dueAt, openedAt } = yield* open()
      assert.strictEqual(Date.parse(dueAt) - Date.parse(openedAt), 48 * HOUR)
      yield* wait(24 * HOUR - 1)
      assert.deepStrictEqual((yield* only).notes, [])
      yield* wait(1)
      yield* wait(0)
      assert.strictEqual((yield* only).notes.length, 1)
      yield* wait(24 * HOUR - 1)
      assert.deepInclude(yield* only, { state: "pending" })
      yield* wait(1)
      yield* wait(0)
      yield* wait(DAY)
      assert.deepInclude(yield* only, { state: "closed", decision: "approve", outcome: "unset" })
      assert.deepStrictEqual(yield* decided, [["approve", "agent:fraud"]])
    })
  )

  test(
    "declines severe cases after 48 hours, also where it slept meanwhile",
    Effect.gen(function*() {
      yield* open(1, severe)
      yield* wait(30 * DAY)
      assert.deepStrictEqual(yield* decided, [["decline", "agent:fraud"]])
    })
  )

  test(
    "leaves what lies between to a person, and declines before the authorisation ends",
    Effect.gen(function*() {
      yield* open(1, between)
      const authExpiresAt = (yield* TestClock.currentTimeMillis) + 7 * DAY
      yield* fraud.hear(PaymentAuthorized, {
        orderId: orderId(1),
        paymentId: paymentId(1),
        amount: gbp(1),
        authExpiresAt: instant(authExpiresAt),
        risk: {}
      })
      yield* wait(48 * HOUR)
      yield* wait(DAY)
      assert.deepInclude(yield* only, { state: "pending" })
      assert.deepStrictEqual(yield* decided, [])
      assert.strictEqual((yield* only).notes.length, 2)
      yield* wait(7 * DAY - 72 * HOUR - HOUR - 1)
      assert.deepStrictEqual(yield* decided, [])
      yield* wait(1)
      assert.deepStrictEqual(yield* decided, [["decline", "agent:fraud"]])
    })
  )

  test(
    "F4: decides 12 hours before the authorisation ends, whenever that becomes known",
    Effect.gen(function*() {
      const now = yield* TestClock.currentTimeMillis
      yield* fraud.hear(AssessOrder, request(1, plain()))
      yield* fraud.hear(PaymentAuthorized, {
        orderId: orderId(1),
        paymentId: paymentId(1),
        amount: gbp(1),
        authExpiresAt: instant(now + 40 * HOUR),
        risk: {}
      })
      yield* assess(1, suspicious(), "post_auth")
      assert.strictEqual((yield* only).dueAt, instant(now + 28 * HOUR))
      yield* fraud.hear(AuthorizationExpiring, {
        orderId: orderId(1),
        paymentId: paymentId(1),
        authExpiresAt: instant(now + 30 * HOUR)
      })
      yield* wait(18 * HOUR - 1)
      assert.deepStrictEqual(yield* decided, [])
      yield* wait(1)
      assert.deepStrictEqual(yield* decided, [["approve", "agent:fraud"]])
    })
  )

  test(
    "wakes a snoozed case; a snooze into the past is refused and none delays the decision",
    Effect.gen(function*() {
      const { id } = yield* open()
      const now = yield* TestClock.currentTimeMillis
      const snooze = (until: number) =>
        fraud.call("snooze", { path: { id }, payload: { until: instant(until), note: "waiting for a call" } })
      assert.deepInclude(yield* Effect.flip(snooze(now)), { _tag: "InvalidRequest" })
      assert.deepInclude(yield* snooze(now + HOUR), { state: "snoozed", snoozedUntil: instant(now + HOUR) })
      yield* wait(HOUR)
      const woken = yield* only
      assert.deepInclude(woken, { state: "pending" })
      assert.notProperty(woken, "snoozedUntil")
      yield* snooze(now + 9 * DAY)
      yield* wait(48 * HOUR)
      yield* wait(0)
      assert.deepStrictEqual(yield* decided, [["approve", "agent:fraud"]])
    })
  )

  test(
    "handles many cases in one run, and finds nothing left to do",
    Effect.gen(function*() {
      yield* Effect.forEach(
        Array.from({ length: 120 }, (_, n) => n),
        (n) => fraud.hear(AssessOrder, request(n, suspicious(START + n * DAY))),
        { concurrency: "unbounded", discard: true }
      )
      yield* wait(24 * HOUR)
      yield* wait(24 * HOUR)
      assert.strictEqual((yield* decided).length, 120)
      const database = yield* Database
      const left = yield* database.read(Transaction.select(Cases, { where: [["nextAt", "is not null"]] }))
      assert.deepStrictEqual(left, [])
    })
  )
})

describe("a cancelled order", () => {
  const cancel = (full: boolean) =>
    fraud.hear(OrderCancelled, { orderId: orderId(1), reason: "customer", lines: [], refundDue: gbp(0), full })

  test(
    "ends its case without a decision; a part that is cancelled does not",
    Effect.gen(function*() {
      yield* open()
      yield* cancel(false)
      assert.deepInclude(yield* only, { state: "pending" })
      yield* cancel(true)
      const ended = yield* only
      assert.deepInclude(ended, { state: "closed", outcome: "unset" })
      assert.notProperty(ended, "decision")
      yield* wait(3 * DAY)
      assert.deepStrictEqual(yield* decided, [])
    })
  )

  test(
    "gets its verdict and no case, though the cancellation was heard first",
    Effect.gen(function*() {
      yield* cancel(true)
      assert.deepInclude(yield* assess(1, suspicious()), { outcome: "review" })
      assert.deepStrictEqual(yield* cases, [])
      assert.strictEqual((yield* fraud.said(OrderAssessed)).length, 1)
      const other = plain(START + HOUR, { customer: { guest: true } })
      assert.deepInclude(yield* assess(2, other), { outcome: "approve" })
    })
  )
})

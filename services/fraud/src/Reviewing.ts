import type { CaseOutcome, ReviewDecision } from "@holdfast/contracts/Fraud"
import { CaseStateConflict, CaseTaken } from "@holdfast/contracts/FraudErrors"
import { CaseOpened, ReviewDecided } from "@holdfast/contracts/FraudEvents"
import type { CaseId, OrderId } from "@holdfast/contracts/Id"
import { fromMillis } from "@holdfast/contracts/Instant"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as CaseState from "./Domain/CaseState.ts"
import * as ReviewTimer from "./Domain/ReviewTimer.ts"
import * as Labelling from "./Labelling.ts"
import type { CaseRow } from "./Repository.ts"
import * as Repository from "./Repository.ts"
import { CaseNotes, Cases } from "./Tables.ts"

/** Who decides where a clock does. */
const CLOCK = "agent:fraud"

const review = (row: Omit<CaseRow, "version">): ReviewTimer.Review => ({ ...row, decided: row.decision !== null })

/** The row with the moments that follow from it. */
const timed = <Row extends Omit<CaseRow, "version">>(row: Row): Row => ({
  ...row,
  dueAt: ReviewTimer.dueAt(row),
  nextAt: ReviewTimer.nextAt(review(row))
})

const change = (id: CaseId, edit: (row: CaseRow) => Partial<CaseRow>) =>
  Effect.gen(function*() {
    const now = yield* Transaction.now
    return yield* Transaction.update(Cases, { id }, (row) => timed({ ...row, ...edit(row), updatedAt: now }))
  })

const note = (caseId: CaseId, author: string, body: string | undefined) =>
  body === undefined ? Effect.void : Effect.gen(function*() {
    const { nextId, now } = yield* Transaction.Transaction
    yield* Transaction.insert(CaseNotes, { id: nextId("fcn"), caseId, at: now, author, body })
  })

/** The state after a step, or the refusal. */
const step = (row: CaseRow, by: CaseState.Step) => {
  const state = CaseState.step(row.state, by)
  return state === undefined
    ? Effect.fail(new CaseStateConflict({ caseId: row.id, state: row.state }))
    : Effect.succeed(state)
}

/** Opens a case for the order, or adds a further assessment to the one that is open. */
export const open = (orderId: OrderId, score: number, authExpiresAt: number | null) =>
  Effect.gen(function*() {
    const present = yield* Repository.openCaseOf(orderId)
    const { nextId, now } = yield* Transaction.Transaction
    if (present !== undefined) {
      return yield* change(present.id, (row) => ({
        score: Math.max(row.score, score),
        // A case that was decided and reopened must be decided anew: the order waits again.
        ...(row.decision === null ? {} : { decision: null, openedAt: now, remindedAt: null, escalatedAt: null })
      }))
    }
    const row = yield* Transaction.insert(
      Cases,
      timed({
        // The prefix makes it one.
        id: nextId("fcs") as CaseId,
        orderId,
        score,
        state: "pending",
        assignee: null,
        claimedBy: null,
        decision: null,
        outcome: "unset",
        openedAt: now,
        dueAt: now,
        authExpiresAt,
        snoozedUntil: null,
        remindedAt: null,
        escalatedAt: null,
        closedAt: null,
        nextAt: null,
        updatedAt: now
      })
    )
    yield* Transaction.emit(CaseOpened, { caseId: row.id, orderId, score, dueAt: fromMillis(row.dueAt) })
    return row
  })

/** Whether someone works on the case, or has put it aside. */
const isHeld = ({ state }: CaseRow): boolean => state === "investigating" || state === "snoozed"

/** Gives the case to someone; a closed one is reopened, its decision stands until another is made. */
export const claim = (row: CaseRow, principal: string, assignee: string) =>
  Effect.gen(function*() {
    if (isHeld(row) && row.assignee !== null && row.assignee !== assignee) {
      return yield* new CaseTaken({ caseId: row.id, assignee: row.assignee })
    }
    if (row.state === "investigating") return row
    const state = yield* step(row, "claim")
    return yield* change(row.id, () => ({
      state,
      assignee,
      claimedBy: principal,
      snoozedUntil: null,
      closedAt: null
    }))
  })

export interface Decision {
  readonly decision: ReviewDecision
  readonly outcome: CaseOutcome
  readonly by: string
  readonly note?: string | undefined
}

/** Closes the case. Each decision is told once: the same one again, after a reopening, says nothing new to the order. */
export const decide = (row: CaseRow, { by, decision, note: text, outcome }: Decision) =>
  Effect.gen(function*() {
    const state = yield* step(row, "decide")
    const now = yield* Transaction.now
    const decided = yield* change(row.id, () => ({ state, decision, outcome, closedAt: now, snoozedUntil: null }))
    yield* note(row.id, by, text)
    if (row.decision !== decision) {
      yield* Transaction.emit(ReviewDecided, { caseId: row.id, orderId: row.orderId, outcome: decision, by })
    }
    if (outcome !== row.outcome && outcome === "confirmed_fraud") {
      yield* Labelling.label(row.orderId, "confirmed", now, by)
    }
    if (outcome !== row.outcome && outcome === "false_positive") {
      yield* Labelling.label(row.orderId, "cleared", now, by)
    }
    return decided
  })

/** A person decides; not where another person has the case. */
export const decideBy = (row: CaseRow, principal: string, decision: Omit<Decision, "by">) =>
  isHeld(row) && row.claimedBy !== null && row.claimedBy !== principal
    ? Effect.fail(new CaseTaken({ caseId: row.id, assignee: row.assignee ?? row.claimedBy }))
    : decide(row, { ...decision, by: row.claimedBy === principal ? row.assignee ?? principal : principal })

export const snooze = (row: CaseRow, until: number, by: string, text: string | undefined) =>
  Effect.gen(function*() {
    const state = yield* step(row, "snooze")
    yield* note(row.id, by, text)
    return yield* change(row.id, () => ({ state, snoozedUntil: until }))
  })

/** The order has ended: nobody needs to decide any more. */
export const end = (orderId: OrderId) =>
  Effect.gen(function*() {
    const row = yield* Repository.openCaseOf(orderId)
    if (row === undefined) return
    const state = CaseState.step(row.state, "end")
    if (state === undefined) return
    const now = yield* Transaction.now
    yield* change(row.id, () => ({ state, closedAt: now, snoozedUntil: null }))
    yield* note(row.id, CLOCK, "The order was cancelled.")
  })

/** The authorisation's end is known (anew): the case must be decided before. */
export const authorizedUntil = (orderId: OrderId, authExpiresAt: number) =>
  Effect.flatMap(
    Repository.openCaseOf(orderId),
    (row) => row === undefined ? Effect.void : Effect.asVoid(change(row.id, () => ({ authExpiresAt })))
  )

const wake = (row: CaseRow) =>
  change(row.id, ({ state }) => ({ state: CaseState.step(state, "wake") ?? state, snoozedUntil: null }))

const act = (row: CaseRow, action: ReviewTimer.Action, now: number) => {
  switch (action) {
    case "wake":
      return wake(row)
    case "remind":
      return Effect.zipRight(
        note(row.id, CLOCK, "Open for 24 hours: decide soon."),
        change(row.id, () => ({ remindedAt: now }))
      )
    case "escalate":
      return Effect.zipRight(
        note(row.id, CLOCK, "Not decided in time, and the score is between both sides: a person must decide."),
        change(row.id, () => ({ escalatedAt: now }))
      )
    case "approve":
    case "decline":
      return decide(row, {
        decision: action,
        outcome: "unset",
        by: CLOCK,
        note: `Not decided in time: score ${row.score}.`
      })
  }
}

/** Cases that one run of the clock handles. */
const BATCH = 200

/** Does what is due for cases by the clock: wakes, reminds, and decides what people did not decide in time. */
export const tick = Effect.gen(function*() {
  const now = yield* Transaction.now
  const rows = yield* Transaction.select(Cases, {
    where: [["nextAt", "<=", now]],
    orderBy: [["nextAt", "asc"]],
    limit: BATCH
  })
  for (const row of rows) {
    const action = ReviewTimer.due(review(row), now)
    // What is due is what `nextAt` was computed from; a row without an action would be found for ever.
    yield* action === undefined ? change(row.id, () => ({})) : act(row, action, now)
  }
})

import { NotFound, VersionConflict } from "@holdfast/contracts/Errors"
import type { Assessment, FraudCase, Label, ListEntry, Ruleset } from "@holdfast/contracts/Fraud"
import type { CaseId, OrderId } from "@holdfast/contracts/Id"
import { fromMillis } from "@holdfast/contracts/Instant"
import type * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Assessments, CaseNotes, Cases, type Labels, type ListEntries, Rulesets } from "./Tables.ts"

export type AssessmentRow = Table.Row<typeof Assessments>
export type CaseRow = Table.Row<typeof Cases>
export type RulesetRow = Table.Row<typeof Rulesets>

/** The rows by their key, or `NotFound`. */
export const found = <A, E, R>(resource: string, id: string, row: Effect.Effect<Option.Option<A>, E, R>) =>
  Effect.flatMap(
    row,
    Option.match({ onNone: () => new NotFound({ resource, id }), onSome: Effect.succeed })
  )

/** Refuses an edit of what has changed since it was read. */
export const unchanged = (resource: string, id: string, actual: number, expected: number | undefined) =>
  expected === undefined || expected === actual
    ? Effect.void
    : Effect.fail(new VersionConflict({ resource, id, expected, actual }))

export const assessmentAt = (orderId: OrderId, stage: Assessment["stage"]) =>
  Effect.map(
    Transaction.select(Assessments, { where: [["orderId", "=", orderId], ["stage", "=", stage]], limit: 1 }),
    (rows) => rows[0]
  )

export const caseById = (id: CaseId) => found("case", id, Transaction.get(Cases, { id }))

/** The cases of an order, the last opened last. */
export const casesOf = (orderId: OrderId) =>
  Transaction.select(Cases, { where: [["orderId", "=", orderId]], orderBy: [["openedAt", "asc"], ["id", "asc"]] })

export const openCaseOf = (orderId: OrderId) =>
  Effect.map(casesOf(orderId), (rows) => rows.find(({ state }) => state !== "closed"))

/** The rules that are live, and those in shadow. */
export const rulesetsInUse = Effect.map(
  Transaction.select(Rulesets, { where: [["state", "in", ["live", "shadow"]]], orderBy: [["number", "asc"]] }),
  (rows) => ({
    live: rows.find(({ state }) => state === "live"),
    shadows: rows.filter(({ state }) => state === "shadow")
  })
)

const at = (millis: number | null) => millis === null ? undefined : fromMillis(millis)

/** Leaves out the keys whose value is undefined. */
const optional = <A extends object>(fields: A): { [N in keyof A]?: Exclude<A[N], undefined> } =>
  // The filter is what makes the type true.
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [N in keyof A]?: Exclude<A[N], undefined>
  }

export const assessmentView = (row: AssessmentRow): Assessment => ({
  id: row.id,
  orderId: row.orderId,
  stage: row.stage,
  rulesetVersion: row.ruleset,
  score: row.score,
  outcome: row.outcome,
  hits: row.hits,
  skipped: row.skipped,
  featuresHash: row.featuresHash,
  tookMs: row.tookMicros / 1000,
  fallback: row.fallback,
  assessedAt: fromMillis(row.at)
})

/** Cases with their notes and assessments, in two queries however many they are. */
export const caseViews = (rows: ReadonlyArray<CaseRow>) =>
  Effect.gen(function*() {
    const notes = yield* Transaction.select(CaseNotes, {
      where: [["caseId", "in", rows.map(({ id }) => id)]],
      orderBy: [["at", "asc"], ["id", "asc"]]
    })
    const assessments = yield* Transaction.select(Assessments, {
      where: [["orderId", "in", rows.map(({ orderId }) => orderId)]],
      orderBy: [["at", "asc"], ["id", "asc"]]
    })
    return rows.map((row): FraudCase => ({
      id: row.id,
      orderId: row.orderId,
      assessmentIds: assessments.filter(({ orderId }) => orderId === row.orderId).map(({ id }) => id),
      score: row.score,
      state: row.state,
      ...optional({ assignee: row.assignee ?? undefined, decision: row.decision ?? undefined }),
      outcome: row.outcome,
      openedAt: fromMillis(row.openedAt),
      dueAt: fromMillis(row.dueAt),
      ...optional({ snoozedUntil: at(row.snoozedUntil), closedAt: at(row.closedAt) }),
      notes: notes.filter(({ caseId }) => caseId === row.id).map(({ at, author, body }) => ({
        at: fromMillis(at),
        by: author,
        text: body
      })),
      updatedAt: fromMillis(row.updatedAt),
      version: row.version
    }))
  })

export const caseView = (row: CaseRow) =>
  Effect.flatMap(
    caseViews([row]),
    ([view]) => view === undefined ? Effect.dieMessage("one row, one view") : Effect.succeed(view)
  )

export const listEntryView = (row: Table.Row<typeof ListEntries>): ListEntry => ({
  list: row.list,
  kind: row.kind,
  valueHash: row.valueHash,
  reason: row.reason,
  ...optional({ expiresAt: at(row.expiresAt) }),
  by: row.addedBy,
  at: fromMillis(row.at),
  version: row.version
})

export const rulesetView = (row: RulesetRow): Ruleset => ({
  rulesetVersion: row.number,
  state: row.state,
  rules: row.rules,
  thresholds: row.thresholds,
  ...optional({ note: row.note ?? undefined }),
  createdAt: fromMillis(row.createdAt),
  updatedAt: fromMillis(row.updatedAt),
  version: row.version
})

export const labelView = ({ at, kind, orderId }: Table.Row<typeof Labels>): Label => ({
  orderId,
  kind,
  at: fromMillis(at)
})

import * as Handler from "@holdfast/agent/Handler"
import { InvalidRequest, NotFound } from "@holdfast/contracts/Errors"
import { FraudApi } from "@holdfast/contracts/FraudApi"
import { AlreadyAssessed } from "@holdfast/contracts/FraudErrors"
import { toMillis } from "@holdfast/contracts/Instant"
import * as Page from "@holdfast/contracts/Page"
import type * as Query from "@holdfast/database/Query"
import * as Transaction from "@holdfast/database/Transaction"
import { Degradation } from "@holdfast/resilience/Degradation"
import * as Effect from "effect/Effect"
import * as Assessing from "./Assessing.ts"
import * as Labelling from "./Labelling.ts"
import * as Lists from "./Lists.ts"
import * as Memory from "./Memory.ts"
import * as Repository from "./Repository.ts"
import * as Reviewing from "./Reviewing.ts"
import * as Rulesets from "./Rulesets.ts"
import { Assessments, Cases, ListEntries, Rulesets as RulesetTable } from "./Tables.ts"

type Where<T extends { readonly columns: Parameters<typeof Query.render>[0]["columns"] }> = ReadonlyArray<
  Query.Comparison<T["columns"]>
>

const page = (urlParams: { readonly limit?: number | undefined; readonly after?: Page.Position | undefined }) => {
  const limit = urlParams.limit ?? Page.defaultLimit
  return {
    size: limit,
    query: { limit: limit + 1, ...(urlParams.after === undefined ? {} : { after: urlParams.after }) }
  }
}

export const handlers = Handler.group(FraudApi, {
  assess: Handler.command(({ payload }) =>
    Effect.gen(function*() {
      const known = yield* Repository.assessmentAt(payload.orderId, payload.stage)
      if (known !== undefined) {
        if (known.featuresHash === Assessing.featuresHash(payload.features)) return Repository.assessmentView(known)
        return yield* new AlreadyAssessed({ orderId: payload.orderId, assessmentId: known.id })
      }
      const { current } = yield* Degradation
      const row = yield* Assessing.assess(payload, { counters: current().level === 2 ? "stale" : "fresh" })
      return Repository.assessmentView(row)
    })
  ),

  getAssessment: Handler.query(({ path: { id } }) =>
    Effect.map(Repository.found("assessment", id, Transaction.get(Assessments, { id })), Repository.assessmentView)
  ),

  listAssessments: Handler.query(({ urlParams }) => {
    const { query, size } = page(urlParams)
    const where: Where<typeof Assessments> = [
      ...(urlParams.orderId === undefined ? [] : [["orderId", "=", urlParams.orderId]] as const),
      ...(urlParams.outcome === undefined ? [] : [["outcome", "=", urlParams.outcome]] as const)
    ]
    return Effect.map(
      Transaction.select(Assessments, { where, orderBy: [["at", "asc"], ["id", "asc"]], ...query }),
      (rows) => Page.make(rows, size, ({ at, id }) => [at, id], Repository.assessmentView)
    )
  }),

  listCases: Handler.query(({ urlParams }) =>
    Effect.gen(function*() {
      const { query, size } = page(urlParams)
      const where: Where<typeof Cases> = [
        ...(urlParams.state === undefined ? [] : [["state", "=", urlParams.state]] as const),
        ...(urlParams.orderId === undefined ? [] : [["orderId", "=", urlParams.orderId]] as const),
        ...(urlParams.assignee === undefined ? [] : [["assignee", "=", urlParams.assignee]] as const),
        ...(urlParams.updatedSince === undefined
          ? []
          : [["updatedAt", ">=", toMillis(urlParams.updatedSince)]] as const)
      ]
      const rows = yield* Transaction.select(Cases, { where, orderBy: [["openedAt", "asc"], ["id", "asc"]], ...query })
      const views = new Map((yield* Repository.caseViews(rows.slice(0, size))).map((view) => [view.id, view]))
      const listed = Page.make(rows, size, ({ id, openedAt }) => [openedAt, id], ({ id }) => views.get(id))
      return { ...listed, items: listed.items.filter((view) => view !== undefined) }
    })
  ),

  getCase: Handler.query(({ path }) => Effect.flatMap(Repository.caseById(path.id), Repository.caseView)),

  claim: Handler.command(({ expectedVersion, path, payload, principal }) =>
    Effect.gen(function*() {
      const row = yield* Repository.caseById(path.id)
      yield* Repository.unchanged("case", row.id, row.version, expectedVersion)
      return yield* Repository.caseView(yield* Reviewing.claim(row, principal, payload.assignee ?? principal))
    })
  ),

  decide: Handler.command(({ expectedVersion, path, payload: { decision, note, outcome }, principal }) =>
    Effect.gen(function*() {
      const row = yield* Repository.caseById(path.id)
      yield* Repository.unchanged("case", row.id, row.version, expectedVersion)
      const decided = yield* Reviewing.decideBy(row, principal, {
        decision,
        outcome: outcome ?? (decision === "approve" ? "false_positive" : "suspicious"),
        note
      })
      return yield* Repository.caseView(decided)
    })
  ),

  snooze: Handler.command(({ expectedVersion, path, payload, principal }) =>
    Effect.gen(function*() {
      const row = yield* Repository.caseById(path.id)
      yield* Repository.unchanged("case", row.id, row.version, expectedVersion)
      const until = toMillis(payload.until)
      if (until <= (yield* Transaction.now)) {
        return yield* new InvalidRequest({ issues: [{ path: "until", message: "must lie in the future" }] })
      }
      return yield* Repository.caseView(yield* Reviewing.snooze(row, until, principal, payload.note))
    })
  ),

  addToList: Handler.command(({ path, payload, principal }) =>
    Effect.map(Lists.put(path.list, payload, principal), Repository.listEntryView)
  ),

  removeFromList: Handler.command(({ path }) => Effect.map(Lists.take(path), Repository.listEntryView)),

  listEntries: Handler.query(({ path, urlParams }) => {
    const { query, size } = page(urlParams)
    const where: Where<typeof ListEntries> = [
      ["list", "=", path.list],
      ...(urlParams.kind === undefined ? [] : [["kind", "=", urlParams.kind]] as const),
      ...(urlParams.valueHash === undefined ? [] : [["valueHash", "=", urlParams.valueHash]] as const)
    ]
    return Effect.map(
      Transaction.select(ListEntries, { where, orderBy: [["kind", "asc"], ["valueHash", "asc"]], ...query }),
      (rows) => Page.make(rows, size, ({ kind, valueHash }) => [kind, valueHash], Repository.listEntryView)
    )
  }),

  createRuleset: Handler.command(({ payload }) => Effect.map(Rulesets.create(payload), Repository.rulesetView)),

  listRulesets: Handler.query(({ urlParams }) => {
    const { query, size } = page(urlParams)
    const where: Where<typeof RulesetTable> = urlParams.state === undefined ? [] : [["state", "=", urlParams.state]]
    return Effect.map(
      Transaction.select(RulesetTable, { where, orderBy: [["number", "desc"]], ...query }),
      (rows) => Page.make(rows, size, ({ number }) => [number], Repository.rulesetView)
    )
  }),

  getRuleset: Handler.query(({ path }) => Effect.map(Rulesets.byNumber(path.version), Repository.rulesetView)),

  shadow: Handler.command(({ expectedVersion, path }) =>
    Effect.gen(function*() {
      const row = yield* Rulesets.byNumber(path.version)
      yield* Repository.unchanged("ruleset", String(row.number), row.version, expectedVersion)
      return Repository.rulesetView(yield* Rulesets.advance(row, "shadow"))
    })
  ),

  publish: Handler.command(({ expectedVersion, path }) =>
    Effect.gen(function*() {
      const row = yield* Rulesets.byNumber(path.version)
      yield* Repository.unchanged("ruleset", String(row.number), row.version, expectedVersion)
      return Repository.rulesetView(yield* Rulesets.publish(row))
    })
  ),

  stats: Handler.query(({ path }) => Rulesets.stats(path.version)),

  label: Handler.command(({ payload: { at, kind, orderId }, principal }) =>
    Effect.gen(function*() {
      if ((yield* Memory.assessedProfile(orderId)) === undefined) {
        return yield* new NotFound({ resource: "assessed order", id: orderId })
      }
      const now = yield* Transaction.now
      const row = yield* Labelling.label(orderId, kind, at === undefined ? now : toMillis(at), principal)
      return Repository.labelView(row)
    })
  )
})

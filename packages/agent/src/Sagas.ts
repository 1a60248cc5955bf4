import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { CommandPolicy } from "@holdfast/contracts/CommandPolicy"
import { Description, Summary } from "@holdfast/contracts/Documentation"
import { Common, NotFound } from "@holdfast/contracts/Errors"
import * as Page from "@holdfast/contracts/Page"
import { problem } from "@holdfast/contracts/Problem"
import type { Database } from "@holdfast/database/Database"
import type { WriteError } from "@holdfast/database/StoreError"
import { Sagas, SagaState } from "@holdfast/database/SystemTables"
import type { Row } from "@holdfast/database/Table"
import type { Reader, Transaction } from "@holdfast/database/Transaction"
import * as Transactions from "@holdfast/database/Transaction"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Part } from "./Agent.ts"
import * as Handler from "./Handler.ts"
import type { Peer } from "./Peer.ts"

/**
 * The saga has ended, or is already being undone: there is nothing to move.
 *
 * @category errors
 */
export class SagaSettled extends Schema.TaggedError<SagaSettled>()(
  "SagaSettled",
  { id: Schema.String },
  problem({
    code: "saga_settled",
    status: 409,
    title: "The saga cannot be moved",
    detail: "Read the saga: it has ended, or it is being undone already; there is nothing to retry or to undo.",
    severity: "low",
    recovery: "fail"
  })
) {}

/** A saga as operators see it. */
export const SagaView = Schema.Struct({
  id: Schema.String,
  type: Schema.String,
  key: Schema.String.annotations({ description: "What it is about, e.g. the order" }),
  state: SagaState,
  step: Schema.String,
  misses: Schema.Number.annotations({ description: "Deadlines missed in this step" }),
  deadlineAt: Schema.optional(Schema.String),
  lastError: Schema.optional(Schema.String),
  startedAt: Schema.String,
  endedAt: Schema.optional(Schema.String)
}).annotations({ identifier: "SagaView" })

const iso = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(millis))

const shown = (row: Row<typeof Sagas>): typeof SagaView.Type => ({
  id: row.id,
  type: row.type,
  key: row.key,
  state: row.state,
  step: row.step,
  misses: row.misses,
  ...(row.deadlineAt === null ? {} : { deadlineAt: iso(row.deadlineAt) }),
  ...(row.lastError === null ? {} : { lastError: row.lastError }),
  startedAt: iso(row.startedAt),
  ...(row.endedAt === null ? {} : { endedAt: iso(row.endedAt) })
})

const byId = Schema.Struct({ id: Schema.String })

/**
 * What an agent that owns sagas answers about them.
 *
 * @category apis
 */
export const SagasApi = HttpApiGroup.make("sagas")
  .add(
    HttpApiEndpoint.get("sagas", "/sagas")
      .setUrlParams(Schema.Struct({
        ...Page.parameters,
        state: Schema.optional(SagaState),
        key: Schema.optional(Schema.String.pipe(Schema.maxLength(128)))
      }))
      .addSuccess(Page.of(SagaView))
      .annotate(Summary, "List sagas, oldest first")
      .annotate(Description, "`state=needs_operator` lists those that wait for a person.")
  )
  .add(
    HttpApiEndpoint.get("saga", "/sagas/:id")
      .setPath(byId)
      .addSuccess(SagaView)
      .annotate(Summary, "Read a saga")
  )
  .add(
    HttpApiEndpoint.post("retrySaga", "/sagas/:id/retry")
      .setPath(byId)
      .addSuccess(SagaView)
      .addError(SagaSettled)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Ask the saga's current step again")
      .annotate(Description, "Under the same ids: who has handled the command already does not handle it twice.")
  )
  .add(
    HttpApiEndpoint.post("compensateSaga", "/sagas/:id/compensate")
      .setPath(byId)
      .addSuccess(SagaView)
      .addError(SagaSettled)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Give a saga up and undo what it did")
  )
  .addError(Common)

/** What the admin routes and the agent need of a saga, whatever its data. */
type Operable<R> = Part<R> & {
  readonly operate: (
    id: string,
    wish: "retry" | "compensate"
  ) => Effect.Effect<boolean, WriteError, R>
}

type Needs = Transaction | Reader | Peer | Database

const read = (id: string) =>
  Effect.flatMap(
    Transactions.get(Sagas, { id }),
    Option.match({ onNone: () => Effect.fail(new NotFound({ resource: "saga", id })), onSome: Effect.succeed })
  )

/**
 * All sagas of an agent as one part: their answers, their deadlines, and the routes by which operators see and move them.
 *
 * @category constructors
 */
export const part = <R = never>(...sagas: ReadonlyArray<Operable<R | Needs>>): Part<R | Needs> => {
  const operate = (wish: "retry" | "compensate", id: string) =>
    Effect.gen(function*() {
      yield* read(id)
      // The saga of another type does nothing: only its own definition moves it.
      const moved = yield* Effect.forEach(sagas, (saga) => saga.operate(id, wish))
      if (!moved.includes(true)) return yield* new SagaSettled({ id })
      return shown(yield* read(id))
    })
  return {
    name: "sagas",
    subscriptions: sagas.flatMap((saga) => saga.subscriptions),
    jobs: sagas.flatMap((saga) => saga.jobs),
    surfaces: [{
      api: SagasApi,
      handlers: Handler.group(SagasApi, {
        sagas: Handler.query(({ urlParams }) => {
          const limit = urlParams.limit ?? Page.defaultLimit
          return Effect.map(
            Transactions.select(Sagas, {
              where: [
                ...(urlParams.state === undefined ? [] : [["state", "=", urlParams.state] as const]),
                ...(urlParams.key === undefined ? [] : [["key", "=", urlParams.key] as const])
              ],
              orderBy: [["startedAt", "asc"], ["id", "asc"]],
              limit: limit + 1,
              ...(urlParams.after === undefined ? {} : { after: urlParams.after })
            }),
            (rows) => Page.make(rows, limit, (row) => [row.startedAt, row.id], shown)
          )
        }),
        saga: Handler.query(({ path }) => Effect.map(read(path.id), shown)),
        retrySaga: Handler.command(({ path }) => operate("retry", path.id)),
        compensateSaga: Handler.command(({ path }) => operate("compensate", path.id))
      })
    }]
  }
}

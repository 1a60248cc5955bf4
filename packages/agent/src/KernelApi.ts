import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { CommandPolicy } from "@holdfast/contracts/CommandPolicy"
import { Description, Summary } from "@holdfast/contracts/Documentation"
import { Common, NotFound, StoreUnavailable } from "@holdfast/contracts/Errors"
import * as Page from "@holdfast/contracts/Page"
import { Database } from "@holdfast/database/Database"
import { DeadLetters as Letters, DeadLetterStatus } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import type { Consumer } from "@holdfast/messaging/Consumer"
import * as DeadLetters from "@holdfast/messaging/DeadLetters"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Surface } from "./Agent.ts"
import * as ConflictView from "./ConflictView.ts"
import * as Drill from "./Drill.ts"
import * as Handler from "./Handler.ts"
import * as OperationFate from "./OperationFate.ts"
import * as PrimaryErrors from "./PrimaryErrors.ts"

/**
 * The consumer of the agent at hand, for its admin routes.
 *
 * @category services
 */
export class MessageConsumer
  extends Context.Tag("@holdfast/agent/KernelApi/MessageConsumer")<MessageConsumer, Pick<Consumer, "replay">>()
{
}

/**
 * A message that could not be handled, as operators see it.
 *
 * @category schemas
 */
export const DeadLetter = Schema.Struct({
  id: Schema.String,
  status: DeadLetterStatus,
  type: Schema.String,
  topic: Schema.String,
  source: Schema.String,
  key: Schema.String,
  errorCode: Schema.String,
  errorMessage: Schema.String,
  attempts: Schema.Number,
  firstAt: Schema.String,
  nextAt: Schema.optional(Schema.String),
  settledBy: Schema.optional(Schema.String)
}).annotations({ identifier: "DeadLetter" })

const iso = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(millis))

const shown = (letter: DeadLetters.DeadLetter): typeof DeadLetter.Type => ({
  id: letter.id,
  status: letter.status,
  type: letter.type,
  topic: letter.topic,
  source: letter.source,
  key: letter.key,
  errorCode: letter.errorCode,
  errorMessage: letter.errorMessage,
  attempts: letter.attempts,
  firstAt: iso(letter.firstAt),
  ...(letter.nextAt === null ? {} : { nextAt: iso(letter.nextAt) }),
  ...(letter.settledBy === null ? {} : { settledBy: letter.settledBy })
})

const byId = Schema.Struct({ id: Schema.String })

/**
 * What every agent answers besides its own API, under the same prefix.
 *
 * @category apis
 */
export const KernelApi = HttpApiGroup.make("kernel")
  .add(
    HttpApiEndpoint.get("deadLetters", "/dead-letters")
      .setUrlParams(Schema.Struct({ ...Page.parameters, status: Schema.optional(DeadLetterStatus) }))
      .addSuccess(Page.of(DeadLetter))
      .annotate(Summary, "List messages that could not be handled")
      .annotate(
        Description,
        "In the order in which they came: open ones wait for a decision, parked ones are tried again."
      )
  )
  .add(
    HttpApiEndpoint.get("deadLetter", "/dead-letters/:id")
      .setPath(byId)
      .addSuccess(Schema.Struct({ ...DeadLetter.fields, envelope: Schema.Unknown }))
      .annotate(Summary, "Read a dead letter with its message")
  )
  .add(
    HttpApiEndpoint.post("replayDeadLetter", "/dead-letters/:id/replay")
      .setPath(byId)
      .addSuccess(DeadLetter)
      .addError(DeadLetters.DeadLetterMissing)
      .addError(DeadLetters.DeadLetterSettled)
      .addError(DeadLetters.DeadLetterBehind)
      .addError(DeadLetters.ReplayFailed)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Handle a dead letter's message now")
      .annotate(Description, "Under its own id: it takes effect at most once, however often it is replayed.")
  )
  .add(
    HttpApiEndpoint.post("discardDeadLetter", "/dead-letters/:id/discard")
      .setPath(byId)
      .addSuccess(DeadLetter)
      .addError(DeadLetters.DeadLetterMissing)
      .addError(DeadLetters.DeadLetterSettled)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Give a message up for good")
      .annotate(Description, "Those of its key that wait behind it go on.")
  )
  .add(
    HttpApiEndpoint.get("conflicts", "/conflicts")
      .setUrlParams(Schema.Struct({ ...Page.parameters, status: Schema.optional(ConflictView.ConflictStatus) }))
      .addSuccess(Page.of(ConflictView.ConflictView))
      .annotate(Summary, "List operations of an outage that could not merge")
      .annotate(
        Description,
        "The oldest outage first; `status=open` lists those that wait for a decision."
      )
  )
  .add(
    HttpApiEndpoint.get("conflict", "/conflicts/:id")
      .setPath(byId)
      .addSuccess(ConflictView.ConflictView)
      .annotate(Summary, "Read an operation that could not merge, with its rows as both sides have them")
  )
  .add(
    HttpApiEndpoint.post("settleConflict", "/conflicts/:id/settle")
      .setPath(byId)
      .setPayload(Schema.Struct({ keep: Schema.Literal("outage", "primary") }))
      .addSuccess(ConflictView.ConflictView)
      .addError(PrimaryErrors.PrimaryNotConfigured)
      .addError(PrimaryErrors.PrimaryAway)
      .addError(PrimaryErrors.ConflictSettled)
      .addError(PrimaryErrors.SettleRefused)
      .annotate(CommandPolicy, { writeClass: "refused", idempotencyKey: "optional" })
      .annotate(Summary, "Decide an operation that could not merge")
      .annotate(
        Description,
        "`keep: outage` applies its changes over what Postgres has (counters are added), `keep: primary` drops them. " +
          "Those that wait behind it are tried again."
      )
  )
  .add(
    HttpApiEndpoint.get("drill", "/drill")
      .addSuccess(Drill.DrillView)
      .annotate(Summary, "Read the last drill, or the one under way")
  )
  .add(
    HttpApiEndpoint.post("beginDrill", "/drill")
      .setPayload(Schema.Struct({ seconds: Drill.Seconds }))
      .addSuccess(Drill.DrillView, { status: 202 })
      .addError(PrimaryErrors.PrimaryNotConfigured)
      .addError(PrimaryErrors.PrimaryAway)
      .addError(Drill.DrillRunning)
      .addError(Drill.DrillForbidden)
      .addError(Drill.DrillUntimely)
      .annotate(CommandPolicy, { writeClass: "refused", idempotencyKey: "optional" })
      .annotate(Summary, "Leave the healthy Postgres for some seconds, come back and compare everything")
      .annotate(Description, "It goes on in the background; GET the same path for its report. Nothing is lost by it.")
  )
  .add(
    HttpApiEndpoint.get("operation", "/ops/:id")
      .setPath(byId)
      .addSuccess(OperationFate.OperationFate)
      .annotate(Summary, "Read what became of an operation")
      .annotate(Description, "The `Location` of a request that was accepted during an outage (202) leads here.")
  )
  .addError(Common)

const read = (id: string) =>
  Effect.flatMap(
    Transaction.get(Letters, { id }),
    Option.match({
      onNone: () => Effect.fail(new NotFound({ resource: "dead letter", id })),
      onSome: Effect.succeed
    })
  )

/** Decides once; the same decision asked for again is answered with what it has led to. */
const settle = (id: string, keep: "outage" | "primary", by: string) =>
  Effect.gen(function*() {
    const database = yield* Database
    if (database.primary === undefined) return yield* new PrimaryErrors.PrimaryNotConfigured()
    const known = yield* database.read(ConflictView.read(id))
    const wanted = keep === "outage" ? "applied" : "discarded"
    if (known.status === wanted) return known
    if (known.status !== "open") return yield* new PrimaryErrors.ConflictSettled({ id, status: known.status })
    yield* Effect.catchTags(database.primary.settle(id, keep, by), {
      PrimaryAway: () => new PrimaryErrors.PrimaryAway(),
      SettleRefused: ({ detail }) => new PrimaryErrors.SettleRefused({ id, reason: detail }),
      // Somebody else was faster: what stands now tells whether it is the same decision.
      NothingWithheld: () => Effect.void
    })
    const settled = yield* database.read(ConflictView.read(id))
    return settled.status === wanted
      ? settled
      : yield* new PrimaryErrors.ConflictSettled({ id, status: settled.status })
  })

const handlers = Handler.group(KernelApi, {
  deadLetters: Handler.query(({ urlParams }) => {
    const limit = urlParams.limit ?? Page.defaultLimit
    const [firstAt, id] = urlParams.after ?? []
    return Effect.map(
      DeadLetters.list({
        limit: limit + 1,
        ...(urlParams.status === undefined ? {} : { status: urlParams.status }),
        ...(typeof firstAt === "number" && typeof id === "string" ? { after: { firstAt, id } } : {})
      }),
      (letters) => Page.make(letters, limit, (letter) => [letter.firstAt, letter.id], shown)
    )
  }),
  deadLetter: Handler.query(({ path }) =>
    Effect.map(read(path.id), (letter) => ({ ...shown(letter), envelope: letter.envelope }))
  ),
  replayDeadLetter: Handler.action(({ path, principal }) =>
    Effect.gen(function*() {
      const consumer = yield* MessageConsumer
      const database = yield* Database
      yield* Effect.mapError(
        consumer.replay(path.id, principal),
        (error) => error._tag === "DependencyAway" ? new StoreUnavailable() : error
      )
      return shown(yield* database.read(read(path.id)))
    })
  ),
  discardDeadLetter: Handler.command(({ path, principal }) =>
    Effect.zipRight(DeadLetters.discard(path.id, principal), Effect.map(read(path.id), shown))
  ),
  conflicts: Handler.query(({ urlParams }) => {
    const limit = urlParams.limit ?? Page.defaultLimit
    return Effect.map(
      ConflictView.list({
        limit: limit + 1,
        ...(urlParams.status === undefined ? {} : { status: urlParams.status }),
        ...(urlParams.after === undefined ? {} : { after: urlParams.after })
      }),
      (conflicts) => Page.make(conflicts, limit, ConflictView.positionOf, (conflict) => conflict)
    )
  }),
  conflict: Handler.query(({ path }) => ConflictView.read(path.id)),
  settleConflict: Handler.action(({ path, payload, principal }) => settle(path.id, payload.keep, principal)),
  drill: Handler.action(() => Effect.map(Drill.Drills, (drills) => drills.current())),
  beginDrill: Handler.action(({ payload }) => Effect.flatMap(Drill.Drills, (drills) => drills.begin(payload.seconds))),
  operation: Handler.query(({ path }) => OperationFate.read(path.id))
})

/**
 * The routes with their handlers.
 *
 * @category routes
 */
export const surface: Surface<Handler.Context<typeof handlers>> = { api: KernelApi, handlers }

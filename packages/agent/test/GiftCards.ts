import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { CommandPolicy } from "@holdfast/contracts/CommandPolicy"
import { Summary } from "@holdfast/contracts/Documentation"
import { Common, DegradedWriteRefused, VersionConflict } from "@holdfast/contracts/Errors"
import * as Message from "@holdfast/contracts/Message"
import * as Problem from "@holdfast/contracts/Problem"
import * as Migration from "@holdfast/database/Migration"
import * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import { NotYet, Unprocessable } from "@holdfast/messaging/DeliveryError"
import * as Subscription from "@holdfast/messaging/Subscription"
import { Context, Effect, Layer, Option, Schema } from "effect"
import * as Agent from "../src/Agent.ts"
import * as Handler from "../src/Handler.ts"
import * as Job from "../src/Job.ts"

export const Card = Table.make("card", {
  columns: {
    id: Table.text,
    amount: Table.integer,
    note: Table.text,
    state: Table.textOf(Schema.Literal("active", "blocked", "expired")),
    expiresAt: Table.integer,
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})

const CardShape = Schema.Struct({
  id: Schema.String,
  amount: Schema.Int,
  note: Schema.String,
  state: Schema.Literal("active", "blocked", "expired"),
  version: Schema.Int
}).annotations({ identifier: "Card" })

export class CardBlocked extends Schema.TaggedError<CardBlocked>()(
  "CardBlocked",
  { id: Schema.String },
  Problem.problem({
    code: "card_blocked",
    status: 409,
    title: "The card is blocked",
    detail: "Use another card.",
    severity: "low",
    recovery: "fail"
  })
) {}

export class CardMissing extends Schema.TaggedError<CardMissing>()(
  "CardMissing",
  { id: Schema.String },
  Problem.problem({
    code: "card_missing",
    status: 404,
    title: "No such card",
    detail: "Check the id.",
    severity: "low",
    recovery: "fail"
  })
) {}

const Issue = Schema.Struct({
  amount: Schema.Int.pipe(Schema.between(1, 1_000_000)),
  note: Schema.optionalWith(Schema.String.pipe(Schema.maxLength(200)), { default: () => "" }),
  lines: Schema.optional(
    Schema.Array(Schema.Struct({ sku: Schema.String, qty: Schema.Int.pipe(Schema.positive()) })).pipe(
      Schema.maxItems(500)
    )
  )
})

const byId = Schema.Struct({ id: Schema.String.pipe(Schema.pattern(/^card_[0-9A-Z]{26}$/)) })

export const GiftCardApi = HttpApiGroup.make("giftcard")
  .add(
    HttpApiEndpoint.post("issue", "/cards").setPayload(Issue).addSuccess(CardShape, { status: 201 })
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
      .annotate(Summary, "Issue a card")
  )
  .add(HttpApiEndpoint.get("read", "/cards/:id").setPath(byId).addSuccess(CardShape).addError(CardMissing))
  .add(
    HttpApiEndpoint.get("list", "/cards")
      .setUrlParams(Schema.Struct({ note: Schema.optional(Schema.String) }))
      .addSuccess(Schema.Struct({ items: Schema.Array(CardShape) }))
  )
  .add(
    HttpApiEndpoint.patch("annotate", "/cards/:id").setPath(byId)
      .setPayload(Schema.Struct({ note: Schema.String.pipe(Schema.maxLength(200)) }))
      .addSuccess(CardShape).addError(CardMissing)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional", ifMatch: "required" })
  )
  .add(
    HttpApiEndpoint.post("redeem", "/cards/:id/redeem").setPath(byId)
      .setPayload(Schema.Struct({ amount: Schema.Int.pipe(Schema.positive()) }))
      .addSuccess(CardShape).addError(CardMissing).addError(CardBlocked)
      .annotate(CommandPolicy, { writeClass: "bounded", idempotencyKey: "required" })
  )
  .add(
    HttpApiEndpoint.post("block", "/cards/:id/block").setPath(byId)
      .addSuccess(CardShape).addError(CardMissing).addError(CardBlocked)
      .annotate(CommandPolicy, { writeClass: "provisional", idempotencyKey: "optional" })
  )
  .add(
    HttpApiEndpoint.post("write-off", "/cards/:id/write-off").setPath(byId)
      .addSuccess(CardShape).addError(CardMissing)
      .annotate(CommandPolicy, { writeClass: "refused", idempotencyKey: "optional" })
  )
  .add(
    HttpApiEndpoint.post("webhook", "/webhooks")
      .addSuccess(Schema.Struct({ bytes: Schema.Int }), { status: 202 })
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
  )
  .add(
    HttpApiEndpoint.post("break", "/break")
      .addSuccess(Schema.Void)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
  )
  .add(HttpApiEndpoint.get("slow", "/slow").addSuccess(Schema.Struct({ waited: Schema.Int })))
  .addError(Common)

export const CardIssued = Message.event("giftcard.issued", {
  payload: Schema.Struct({ cardId: Schema.String, amount: Schema.Int }),
  key: (payload) => payload.cardId
})

/** An order that was confirmed elsewhere: a stand-in for another agent's event. */
export const CardWished = Message.event("giftcard.wished", {
  payload: Schema.Struct({ wish: Schema.String, amount: Schema.Int }),
  key: (payload) => payload.wish
})

/** Says how long the slow route takes: an outside party that a test decides about. */
export class Pace
  extends Context.Tag("@holdfast/agent/test/GiftCards/Pace")<Pace, { readonly wait: Effect.Effect<number> }>()
{}

const existing = (id: string) =>
  Effect.flatMap(
    Transaction.get(Card, { id }),
    Option.match({ onNone: () => Effect.fail(new CardMissing({ id })), onSome: Effect.succeed })
  )

const newCard = (amount: number, note: string) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const card = yield* Transaction.insert(Card, {
      id: tx.nextId("card"),
      amount,
      note,
      state: "active",
      expiresAt: tx.now + 3_600_000
    })
    yield* Transaction.emit(CardIssued, { cardId: card.id, amount })
    return card
  })

const handlers = Handler.group(GiftCardApi, {
  issue: Handler.command(({ payload }) => newCard(payload.amount, payload.note)),
  read: Handler.query(({ path }) => existing(path.id)),
  list: Handler.query(({ urlParams }) =>
    Effect.map(
      Transaction.select(Card, {
        where: urlParams.note === undefined ? [] : [["note", "=", urlParams.note]],
        limit: 100
      }),
      (items) => ({ items })
    )
  ),
  annotate: Handler.command(({ expectedVersion, path, payload }) =>
    Effect.gen(function*() {
      const card = yield* existing(path.id)
      if (card.version !== expectedVersion) {
        return yield* new VersionConflict({ resource: "card", id: card.id, actual: card.version })
      }
      return yield* Transaction.update(Card, { id: path.id }, (row) => ({ ...row, note: payload.note }))
    })
  ),
  redeem: Handler.command(({ path, payload }) =>
    Effect.gen(function*() {
      // An amount that a bound forbids for now.
      if (payload.amount === 503) return yield* new DegradedWriteRefused({ level: 1 })
      const card = yield* existing(path.id)
      if (card.state !== "active") return yield* new CardBlocked({ id: card.id })
      return yield* Transaction.update(
        Card,
        { id: path.id },
        (row) => ({ ...row, amount: row.amount - payload.amount })
      )
    })
  ),
  block: Handler.command(({ path }) =>
    Effect.gen(function*() {
      const card = yield* existing(path.id)
      if (card.note === "a bug") return yield* Effect.dieMessage("a bug")
      if (card.state === "blocked") return yield* new CardBlocked({ id: card.id })
      return yield* Transaction.update(Card, { id: path.id }, (row) => ({ ...row, state: "blocked" as const }))
    })
  ),
  "write-off": Handler.command(({ path }) =>
    Effect.flatMap(existing(path.id), ({ id }) => Transaction.update(Card, { id }, (row) => ({ ...row, amount: 0 })))
  ),
  webhook: Handler.command(({ rawBody }) => Effect.succeed({ bytes: rawBody.length })),
  break: Handler.command(() => Effect.die("secret: the handler is broken")),
  slow: Handler.query(() => Effect.map(Effect.flatMap(Pace, (pace) => pace.wait), (waited) => ({ waited })))
})

export const giftCards = Agent.make({
  name: "giftcard",
  title: "Gift cards",
  tables: [Card],
  migrations: [
    Migration.make("0001_initial", [
      `create table card (
        id text primary key, amount bigint not null check (amount >= 0), note text not null,
        state text not null, expires_at bigint not null, version bigint not null
      )`
    ])
  ],
  api: GiftCardApi,
  handlers,
  subscriptions: [
    Subscription.on(CardWished, ({ amount, wish }) =>
      Effect.gen(function*() {
        if (wish === "impossible") {
          return yield* new Unprocessable({ code: "impossible", detail: "nobody can grant this" })
        }
        if (wish === "later") {
          return yield* new NotYet({ detail: "not now" })
        }
        return yield* newCard(amount, wish)
      }))
  ],
  jobs: [
    Job.timer(
      "expire",
      "1 second",
      Effect.gen(function*() {
        const now = yield* Transaction.now
        const due = yield* Transaction.select(Card, { where: [["expiresAt", "<", now], ["state", "=", "active"]] })
        for (const card of due) {
          yield* Transaction.update(Card, { id: card.id }, (row) => ({ ...row, state: "expired" as const }))
        }
      })
    )
  ]
})

/** The agent with a slow route that waits in real time. */
export const giftCardsIn = (wait: Effect.Effect<number>) => Agent.provide(giftCards, Layer.succeed(Pace, { wait }))

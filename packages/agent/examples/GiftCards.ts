import { HttpApiEndpoint, HttpApiGroup } from "@effect/platform"
import * as Agent from "@holdfast/agent/Agent"
import * as Handler from "@holdfast/agent/Handler"
import * as Job from "@holdfast/agent/Job"
import { CommandPolicy } from "@holdfast/contracts/CommandPolicy"
import * as Message from "@holdfast/contracts/Message"
import { OrderConfirmed } from "@holdfast/contracts/OrderEvents"
import * as Migration from "@holdfast/database/Migration"
import * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Subscription from "@holdfast/messaging/Subscription"
import { Effect, Schema } from "effect"

export const Card = Table.make("card", {
  columns: { id: Table.text, pence: Table.integer, expiresAt: Table.integer, version: Table.integer },
  key: ["id"],
  merge: Table.versioned
})
const initial = Migration.make("0001_initial", [
  "create table card (id text primary key, pence bigint not null, expires_at bigint not null, version bigint not null)"
])
export const Issued = Message.event("giftcard.issued", {
  payload: Schema.Struct({ cardId: Schema.String, pence: Schema.Int }),
  key: ({ cardId }) => cardId
})

export const GiftCardApi = HttpApiGroup.make("giftcard").add(
  HttpApiEndpoint.post("issue", "/cards").setPayload(Schema.Struct({ pence: Schema.Int.pipe(Schema.positive()) }))
    .addSuccess(Schema.Struct({ id: Schema.String, pence: Schema.Int, version: Schema.Int }), { status: 201 })
    .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
)

/** A row and its event in one transaction; who asks twice under one key gets one card. */
const issue = (pence: number) =>
  Effect.gen(function*() {
    const tx = yield* Transaction.Transaction
    const card = { id: tx.nextId("card"), pence, expiresAt: tx.now + 365 * 86_400_000 }
    yield* Transaction.emit(Issued, { cardId: card.id, pence })
    return yield* Transaction.insert(Card, card)
  })
export const handlers = Handler.group(GiftCardApi, { issue: Handler.command(({ payload }) => issue(payload.pence)) })

/** A hundredth of every confirmed order comes back as a card. */
export const reward = Subscription.on(OrderConfirmed, ({ totals }) => issue(Math.ceil(totals.grand / 100)))

export const expire = Effect.gen(function*() {
  const overdue = yield* Transaction.select(Card, { where: [["expiresAt", "<", yield* Transaction.now]] })
  for (const { id } of overdue) yield* Transaction.remove(Card, { id })
})

export const giftCards = Agent.make({
  name: "giftcard",
  title: "Gift cards",
  tables: [Card],
  migrations: [initial],
  api: GiftCardApi,
  handlers,
  subscriptions: [reward],
  jobs: [Job.timer("expire", "1 minute", expire)]
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off deterministicKeys:off unsafeEffectTypeAssertion:off
import { Peer } from "@holdfast/agent/Peer"
import type { Envelope } from "@holdfast/contracts/Envelope"
import { sourceOf } from "@holdfast/contracts/Envelope"
import type { AssessmentOutcome } from "@holdfast/contracts/Fraud"
import { AssessOrder } from "@holdfast/contracts/FraudCommands"
import type { OrderId } from "@holdfast/contracts/Id"
import { PriceId, ProductId, VariantId } from "@holdfast/contracts/Id"
import * as Stock from "@holdfast/contracts/InventoryCommands"
import type * as Message from "@holdfast/contracts/Message"
import type { Order, OrderImport, OrderPlacement } from "@holdfast/contracts/Order"
import * as Pay from "@holdfast/contracts/PaymentCommands"
import { ProductCreated } from "@holdfast/contracts/ProductEvents"
import { Database } from "@holdfast/database/Database"
import * as OperationIds from "@holdfast/database/OperationIds"
import * as Sqlite from "@holdfast/database/Sqlite"
import type { Reader, Transaction } from "@holdfast/database/Transaction"
import * as Reactions from "@holdfast/messaging/Reactions"
import { Context, Effect, Layer, Redacted, TestClock } from "effect"
import { handlers } from "../src/Handlers.ts"
import { HashKey } from "../src/HashKey.ts"
import { initial } from "../src/migrations/0001_initial.ts"
import { subscriptions } from "../src/Reactions.ts"
import { cancellation } from "../src/Sagas/CancellationSaga.ts"
import { checkout } from "../src/Sagas/CheckoutSaga.ts"
import type { Sent } from "./Participants.ts"
import { Fraud, Inventory, Payments } from "./Participants.ts"

type Handlers = typeof handlers
type RequestOf<N extends keyof Handlers> = Omit<
  Parameters<Handlers[N]["run"]>[0],
  "principal" | "correlationId" | "idempotencyKey" | "expectedVersion" | "rawBody"
>
type AnswerOf<N extends keyof Handlers> = Effect.Effect.Success<ReturnType<Handlers[N]["run"]>>
type ErrorOf<N extends keyof Handlers> = Effect.Effect.Error<ReturnType<Handlers[N]["run"]>>

const commands: ReadonlyArray<Message.Any> = [
  Stock.ReserveStock,
  Stock.CommitReservation,
  Stock.ExtendReservation,
  Stock.ReleaseReservation,
  Pay.AuthorizePayment,
  Pay.VoidPayment,
  Pay.RefundPayment,
  AssessOrder
]
const commandTopics = [...new Set(commands.map(({ topic }) => topic))]

/** The order agent over its real store, and honest models of those it talks to. */
export interface ShopShape {
  readonly inventory: Inventory
  readonly payments: Payments
  readonly fraud: Fraud
  /** What fraud thinks of an order from now on, by stage. */
  readonly judge: (outcomes: Partial<Record<"pre_auth" | "post_auth", AssessmentOutcome>>) => void
  /** Calls an endpoint's handler as the runtime does; two calls under one key are one operation. */
  readonly call: <N extends keyof Handlers>(
    name: N,
    request: RequestOf<N>,
    options?: { readonly key?: string; readonly ifMatch?: number }
  ) => Effect.Effect<AnswerOf<N>, ErrorOf<N>>
  /** Lets the order agent hear an event. */
  readonly hear: (...events: ReadonlyArray<Sent>) => Effect.Effect<void>
  /** Carries messages until nobody has anything to say. */
  readonly settle: Effect.Effect<void>
  /** From now on an agent does not hear what it is asked (until `unmute`). */
  readonly mute: (agent: string) => void
  readonly unmute: (agent: string) => Effect.Effect<void>
  /** Runs a job's handler as an operation. */
  readonly run: (job: Effect.Effect<void, unknown, Transaction | Reader>) => Effect.Effect<void>
  /** Time passes, and the agent is not there. */
  readonly sleep: (millis: number) => Effect.Effect<void>
  /** Looks at deadlines once. */
  readonly look: Effect.Effect<void>
  /** Time passes; deadlines are looked at in the end. */
  readonly wait: (millis: number) => Effect.Effect<void>
  readonly said: <N extends string, A, I>(message: Message.Message<N, A, I>) => Effect.Effect<ReadonlyArray<A>>
  readonly order: (id: OrderId) => Effect.Effect<Order>
  readonly database: Database["Type"]
}

export class Shop extends Context.Tag("test/Shop")<Shop, ShopShape>() {}

const id = OperationIds.make("shop")

const STEPS = 7
const STEP_MILLIS = 2_000

/** A product with one variant of the same sku, priced and published. */
export const product = (
  sku: string,
  amount: number,
  more: { readonly channels?: ReadonlyArray<string> } = {}
): Sent => {
  const productId = ProductId.make(id("prd"))
  const at = "2026-01-01T00:00:00.000Z"
  return {
    message: ProductCreated,
    payload: {
      productId,
      type: "simple",
      title: { en: `Product ${sku}` },
      skus: [sku],
      snapshot: {
        id: productId,
        slug: sku.toLowerCase(),
        type: "simple",
        title: { en: `Product ${sku}` },
        taxClass: "standard",
        state: "active",
        publishedChannels: more.channels ?? ["web"],
        createdAt: at,
        updatedAt: at,
        version: 1,
        variants: [{
          id: VariantId.make(id("var")),
          productId,
          sku,
          lotTracked: false,
          serialTracked: false,
          backorder: { allowed: false, limit: 0 },
          weightGrams: 250,
          prices: [{
            id: PriceId.make(id("prc")),
            currency: "GBP",
            amount,
            minQty: 1,
            validFrom: "1970-01-01T00:00:00.000Z"
          }],
          version: 1
        }]
      }
    }
  }
}

export const address = {
  name: "Ada Lovelace",
  line1: "12 St James's Square",
  city: "London",
  postalCode: "SW1Y 4JH",
  country: "GB"
}

export const placement = (more: Partial<OrderPlacement> = {}): OrderPlacement => ({
  currency: "GBP",
  lines: [{ sku: "A", qty: 2 }, { sku: "B", qty: 1 }],
  customer: { email: "ada@example.com" },
  addresses: { shipping: address },
  paymentMethodToken: "ok",
  ...more
})

export const imported = (more: Partial<OrderImport> = {}): OrderImport => ({
  channel: "online-retail",
  externalRef: "536365",
  placedAt: "2010-12-01T08:26:00.000Z",
  currency: "GBP",
  lines: [{ sku: "A", qty: 6, unitPrice: 255 }, { sku: "A", qty: 2, unitPrice: 339 }],
  customer: { ref: "17850" },
  shipTo: { ...address, line1: "not recorded", postalCode: "" },
  paymentMethodToken: "ok",
  ...more
})

const make = (stock: Readonly<Record<string, number>>) =>
  Effect.gen(function*() {
    const database = yield* Database
    const inventory = new Inventory(stock)
    const payments = new Payments()
    const judgements: Partial<Record<string, AssessmentOutcome>> = {}
    const fraud = new Fraud((_, stage) => judgements[stage] ?? "approve")
    const reactions = Reactions.make<Transaction | Reader | HashKey | Database | Peer>("order", [
      ...subscriptions,
      ...checkout.subscriptions,
      ...cancellation.subscriptions
    ])
    const peer = Peer.of({
      get: (agent, path) => {
        const last = path.split("/").at(-1) ?? ""
        return Effect.succeed(agent === "inventory" ? inventory.look(last) : payments.look(last))
      }
    })
    const ports = Context.make(HashKey, Redacted.make("test")).pipe(
      Context.add(Database, database),
      Context.add(Peer, peer)
    )
    const provided = <A, E>(effect: Effect.Effect<A, E, Transaction | Reader | HashKey | Database | Peer>) =>
      Effect.provide(effect, ports)

    let unnamed = 0
    const call: ShopShape["call"] = (name, request, options = {}) =>
      Effect.suspend(() => callOnce(name, request, options))
    const callOnce: ShopShape["call"] = (name, request, options = {}) => {
      const handler = handlers[name]
      const operationId = `test:${options.key ?? `unnamed-${unnamed++}`}`
      const full = {
        ...request,
        principal: "tester",
        correlationId: operationId,
        idempotencyKey: options.key,
        expectedVersion: options.ifMatch,
        rawBody: new Uint8Array()
      }
      // Each handler takes what its endpoint declares, as `RequestOf` says.
      const effect = handler.run(full as never) as Effect.Effect<never, never, Transaction | Reader | HashKey>
      if (handler._tag === "Query") return database.read(provided(effect)) as never
      return Effect.map(
        database.execute({
          id: operationId,
          command: `order.${name}`,
          writeClass: "mergeable",
          fingerprint: JSON.stringify(request),
          cause: { correlationId: operationId, causationId: operationId },
          keepMillis: 60_000,
          handler: provided(effect),
          answer: (value) => JSON.stringify(value),
          refusal: () => undefined
        }),
        (outcome): never => outcome._tag === "Done" ? outcome.value : JSON.parse(outcome.answer) as never
      ) as never
    }

    const hearOne = ({ message, payload }: Sent) => {
      const eventId = `event-${unnamed++}`
      const envelope: Envelope = {
        id: eventId,
        source: sourceOf("test"),
        type: message.type,
        topic: message.topic,
        key: message.key(payload),
        subject: message.subject(payload),
        time: "2026-01-01T00:00:00.000Z",
        correlationId: eventId,
        causationId: eventId,
        data: payload
      }
      return Effect.orDie(database.execute(reactions.operation(envelope, provided(reactions.handle(envelope)))))
    }
    const hear = (...events: ReadonlyArray<Sent>) => Effect.forEach(events, hearOne, { discard: true })

    const muted = new Map<string, Array<Sent>>()
    const seen = new Set<string>()
    let cursor = 0
    const ask = (what: Sent) => {
      const receiver = what.message.name.slice(0, what.message.name.indexOf("."))
      const waiting = muted.get(receiver)
      if (waiting !== undefined) {
        waiting.push(what)
        return Effect.void
      }
      const answers = receiver === "inventory"
        ? inventory.handle(what)
        : receiver === "payment"
        ? payments.handle(what)
        : fraud.handle(what)
      return hear(...answers)
    }
    const settle: Effect.Effect<void> = Effect.orDie(Effect.gen(function*() {
      for (;;) {
        const batch = yield* database.outbox.readAfter(cursor, commandTopics, 100)
        if (batch.length === 0) return
        for (const { envelope, seq } of batch) {
          cursor = seq
          const message = commands.find(({ type }) => type === envelope.type)
          // A command that is sent again keeps its id, and is handled once.
          if (message === undefined || seen.has(envelope.id)) continue
          seen.add(envelope.id)
          yield* ask({ message, payload: envelope.data })
        }
      }
    }))

    // The jobs' own type says that they need no transaction but those they make.
    const sweeps = [...checkout.jobs, ...cancellation.jobs].map((job) =>
      job.run as Effect.Effect<void, unknown, Database | Peer>
    )
    const sweep = Effect.orDie(Effect.all(sweeps)).pipe(
      Effect.provide(ports)
    )

    return Shop.of({
      inventory,
      payments,
      fraud,
      judge: (outcomes) => Object.assign(judgements, outcomes),
      call,
      hear,
      settle,
      mute: (agent) => void muted.set(agent, []),
      unmute: (agent) =>
        Effect.suspend(() => {
          const waiting = muted.get(agent) ?? []
          muted.delete(agent)
          return Effect.zipRight(Effect.forEach(waiting, ask, { discard: true }), settle)
        }),
      run: (job) =>
        Effect.suspend(() => {
          const operationId = `job-${unnamed++}`
          return Effect.asVoid(Effect.orDie(database.execute({
            id: operationId,
            command: "job",
            writeClass: "mergeable",
            fingerprint: "",
            cause: { correlationId: operationId, causationId: operationId },
            keepMillis: 60_000,
            handler: job,
            answer: () => "",
            refusal: () => undefined
          })))
        }),
      sleep: (millis) => TestClock.adjust(millis),
      look: Effect.zipRight(sweep, settle),
      // An agent that slept is given time to catch up before deadlines count: it looks often at the end of the wait, which
      // lasts long enough for what follows at once.
      wait: (millis) =>
        Effect.gen(function*() {
          yield* TestClock.adjust(Math.max(0, millis - STEPS * STEP_MILLIS))
          for (let i = 0; i < STEPS; i++) {
            yield* sweep
            yield* settle
            yield* TestClock.adjust(STEP_MILLIS)
          }
          yield* sweep
          yield* settle
        }),
      said: <N extends string, A, I>(message: Message.Message<N, A, I>) =>
        Effect.map(
          Effect.orDie(database.outbox.readAfter(0, [message.topic], 1_000_000)),
          (messages) =>
            messages.filter(({ envelope }) => envelope.type === message.type).map(({ envelope }) => envelope.data as A)
        ),
      order: (orderId) => Effect.orDie(call("get", { path: { id: orderId } })),
      database
    })
  })

/** A shop of its own, with so much of each sku in stock; `A` costs 10.00 and `B` 25.00. */
export const layer = (stock: Readonly<Record<string, number>> = { A: 100, B: 100 }) =>
  Layer.provideMerge(
    Layer.effect(
      Shop,
      Effect.tap(make(stock), (shop) => shop.hear(product("A", 1_000), product("B", 2_500)))
    ),
    Sqlite.layerTemporary({ agent: "order", migrations: [initial] })
  )

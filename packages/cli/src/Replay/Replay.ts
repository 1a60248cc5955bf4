import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ApiError } from "../ApiClient.ts"
import { ApiClient } from "../ApiClient.ts"
import * as Count from "../Count.ts"
import { codeOf } from "./Country.ts"
import type { Invoice } from "./Invoice.ts"
import type { Day, NewProduct } from "./Plan.ts"
import type { Ending } from "./Report.ts"

/**
 * How to replay.
 *
 * @category models
 */
export interface Options {
  readonly channel: string
  readonly concurrency: number
  readonly review: "approve" | "decline" | "leave"
  /** Told after each order and now and then in between. */
  readonly progress: (line: string) => void
}

const LOCATION = "main"
const CURRENCY = "GBP"

/** Products and deliveries do not depend on each other's order, so they use a few connections at any --concurrency. */
const CATALOGUE_CONCURRENCY = 8

/** Lines of one receipt: a short transaction, many skus. */
const RECEIPT_LINES = 100

const FIRST_LOOK_MILLIS = 10
const LONGEST_LOOK_MILLIS = 250

const Created = Schema.Struct({ id: Schema.String })
const Received = Schema.Struct({ refId: Schema.String })
const OrderView = Schema.Struct({
  id: Schema.String,
  state: Schema.String,
  cancelReason: Schema.optional(Schema.String),
  totals: Schema.Struct({ grand: Schema.Int }),
  holds: Schema.Array(Schema.Struct({ reason: Schema.String, releasedAt: Schema.optional(Schema.String) }))
})
type OrderView = typeof OrderView.Type
const Cases = Schema.Struct({ items: Schema.Array(Schema.Struct({ id: Schema.String, state: Schema.String })) })
const Decided = Schema.Struct({ id: Schema.String })

const createProduct = (channel: string, product: NewProduct) =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    yield* api.post(
      "/product/products",
      {
        slug: product.sku.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/-$/, ""),
        type: "simple",
        title: { en: product.title },
        taxClass: "standard",
        variants: [{
          sku: product.sku,
          prices: [{ currency: CURRENCY, amount: product.price, channel }]
        }]
      },
      `replay:${channel}:product:${product.sku}`,
      Created
    ).pipe(
      // Another channel's replay made it before: it is the same product.
      Effect.catchIf(
        (error) => error._tag === "RequestRefused" && (error.code === "slug_taken" || error.code === "sku_taken"),
        () => Effect.void
      )
    )
  })

const receive = (channel: string, day: Day) => {
  const chunks = Array.from(
    { length: Math.ceil(day.deliveries.length / RECEIPT_LINES) },
    (_, i) => day.deliveries.slice(i * RECEIPT_LINES, (i + 1) * RECEIPT_LINES)
  )
  return Effect.forEach(chunks, (lines, index) =>
    Effect.gen(function*() {
      const api = yield* ApiClient
      const refId = `replay:${channel}:${day.date}:${index}`
      yield* api.post("/inventory/receipts", { refId, locationId: LOCATION, lines }, refId, Received)
    }), { concurrency: CATALOGUE_CONCURRENCY, discard: true })
}

/** The shop's local time is London's, which in winter is UTC. */
const instantOf = (date: string): string => `${date.replace(" ", "T")}.000Z`

const importBody = (channel: string, invoice: Invoice) => ({
  channel,
  externalRef: invoice.number,
  placedAt: instantOf(invoice.date),
  currency: CURRENCY,
  taxInclusive: true,
  lines: invoice.lines,
  customer: invoice.customer === undefined ? {} : { ref: invoice.customer },
  shipTo: {
    name: invoice.customer === undefined ? "Guest" : `Customer ${invoice.customer}`,
    line1: "not recorded",
    city: "not recorded",
    postalCode: "",
    country: codeOf(invoice.country)
  },
  // A card of one's own for each customer: fraud counts orders by card.
  paymentMethodToken: `ok:${invoice.customer ?? invoice.number}`
})

const settle = (order: OrderView, decision: "approve" | "decline"): Effect.Effect<void, ApiError, ApiClient> =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    const cases = yield* api.get(`/fraud/cases?orderId=${order.id}`, Cases)
    for (const { id, state } of cases.items) {
      if (state === "closed") continue
      yield* api.post(
        `/fraud/cases/${id}/decide`,
        { decision, note: "decided by replay" },
        `replay:decide:${id}`,
        Decided
      )
    }
  })

const isHeld = (order: OrderView, reason: string): boolean =>
  order.holds.some((hold) => hold.reason === reason && hold.releasedAt === undefined)

/** Looks at the order until it has ended, settling a review on the way. */
const follow = (invoice: Invoice, placed: OrderView, review: Options["review"]) =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    let order = placed
    let pause = FIRST_LOOK_MILLIS
    const ending = (state: string, reason: string | undefined): Ending => ({
      invoice: invoice.number,
      orderId: order.id,
      state,
      reason,
      grand: order.totals.grand
    })
    for (;;) {
      if (order.state !== "placed") return ending(order.state, order.cancelReason)
      if (isHeld(order, "fraud_review")) {
        if (review === "leave") return ending("held", "fraud_review")
        yield* settle(order, review)
      }
      yield* Effect.sleep(pause)
      pause = Math.min(pause * 2, LONGEST_LOOK_MILLIS)
      order = yield* api.get(`/order/orders/${order.id}`, OrderView)
    }
  })

const place = (options: Options, invoice: Invoice) =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    const key = `replay:${options.channel}:${invoice.number}`
    const placed = yield* api.post("/order/orders/import", importBody(options.channel, invoice), key, OrderView)
    // The answer may be the stored one of an earlier run: what the order is now, only a look can tell.
    const order = yield* api.get(`/order/orders/${placed.id}`, OrderView)
    return yield* follow(invoice, order, options.review)
  })

/**
 * Replays one day through the HTTP API: products, deliveries, then one order for each invoice, each followed to its end.
 * Everything goes under keys made of the retailer's own numbers, so that a replay can be stopped and run again.
 *
 * @category running
 */
export const day = (
  options: Options,
  plan: Day,
  known: Set<string>
): Effect.Effect<ReadonlyArray<Ending>, ApiError, ApiClient> =>
  Effect.gen(function*() {
    const fresh = plan.products.filter(({ sku }) => !known.has(sku))
    yield* Effect.forEach(fresh, (product) => createProduct(options.channel, product), {
      concurrency: CATALOGUE_CONCURRENCY,
      discard: true
    })
    for (const { sku } of fresh) known.add(sku)
    yield* receive(options.channel, plan)
    const started = yield* Clock.currentTimeMillis
    let done = 0
    return yield* Effect.forEach(plan.invoices, (invoice) =>
      Effect.gen(function*() {
        const ending = yield* place(options, invoice)
        done++
        const seconds = ((yield* Clock.currentTimeMillis) - started) / 1000
        options.progress(
          `${plan.date}  ${done} of ${Count.of(plan.invoices.length, "order")}` +
            (seconds > 1 ? `, ${Math.round(done / seconds)}/s` : "")
        )
        return ending
      }), { concurrency: options.concurrency })
  })

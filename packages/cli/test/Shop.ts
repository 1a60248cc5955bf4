import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Holdfast from "@holdfast/agent/Holdfast"
import { Effect, Schema } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { agents } from "../src/Agents.ts"

/** A folder for the stores of one test. */
export const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-shop-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** An answer of the shop. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  // What an endpoint answers is asserted where it is used.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly body: any
}

/** All agents in this process on a free port, as `npm start` runs them, spoken to over HTTP; `variables` as set for it. */
export const open = (dataDir: string, variables: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function*() {
    const config = yield* AgentConfig.load({
      HOLDFAST_DATA_DIR: dataDir,
      HOLDFAST_PORT: "0",
      LOG_LEVEL: "warning",
      ...variables
    })
    let port = 0
    const holdfast = yield* Holdfast.serve({
      agents: agents({ ...config, port: () => port }),
      config
    })
    port = holdfast.port
    yield* holdfast.ready
    const send = (method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) =>
      Effect.promise(async (): Promise<Answer> => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`, {
          method,
          headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
          ...(body === undefined ? {} : { body: JSON.stringify(body) })
        })
        const text = await response.text()
        return { status: response.status, headers: response.headers, body: text === "" ? undefined : JSON.parse(text) }
      })
    return {
      port,
      stop: holdfast.stop,
      get: (path: string) => send("GET", path),
      post: (path: string, body: unknown, key: string) => send("POST", path, body, { "idempotency-key": key })
    }
  })

/** A running shop. */
export type Shop = Effect.Effect.Success<ReturnType<typeof open>>

/** Real time: the shop runs in it. */
export const pause = (millis: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, millis)))

/** Looks again and again until the look tells something; a test's own time-out ends a look in vain. */
export const until = <A, E, R>(look: Effect.Effect<A | undefined, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    look,
    (seen) => seen === undefined ? Effect.zipRight(pause(20), Effect.suspend(() => until(look))) : Effect.succeed(seen)
  )

/** The order once it satisfies the condition. */
export const orderThat = (shop: Shop, id: string, holds: (order: Answer["body"]) => boolean) =>
  until(Effect.map(shop.get(`/order/orders/${id}`), ({ body }) => holds(body) ? body : undefined))

/** Goods on hand. */
export const receive = (shop: Shop, sku: string, qty: number) =>
  shop.post(
    "/inventory/receipts",
    { refId: `receipt-${sku}`, locationId: "main", lines: [{ sku, qty }] },
    `receipt-${sku}`
  )

/** A published product at 12.50, once the order agent has heard of it. */
export const sell = (shop: Shop, sku: string) =>
  Effect.gen(function*() {
    const created = yield* shop.post("/product/products", {
      slug: sku.toLowerCase(),
      type: "simple",
      title: { en: sku },
      taxClass: "standard",
      media: [{ url: "https://example.com/mug.jpg", position: 0 }],
      variants: [{
        sku,
        weightGrams: 350,
        dims: { l: 120, w: 90, h: 100 },
        prices: [{ currency: "GBP", amount: 1250 }]
      }]
    }, `product-${sku}`)
    yield* shop.post(`/product/products/${created.body.id}/publish`, { channels: ["web"] }, `publish-${sku}`)
    const order = (attempt: number) =>
      shop.post("/order/orders", {
        currency: "GBP",
        lines: [{ sku, qty: 1 }],
        customer: { email: "nobody@example.com" },
        addresses: { shipping: importBody("x").shipTo },
        paymentMethodToken: "ok:nobody",
        // Nobody expects to pay a penny: the refusal tells that the catalogue knows the price, and stores no order.
        expectedTotal: 1
      }, `known-${sku}-${attempt}`)
    let attempt = 0
    yield* until(Effect.map(
      Effect.suspend(() => order(attempt++)),
      ({ body }) => body.code === "cart_changed" ? true : undefined
    ))
  })

/** An order of one unit at 15.30, paid by the token. */
export const importBody = (externalRef: string, changes: {
  readonly token?: string
  readonly sku?: string
  readonly qty?: number
} = {}) => ({
  channel: "test",
  externalRef,
  placedAt: "2026-01-05T10:00:00.000Z",
  currency: "GBP",
  lines: [{ sku: changes.sku ?? "85123A", qty: changes.qty ?? 1, unitPrice: 1530 }],
  customer: { ref: externalRef },
  shipTo: { name: externalRef, line1: `${externalRef} Road`, city: "London", postalCode: "N1 1AA", country: "GB" },
  paymentMethodToken: `${changes.token ?? "ok"}:${externalRef}`
})

/** Places an order and answers its id. */
export const place = (shop: Shop, externalRef: string, changes: Parameters<typeof importBody>[1] = {}) =>
  Effect.map(
    shop.post("/order/orders/import", importBody(externalRef, changes), `import-${externalRef}`),
    ({ body }) => Schema.decodeUnknownSync(Schema.String)(body.id)
  )

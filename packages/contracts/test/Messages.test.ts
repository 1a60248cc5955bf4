import { assert, describe, it } from "@effect/vitest"
import { Predicate, Schema } from "effect"
import { agents } from "../src/Agents.ts"
import * as FraudCommands from "../src/FraudCommands.ts"
import * as FraudEvents from "../src/FraudEvents.ts"
import * as InventoryCommands from "../src/InventoryCommands.ts"
import * as InventoryEvents from "../src/InventoryEvents.ts"
import type * as Message from "../src/Message.ts"
import * as OrderCommands from "../src/OrderCommands.ts"
import * as OrderEvents from "../src/OrderEvents.ts"
import * as PaymentCommands from "../src/PaymentCommands.ts"
import * as PaymentEvents from "../src/PaymentEvents.ts"
import * as ProductEvents from "../src/ProductEvents.ts"
import * as SystemEvents from "../src/SystemEvents.ts"

const tail = "01HZX3J9QK8V7W6T5R4P3N2M1B"
const orderId = `ord_${tail}`
const lineId = `oli_${tail}`
const paymentId = `pay_${tail}`
const reservationId = `rsv_${tail}`
const productId = `prd_${tail}`
const at = "2010-12-01T08:26:00.000Z"
const sku = "85123A"
const locationId = "main"
const currency = "GBP"
const money = { amount: 1530, currency }
const totals = { items: 1530, discount: 0, shipping: 0, fees: 0, tax: 0, grand: 1530 }
const shipTo = { country: "GB", postalCode: "N1 9GU" }
const address = { name: "Ada", line1: "1 High Street", city: "London", ...shipTo }
const line = { lineId, sku, qty: 6 }
const priced = { ...line, unitPrice: 255, lineTotal: 1530 }
const reserved = { ...line, locationId }
const units = { lineId, qty: 6 }
const payment = { paymentId, orderId }
const reservation = { reservationId, orderId }
const refund = { refundId: `ref_${tail}`, ...payment, refundKey: "cancel-1", amount: money }
const dispute = { disputeId: `dsp_${tail}`, ...payment }
const publication = { productId, channels: ["web"], skus: [sku] }
const scope = { sku, locationId, channelScope: [] }
const product = {
  id: productId,
  slug: "white-hanging-heart",
  type: "simple",
  title: { en: "WHITE HANGING HEART T-LIGHT HOLDER" },
  taxClass: "standard",
  state: "active",
  publishedChannels: ["web"],
  createdAt: at,
  updatedAt: at,
  version: 2,
  variants: []
}
const price = { id: `prc_${tail}`, currency, amount: 255, minQty: 1, validFrom: at }

/** One encoded payload of each message, and the key it travels under. */
const examples: Readonly<Record<string, readonly [payload: object, key: string]>> = {
  "product.created": [{ productId, type: "simple", title: { en: "Heart" }, skus: [sku] }, productId],
  "product.updated": [{ productId, changed: ["title"], snapshot: product }, productId],
  "product.variant_changed": [
    {
      productId,
      sku,
      weightGrams: 90,
      flags: { lotTracked: false, serialTracked: false, backorder: { allowed: false, limit: 0 } }
    },
    productId
  ],
  "product.price_changed": [{ productId, sku, new: price, validFrom: at }, productId],
  "product.published": [publication, productId],
  "product.unpublished": [publication, productId],
  "product.suspended": [{ productId, reason: "recall" }, productId],
  "product.discontinued": [{ productId, skus: [sku], lastOrderDate: at }, productId],
  "order.placed": [
    {
      orderId,
      channel: "online-retail",
      externalRef: "536365",
      currency,
      totals,
      lines: [priced],
      shipTo,
      placedAt: at,
      expiresAt: at
    },
    orderId
  ],
  "order.confirmed": [{ orderId, number: "100001", currency, totals, paymentId, reservationId }, orderId],
  "order.held": [{ orderId, reason: "fraud_review" }, orderId],
  "order.hold_released": [{ orderId, reason: "fraud_review", by: "agent:fraud" }, orderId],
  "order.fulfilment_requested": [{ orderId, number: "100001", lines: [line], shipTo, priority: 0 }, orderId],
  "order.amended": [{ orderId, added: [priced], removed: [], currency, totals }, orderId],
  "order.payment_status_changed": [
    { orderId, from: "none", to: "authorized", currency, authorized: 1530, captured: 0, refunded: 0 },
    orderId
  ],
  "order.shipped": [{ orderId, partial: false, shipmentIds: [`shp_${tail}`], lines: [units] }, orderId],
  "order.delivered": [{ orderId, deliveredAt: at }, orderId],
  "order.cancel_requested": [{ orderId, reason: "customer", by: "customer" }, orderId],
  "order.cancelled": [{ orderId, reason: "out_of_stock", lines: [units], refundDue: money, full: true }, orderId],
  "order.completed": [{ orderId, completedAt: at }, orderId],
  "order.import_refused": [
    { channel: "online-retail", externalRef: "536365", code: "sku_unknown", detail: "…" },
    "online-retail:536365"
  ],
  "order.import": [
    {
      channel: "online-retail",
      externalRef: "536365",
      placedAt: at,
      currency,
      lines: [{ sku, qty: 6, unitPrice: 255 }],
      customer: { ref: "17850" },
      shipTo: address,
      paymentMethodToken: "ok"
    },
    "online-retail:536365"
  ],
  "inventory.reservation_confirmed": [{ ...reservation, state: "held", expiresAt: at, lines: [reserved] }, orderId],
  "inventory.reservation_rejected": [{ orderId, shortages: [{ sku, wanted: 6, available: 2 }] }, orderId],
  "inventory.reservation_expired": [reservation, orderId],
  "inventory.reservation_released": [{ ...reservation, lines: [units], reason: "cancel" }, orderId],
  "inventory.reservation_command_refused": [
    { ...reservation, command: "release", code: "not_found", detail: "…" },
    orderId
  ],
  "inventory.reservation_affected": [{ ...reservation, holdId: `hld_${tail}`, lines: [reserved] }, orderId],
  "inventory.stock_changed": [
    {
      sku,
      locationId,
      onHand: 10,
      reserved: 6,
      onHold: 0,
      damaged: 0,
      available: 4,
      incoming: 0,
      version: 2,
      cause: "reserve"
    },
    sku
  ],
  "inventory.out_of_stock": [scope, sku],
  "inventory.back_in_stock": [scope, sku],
  "inventory.stock_adjusted": [{ sku, locationId, delta: -1, reason: "broken", by: "ann" }, sku],
  "inventory.oversell_detected": [{ sku, locationId, available: -1, orderIds: [orderId] }, sku],
  "inventory.reserve": [{ orderId, lines: [line], shipTo, ttlSeconds: 900, allowSplit: true }, orderId],
  "inventory.extend": [{ ...reservation, ttlSeconds: 1800 }, orderId],
  "inventory.commit": [reservation, orderId],
  "inventory.release": [{ ...reservation, lines: [units], reason: "cancel" }, orderId],
  "payment.authorized": [
    {
      ...payment,
      amount: money,
      authExpiresAt: at,
      risk: { avs: "both_match", cvc: "pass", threeDs: "authenticated", cardCountry: "GB", fingerprint: "fp_1" }
    },
    orderId
  ],
  "payment.action_required": [
    { ...payment, kind: "threeds", redirectUrl: "https://x.example/", expiresAt: at },
    orderId
  ],
  "payment.declined": [{ ...payment, code: "insufficient_funds", retryableByCustomer: true }, orderId],
  "payment.captured": [{ ...payment, amount: money, capturedTotal: money, final: true }, orderId],
  "payment.capture_failed": [{ ...payment, code: "expired", retryable: false }, orderId],
  "payment.voided": [{ ...payment, amount: money, reason: "requested" }, orderId],
  "payment.void_failed": [{ ...payment, code: "captured", retryable: false }, orderId],
  "payment.refund_pending": [refund, orderId],
  "payment.refunded": [{ ...refund, refundedTotal: money }, orderId],
  "payment.refund_failed": [{ refundId: refund.refundId, ...payment, code: "declined" }, orderId],
  "payment.dispute_opened": [{ ...dispute, amount: money, reason: "fraudulent", dueBy: at }, orderId],
  "payment.dispute_closed": [{ ...dispute, outcome: "won" }, orderId],
  "payment.authorization_expiring": [{ ...payment, authExpiresAt: at }, orderId],
  "payment.authorize": [{ ...payment, amount: money, methodToken: "ok", captureMode: "manual" }, orderId],
  "payment.capture": [{ ...payment, amount: money, final: true, reason: "dispatch" }, orderId],
  "payment.void": [{ ...payment, reason: "cancel" }, orderId],
  "payment.refund": [{ ...payment, amount: money, reason: "cancel", refundKey: "cancel-1" }, orderId],
  "fraud.assessed": [
    {
      assessmentId: `fas_${tail}`,
      orderId,
      stage: "pre_auth",
      score: 40,
      outcome: "review",
      topReasons: ["R05"],
      rulesetVersion: 1,
      fallback: false
    },
    orderId
  ],
  "fraud.case_opened": [{ caseId: `fcs_${tail}`, orderId, score: 40, dueAt: at }, orderId],
  "fraud.review_decided": [{ caseId: `fcs_${tail}`, orderId, outcome: "approve", by: "ann" }, orderId],
  "fraud.list_changed": [{ entryHash: "ab12", list: "deny", kind: "email", action: "added" }, "ab12"],
  "fraud.ruleset_published": [{ version: 2 }, "2"],
  "fraud.assess": [
    {
      orderId,
      stage: "post_auth",
      features: {
        placedAt: at,
        grand: money,
        lines: [{ sku, qty: 6 }],
        billingCountry: "GB",
        shippingCountry: "GB",
        customer: { hash: "0123456789abcdef", guest: false },
        email: { hash: "0123456789abcdef", domain: "example.com", nameSimilarity: 80 },
        ip: { prefix: "203.0.113.0/24", kind: "vpn" },
        device: { hash: "0123456789abcdef" },
        shippingAddress: { hash: "0123456789abcdef" },
        card: { fingerprint: "fp_1", cvc: "fail", threeDs: "not_used" }
      }
    },
    orderId
  ],
  "system.degradation_changed": [{ agent: "order", from: 0, to: 2, cause: "kafka away", at }, "order"],
  "system.dead_lettered": [{ agent: "order", topic: "ecom.payment.events.v1", eventId: "e1", error: "…" }, "order"],
  "system.conflict_detected": [
    {
      agent: "order",
      conflictId: "c1",
      operationId: "o1",
      table: "order",
      rowKey: orderId,
      policy: "versioned",
      reason: "…"
    },
    "order"
  ]
}

const isMessage = (value: unknown): value is Message.Any =>
  Predicate.isRecord(value) && (value["kind"] === "event" || value["kind"] === "command")

const messages = [
  FraudCommands,
  FraudEvents,
  InventoryCommands,
  InventoryEvents,
  OrderCommands,
  OrderEvents,
  PaymentCommands,
  PaymentEvents,
  ProductEvents,
  SystemEvents
].flatMap((module) => Object.values<unknown>(module).filter(isMessage))

describe("messages", () => {
  it("have one declaration and one example each", () => {
    assert.deepStrictEqual(messages.map((message) => message.name).sort(), Object.keys(examples).sort())
  })

  for (const message of messages) {
    it(`${message.name} survives encoding and knows its key`, () => {
      const [encoded, key] = examples[message.name] ?? [{}, ""]
      const payload = Schema.decodeUnknownSync(message.payload)(JSON.parse(JSON.stringify(encoded)))
      // No payload transforms: what is emitted can be written as it is.
      assert.deepStrictEqual(payload, encoded)
      assert.deepStrictEqual(Schema.encodeSync(message.payload)(payload), encoded)
      assert.strictEqual(message.key(payload), key)
      assert.isNotEmpty(message.subject(payload))
    })

    it(`${message.name} takes fields it does not know and refuses an empty payload`, () => {
      const [encoded] = examples[message.name] ?? [{}]
      const payload = Schema.decodeUnknownSync(message.payload)({ ...encoded, addedInAYear: [1] })
      assert.deepStrictEqual(Schema.encodeSync(message.payload)(payload), encoded)
      for (const wrong of [{}, null, [], "x"]) assert.throws(() => Schema.decodeUnknownSync(message.payload)(wrong))
    })
  }

  it("travel on the topic of the agent named first", () => {
    for (const { kind, name, topic, type } of messages) {
      const [agent] = name.split(".")
      assert.include([...agents, "system"], agent)
      assert.strictEqual(topic, `ecom.${agent}.${kind}s.v1`)
      assert.strictEqual(type, `ecom.${name}.v1`)
    }
  })

  it("about a payment have it as subject, and the order as key", () => {
    for (const message of messages.filter((one) => one.name.startsWith("payment."))) {
      const payload = Schema.decodeUnknownSync(message.payload)(examples[message.name]?.[0])
      assert.strictEqual(message.subject(payload), paymentId)
    }
  })
})

import * as HttpApi from "@effect/platform/HttpApi"
import * as OpenApi from "@effect/platform/OpenApi"
import { assert, describe, it } from "@effect/vitest"
import { Context, Option, Schema } from "effect"
import { ChangesOutside, CommandPolicy } from "../src/CommandPolicy.ts"
import { Description, Summary } from "../src/Documentation.ts"
import { FraudApi } from "../src/FraudApi.ts"
import { InventoryApi } from "../src/InventoryApi.ts"
import { OrderApi } from "../src/OrderApi.ts"
import { PaymentApi } from "../src/PaymentApi.ts"
import { ProductApi, ProductQuery } from "../src/ProductApi.ts"

const groups = [ProductApi, OrderApi, InventoryApi, PaymentApi, FraudApi]

const endpoints = groups.flatMap((group) =>
  Object.values(group.endpoints).map((endpoint) => ({
    name: `${group.identifier}.${endpoint.name}`,
    endpoint,
    policy: Option.getOrUndefined(Context.getOption(endpoint.annotations, CommandPolicy))
  }))
)

const queriesByPost = ["product.resolveMany", "inventory.verifyLedger"]

describe("Api", () => {
  it("of the five agents builds into one OpenAPI document with a summary for every operation", () => {
    const api = HttpApi.make("holdfast")
      .add(ProductApi.prefix("/product"))
      .add(OrderApi.prefix("/order"))
      .add(InventoryApi.prefix("/inventory"))
      .add(PaymentApi.prefix("/payment"))
      .add(FraudApi.prefix("/fraud"))
    const spec = OpenApi.fromApi(api)
    const operations = Object.values(spec.paths).flatMap((methods) => Object.values(methods))
    assert.strictEqual(operations.length, endpoints.length)
    assert.deepStrictEqual(operations.filter((one) => one.summary === undefined).map((one) => one.operationId), [])
    assert.isDefined(spec.paths["/order/orders/{id}/cancel"]?.post)
    assert.isDefined(spec.components.schemas["Money"])
  })

  it("writes its documentation under the tags that OpenApi reads", () => {
    assert.strictEqual(Summary.key, OpenApi.Summary.key)
    assert.strictEqual(Description.key, OpenApi.Description.key)
  })

  it("declares every writing endpoint as a command, and no reading one", () => {
    for (const { endpoint, name, policy } of endpoints) {
      const isOutside = Option.isSome(Context.getOption(endpoint.annotations, ChangesOutside))
      assert.strictEqual(
        policy !== undefined || isOutside,
        endpoint.method !== "GET" && !queriesByPost.includes(name),
        name
      )
      assert.isFalse(policy !== undefined && isOutside, name)
    }
  })

  it("demands If-Match exactly on edits by PATCH and PUT", () => {
    for (const { endpoint, name, policy } of endpoints) {
      assert.strictEqual(
        policy?.ifMatch === "required",
        endpoint.method === "PATCH" || endpoint.method === "PUT",
        name
      )
    }
  })

  it("demands Idempotency-Key on what creates, moves stock or moves money", () => {
    const without = endpoints.filter(({ policy }) => policy?.idempotencyKey === "optional").map(({ name }) => name)
    assert.deepStrictEqual(without.sort(), [
      "fraud.claim",
      "fraud.decide",
      "fraud.publish",
      "fraud.removeFromList",
      "fraud.shadow",
      "fraud.snooze",
      "order.hold",
      "order.releaseHold",
      "payment.sync",
      "payment.webhook",
      "product.discontinue",
      "product.edit",
      "product.editVariant",
      "product.publish",
      "product.setPrices",
      "product.suspend",
      "product.unpublish"
    ])
  })

  it("gives each command the write class of its agent's degradation table", () => {
    const writeClasses = Object.fromEntries(endpoints.map(({ name, policy }) => [name, policy?.writeClass]))
    assert.deepInclude(writeClasses, {
      "order.place": "mergeable",
      "order.import": "mergeable",
      "order.cancel": "mergeable",
      "order.hold": "mergeable",
      "product.edit": "mergeable",
      "product.setPrices": "provisional",
      "inventory.reserve": "bounded",
      "inventory.commit": "mergeable",
      "inventory.release": "mergeable",
      "inventory.receive": "mergeable",
      "inventory.adjust": "refused",
      "inventory.transfer": "refused",
      "payment.create": "provisional",
      "payment.capture": "provisional",
      "payment.void": "provisional",
      "payment.refund": "provisional",
      "payment.webhook": "mergeable",
      "fraud.assess": "mergeable",
      "fraud.addToList": "provisional",
      "fraud.removeFromList": "provisional"
    })
  })

  it("has no secret in what it answers", () => {
    for (const { endpoint, name } of endpoints) {
      assert.notMatch(JSON.stringify(endpoint.successSchema.ast), /methodToken|paymentMethodToken/i, name)
    }
  })

  it("takes attributes beside the other parameters of the product list", () => {
    const decode = Schema.decodeUnknownSync(ProductQuery)
    assert.deepStrictEqual(decode({ limit: "20", "attr.colour": "red", utm: "x" }), {
      limit: 20,
      "attr.colour": "red"
    })
    for (const limit of ["0", "201", "1.5", "-1", "x", "1e999", ""]) assert.throws(() => decode({ limit }), "limit")
  })
})

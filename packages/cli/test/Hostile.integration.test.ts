import { assert, it } from "@effect/vitest"
import { FraudApi } from "@holdfast/contracts/FraudApi"
import { InventoryApi } from "@holdfast/contracts/InventoryApi"
import { OrderApi } from "@holdfast/contracts/OrderApi"
import { PaymentApi } from "@holdfast/contracts/PaymentApi"
import { ProductApi } from "@holdfast/contracts/ProductApi"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as HostileRequests from "@holdfast/testing/HostileRequests"
import { Effect } from "effect"
import { open, temporary } from "./Shop.ts"

const targets = [
  { agent: "product", api: ProductApi },
  { agent: "order", api: OrderApi },
  { agent: "inventory", api: InventoryApi },
  { agent: "payment", api: PaymentApi },
  { agent: "fraud", api: FraudApi }
]

/** Rows that only an accepted command can have written, by table. */
const counted: Readonly<Record<string, ReadonlyArray<string>>> = {
  product: ["product", "variant"],
  order: ["orders", "order_line", "saga"],
  inventory: ["stock_level", "ledger_entry", "reservation"],
  payment: ["payment", "refund", "webhook_event"],
  fraud: ["assessment", "list_entry"]
}

it.scopedLive(
  "hostile and random requests on every route of every agent: refused with a known problem, never 500, nothing stored",
  () =>
    Effect.gen(function*() {
      const dataDir = yield* temporary
      const shop = yield* open(dataDir)
      const stored = Effect.scoped(Effect.forEach(Object.entries(counted), ([agent, tables]) =>
        Effect.flatMap(Sqlite.reader({ agent, directory: dataDir }), (reader) =>
          Effect.forEach(tables, (table) =>
            Effect.map(reader.query(`select count(*) as n from "${table}"`), ([row]) => [agent, table, row?.["n"]])))))
      const report = yield* HostileRequests.attack({ port: shop.port, targets, seed: 11, rounds: 10, stored })
      assert.deepStrictEqual(report.faults, [])
      assert.isAbove(report.requests, 1_000)
    }),
  180_000
)

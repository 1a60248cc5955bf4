import { assert, it } from "@effect/vitest"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as SchemaAgreement from "@holdfast/testing/SchemaAgreement"
import { Effect } from "effect"
import * as PaymentStates from "../src/Domain/PaymentStates.ts"
import { initial } from "../src/migrations/0001_initial.ts"
import * as Tables from "../src/Tables.ts"

it.scoped("the declared tables and the migrated schema agree", () =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* SchemaAgreement.differences(Tables.all), [])
  }).pipe(Effect.provide(Sqlite.layerTemporary({ agent: "payment", migrations: [initial] }))))

it("the index of P2 covers the live states", () => {
  const index = initial.statements.find((statement) =>
    typeof statement === "string" && statement.includes("payment_live")
  )
  const states = [...String(index).matchAll(/'(\w+)'/g)].map(([, state]) => state)
  assert.deepStrictEqual(states, [...PaymentStates.live])
})

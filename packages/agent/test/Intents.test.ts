import { assert, describe, it } from "@effect/vitest"
import { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { Intents } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as AgentOperations from "@holdfast/testing/AgentOperations"
import { Effect, TestClock } from "effect"
import { giftCards, handlers } from "../examples/GiftCards.ts"
import { forget } from "../src/Intents.ts"

const store = Sqlite.layerTemporary({ agent: "giftcard", migrations: giftCards.migrations })
const agent = AgentOperations.make("giftcard", handlers, [])

const accepted = (operationId: string, status: "waiting" | "done") =>
  agent.run(
    Effect.flatMap(Transaction.now, (acceptedAt) =>
      Transaction.insert(Intents, { operationId, command: "issue", request: {}, acceptedAt, status }))
  )

const kept = Effect.flatMap(Database, (database) =>
  Effect.map(
    database.read(Transaction.select(Intents, { orderBy: [["operationId", "asc"]] })),
    (rows) => rows.map(({ operationId }) => operationId)
  ))

describe("intents", () => {
  it.effect("what was carried out is forgotten after thirty days; what waits is not, however long", () =>
    Effect.gen(function*() {
      yield* accepted("carried out", "done")
      yield* accepted("waits", "waiting")
      yield* TestClock.adjust("29 days")
      yield* accepted("later", "done")
      yield* agent.run(forget.run)
      assert.deepStrictEqual(yield* kept, ["carried out", "later", "waits"])
      yield* TestClock.adjust("2 days")
      yield* agent.run(forget.run)
      assert.deepStrictEqual(yield* kept, ["later", "waits"])
    }).pipe(Effect.provide(store)))
})

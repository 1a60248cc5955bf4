/** A process that writes operations as fast as it can and says on standard output which ones were acknowledged. */
import { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { Effect } from "effect"
import { writeSync } from "node:fs"
import { deposit, migrations, open, operation } from "./Bank.ts"

const [, , directory = "", round = "0"] = process.argv

const caller = (name: string) =>
  Effect.gen(function*() {
    const database = yield* Database
    for (let i = 0;; i++) {
      const id = `${round}-${name}-${i}`
      yield* database.execute(operation(deposit("a", 1), { id }))
      // Synchronous: what is on the pipe was acknowledged before the process could be killed.
      writeSync(1, `${id}\n`)
    }
  })

Effect.runPromise(
  Effect.gen(function*() {
    const database = yield* Database
    yield* database.execute(operation(open("a", 0), { id: "open" }))
    yield* Effect.forEach(Array.from({ length: 16 }, (_, i) => `c${i}`), caller, { concurrency: "unbounded" })
  }).pipe(Effect.provide(Sqlite.layer({ agent: "bank", directory, migrations })))
)

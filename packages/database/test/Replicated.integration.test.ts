import { describe } from "@effect/vitest"
import { Database } from "@holdfast/database/Database"
import * as PostgresWatch from "@holdfast/database/PostgresWatch"
import * as Replicated from "@holdfast/database/Replicated"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Layer, Redacted } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Accounts, Entries, migrations } from "./Bank.ts"
import { suite } from "./StoreSuite.ts"

describe.skipIf(TestServers.isMissing("postgres"))("on Postgres", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  const layer = Layer.unwrapScoped(Effect.gen(function*() {
    const url = yield* Effect.orDie(server().createDatabase("bank"))
    const postgres = { url: Redacted.make(url) }
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const watch = yield* PostgresWatch.make(postgres)
    const store = Replicated.layer({
      agent: "bank",
      directory,
      migrations,
      tables: [Accounts, Entries],
      postgres,
      watch,
      instance: "one",
      fallback: "allowed"
    })
    return Layer.tap(store, (context) =>
      Effect.gen(function*() {
        const database = yield* Effect.provide(Database, context)
        if (database.primary !== undefined) yield* Replicated.settled(database.primary)
        if (database.primary?.mode() !== "primary") throw new TypeError("not on the primary")
      }))
  }))
  suite("Postgres store with its shadow", layer)
})

import { assert, describe, it } from "@effect/vitest"
import { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { openWriter } from "@holdfast/database/SqliteConnection"
import * as SystemTables from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import { Effect, Option } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Accounts, Entries, migrations, Moved, operation } from "./Bank.ts"

const writer = fileURLToPath(new URL("writer.ts", import.meta.url))

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-durability-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** Lets the writer run until it has acknowledged so many operations, then kills it; answers what it acknowledged. */
const killed = async (directory: string, round: number, acknowledgements: number) => {
  const child = spawn(process.execPath, ["--import", "tsx", writer, directory, String(round)], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  let output = ""
  child.stdout.on("data", (chunk) => {
    output += String(chunk)
    if (output.split("\n").length > acknowledgements) child.kill("SIGKILL")
  })
  await once(child, "close")
  return output.split("\n").slice(0, -1)
}

describe("durability of the SQLite store", () => {
  it.scopedLive("kill -9 in the middle of commits loses no acknowledged operation and halves none", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      const acknowledged: Array<string> = []
      for (let round = 0; round < 8; round++) {
        acknowledged.push(...yield* Effect.promise(() => killed(directory, round, 40 + round * 60)))
      }
      assert.isAbove(acknowledged.length, 1_000)
      yield* Effect.gen(function*() {
        const database = yield* Database
        const account = Option.getOrThrow(yield* database.read(Transaction.get(Accounts, { id: "a" })))
        const entries = yield* database.read(Transaction.select(Entries, {}))
        const operations = yield* database.read(Transaction.select(SystemTables.Operations, {}))
        const messages = yield* database.outbox.readAfter(0, [Moved.topic], 1_000_000)
        const known = new Set(operations.map(({ id }) => id))
        assert.deepStrictEqual(acknowledged.filter((id) => !known.has(id)), [])
        assert.strictEqual(entries.length, account.balance)
        assert.strictEqual(messages.length, account.balance)
        assert.strictEqual(operations.length, account.balance + 1)
        // An acknowledged id is known, and runs no second time.
        const again = yield* database.execute(operation(Effect.die("ran twice"), { id: acknowledged[0] ?? "" }))
        assert.strictEqual(again._tag, "Known")
        assert.deepStrictEqual(yield* database.read(Transaction.query("pragma integrity_check")), [
          { integrity_check: "ok" }
        ])
      }).pipe(Effect.provide(Sqlite.layer({ agent: "bank", directory, migrations })))
    }))

  it.scopedLive("every open sets synchronous=FULL, also on a file that exists", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      for (let open = 0; open < 3; open++) {
        const connection = openWriter(join(directory, "x.sqlite"))
        assert.strictEqual(connection.pragma("synchronous", { simple: true }), 2)
        assert.strictEqual(connection.pragma("journal_mode", { simple: true }), "wal")
        connection.exec("create table if not exists t (a)")
        connection.close()
      }
    }))

  it.scopedLive("a second process on the same store is refused in words", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      const store = Sqlite.layer({ agent: "bank", directory, migrations })
      yield* Effect.gen(function*() {
        const error = yield* Effect.flip(
          Effect.provide(Database, Sqlite.layer({ agent: "bank", directory, migrations }))
        )
        assert.deepInclude(error, { _tag: "StoreUnavailable", reason: "locked" })
        assert.include(error.detail, "another process runs the bank agent")
      }).pipe(Effect.provide(store))
      yield* Effect.provide(Database, store)
    }))

  it.scopedLive("a large operation leaves the event loop its turns", () =>
    Effect.gen(function*() {
      const database = yield* Database
      let turns = 0
      const timer = setInterval(() => turns++, 1)
      const many = Array.from({ length: 20_000 }, (_, i) => i)
      yield* database.execute(operation(
        Effect.forEach(many, (i) => Transaction.insert(Entries, { id: `e${i}`, accountId: "a", amount: i, at: 0 }), {
          discard: true
        })
      ))
      clearInterval(timer)
      assert.isAbove(turns, 10)
    }).pipe(Effect.provide(Sqlite.layerTemporary({ agent: "bank", migrations }))))
})

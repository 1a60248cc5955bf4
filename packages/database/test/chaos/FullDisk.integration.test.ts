// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@holdfast/database/Transaction"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as Checker from "@holdfast/testing/Checker"
import * as History from "@holdfast/testing/History"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import * as Workload from "@holdfast/testing/Workload"
import type { Scope } from "effect"
import { Effect, Fiber, Logger, LogLevel, Schedule } from "effect"
import { spawnSync } from "node:child_process"
import { closeSync, openSync, rmSync, statfsSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { deposit, operation } from "../Bank.ts"
import { folder, open, pause, type Replica, through, until, untilMode } from "../Outage.ts"
import * as Traffic from "./Traffic.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

/** How a file is made full, and gets room again. */
interface Room {
  readonly name: string
  readonly directory: string
  readonly take: (bank: Replica) => Effect.Effect<void, unknown>
  readonly give: (bank: Replica) => Effect.Effect<void, unknown>
}

/** SQLite itself allows the file no more pages. */
const pages = (directory: string): Room => {
  // Beside an operation that finds no room the whole transaction fails.
  const limit = (bank: Replica, pragma: string) =>
    Effect.asVoid(Effect.retry(bank.housekeep("pages", Transaction.query(pragma)), Schedule.spaced("5 millis")))
  return {
    name: "no more pages",
    directory,
    // Less than there are is as many as there are.
    take: (bank) => limit(bank, "pragma max_page_count = 1"),
    give: (bank) => limit(bank, "pragma max_page_count = 1000000")
  }
}

/** A small disk of its own, where the user may have one. */
const disk = (directory: string): Effect.Effect<Room | undefined, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=24m", "holdfast-test", directory], {
          stdio: "ignore",
          timeout: 5_000
        })
        return mounted.status === 0
      }),
      (isMounted) =>
        Effect.sync(() =>
          void (isMounted && spawnSync("umount", ["-l", directory], { stdio: "ignore", timeout: 5_000 }))
        )
    ),
    (isMounted): Room | undefined => {
      if (!isMounted) return undefined
      const ballast = join(directory, "ballast")
      return {
        name: "no space left on the disk",
        directory,
        take: () =>
          Effect.sync(() => {
            const file = openSync(ballast, "w")
            const { bavail, bsize } = statfsSync(directory)
            // The last pages go one by one: what is left is less than a commit takes.
            writeSync(file, Buffer.alloc(Math.max(0, bavail - 2) * bsize))
            closeSync(file)
          }),
        give: () => Effect.sync(() => rmSync(ballast, { force: true }))
      }
    }
  )

describe.skipIf(TestServers.isMissing("postgres"))("a full disk under the shadow", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  const rooms = Effect.gen(function*() {
    const first = pages(yield* folder)
    const second = yield* disk(yield* folder)
    return second === undefined ? [first] : [first, second]
  })

  const load = (bank: Replica, choices: Parameters<typeof Traffic.request>[1], name: string) =>
    Effect.gen(function*() {
      const history = History.make()
      let isOver = false
      const running = yield* Effect.fork(Workload.run({
        history,
        perSecond: 60,
        deadline: "4 seconds",
        request: Traffic.request(bank, choices, name),
        isOver: () => isOver
      }))
      const end = Effect.gen(function*() {
        isOver = true
        const { requests } = yield* Fiber.join(running)
        return requests
      })
      return { history, end }
    })
  const failures = (history: History.History) =>
    history.entries.filter(({ detail }) => detail === "StoreUnavailable").length
  const unknowns = (history: History.History) => history.entries.filter(({ phase }) => phase === "info").length

  it.scopedLive("while Postgres serves: nothing is acknowledged that is not there, and it goes on by itself", () =>
    Effect.gen(function*() {
      const run = yield* ChaosRun.make("full disk")
      for (const room of yield* rooms) {
        const url = yield* server().createDatabase("bank")
        const bank = yield* open({ url, directory: room.directory })
        yield* untilMode(bank, "primary")
        yield* Traffic.openAccounts(bank)
        const { end, history } = yield* load(bank, run.choices(room.name), "op")
        for (let round = 0; round < run.form(2, 10); round++) {
          yield* pause(400)
          yield* room.take(bank)
          const before = failures(history) + unknowns(history)
          yield* until(() => failures(history) + unknowns(history) > before + 5)
          run.sometimes(`${room.name}: unavailable`)
          run.sometimes("the file failed after Postgres had committed", unknowns(history) > 0)
          // Reads go on.
          yield* bank.read(Transaction.query("select count(*) from account"))
          yield* pause(300)
          yield* room.give(bank)
          yield* untilMode(bank, "primary")
        }
        yield* pause(300)
        const requests = yield* end
        yield* untilMode(bank, "primary")
        yield* Workload.resolve({ history, deadline: "4 seconds" }, requests)
        history.save(`node_modules/.cache/chaos/full-disk-${run.seed}.jsonl`)
        const { set, violations } = yield* Traffic.broken(url, history, yield* Traffic.differences(bank, url))
        run.figure(`${room.name}: acknowledged`, set.acknowledged)
        run.figure(`${room.name}: refused`, set.refused)
        yield* Checker.kept(violations)
        assert.strictEqual(set.unknown, 0)
      }
      yield* run.reached("no more pages: unavailable")
    }).pipe(quiet))

  it.scopedLive("while Postgres is away: what was acknowledged is merged, what was not is not", () =>
    Effect.gen(function*() {
      const run = yield* ChaosRun.make("full disk alone")
      for (const room of yield* rooms) {
        const url = yield* server().createDatabase("bank")
        const proxy = yield* TcpProxy.make(server())
        const bank = yield* open({ url: through(proxy, url), directory: room.directory })
        yield* untilMode(bank, "primary")
        yield* Traffic.openAccounts(bank)
        const { end, history } = yield* load(bank, run.choices(room.name), "op")
        yield* pause(300)
        yield* Effect.zipRight(proxy.refuse, proxy.cut)
        yield* untilMode(bank, "alone")
        yield* pause(700)
        const before = failures(history)
        yield* room.take(bank)
        yield* until(() => failures(history) > before + 10)
        run.sometimes(`${room.name}: unavailable`)
        // Postgres is back first: a merge that cannot be noted in the file has to wait.
        yield* proxy.pass
        yield* pause(700)
        run.sometimes(`${room.name}: the merge waits`, bank.primary.mode() === "alone")
        yield* room.give(bank)
        yield* untilMode(bank, "primary")
        assert.isAbove(bank.primary.stats.merged, 0)
        yield* pause(200)
        const requests = yield* end
        yield* Workload.resolve({ history, deadline: "4 seconds" }, requests)
        const { set, violations } = yield* Traffic.broken(url, history, yield* Traffic.differences(bank, url))
        run.figure(`${room.name}: acknowledged`, set.acknowledged)
        yield* Checker.kept(violations)
        assert.strictEqual(set.unknown, 0)
      }
      yield* run.reached("no more pages: unavailable")
    }).pipe(quiet))

  it.scopedLive("a data folder that cannot be used: memory stands in, as long as Postgres is there and no longer", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("bank")
      const proxy = yield* TcpProxy.make(server())
      const directory = join(yield* folder, "a-file")
      writeFileSync(directory, "")
      const bank = yield* open({ url: through(proxy, url), directory })
      yield* untilMode(bank, "primary")
      assert.strictEqual(bank.primary.persistence, "memory")
      yield* Traffic.openAccounts(bank)
      const { end, history } = yield* load(bank, (yield* ChaosRun.make("memory")).choices("load"), "op")
      yield* pause(200)
      yield* Effect.zipRight(proxy.refuse, proxy.cut)
      yield* untilMode(bank, "alone")
      assert.strictEqual((yield* Effect.flip(bank.execute(operation(deposit("a", 1)))))._tag, "WriteRefused")
      yield* bank.read(Transaction.query("select count(*) from account"))
      yield* pause(300)
      yield* proxy.pass
      yield* untilMode(bank, "primary")
      yield* pause(200)
      const requests = yield* end
      yield* Workload.resolve({ history, deadline: "4 seconds" }, requests)
      const { violations } = yield* Traffic.broken(url, history, yield* Traffic.differences(bank, url))
      yield* Checker.kept(violations)
    }).pipe(quiet))
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@holdfast/database/Transaction"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as StoreSides from "@holdfast/testing/StoreSides"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Exit, Logger, LogLevel, Redacted, Scope } from "effect"
import { ask, cutOff, folder, open, pair, pause, through, until, untilMode } from "../Outage.ts"
import * as Shop from "./Shop.ts"
import { proves } from "./Wire.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("a row in the way of one of Postgres", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  it.scopedLive("and the process ends before both sides are compared: the next one looks, and loses nothing", () =>
    Effect.gen(function*() {
      const url = yield* server().createDatabase("shop")
      const proxy = yield* TcpProxy.make(server())
      const opened = open({ holding: Shop.shop, url: through(proxy, url), directory: yield* folder, instance: "one" })
      const first = yield* Scope.make()
      const one = yield* Scope.extend(opened, first)
      yield* untilMode(one, "primary")
      const two = yield* open({ holding: Shop.shop, url, directory: yield* folder, instance: "two" })
      yield* untilMode(two, "primary")
      yield* one.execute(Shop.operation("q", Shop.product("Q", "q")))
      yield* two.fresh
      yield* cutOff({ proxy, store: one })
      yield* one.execute(Shop.operation("p", Shop.product("P", "s")))
      const rename = Transaction.update(Shop.Products, { id: "Q" }, (row) => ({ ...row, slug: "s" }))
      yield* two.execute(Shop.operation("q-slug", rename))
      let proofs = 0
      yield* proxy.pass
      yield* proxy.onUpstream((chunk) => {
        if (!proves(chunk)) return "pass"
        proofs++
        void Effect.runPromiseExit(Effect.zipRight(proxy.refuse, proxy.cut))
        return "cut"
      })
      yield* until(() => proofs > 0 || one.primary.mode() === "primary")
      assert.isAbove(proofs, 0)
      yield* pause(100)
      yield* Scope.close(first, Exit.void)
      yield* proxy.pass
      const again = yield* opened
      yield* untilMode(again, "primary")
      yield* again.fresh
      assert.deepStrictEqual(yield* StoreSides.differences(again, { url: Redacted.make(url) }, Shop.tables), [])
      // An edit of something else keeps what the other one wrote.
      yield* again.execute(Shop.operation("q-title", Shop.rename("Q", "new title")))
      assert.deepStrictEqual(
        yield* ask(url, "select slug, title from product where id = 'Q'", "shop"),
        [{ slug: "s", title: "new title" }]
      )
    }).pipe(quiet))

  it.scopedLive("and nothing is unmerged: the file had differed unseen, and is copied anew, though it only reads", () =>
    Effect.gen(function*() {
      const { one, two, url } = yield* pair(server(), Shop.shop)
      yield* one.store.execute(Shop.operation("q", Shop.product("Q", "q")))
      yield* one.store.housekeep("spoil", Shop.product("nobody's", "s"))
      yield* two.store.execute(Shop.operation("p", Shop.product("P", "s")))
      yield* one.store.fresh
      assert.deepStrictEqual(yield* StoreSides.differences(one.store, { url: Redacted.make(url) }, Shop.tables), [])
      const rename = Transaction.update(Shop.Products, { id: "P" }, (row) => ({ ...row, title: "new" }))
      yield* one.store.execute(Shop.operation("p-title", rename))
      assert.strictEqual(one.store.primary.mode(), "primary")
    }).pipe(quiet))
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import type { WriteError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as Checker from "@holdfast/testing/Checker"
import type { Choices } from "@holdfast/testing/Choices"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as StoreSides from "@holdfast/testing/StoreSides"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Exit, Logger, LogLevel, Option, Redacted, Scope } from "effect"
import { ask, cutOff, letBack, pair, pause, until } from "../Outage.ts"
import * as Shop from "./Shop.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

type Shop = Effect.Effect.Success<ReturnType<typeof pair>>["one"]

describe.skipIf(TestServers.isMissing("postgres"))("two replicas of an agent, cut off from Postgres", () => {
  const scope = Effect.runSync(Scope.make())
  let url: string
  let one: Shop
  let two: Shop
  beforeAll(() =>
    Effect.gen(function*() {
      const server = yield* PostgresServer.start()
      const opened = yield* pair(server, Shop.shop)
      one = opened.one
      two = opened.two
      url = opened.url
      // Each has heard of the other.
      yield* Effect.iterate(0, {
        while: () => one.store.primary.replicas() < 2 || two.store.primary.replicas() < 2,
        body: (n) => Effect.as(Effect.sleep("50 millis"), n + 1)
      })
    }).pipe(quiet, Scope.extend(scope), Effect.runPromise)
  )
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  const both = () => [one, two] as const
  const cutBoth = Effect.suspend(() => Effect.forEach(both(), cutOff, { discard: true }))
  const healBoth = Effect.suspend(() => Effect.forEach(both(), letBack, { discard: true, concurrency: "unbounded" }))
  const rows = (text: string) => ask(url, text, "shop")

  /** Both replicas have heard everything, and have what Postgres has. */
  const areEqual = Effect.gen(function*() {
    for (const { store } of both()) {
      yield* store.fresh
      yield* Checker.kept(
        yield* StoreSides.differences(store, { url: Redacted.make(url) }, Shop.tables)
      )
    }
  })

  /** Both know these rows. */
  const prepared = <E>(
    name: string,
    handler: Effect.Effect<unknown, E, Transaction.Transaction | Transaction.Reader>
  ) =>
    Effect.gen(function*() {
      yield* one.store.execute(Shop.operation(`${name}-prepare`, handler))
      yield* two.store.fresh
    })

  const stockOf = (sku: string) =>
    Effect.map(rows(`select on_hand as n from stock where sku = '${sku}'`), ([row]) => row?.["n"])
  const titleOf = (id: string) =>
    Effect.map(rows(`select title from product where id = '${id}'`), ([row]) => row?.["title"])
  const withheldHere = (shop: Shop, name: string) =>
    Effect.map(shop.store.primary.withheld, (all) => all.filter(({ operationId }) => operationId.startsWith(name)))

  it.scopedLive(
    "both sell the same goods within the bound and edit the same products: all sold is counted, every conflict is listed, all are equal",
    () =>
      Effect.gen(function*() {
        const run = yield* ChaosRun.make("two replicas")
        /** One outage of choices made by the seed; what it leaves, under names that do not depend on the attempt. */
        const outage = (attempt: string, seed: number) =>
          Effect.gen(function*() {
            const choices: Choices = run.choices(`outage ${seed}`)
            const named = (what: string | number) => `${attempt}-${what}`
            const skus = ["x", "y", "z"].map(named)
            const products = ["p", "q"].map(named)
            const first = choices.integer(20, 100)
            yield* prepared(
              attempt,
              Effect.zipRight(
                Effect.forEach(skus, (sku) => Shop.stock(sku, first)),
                Effect.forEach(products, (id) => Shop.product(id, id))
              )
            )
            yield* cutBoth
            const sold = new Map<string, number>()
            const acknowledged: Array<string> = []
            for (let n = 0; n < 60; n++) {
              const at = choices.integer(0, 1)
              const shop = at === 0 ? one : two
              const id = named(`${at}-${n}`)
              const isSale = choices.chance(0.75)
              const sku = skus[choices.integer(0, 2)] ?? ""
              const amount = choices.integer(1, 8)
              const title = `by ${at} at ${n}`
              const product = products[choices.integer(0, 1)] ?? ""
              const exit = isSale
                ? yield* Effect.exit(
                  Effect.asVoid(
                    shop.store.execute(Shop.operation(id, Shop.sell(sku, amount), { writeClass: "bounded" }))
                  )
                )
                : yield* Effect.exit(Effect.asVoid(shop.store.execute(Shop.operation(id, Shop.rename(product, title)))))
              if (Exit.isFailure(exit)) continue
              acknowledged.push(id)
              if (isSale) sold.set(sku, (sold.get(sku) ?? 0) + amount)
            }
            const order = choices.shuffle(both())
            for (const shop of order) yield* letBack(shop)
            yield* areEqual
            const withheld = yield* withheldHere(one, attempt)
            // Nothing is dropped: an acknowledged operation is in the primary, or is listed.
            const there = new Set((yield* rows("select operation_id as id from change")).map(({ id }) => String(id)))
            const listed = new Set(withheld.map(({ operationId }) => operationId))
            assert.deepStrictEqual(acknowledged.filter((id) => !there.has(id) && !listed.has(id)), [])
            assert.deepStrictEqual(acknowledged.filter((id) => there.has(id) && listed.has(id)), [])
            for (const sku of skus) {
              assert.strictEqual(yield* stockOf(sku), first - (sold.get(sku) ?? 0), sku)
              run.sometimes("both have sold the same", (sold.get(sku) ?? 0) > 0.4 * first)
            }
            run.sometimes("versioned conflicts", withheld.some(({ conflicts }) => conflicts.length > 0))
            run.sometimes("operations that wait behind one", withheld.some(({ behind }) => behind !== null))
            // Counters within the bound never conflict.
            assert.deepStrictEqual(
              withheld.flatMap(({ conflicts }) => conflicts.map(({ table }) => table)).filter((table) =>
                table === "stock"
              ),
              []
            )
            const state = [
              ...yield* rows(`select sku, on_hand from stock where sku like '${attempt}-%' order by 1`),
              ...yield* rows(`select id, title, version from product where id like '${attempt}-%' order by 1`),
              ...withheld.map(({ behind, operationId }) => ({ behind, operationId }))
            ]
            for (const { conflicts, operationId } of withheld) {
              if (conflicts.length > 0) yield* one.store.primary.settle(operationId, "primary", "test")
            }
            return JSON.stringify(state).replaceAll(`${attempt}-`, "")
          })
        for (let seed = run.seed; seed < run.seed + run.form(3, 10); seed++) {
          const states = [yield* outage(`a${seed}`, seed), yield* outage(`b${seed}`, seed)]
          assert.strictEqual(states[0], states[1], `seed ${seed}`)
        }
        yield* run.reached("both have sold the same", "versioned conflicts", "operations that wait behind one")
      }).pipe(quiet),
    { timeout: ChaosRun.timeout(4 * 60_000, 10 * 60_000) }
  )

  it.scopedLive("one comes back while the other goes on alone, and then the other", () =>
    Effect.gen(function*() {
      yield* prepared("early", Effect.zipRight(Shop.stock("early", 100), Shop.product("early", "early")))
      yield* cutBoth
      yield* one.store.execute(Shop.operation("early-1", Shop.sell("early", 30), { writeClass: "bounded" }))
      yield* two.store.execute(Shop.operation("early-2", Shop.sell("early", 10), { writeClass: "bounded" }))
      yield* letBack(one)
      yield* two.store.execute(Shop.operation("early-3", Shop.sell("early", 15), { writeClass: "bounded" }))
      yield* one.store.execute(Shop.operation("early-4", Shop.sell("early", 5), { writeClass: "bounded" }))
      yield* one.store.execute(Shop.operation("early-5", Shop.rename("early", "by one")))
      yield* two.store.execute(Shop.operation("early-6", Shop.rename("early", "by two")))
      assert.strictEqual(yield* stockOf("early"), 65)
      yield* letBack(two)
      assert.strictEqual(yield* stockOf("early"), 40)
      assert.strictEqual(yield* titleOf("early"), "by one")
      yield* areEqual
      const [held, ...more] = yield* withheldHere(one, "early")
      assert.deepStrictEqual(more, [])
      assert.deepInclude(held?.conflicts[0], { table: "product", reason: "row_changed" })
      assert.deepInclude(held?.conflicts[0]?.outageRow, { title: "by two" })
    }).pipe(quiet))

  it.scopedLive("who has been away for long keeps its share: it may be selling, for all that anybody knows", () =>
    Effect.gen(function*() {
      yield* prepared("share", Shop.stock("share", 100))
      yield* cutOff(one)
      // As if it had been silent for a minute; the other, which has just given a sign of life, looks again with its next.
      yield* pause(1_200)
      yield* rows(
        "update replica set seen_at = now() - interval '1 minute' where seen_at = (select min(seen_at) from replica)"
      )
      yield* until(() => two.store.primary.replicas() === 1)
      yield* cutOff(two)
      for (const [at, { store }] of both().entries()) {
        const sold = (n: number) =>
          store.execute(Shop.operation(`share-${at}-${n}`, Shop.sell("share", n), { writeClass: "bounded" }))
        yield* sold(40)
        assert.deepInclude(yield* Effect.flip(sold(1)), { _tag: "Refused", why: "beyond the share" })
      }
      yield* healBoth
      yield* areEqual
      assert.strictEqual(yield* stockOf("share"), 20)
      yield* until(() => both().every(({ store }) => store.primary.replicas() === 2))
    }).pipe(quiet))

  it.scopedLive("more than there was is sold: the overrun is a conflict, and stock never falls below nothing", () =>
    Effect.gen(function*() {
      yield* prepared("over", Shop.stock("over", 10))
      yield* cutBoth
      yield* one.store.execute(Shop.operation("over-1", Shop.take("over", 7)))
      yield* two.store.execute(Shop.operation("over-2", Shop.take("over", 2)))
      yield* two.store.execute(Shop.operation("over-3", Shop.take("over", 5)))
      yield* letBack(one)
      yield* letBack(two)
      assert.strictEqual(yield* stockOf("over"), 1)
      yield* areEqual
      const held = yield* withheldHere(two, "over")
      assert.deepStrictEqual(held.map(({ operationId }) => operationId), ["over-3"])
      assert.include(held[0]?.conflicts[0]?.reason, "constraint")
      // What is not there cannot be given out by a decision either.
      const refused = yield* Effect.flip(one.store.primary.settle("over-3", "outage", "test"))
      assert.strictEqual(refused._tag, "SettleRefused")
      yield* one.store.primary.settle("over-3", "primary", "test")
      yield* areEqual
    }).pipe(quiet))

  it.scopedLive("both insert another row under one unique value: one is withheld, with all that it did", () =>
    Effect.gen(function*() {
      yield* prepared("clash", Shop.stock("clash", 10))
      yield* cutBoth
      yield* one.store.execute(Shop.operation("clash-1", Shop.product("clash-1", "clash")))
      yield* two.store.execute(Shop.operation(
        "clash-2",
        Effect.zipRight(Shop.product("clash-2", "clash"), Shop.sell("clash", 4)),
        { writeClass: "bounded" }
      ))
      yield* two.store.execute(Shop.operation("clash-3", Shop.rename("clash-2", "later")))
      yield* healBoth
      yield* areEqual
      const held = yield* withheldHere(one, "clash")
      const [loser] = held
      const isTwo = loser?.operationId === "clash-2"
      assert.strictEqual(held.length, isTwo ? 2 : 1)
      assert.strictEqual((yield* rows("select 1 from product where slug = 'clash'")).length, 1)
      // The stock goes with its operation.
      assert.strictEqual(yield* stockOf("clash"), isTwo ? 10 : 6)
    }).pipe(quiet))

  it.scopedLive("one deletes what the other changes: neither is done behind the other's back", () =>
    Effect.gen(function*() {
      const remove = (id: string) => Transaction.remove(Shop.Products, { id })
      yield* prepared("gone", Effect.zipRight(Shop.product("gone-a", "gone-a"), Shop.product("gone-b", "gone-b")))
      yield* cutBoth
      yield* one.store.execute(Shop.operation("gone-1", remove("gone-a")))
      yield* two.store.execute(Shop.operation("gone-2", Shop.rename("gone-a", "changed")))
      yield* one.store.execute(Shop.operation("gone-3", Shop.rename("gone-b", "changed")))
      yield* two.store.execute(Shop.operation("gone-4", remove("gone-b")))
      yield* letBack(one)
      yield* letBack(two)
      yield* areEqual
      const held = yield* withheldHere(one, "gone")
      assert.deepStrictEqual(
        held.map(({ conflicts, operationId }) => [operationId, conflicts.map(({ reason }) => reason)]),
        [["gone-2", ["row_gone"]], ["gone-4", ["row_changed"]]]
      )
      assert.strictEqual(yield* titleOf("gone-b"), "changed")
      yield* two.store.primary.settle("gone-2", "outage", "test")
      yield* two.store.primary.settle("gone-4", "outage", "test")
      yield* areEqual
      assert.strictEqual(yield* titleOf("gone-a"), "changed")
      assert.strictEqual(yield* titleOf("gone-b"), undefined)
    }).pipe(quiet))

  it.scopedLive("an operation of several tables is withheld as a whole when one of its rows conflicts", () =>
    Effect.gen(function*() {
      yield* prepared("whole", Effect.zipRight(Shop.stock("whole", 50), Shop.product("whole", "whole")))
      yield* cutBoth
      yield* one.store.execute(Shop.operation("whole-1", Shop.rename("whole", "by one")))
      yield* two.store.execute(Shop.operation(
        "whole-2",
        Effect.all([Shop.sell("whole", 5), Shop.rename("whole", "by two"), Shop.product("whole-new", "whole-new")]),
        { writeClass: "bounded" }
      ))
      yield* two.store.execute(Shop.operation("whole-3", Shop.sell("whole", 1), { writeClass: "bounded" }))
      yield* letBack(one)
      yield* letBack(two)
      yield* areEqual
      assert.strictEqual(yield* stockOf("whole"), 50)
      assert.strictEqual(yield* titleOf("whole-new"), undefined)
      assert.deepStrictEqual(
        (yield* withheldHere(one, "whole")).map(({ behind, operationId }) => [operationId, behind]),
        [["whole-2", null], ["whole-3", "whole-2"]]
      )
      yield* two.store.primary.settle("whole-2", "outage", "test")
      yield* areEqual
      assert.strictEqual(yield* stockOf("whole"), 44)
      assert.strictEqual(yield* titleOf("whole-new"), "whole-new")
      assert.strictEqual(yield* titleOf("whole"), "by two")
    }).pipe(quiet))

  it.scopedLive("the same operation runs on both: it has one effect; another request under its id is listed", () =>
    Effect.gen(function*() {
      yield* prepared("same", Shop.stock("same", 50))
      yield* cutBoth
      for (const { store } of both()) {
        yield* store.execute(Shop.operation("same-1", Shop.sell("same", 5), { writeClass: "bounded" }))
      }
      yield* one.store.execute(Shop.operation("same-2", Shop.take("same", 1), { fingerprint: "f1" }))
      yield* two.store.execute(Shop.operation("same-2", Shop.take("same", 10), { fingerprint: "f2" }))
      yield* letBack(one)
      yield* letBack(two)
      yield* areEqual
      assert.strictEqual(yield* stockOf("same"), 44)
      assert.strictEqual((yield* rows("select 1 from movement where sku = 'same'")).length, 2)
      const [held] = yield* withheldHere(one, "same")
      assert.deepInclude(held?.conflicts[0], { reason: "id_reused", table: "stock" })
      yield* one.store.primary.settle(held?.operationId ?? "", "primary", "test")
    }).pipe(quiet))

  it.scopedLive("a decision releases those that wait, in their order, also those that wait behind one that waits", () =>
    Effect.gen(function*() {
      for (const keep of ["outage", "primary"] as const) {
        const id = `wait-${keep}`
        yield* prepared(
          id,
          Effect.all([
            Shop.product(id, id),
            Shop.stock(id, 20),
            ...["other", "shared"].map((name) => Shop.product(`${id}-${name}`, `${id}-${name}`))
          ])
        )
        yield* cutBoth
        yield* one.store.execute(Shop.operation(`${id}-0`, Shop.rename(id, "by one")))
        // Ids whose order is not that of the operations.
        const [z, m, a, k] = [`${id}-z`, `${id}-m`, `${id}-a`, `${id}-k`] as const
        const other = `${id}-other`
        const shared = `${id}-shared`
        const ran: ReadonlyArray<
          readonly [string, Effect.Effect<unknown, WriteError, Transaction.Transaction | Transaction.Reader>]
        > = [
          [z, Effect.zipRight(Shop.rename(id, "z"), Shop.rename(other, "z"))],
          [m, Effect.all([Shop.rename(id, "m"), Shop.take(id, 1), Shop.rename(shared, "m")])],
          [a, Effect.all([Shop.rename(other, "a"), Shop.take(id, 2), Shop.rename(shared, "a")])],
          [k, Effect.zipRight(Shop.take(id, 4), Shop.rename(other, "k"))]
        ]
        for (const [name, handler] of ran) yield* two.store.execute(Shop.operation(name, handler))
        yield* letBack(one)
        yield* letBack(two)
        yield* areEqual
        const held = yield* withheldHere(one, id)
        assert.strictEqual(held.length, 4)
        assert.deepStrictEqual(held.filter(({ behind }) => behind === null).map(({ operationId }) => operationId), [
          z
        ])
        assert.strictEqual(yield* stockOf(id), 20)
        yield* one.store.primary.settle(z, keep, "test")
        yield* areEqual
        const after = yield* withheldHere(two, id)
        if (keep === "outage") {
          assert.deepStrictEqual(after.filter(({ status }) => status === "open"), [])
          assert.strictEqual(yield* titleOf(id), "m")
          assert.strictEqual(yield* titleOf(other), "k")
          assert.strictEqual(yield* titleOf(shared), "a")
          assert.strictEqual(yield* stockOf(id), 13)
          continue
        }
        // Discarded: the primary's row stands, and what was built on the discarded one is a decision of its own.
        assert.strictEqual(yield* titleOf(id), "by one")
        assert.strictEqual(yield* titleOf(other), other)
        for (let left = after; left.some(({ status }) => status === "open"); left = yield* withheldHere(two, id)) {
          const next = left.find(({ behind, status }) => status === "open" && behind === null)
          assert.isDefined(next, "everything waits for something that is decided")
          assert.isAbove(next?.conflicts.length ?? 0, 0)
          yield* two.store.primary.settle(next?.operationId ?? "", "outage", "test")
        }
        yield* areEqual
        assert.strictEqual(yield* titleOf(id), "m")
        assert.strictEqual(yield* titleOf(other), "k")
        assert.strictEqual(yield* titleOf(shared), "a")
        assert.strictEqual(yield* stockOf(id), 13)
      }
    }).pipe(quiet))

  it.scopedLive("what waits cannot keep an operation from being decided", () =>
    Effect.gen(function*() {
      yield* prepared("stuck", Effect.zipRight(Shop.product("stuck", "stuck"), Shop.stock("stuck", 3)))
      yield* cutBoth
      yield* one.store.execute(
        Shop.operation("stuck-1", Effect.zipRight(Shop.rename("stuck", "by one"), Shop.take("stuck", 2)))
      )
      yield* two.store.execute(Shop.operation("stuck-2", Shop.rename("stuck", "by two")))
      yield* two.store.execute(
        Shop.operation("stuck-3", Effect.zipRight(Shop.rename("stuck", "by three"), Shop.take("stuck", 2)))
      )
      yield* two.store.execute(Shop.operation("stuck-4", Shop.take("stuck", 1)))
      yield* letBack(one)
      yield* letBack(two)
      yield* areEqual
      assert.deepStrictEqual(
        (yield* withheldHere(one, "stuck")).map(({ behind }) => behind),
        [null, "stuck-2", "stuck-3"]
      )
      // Released, the third would take more than there is.
      yield* one.store.primary.settle("stuck-2", "outage", "test")
      yield* areEqual
      const [, third, fourth] = yield* withheldHere(one, "stuck")
      assert.deepInclude(third, { behind: null, status: "open" })
      assert.strictEqual(fourth?.status, "open")
      yield* one.store.primary.settle("stuck-3", "primary", "test")
      yield* areEqual
      assert.strictEqual(yield* stockOf("stuck"), 0)
      assert.strictEqual(yield* titleOf("stuck"), "by two")
      assert.isTrue((yield* withheldHere(one, "stuck")).every(({ status }) => status !== "open"))
    }).pipe(quiet))

  it.scopedLive("an operation that breaks a reference fails alone, also right after another process was heard", () =>
    Effect.gen(function*() {
      const before = one.store.primary.stats.failovers
      yield* prepared("reference", Shop.stock("reference", 1))
      yield* two.store.execute(Shop.operation("reference-1", Shop.take("reference", 1)))
      const failed = yield* Effect.flip(one.store.execute(Shop.operation(
        "reference-2",
        Transaction.insert(Shop.Movements, { id: "orphan", sku: "nowhere", amount: 1 })
      )))
      assert.deepInclude(failed, { _tag: "ConstraintViolated", kind: "foreign_key" })
      assert.strictEqual(one.store.primary.stats.failovers, before)
      assert.isTrue(Option.isNone(yield* one.store.read(Transaction.get(Shop.Movements, { id: "orphan" }))))
    }).pipe(quiet))
})

// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as PostgresConnection from "@holdfast/database/PostgresConnection"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Logger, LogLevel, Redacted } from "effect"
import { cpSync, mkdirSync, renameSync } from "node:fs"
import { join } from "node:path"
import { agents } from "../src/Agents.ts"
import * as Verification from "../src/Verify/Verification.ts"
import { open, orderThat, place, receive, temporary } from "./Shop.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.Fatal)

const verify = (
  directories: ReadonlyArray<string>,
  variables: Readonly<Record<string, string>> = {},
  isShadowCompared = false
) =>
  Effect.gen(function*() {
    const config = yield* AgentConfig.load(variables)
    return yield* Verification.run({
      agents: agents({ ...config, port: () => 0 }),
      config,
      directories,
      isShadowCompared
    })
  })

const SKU = "85123A"

/** Three orders, each confirmed. */
const trade = (directory: string, variables: Readonly<Record<string, string>> = {}) =>
  Effect.scoped(Effect.gen(function*() {
    const shop = yield* open(directory, variables)
    yield* receive(shop, SKU, 100)
    for (const ref of ["A-1", "A-2", "A-3"]) {
      const id = yield* place(shop, ref)
      yield* orderThat(shop, id, ({ state }) => state === "confirmed")
    }
  })).pipe(quiet)

/** Runs statements as whoever owns the database. */
const change = (url: string, ...statements: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const session = yield* Effect.acquireRelease(
      PostgresConnection.connect({ url: Redacted.make(url) }, "test"),
      (made) => Effect.sync(() => made.destroy("done"))
    )
    return yield* session.run(statements.map((text) => ({ text })), 5_000)
  }))

const message = "select id from payment.operation where id like 'msg:payment:%' order by n limit 1"

/** What somebody may do to a store, how it is undone, and what is found. */
interface Damage {
  readonly name: string
  readonly harm: ReadonlyArray<string>
  readonly undo: ReadonlyArray<string>
  readonly finds: ReadonlyArray<readonly [rule: string, agent: string, detail: RegExp]>
}

const damages: ReadonlyArray<Damage> = [
  {
    name: "stock is reserved for nobody",
    harm: ["update inventory.stock_level set reserved = reserved + 1"],
    undo: ["update inventory.stock_level set reserved = reserved - 1"],
    finds: [["I4", "inventory", /reserved is 4/], ["I5", "inventory", /hold 3/], ["shadow", "inventory", /differs/]]
  },
  {
    name: "a message was not published",
    harm: ["update inventory.outbox set published_at = null where seq = 2"],
    undo: ["update inventory.outbox set published_at = 1 where seq = 2"],
    finds: [["outbox", "inventory", /has not been published/]]
  },
  {
    name: "a message was not handled",
    harm: [`update payment.operation set id = id || '-lost' where id = (${message})`],
    undo: ["update payment.operation set id = replace(id, '-lost', '') where id like '%-lost'"],
    finds: [
      ["outbox", "order", /ecom\.payment\.authorize\.v1 of \S+ has not been handled by payment/],
      ["shadow", "payment", /is in the file and not in Postgres/],
      ["shadow", "payment", /is in Postgres and not in the file/]
    ]
  },
  {
    name: "a message was given up by a person",
    harm: [
      `insert into payment.dead_letter select substr(id, 13), 't', 's', 'e', 'k', 't', '{}', 'c', 'm', 1, 1, null,
         'discarded', 'somebody', 1 from payment.operation where id = (${message})`,
      `update payment.operation set id = id || '-lost' where id = (${message})`
    ],
    undo: [
      "update payment.operation set id = replace(id, '-lost', '') where id like '%-lost'",
      "delete from payment.dead_letter"
    ],
    finds: [
      ["shadow", "payment", /is in the file and not in Postgres/],
      ["shadow", "payment", /is in Postgres and not in the file/]
    ]
  },
  {
    name: "an outage has left a decision",
    harm: [
      `insert into product.withheld_operation (operation_id, command, changes, at, status)
         values ('http:product:someone:edit', 'edit', '[]', 1, 'open')`,
      `insert into product.withheld_operation (operation_id, command, changes, behind, at, status)
         values ('http:product:someone:next', 'edit', '[]', 'http:product:someone:edit', 2, 'open')`
    ],
    undo: ["delete from product.withheld_operation"],
    finds: [
      ["withheld", "product", /holdfast conflicts settle product http:product:someone:edit --keep/],
      ["withheld", "product", /waits until http:product:someone:edit is decided/],
      ["shadow", "product", /is in Postgres and not in the file/],
      ["shadow", "product", /is in Postgres and not in the file/]
    ]
  },
  {
    name: "an accepted command was never carried out",
    harm: ["insert into payment.intent values ('http:payment:someone:capture', 'capture', '{}', 1, 'waiting', 1)"],
    undo: ["delete from payment.intent"],
    finds: [["intent", "payment", /capture was accepted while Postgres was away/], [
      "shadow",
      "payment",
      /not in the file/
    ]]
  },
  {
    name: "a row is gone",
    harm: [
      "update \"order\".timeline_entry set id = 'zzz' where n = 1 and id = (select min(id) from \"order\".timeline_entry where n = 1)"
    ],
    undo: [],
    finds: [
      ["shadow", "order", /is in the file and not in Postgres/],
      ["shadow", "order", /is in Postgres and not in the file/]
    ]
  }
]

describe("verify on files", () => {
  it.scopedLive("takes each agent's file from the folder that has it", () =>
    Effect.gen(function*() {
      const whole = yield* temporary
      yield* trade(whole)
      const together = yield* verify([whole])
      assert.deepStrictEqual(together.findings, [])
      assert.strictEqual(together.store, "files")
      const elsewhere = join(whole, "elsewhere")
      mkdirSync(elsewhere)
      renameSync(join(whole, "payment.sqlite"), join(elsewhere, "payment.sqlite"))
      assert.strictEqual((yield* verify([whole, elsewhere])).digest, together.digest)
      cpSync(join(elsewhere, "payment.sqlite"), join(whole, "payment.sqlite"))
      const twice = yield* Effect.flip(verify([whole, elsewhere]))
      assert.include(twice.message, "both hold a store of the payment agent")
    }), 60_000)

  it.scopedLive("refuses a folder that is not one of the agents', and says which", () =>
    Effect.gen(function*() {
      const whole = yield* temporary
      const refused = (...directories: ReadonlyArray<string>) => Effect.flip(verify(directories))
      assert.include(yield* refused(join(whole, "nowhere")), {
        _tag: "StoreMisplaced",
        path: join(whole, "nowhere"),
        variable: "HOLDFAST_DATA_DIR",
        detail:
          `${join(whole, "nowhere")} does not exist: name the folder in which the agents run with --data-dir or ` +
          "HOLDFAST_DATA_DIR"
      })
      assert.include(yield* refused(whole), { _tag: "StoreMisplaced", path: whole, agent: undefined })
      yield* trade(whole)
      renameSync(join(whole, "payment.sqlite"), join(whole, "elsewhere"))
      assert.include(yield* refused(whole), {
        _tag: "StoreMisplaced",
        path: join(whole, "payment.sqlite"),
        agent: "payment",
        variable: "HOLDFAST_DATA_DIR"
      })
    }), 60_000)
})

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("verify on Postgres", () => {
  it.scopedLive("finds what it finds in files, and whatever is not in order", () =>
    Effect.gen(function*() {
      const server = yield* PostgresServer.start()
      const url = yield* server.createDatabase("shop")
      const directory = yield* temporary
      yield* trade(directory, { DATABASE_URL: url })
      // Without a broker nothing is published; what one would have acknowledged is marked by hand.
      const published = agents({ dataDir: directory, host: "", port: () => 0, peers: { of: {}, others: undefined } })
        .map(({ name }) => `update "${name}".outbox set published_at = 1`)
      yield* change(url, ...published)
      const variables = { DATABASE_URL: url, KAFKA_BROKERS: "127.0.0.1:1" }
      const check = verify([directory], variables, true)

      const found = yield* check
      assert.deepStrictEqual(found.findings, [])
      assert.strictEqual(found.store, "postgres")
      assert.lengthOf(found.shadows, 5)
      assert.deepStrictEqual([...new Set(found.shadows.map(({ pending }) => pending))], [0])
      const compared = found.shadows.flatMap(({ tables }) => tables)
      assert.isAbove(compared.find(({ name }) => name === "orders")?.rows ?? 0, 2)
      assert.isAbove(compared.filter(({ name }) => name === "operation").reduce((sum, { rows }) => sum + rows, 0), 20)
      // The shadows alone are no store: without the address of Postgres they would be taken for one.
      assert.include(yield* Effect.flip(verify([directory])), {
        _tag: "StoreMisplaced",
        path: join(directory, "product.sqlite"),
        agent: "product",
        variable: "DATABASE_URL"
      })
      const files = yield* temporary
      assert.include(yield* Effect.flip(verify([directory, files], variables, true)), { path: files, agent: undefined })
      yield* trade(files)
      assert.strictEqual(found.digest, (yield* verify([files])).digest)

      for (const { finds, harm, name, undo } of damages) {
        yield* change(url, ...harm)
        const { findings } = yield* check
        assert.deepStrictEqual(
          findings.map(({ agent, rule }) => `${agent} ${rule}`).sort(),
          finds.map(([rule, agent]) => `${agent} ${rule}`).sort(),
          name
        )
        for (const [rule, agent, detail] of finds) {
          assert.isTrue(
            findings.some((one) => one.rule === rule && one.agent === agent && detail.test(one.detail)),
            `${name}: ${findings.map((one) => one.detail).join("; ")}`
          )
        }
        if (undo.length === 0) continue
        yield* change(url, ...undo)
        assert.deepStrictEqual((yield* check).findings, [], `undone: ${name}`)
      }
    }), 120_000)

  it.scopedLive("finds what an outage has left in a file, until it is merged", () =>
    Effect.gen(function*() {
      const server = yield* PostgresServer.start()
      const url = yield* server.createDatabase("shop")
      const directory = yield* temporary
      const variables = { DATABASE_URL: url }
      yield* trade(directory, variables)
      yield* server.kill
      yield* Effect.scoped(Effect.flatMap(open(directory, variables), (shop) => place(shop, "B-1"))).pipe(quiet)
      yield* server.start
      const left = (yield* verify([directory], variables)).findings.filter(({ rule }) => rule === "backlog")
      assert.isTrue(left.some(({ agent, detail }) => agent === "order" && detail.includes("are not in Postgres")))
      assert.deepStrictEqual([...new Set(left.map(({ id }) => id))], [directory])
      yield* Effect.scoped(Effect.gen(function*() {
        const shop = yield* open(directory, variables)
        const id = yield* place(shop, "B-1")
        yield* orderThat(shop, id, ({ state }) => state === "confirmed")
      })).pipe(quiet)
      assert.deepStrictEqual((yield* verify([directory], variables, true)).findings, [])
    }), 120_000)
})

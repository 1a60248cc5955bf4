// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Holdfast from "@holdfast/agent/Holdfast"
import * as HoldfastProcess from "@holdfast/testing/HoldfastProcess"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Logger, LogLevel } from "effect"
import Pg from "pg"
import { agents } from "../src/Agents.ts"
import { temporary, until } from "./Shop.ts"

/** The product agent in a process of its own, as far as it can be told from outside. */
const start = (url: string | undefined) =>
  Effect.gen(function*() {
    const config = yield* AgentConfig.load({
      ...(url === undefined ? {} : { DATABASE_URL: url }),
      HOLDFAST_DATA_DIR: yield* temporary,
      HOLDFAST_PORT: "0"
    })
    const holdfast = yield* Holdfast.serve({
      agents: agents({ ...config, port: () => 0 }).filter(({ name }) => name === "product"),
      config
    })
    yield* holdfast.ready
    const at = `http://127.0.0.1:${holdfast.port}`
    const send = (method: string, path: string, body: unknown, headers: Readonly<Record<string, string>>) =>
      Effect.promise(async () => {
        const response = await fetch(`${at}${path}`, {
          method,
          headers: { "content-type": "application/json", ...headers },
          ...(body === undefined ? {} : { body: JSON.stringify(body) })
        })
        return {
          status: response.status,
          level: response.headers.get("x-degradation-level"),
          // What is answered is asserted where it is used.
          // eslint-disable-next-line @typescript-eslint/no-explicit-any
          body: (await response.json()) as any
        }
      })
    const level = (wanted: string) =>
      until(Effect.map(send("GET", "/health", undefined, {}), ({ level }) => level === wanted ? true : undefined))
    return { at, send, level }
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))

/** Runs the command to its end. */
const holdfast = (...args: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const child = yield* HoldfastProcess.run(args)
    const exit = yield* child.exit
    return { exit, ...child.output() }
  }))

const product = {
  slug: "mug",
  type: "simple",
  title: { en: "Mug" },
  taxClass: "standard",
  variants: [{ sku: "MUG-1", weightGrams: 350, dims: { l: 120, w: 90, h: 100 }, prices: [] }]
}

describe.skipIf(TestServers.isMissing("postgres"))("an operator's commands", () => {
  it.scopedLive(
    "conflicts are listed, shown and settled; a drill reports, and fails where rows differed",
    () =>
      Effect.gen(function*() {
        const server = yield* PostgresServer.start({ settings: { fsync: "off" } })
        const url = yield* server.createDatabase("shop")
        const proxy = yield* TcpProxy.make(server)
        const through = new URL(url)
        through.host = `${proxy.host}:${proxy.port}`
        const [cut, other] = [yield* start(through.href), yield* start(url)]
        yield* cut.level("0")
        yield* other.level("0")
        const created = yield* cut.send("POST", "/product/products", product, { "idempotency-key": "mug" })
        assert.strictEqual(created.status, 201, JSON.stringify(created.body))
        const path = `/product/products/${created.body.id}`
        const edit = (process: typeof cut, title: string, version: number = created.body.version) =>
          process.send("PATCH", path, { title: { en: title } }, {
            "if-match": `"${version}"`,
            "idempotency-key": title
          })
        yield* until(Effect.map(other.send("GET", path, undefined, {}), ({ status }) => status === 200 || undefined))
        yield* Effect.zipRight(proxy.refuse, proxy.cut)
        yield* cut.level("1")
        const alone = yield* edit(cut, "Alone")
        assert.strictEqual(alone.status, 200)
        assert.strictEqual((yield* edit(cut, "Later", alone.body.version)).status, 200)
        assert.strictEqual((yield* edit(other, "Elsewhere")).status, 200)
        yield* proxy.pass
        yield* cut.level("0")

        const id = "http:product:anonymous:Alone"
        const listed = yield* holdfast("conflicts", "--status", "open", "--url", cut.at)
        assert.deepStrictEqual([listed.exit, listed.stderr], [0, ""])
        assert.match(listed.stdout, /^agent {2,}id {2,}status {2,}command/)
        assert.include(listed.stdout, id)
        assert.include(listed.stdout, "row_changed")
        const json = yield* holdfast("conflicts", "--json", "--url", cut.at)
        assert.deepInclude(JSON.parse(json.stdout)[0], { agent: "product", id, status: "open" })
        const shown = yield* holdfast("conflicts", "show", "product", id, "--url", cut.at)
        assert.match(shown.stdout, /^product_content .*: in conflict, row_changed/m)
        assert.match(shown.stdout, /≠ +title +\{"en":"Mug"\} +\{"en":"Elsewhere"\} +\{"en":"Alone"\}/)
        // What waits behind it shows its changes too: each is to be decided by what it wanted.
        const waiting = yield* holdfast("conflicts", "show", "product", `${id.slice(0, -5)}Later`, "--url", cut.at)
        assert.include(waiting.stdout, `waits behind  ${id}`)
        assert.match(waiting.stdout, /^product_content .*: not in conflict/m)
        assert.match(waiting.stdout, /≠ +title +\{"en":"Alone"\} +\{"en":"Later"\}/)
        const settled = yield* holdfast("conflicts", "settle", "product", id, "--keep", "primary", "--url", cut.at)
        assert.deepStrictEqual([settled.exit, settled.stderr], [0, ""])
        assert.include(settled.stdout, "discarded")
        const late = yield* holdfast("conflicts", "settle", "product", id, "--keep", "outage", "--url", cut.at)
        assert.strictEqual(late.exit, 1)
        assert.include(late.stderr, "It was decided before, the other way")
        // What waited behind it is a decision of its own now: it followed an edit that was dropped.
        const next = yield* holdfast("conflicts", "show", "product", `${id.slice(0, -5)}Later`, "--url", cut.at)
        assert.match(next.stdout, /≠ +title +\{"en":"Alone"\} +\{"en":"Elsewhere"\} +\{"en":"Later"\}/)
        yield* holdfast(
          "conflicts",
          "settle",
          "product",
          `${id.slice(0, -5)}Later`,
          "--keep",
          "primary",
          "--url",
          cut.at
        )
        assert.strictEqual((yield* holdfast("conflicts", "--status", "open", "--url", cut.at)).stdout, "no conflicts\n")
        const open = yield* holdfast("conflicts", "--url", cut.at)
        assert.strictEqual(open.stdout, "no open conflicts; --all lists those that have ended too\n")
        const every = yield* holdfast("conflicts", "--all", "--json", "--url", cut.at)
        assert.deepStrictEqual(JSON.parse(every.stdout).map((one: { status: string }) => one.status), [
          "discarded",
          "discarded"
        ])

        const drill = yield* holdfast("drill", "--seconds", "0.5", "--url", other.at)
        assert.deepStrictEqual([drill.exit, drill.stderr.replaceAll(/^product works .*\n/gm, "")], [0, ""])
        assert.match(drill.stdout, /product +done +[1-9]\d* +[1-9]\d* +0 +\d+ ms +[1-9]\d* +both sides are the same/)
        yield* Effect.promise(async () => {
          const client = new Pg.Client({ connectionString: url })
          await client.connect()
          await client.query("update product.product set slug = 'cup'")
          await client.end()
        })
        const unsound = yield* holdfast("drill", "product", "--seconds", "0.5", "--url", other.at, "--json")
        assert.strictEqual(unsound.exit, 1)
        assert.deepInclude(JSON.parse(unsound.stdout)[0].report, { differed: 1, isSound: false })
        assert.include(unsound.stderr, "not as it should be: product")
      }),
    60_000
  )

  it.scopedLive(
    "a drill of agents without Postgres says that there is nothing to drill",
    () =>
      Effect.gen(function*() {
        const { at } = yield* start(undefined)
        const drill = yield* holdfast("drill", "--url", at)
        assert.strictEqual(drill.exit, 1)
        assert.include(drill.stdout, "passed over")
        assert.include(drill.stderr, "a drill needs Postgres (DATABASE_URL)")
      }),
    30_000
  )
})

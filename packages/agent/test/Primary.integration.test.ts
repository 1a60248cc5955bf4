// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Migration from "@holdfast/database/Migration"
import * as PostgresConnection from "@holdfast/database/PostgresConnection"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Redacted, Schema } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Agent } from "../src/Agent.ts"
import * as AgentConfig from "../src/AgentConfig.ts"
import { giftCardsIn } from "./GiftCards.ts"
import { type Reply, serve, type Serving } from "./Serving.ts"

const giftCards = giftCardsIn(Effect.succeed(1))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-agent-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** A process of the gift cards on Postgres, ready or not. */
const start = (url: string, variables: Readonly<Record<string, string>> = {}, agent: Agent = giftCards) =>
  Effect.gen(function*() {
    const loaded = yield* AgentConfig.load({
      DATABASE_URL: url,
      HOLDFAST_DATA_DIR: yield* folder,
      HOLDFAST_PORT: "0",
      ...variables
    })
    return yield* serve([agent], loaded)
  })

const until = (get: Serving["get"], path: string, holds: (reply: Reply) => boolean) => {
  let last: Reply | undefined
  const look = Effect.tap(Effect.delay(get(path), "10 millis"), (reply) =>
    Effect.sync(() => {
      last = reply
    }))
  return Effect.repeat(look, { until: holds }).pipe(
    Effect.timeout("15 seconds"),
    Effect.orDieWith((error) => new Error(`${path} still answers ${last?.text}: ${error.message}`))
  )
}

const isAtLevel = (level: number) => (reply: Reply) => reply.headers["x-degradation-level"] === String(level)

/** What is said of the one agent, in detail. */
const detail = (get: Serving["get"]) =>
  Effect.map(get("/giftcard/health/detailed"), ({ json }) => ({
    // What is said is asserted where it is used.
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    agent: Object(Array.from(Object(json["agents"]))[0]) as any,
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    check: (name: string): any => Array.from(Object(Object(json["checks"])[name] ?? []))[0],
    notes: Array.from(Object(json["notes"])).map(String)
  }))

// What a list holds is asserted where it is used.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const rowsOf = (items: unknown): ReadonlyArray<any> => Array.from(Object(items))

const metric = (get: Serving["get"], name: string) =>
  Effect.map(
    get("/metrics"),
    ({ text }) => Number(text.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ")[1])
  )

const key = (name: string) => ({ "idempotency-key": name })

const idOf = (reply: Reply) => Schema.decodeUnknownSync(Schema.String)(reply.json["id"])

/** What the log says of levels. */
// What a line holds is asserted where it is used.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const levelsIn = (log: ReadonlyArray<string>): ReadonlyArray<any> =>
  log.map((line) => Object(JSON.parse(line))).filter(({ message }) => /^level \d/.test(String(message)))

const refuseAll = (proxy: TcpProxy.TcpProxy) => Effect.zipRight(proxy.refuse, proxy.cut)

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("an agent on Postgres", () => {
  const server = SuiteResource.make(PostgresServer.start({ settings: { fsync: "off" } }))

  /** A database, and the address of it through a proxy. */
  const database = Effect.gen(function*() {
    const url = yield* server().createDatabase("giftcard")
    const proxy = yield* TcpProxy.make(server())
    const through = new URL(url)
    through.host = `${proxy.host}:${proxy.port}`
    return { url, proxy, through: through.href }
  })

  it.scopedLive(
    "an outage is explained while it lasts, each command goes as its class says, and it heals",
    () =>
      Effect.gen(function*() {
        const { proxy, through } = yield* database
        const { get, log, post } = yield* start(through)
        yield* until(get, "/health/ready", ({ status }) => status === 200)
        assert.deepStrictEqual(levelsIn(log), [])
        const healthy = yield* detail(get)
        assert.deepStrictEqual(healthy.notes, [])
        assert.deepInclude(healthy.agent.dependencies.postgres, {
          status: "up",
          mode: "primary",
          connections: 2,
          replicas: 1
        })
        assert.deepInclude(healthy.check("postgres:responseTime"), { status: "pass", breaker: "closed" })
        assert.isAbove(healthy.check("postgres:responseTime").observedValue, 0)
        assert.strictEqual(healthy.agent.dependencies.sqlite.role, "shadow")
        assert.deepInclude((yield* get("/health/ready")).json, {
          database: "connected",
          kafka: "embedded",
          redis: "memory"
        })
        const card = idOf(yield* post("/giftcard/cards", { amount: 5 }, key("a card")))

        yield* refuseAll(proxy)
        yield* until(get, "/health", isAtLevel(1))
        const kept = yield* post(`/giftcard/cards/${card}/block`, undefined, key("odd key: 100%, ok?"))
        assert.strictEqual(kept.status, 202)
        const location = String(kept.headers["location"])
        assert.deepInclude((yield* get(location)).json, { status: "waiting", command: "giftcard.block" })
        assert.strictEqual(
          (yield* post(`/giftcard/cards/${card}/block`, undefined, key("odd key: 100%, ok?"))).status,
          202
        )
        const refused = yield* post(`/giftcard/cards/${card}/write-off`, undefined)
        assert.deepStrictEqual([refused.status, refused.json["code"]], [503, "degraded_write_refused"])
        assert.match(String(refused.headers["retry-after"]), /^[1-9]/)
        const issued = yield* post("/giftcard/cards", { amount: 6 }, key("meanwhile"))
        assert.deepStrictEqual([issued.status, issued.headers["x-degradation-level"]], [201, "1"])
        for (const path of ["settle", "drill"]) {
          const answer = path === "drill"
            ? yield* post("/giftcard/drill", { seconds: 1 })
            : yield* post("/giftcard/conflicts/unknown/settle", { keep: "outage" })
          assert.include([404, 503], answer.status)
        }

        const away = yield* until(
          get,
          "/giftcard/health/ready",
          ({ json }) => json["database"] === "degraded"
        ).pipe(Effect.zipRight(detail(get)))
        assert.match(away.notes[0] ?? "", /^Postgres is away \(.+\); SQLite serves in its place$/)
        assert.match(away.notes[1] ?? "", /^writes wait for Postgres; [1-9]\d* operations? to merge, oldest \d+\.\d s$/)
        assert.include(away.notes.join("\n"), "1 accepted request runs when Postgres is back")
        assert.deepInclude(away.agent, { degradationLevel: 1, degradationName: "fallback", persistence: "file" })
        const { postgres } = away.agent.dependencies
        assert.deepInclude(postgres, { status: "away", breaker: "open", mode: "alone", connections: 0, failovers: 1 })
        // Unless it is being asked.
        assert.isAbove(Date.parse(postgres.nextProbeAt ?? "9999-01-01"), Date.now() - 1_000)
        assert.isAbove(Date.parse(postgres.since), Date.now() - 15_000)
        const block = "POST /giftcard/cards/{id}/block"
        const writeOff = "POST /giftcard/cards/{id}/write-off"
        const redeem = "POST /giftcard/cards/{id}/redeem"
        assert.include(away.agent.works.affectedEndpoints.kept, block)
        assert.include(away.agent.works.affectedEndpoints.refused, writeOff)
        assert.deepStrictEqual(away.agent.works.affectedEndpoints.bounded, [redeem])
        assert.include(away.agent.works.commands.refused, "503")
        const check = away.check("postgres:responseTime")
        assert.deepInclude(check, { status: "fail", breaker: "open" })
        assert.includeMembers(check.affectedEndpoints, [block, writeOff, redeem])
        assert.notInclude(check.affectedEndpoints, "POST /giftcard/cards")
        assert.isAtLeast(away.check("backlog:pending").observedValue, 1)
        assert.isAtLeast(away.agent.backlog.oldestSeconds, 0)
        assert.isAtLeast(yield* metric(get, "holdfast_backlog_pending{agent=\"giftcard\"}"), 1)
        assert.strictEqual(yield* metric(get, "holdfast_dependency_up{agent=\"giftcard\",dependency=\"postgres\"}"), 0)
        assert.strictEqual(yield* metric(get, "holdfast_intent_waiting{agent=\"giftcard\"}"), 1)

        yield* proxy.pass
        yield* until(get, "/health", isAtLevel(0))
        const done = yield* until(get, location, ({ json }) => json["status"] === "done")
        assert.deepInclude(Object(done.json["answer"]), { status: 200 })
        assert.deepInclude(Object(Object(done.json["answer"]).body), { id: card, state: "blocked" })
        const again = yield* post(`/giftcard/cards/${card}/block`, undefined, key("odd key: 100%, ok?"))
        assert.deepStrictEqual([again.status, again.headers["idempotent-replayed"]], [200, "true"])
        const healed = yield* until(get, "/giftcard/health/detailed", ({ json }) => json["status"] === "pass").pipe(
          Effect.zipRight(detail(get))
        )
        assert.deepStrictEqual(healed.notes, [])
        assert.isAtLeast(healed.agent.lastFailback.merged, 2)
        assert.strictEqual(healed.agent.lastFailback.repaired, 0)
        assert.strictEqual(
          yield* metric(get, "holdfast_failback_duration_seconds_count{agent=\"giftcard\",result=\"merged\"}"),
          1
        )
        assert.strictEqual(
          yield* metric(
            get,
            "holdfast_degradation_transition_total{agent=\"giftcard\",from=\"0\",to=\"1\",reason=\"standby_serves\"}"
          ),
          1
        )
        assert.isAbove(yield* metric(get, "holdfast_degradation_time_seconds_total{agent=\"giftcard\",level=\"1\"}"), 0)
        const [worse, better, ...more] = levelsIn(log)
        assert.match(worse?.message ?? "", /^level 1: Postgres is away \(.+\); SQLite serves in its place$/)
        assert.deepInclude(worse, { level: "warn", from: 0, to: 1, reason: "standby_serves" })
        assert.deepInclude(better, { level: "info", message: "level 0: all as configured", from: 1, to: 0 })
        assert.deepStrictEqual(more, [])
        const { text } = yield* get("/metrics")
        for (const line of text.trimEnd().split("\n")) {
          assert.match(line, /^(?:# (?:HELP|TYPE) [a-z0-9_]+ .+|[a-z0-9_]+(?:\{[^}]*\})? (?:[-+.\deE]+|\+Inf|NaN))$/)
        }
      }),
    40_000
  )

  it.scopedLive(
    "what two processes have changed differently is listed by both, and settled once",
    () =>
      Effect.gen(function*() {
        const { proxy, through, url } = yield* database
        const cut = yield* start(through)
        const other = yield* start(url)
        for (const { get } of [cut, other]) yield* until(get, "/health/ready", ({ status }) => status === 200)
        const issue = (name: string) => Effect.map(cut.post("/giftcard/cards", { amount: 5 }, key(name)), idOf)
        const edit = (process: Serving, id: string, version: number, note: string) =>
          process.ask({
            method: "PATCH",
            path: `/giftcard/cards/${id}`,
            headers: { "content-type": "application/json", "if-match": `"${version}"`, ...key(`${id} ${note}`) },
            body: JSON.stringify({ note })
          })
        const [first, second] = [yield* issue("first"), yield* issue("second")]
        yield* until(other.get, `/giftcard/cards/${second}`, ({ status }) => status === 200)

        yield* refuseAll(proxy)
        yield* until(cut.get, "/health", isAtLevel(1))
        for (const id of [first, second]) {
          assert.strictEqual((yield* edit(cut, id, 1, "outage")).status, 200)
          assert.strictEqual((yield* edit(other, id, 1, "primary")).status, 200)
        }
        assert.strictEqual((yield* edit(cut, first, 2, "outage again")).status, 200)
        assert.strictEqual((yield* edit(cut, first, 3, "outage at last")).status, 200)
        assert.strictEqual((yield* edit(cut, second, 2, "outage again")).status, 200)
        yield* proxy.pass
        yield* until(cut.get, "/health", isAtLevel(0))
        yield* Effect.repeat(Effect.sleep("10 millis"), {
          until: () => cut.log.some((line) => line.includes("holdfast conflicts"))
        }).pipe(Effect.timeout("5 seconds"))
        const told = cut.log.find((line) => line.includes("holdfast conflicts")) ?? ""
        assert.match(told, /"warn".+\d operations? of an outage waits? for a decision: GET \/giftcard\/conflicts/)

        const open = (process: Serving) =>
          Effect.map(
            until(
              process.get,
              "/giftcard/conflicts?status=open",
              ({ json }) => rowsOf(json["items"]).length === 5
            ),
            ({ json }) => rowsOf(json["items"])
          )
        const listed = yield* open(cut)
        assert.deepStrictEqual(yield* open(other), listed)
        // Those of one round of the merge are in the order of their ids.
        const find = (card: string) => listed.find((item) => item.rows[0]?.key.id === card)
        const [one, two] = [find(first), find(second)]
        const three = listed.find((item) => item.behind === one.id)
        assert.deepInclude(one, { command: "giftcard.annotate", status: "open" })
        assert.deepInclude(one.rows[0], { table: "card", policy: "versioned", reason: "row_changed" })
        assert.deepInclude(one.rows[0].primary, { note: "primary" })
        assert.deepInclude(one.rows[0].outage, { note: "outage" })
        const ids: Record<string, string> = { [first]: one.id, [second]: two.id }
        // What it did is shown all the same; none of its rows is in conflict by itself.
        assert.deepStrictEqual([three.rows[0].before.note, three.rows[0].outage.note], ["outage", "outage again"])
        assert.isUndefined(three.rows[0].reason)
        const page = yield* cut.get("/giftcard/conflicts?limit=3")
        const rest = yield* cut.get(`/giftcard/conflicts?limit=2&after=${String(page.json["next"])}`)
        assert.deepStrictEqual([...rowsOf(page.json["items"]), ...rowsOf(rest.json["items"])], listed)
        assert.isUndefined(rest.json["next"])
        assert.include((yield* detail(cut.get)).notes.join(), "5 operations of an outage wait for a decision")
        const path = (id: string | undefined) => `/giftcard/conflicts/${encodeURIComponent(id ?? "")}`
        assert.deepStrictEqual((yield* cut.get(path(ids[first]))).json, one)
        assert.deepInclude((yield* cut.get(`/giftcard/ops/${encodeURIComponent(one.id)}`)).json, { status: "withheld" })

        const note = (process: Serving, id: string, wanted: string) =>
          until(process.get, `/giftcard/cards/${id}`, ({ json }) => json["note"] === wanted)
        const wrong = yield* cut.post(`${path(ids[first])}/settle`, { keep: "both" })
        assert.deepStrictEqual([wrong.status, wrong.json["code"]], [400, "invalid_request"])
        const early = yield* other.post(`${path(three.id)}/settle`, { keep: "outage" })
        assert.deepStrictEqual([early.status, early.json["code"]], [409, "settle_refused"])
        assert.include(String(early.json["reason"]), one.id)
        const settled = yield* other.post(`${path(ids[first])}/settle`, { keep: "outage" }, { authorization: "ada" })
        assert.deepStrictEqual([settled.status, settled.json["status"]], [200, "applied"])
        assert.match(String(settled.json["settledBy"]), /^auth-/)
        // Those that waited behind it have followed.
        yield* note(cut, first, "outage at last")
        yield* note(other, first, "outage at last")
        const again = yield* cut.post(`${path(ids[first])}/settle`, { keep: "outage" })
        assert.deepStrictEqual([again.status, again.json["settledBy"]], [200, settled.json["settledBy"]])
        const late = yield* cut.post(`${path(ids[first])}/settle`, { keep: "primary" })
        assert.deepStrictEqual([late.status, late.json["code"]], [409, "conflict_settled"])
        const dropped = yield* cut.post(`${path(ids[second])}/settle`, { keep: "primary" })
        assert.deepStrictEqual([dropped.status, dropped.json["status"]], [200, "discarded"])
        yield* note(cut, second, "primary")
        assert.deepInclude((yield* cut.get(`/giftcard/ops/${encodeURIComponent(two.id)}`)).json, {
          status: "discarded"
        })
        // The edit after it was made of what is dropped: it does not pass for one of what Postgres has, and asks itself.
        const left = rowsOf((yield* cut.get("/giftcard/conflicts?status=open")).json["items"])
        assert.lengthOf(left, 1)
        assert.deepInclude(left[0].rows[0].primary, { note: "primary" })
        assert.deepInclude(left[0].rows[0].outage, { note: "outage again" })
        assert.isUndefined(left[0].behind)
        assert.strictEqual((yield* other.post(`${path(left[0].id)}/settle`, { keep: "outage" })).status, 200)
        yield* note(cut, second, "outage again")
        const unknown = yield* cut.post(`${path("http:nobody")}/settle`, { keep: "primary" })
        assert.deepStrictEqual([unknown.status, unknown.json["code"]], [404, "not_found"])
        yield* until(cut.get, "/giftcard/health/detailed", ({ json }) => json["status"] === "pass")
      }),
    40_000
  )

  it.scopedLive(
    "a drill leaves the healthy Postgres, comes back and reports; one at a time",
    () =>
      Effect.gen(function*() {
        const { url } = yield* database
        const { get, log, post } = yield* start(url)
        yield* until(get, "/health/ready", ({ status }) => status === 200)
        assert.deepStrictEqual((yield* get("/giftcard/drill")).json, { state: "never" })
        const absurd = yield* post("/giftcard/drill", { seconds: 61 })
        assert.deepStrictEqual([absurd.status, absurd.json["code"]], [400, "invalid_request"])
        const begun = yield* post("/giftcard/drill", { seconds: 1 })
        assert.deepStrictEqual([begun.status, begun.json["state"]], [202, "running"])
        const twice = yield* post("/giftcard/drill", { seconds: 1 })
        assert.deepStrictEqual([twice.status, twice.json["code"]], [409, "drill_running"])
        yield* until(get, "/health", isAtLevel(1))
        assert.strictEqual((yield* post("/giftcard/cards", { amount: 6 }, key("alone"))).status, 201)
        const done = yield* until(get, "/giftcard/drill", ({ json }) => json["state"] !== "running")
        assert.strictEqual(done.json["state"], "done")
        const report = Object(done.json["report"])
        assert.deepInclude(report, { isSound: true, differed: 0, copied: 0, withheld: 0 })
        // The card, and the event that tells of the level.
        assert.isAtLeast(report.merged, 2)
        assert.isAtLeast(report.compared, 1)
        yield* until(get, "/health", isAtLevel(0))
        const [left] = levelsIn(log)
        assert.deepInclude(left, {
          level: "info",
          message: "level 1: a drill; SQLite serves in place of Postgres",
          reason: "drill"
        })
      }),
    30_000
  )

  it.scopedLive(
    "what is back is not said to be away; only what relapses is kept for a while, and that is said as past",
    () =>
      Effect.gen(function*() {
        const { proxy, through } = yield* database
        const { get, post } = yield* start(through)
        yield* until(get, "/health/ready", ({ status }) => status === 200)
        const outage = Effect.gen(function*() {
          yield* refuseAll(proxy)
          yield* until(get, "/health", isAtLevel(1))
          yield* proxy.pass
        })
        /** What is said at the moment at which Postgres is up again. */
        const returned = Effect.map(
          until(get, "/giftcard/health/detailed", ({ text }) => text.includes("\"postgres\":{\"status\":\"up\"")),
          ({ json }) => ({ level: json["degradationLevel"], notes: Array.from(Object(json["notes"])).map(String) })
        )
        // A start is no loss, nor is a drill.
        yield* post("/giftcard/drill", { seconds: 0.5 })
        yield* until(get, "/giftcard/drill", ({ json }) => json["state"] === "done")
        assert.deepStrictEqual(yield* returned, { level: 0, notes: [] })
        yield* outage
        assert.deepInclude(yield* returned, { level: 0 })
        yield* outage
        const { level, notes } = yield* returned
        assert.strictEqual(level, 1)
        assert.match(
          notes[0] ?? "",
          /^level 1 is kept for \d\.\d s more: Postgres was away until lately, again within a minute of the return$/
        )
        assert.notInclude(notes.join("\n"), "is away")
        const ready = yield* get("/health/ready")
        assert.deepInclude(ready.json, { database: "connected", degradation_level: 1 })
        const { agent } = yield* detail(get)
        assert.deepStrictEqual([agent.reasons, agent.held.reasons], [[], ["standby_serves"]])
        yield* until(get, "/health", isAtLevel(0))
      }),
    30_000
  )

  it.scopedLive(
    "while returns fail, the last failure is said all the time",
    () =>
      Effect.gen(function*() {
        const { url } = yield* database
        yield* Effect.scoped(Effect.flatMap(
          Effect.acquireRelease(
            PostgresConnection.connect({ url: Redacted.make(url) }, "its owner", "giftcard"),
            (session) => Effect.sync(session.close)
          ),
          (session) => session.run([{ text: "create role limited login password 'limited'" }], 5_000)
        ))
        const limited = new URL(url)
        limited.username = limited.password = "limited"
        const { get, post } = yield* start(limited.href)
        yield* until(get, "/giftcard/health/detailed", ({ text }) => text.includes("permission denied"))
        const said = new Set<string>()
        const statuses = new Set<string>()
        for (const until = performance.now() + 1_500; performance.now() < until;) {
          const { agent, check } = yield* detail(get)
          said.add(String(agent.notes[0]))
          statuses.add(String(agent.dependencies.postgres.status))
          assert.include(agent.dependencies.postgres.recoveryError, "permission denied")
          assert.include(check("postgres:responseTime").output, "permission denied")
          yield* Effect.sleep("3 millis")
        }
        assert.deepStrictEqual([...statuses].sort(), ["away", "recovering"])
        assert.lengthOf([...said], 1)
        assert.match(
          [...said].join(""),
          /^Postgres answers, but the last return to it failed \(.*permission denied.*grant/
        )
        assert.strictEqual((yield* post("/giftcard/cards", { amount: 6 }, key("alone"))).status, 201)
      }),
    30_000
  )

  it.scopedLive(
    "a server that stands still is not said to be asked in the past",
    () =>
      Effect.gen(function*() {
        const { url } = yield* database
        const { get } = yield* start(url)
        yield* until(get, "/health/ready", ({ status }) => status === 200)
        yield* server().stall
        // A test that fails in between leaves the server stalled; one that passes has woken it.
        yield* Effect.addFinalizer(() => Effect.ignore(server().resume))
        yield* until(get, "/health", isAtLevel(1))
        for (const until = performance.now() + 3_000; performance.now() < until;) {
          const asked = Date.now()
          const { agent } = yield* detail(get)
          const { nextProbeAt } = agent.dependencies.postgres
          if (nextProbeAt !== undefined) assert.isAbove(Date.parse(nextProbeAt), asked - 100)
          yield* Effect.sleep("10 millis")
        }
        yield* server().resume
        yield* until(get, "/health", isAtLevel(0))
      }),
    30_000
  )

  it.scopedLive(
    "the write that a full backlog refuses is refused at level 3",
    () =>
      Effect.gen(function*() {
        const { proxy, through } = yield* database
        const { get, post } = yield* start(through, { HOLDFAST_BACKLOG_MAX_OPERATIONS: "10" })
        yield* until(get, "/health/ready", ({ status }) => status === 200)
        yield* refuseAll(proxy)
        yield* until(get, "/health", isAtLevel(1))
        const answers: Array<Reply> = []
        for (let n = 0; answers.every(({ status }) => status === 201) && n < 12; n++) {
          answers.push(yield* post("/giftcard/cards", { amount: 6 }, key(`alone ${n}`)))
        }
        const last = answers.at(-1)
        assert.deepStrictEqual([last?.status, last?.headers["x-degradation-level"]], [503, "3"])
        assert.strictEqual((yield* get("/health")).headers["x-degradation-level"], "3")
        assert.strictEqual(
          (yield* detail(get)).agent.works.messages,
          "are sent; those of others wait with who sent them until they can be stored"
        )
        yield* proxy.pass
        yield* until(get, "/health", isAtLevel(0))
      }),
    30_000
  )

  it.scopedLive(
    "a second process on one folder says that its file is in memory, and why",
    () =>
      Effect.gen(function*() {
        const { url } = yield* database
        const shared = { HOLDFAST_DATA_DIR: yield* folder }
        const first = yield* start(url, shared)
        yield* until(first.get, "/health/ready", ({ status }) => status === 200)
        const second = yield* start(url, shared)
        yield* until(second.get, "/health/ready", ({ status }) => status === 200)
        const { agent, check } = yield* detail(second.get)
        const inMemory = /^what the file should hold is in memory \(another process runs the giftcard agent on /
        assert.match(agent.notes[0] ?? "", inMemory)
        assert.deepInclude(check("sqlite:commitTime"), { status: "warn" })
        assert.match(check("sqlite:commitTime").output, inMemory)
        assert.strictEqual(agent.persistence, "memory")
      }),
    30_000
  )

  it.scopedLive(
    "a file that has lost a row without noticing is found by a drill, and set right",
    () =>
      Effect.gen(function*() {
        const { url } = yield* database
        const { get, post } = yield* start(url)
        yield* until(get, "/health/ready", ({ status }) => status === 200)
        const card = idOf(yield* post("/giftcard/cards", { amount: 5 }, key("a card")))
        yield* Effect.scoped(Effect.flatMap(
          Effect.acquireRelease(
            PostgresConnection.connect({ url: Redacted.make(url) }, "somebody else", "giftcard"),
            (session) => Effect.sync(session.close)
          ),
          (session) => session.run([{ text: "update card set note = 'changed behind its back'" }], 5_000)
        ))
        yield* post("/giftcard/drill", { seconds: 0.5 })
        const done = yield* until(get, "/giftcard/drill", ({ json }) => json["state"] === "done")
        assert.deepInclude(Object(done.json["report"]), { isSound: false, differed: 1 })
        yield* until(get, `/giftcard/cards/${card}`, ({ json }) => json["note"] === "changed behind its back")
      }),
    30_000
  )

  it.scopedLive(
    "a process with an empty folder, begun while Postgres stands still, finds back to what is there",
    () =>
      Effect.gen(function*() {
        const { url } = yield* database
        // What a migration puts in is nobody's work.
        const seeded = {
          ...giftCards,
          migrations: [
            ...giftCards.migrations,
            Migration.make("0002_first_card", [
              "insert into card (id, amount, note, state, expires_at, version) values ('first', 1, '', 'active', 9000000000000, 1)"
            ])
          ]
        }
        const first = yield* start(url, {}, seeded)
        yield* until(first.get, "/health/ready", ({ status }) => status === 200)
        const card = idOf(yield* first.post("/giftcard/cards", { amount: 5 }, key("a card")))
        yield* first.stop
        yield* server().stall
        // A test that fails in between leaves the server stalled; one that passes has woken it.
        yield* Effect.addFinalizer(() => Effect.ignore(server().resume))
        const second = yield* start(url, {}, seeded)
        yield* until(second.get, "/health/ready", ({ status }) => status === 200)
        assert.strictEqual((yield* second.post("/giftcard/cards", { amount: 6 }, key("alone"))).status, 201)
        yield* server().resume
        yield* until(second.get, "/health", isAtLevel(0))
        assert.strictEqual((yield* second.get(`/giftcard/cards/${card}`)).status, 200)
        const { json } = yield* second.get("/giftcard/cards")
        assert.deepStrictEqual(rowsOf(json["items"]).map(({ amount }) => amount).sort(), [1, 5, 6])
      }),
    40_000
  )

  it.scopedLive(
    "a start without its database says so in one line, at the level it begins with",
    () =>
      Effect.gen(function*() {
        const unknown = new URL((yield* database).url)
        unknown.pathname = "/nowhere"
        const { get, log } = yield* start(unknown.href)
        yield* until(get, "/health/ready", ({ status }) => status === 200)
        yield* Effect.repeat(Effect.sleep("10 millis"), { until: () => levelsIn(log).length > 0 }).pipe(
          Effect.timeout("5 seconds")
        )
        // Long enough for some probes more.
        yield* Effect.sleep("500 millis")
        const [line, ...more] = levelsIn(log)
        assert.include(
          line.message,
          "level 1: Postgres is away (database \"nowhere\" does not exist; create the database"
        )
        assert.deepInclude(line, { level: "warn", agent: "giftcard", from: 0, to: 1 })
        assert.deepStrictEqual(more, [])
      }),
    30_000
  )

  it.scopedLive(
    "where the fallback is forbidden, level 4 says what to do, and the probes of a stalled server are quick",
    () =>
      Effect.gen(function*() {
        const { url } = yield* database
        const unknown = new URL(url)
        unknown.pathname = "/nowhere"
        const { get, post } = yield* start(unknown.href, { HOLDFAST_FALLBACK: "forbidden" })
        const down = yield* until(
          get,
          "/giftcard/health/detailed",
          ({ text }) => text.includes("create the database, or correct its name in DATABASE_URL")
        )
        assert.deepStrictEqual([down.status, down.headers["retry-after"]], [503, "1"])
        const ready = yield* get("/health/ready")
        assert.strictEqual(ready.status, 503)
        assert.include(ready.text, "GIFTCARD_FALLBACK (or HOLDFAST_FALLBACK) is forbidden")
        assert.include(ready.text, "\"database\":\"failed\"")
        assert.strictEqual((yield* get("/health")).status, 200)

        const forbidden = yield* start(url, { HOLDFAST_FALLBACK: "forbidden" })
        yield* until(forbidden.get, "/health/ready", ({ status }) => status === 200)
        const withoutBroker = yield* start(url, { KAFKA_BROKERS: "127.0.0.1:1" })
        yield* until(withoutBroker.get, "/health/ready", (reply) => reply.status === 200 && isAtLevel(2)(reply))
        const untimely = yield* withoutBroker.post("/giftcard/drill", { seconds: 1 })
        assert.deepStrictEqual([untimely.status, untimely.json["code"]], [409, "drill_untimely"])
        const drill = yield* forbidden.post("/giftcard/drill", { seconds: 1 })
        assert.deepStrictEqual([drill.status, drill.json["code"]], [409, "drill_forbidden"])
        yield* server().stall
        // A test that fails in between leaves the server stalled; one that passes has woken it.
        yield* Effect.addFinalizer(() => Effect.ignore(server().resume))
        yield* until(forbidden.get, "/health/ready", ({ status }) => status === 503)
        let slowest = 0
        for (let n = 0; n < 20; n++) {
          const asked = performance.now()
          yield* forbidden.get("/giftcard/health/detailed")
          slowest = Math.max(slowest, performance.now() - asked)
        }
        assert.isBelow(slowest, 100)
        const refused = yield* post("/giftcard/cards", { amount: 1 }, key("refused"))
        assert.strictEqual(refused.status, 503)
        yield* server().resume
        yield* until(forbidden.get, "/health/ready", ({ status }) => status === 200)
      }),
    40_000
  )

  it.scopedLive(
    "what was accepted without a key runs under the id that it was accepted with, and its fate says how it ended",
    () =>
      Effect.gen(function*() {
        const { proxy, through } = yield* database
        const { get, post } = yield* start(through)
        yield* until(get, "/health/ready", ({ status }) => status === 200)
        const card = idOf(yield* post("/giftcard/cards", { amount: 5 }, key("a card")))
        yield* refuseAll(proxy)
        yield* until(get, "/health", isAtLevel(1))
        const block = post(`/giftcard/cards/${card}/block`, undefined)
        const accepted = [yield* block, yield* block]
        assert.deepStrictEqual(accepted.map(({ status }) => status), [202, 202])
        yield* proxy.pass
        const fates = yield* Effect.forEach(accepted, ({ headers }) =>
          until(get, String(headers["location"]), ({ json }) => json["status"] !== "waiting"))
        assert.deepStrictEqual(
          fates.map(({ json }) =>
            json["status"]
          ),
          ["done", "refused"]
        )
        assert.deepStrictEqual(fates.map(({ json }) => Object(json["answer"]).status), [200, 409])
      }),
    40_000
  )

  it.scopedLive("one that meets a bug does not hold up those accepted after it", () =>
    Effect.gen(function*() {
      const { proxy, through } = yield* database
      const { get, post } = yield* start(through)
      yield* until(get, "/health/ready", ({ status }) => status === 200)
      const bad = idOf(yield* post("/giftcard/cards", { amount: 5, note: "a bug" }, key("bad card")))
      const good = idOf(yield* post("/giftcard/cards", { amount: 5 }, key("good card")))
      yield* refuseAll(proxy)
      yield* until(get, "/health", isAtLevel(1))
      yield* post(`/giftcard/cards/${bad}/block`, undefined, key("first"))
      const after = yield* post(`/giftcard/cards/${good}/block`, undefined, key("second"))
      yield* proxy.pass
      yield* until(get, String(after.headers["location"]), ({ json }) => json["status"] === "done")
    }), 40_000)
})

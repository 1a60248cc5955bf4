import { assert, describe, it } from "@effect/vitest"
import * as AgentView from "../src/Health/AgentView.ts"
import * as Screen from "../src/Health/Screen.ts"

const now = Date.parse("2026-11-23T10:00:12Z")

/** As an agent says it that has lost Postgres. */
const lost = {
  status: "warn",
  phase: "ready",
  degradationLevel: 1,
  degradationName: "fallback",
  degradationSince: "2026-11-23T10:00:00Z",
  notes: ["Postgres is away (refused); SQLite serves in its place", "writes wait for Postgres; 42 operations to merge"],
  checks: {
    "postgres:responseTime": [{
      componentType: "datastore",
      status: "fail",
      observedValue: 2000,
      observedUnit: "ms",
      time: "2026-11-23T10:00:12Z",
      output: "ConnectTimeout",
      breaker: "open",
      nextProbeAt: "2026-11-23T10:00:20Z",
      affectedEndpoints: ["/order/orders{?status}"]
    }],
    "postgres:connections": [{ status: "fail", observedValue: 0, observedUnit: "connections" }],
    "backlog:pending": [{
      status: "warn",
      observedValue: 42,
      observedUnit: "operations",
      oldestAt: "2026-11-23T09:57:00Z"
    }],
    "kafka:consumerLag": [{ status: "pass", observedValue: 3, observedUnit: "messages" }],
    "outbox:depth": [{ status: "pass", observedValue: 12, observedUnit: "messages" }],
    "redis:responseTime": [{ status: "pass", observedValue: 0.84, observedUnit: "ms" }],
    "deadLetters:open": [{ status: "pass", observedValue: 0 }],
    "conflicts:open": [{ status: "warn", observedValue: 2 }],
    uptime: [{ status: "pass", observedValue: 3600.2, observedUnit: "s" }]
  }
}

const well = {
  status: "pass",
  phase: "ready",
  degradationLevel: 0,
  degradationSince: "2026-11-23T08:00:00Z",
  notes: [],
  checks: {
    "sqlite:commitTime": [{ status: "pass", observedValue: 1.26, observedUnit: "ms" }],
    "bus:lag": [{ status: "pass", observedValue: 0 }]
  }
}

const place = (health: Readonly<Record<string, unknown>>): ReadonlyArray<Screen.Place> => [
  { url: "http://a", expected: [], agents: [AgentView.make("order", health, now)], fault: undefined }
]

describe("health", () => {
  it("what the agent does not know has no number", () => {
    const unknown = AgentView.make("order", { checks: { "kafka:consumerLag": [{ status: "warn" }] } }, now)
    assert.isUndefined(unknown.lag)
  })

  it("a live view has a row for each agent, and below it what is wrong", () => {
    const places = [
      ...place(lost),
      { url: "http://b", expected: ["product"], agents: [AgentView.make("product", well, now)], fault: undefined },
      { url: "http://c", expected: ["payment"], agents: [], fault: "connect ECONNREFUSED" }
    ]
    assert.deepStrictEqual(Screen.frame(places, now), [
      "agent    phase  level       for   outbox  lag  backlog     conflicts  dead  dependencies",
      "order    ready  1 fallback  12 s  12      3    42 (3 min)  2          0     postgres FAIL  kafka  redis 0.8 ms",
      "product  ready  0 full      2 h   -       0    -           -          -     sqlite 1.3 ms  bus",
      "",
      "  payment at http://c: connect ECONNREFUSED",
      "  order: Postgres is away (refused); SQLite serves in its place",
      "  order: writes wait for Postgres; 42 operations to merge",
      "  order: postgres fail, ConnectTimeout, breaker open, next probe in 8 s"
    ])
  })

  it("each fact is said once: of all agents that share it, and not again as a dependency", () => {
    const away = { ...lost, notes: ["Postgres is away (ConnectTimeout); SQLite serves in its place"] }
    const kept = { ...away, notes: [...away.notes, "writes wait for Postgres; 3 operations to merge"] }
    const views = [AgentView.make("order", kept, now), AgentView.make("payment", away, now)]
    assert.deepStrictEqual(
      Screen.frame([{ url: "http://a", expected: [], agents: views, fault: undefined }], now).slice(4),
      [
        "  order, payment: Postgres is away (ConnectTimeout); SQLite serves in its place",
        "  order: writes wait for Postgres; 3 operations to merge"
      ]
    )
  })

  it("elsewhere a line for each change, and none for numbers on their way", () => {
    const changes = (before: ReadonlyArray<Screen.Place>, after: ReadonlyArray<Screen.Place>) =>
      Screen.changes(before, after, now).map(({ change, subject }) => `${subject}: ${change}`)
    assert.deepStrictEqual(changes([], place(well)), ["order: ready, level 0 full; sqlite pass, 1.3 ms; bus pass"])
    assert.deepStrictEqual(changes(place(well), place(well)), [])
    assert.deepStrictEqual(changes(place(well), place(lost)), [
      "order: level 0 full → 1 fallback",
      "order: postgres fail, ConnectTimeout, breaker open, next probe in 8 s",
      "order: kafka pass",
      "order: redis pass, 0.8 ms",
      "order: Postgres is away (refused); SQLite serves in its place",
      "order: writes wait for Postgres; 42 operations to merge",
      "order: dead letters - → 0",
      "order: conflicts - → 2",
      "order: backlog 42"
    ])
    const later = {
      ...lost,
      notes: [
        "Postgres is away (refused); SQLite serves in its place",
        "writes wait for Postgres; 57 operations to merge"
      ],
      checks: {
        ...lost.checks,
        "backlog:pending": [{ status: "warn", observedValue: 57 }],
        "backlog:oldestAge": [{ status: "warn", observedValue: 7_300, observedUnit: "s" }],
        "kafka:consumerLag": [{ status: "pass", observedValue: 9 }],
        "redis:responseTime": [{ status: "pass", observedValue: 1.2, observedUnit: "ms" }]
      }
    }
    assert.deepStrictEqual(changes(place(lost), place(later)), [])
    const asked = (note: string) => place({ ...well, notes: [note] })
    assert.deepStrictEqual(
      changes(asked("Postgres is away: refused"), asked("Postgres is away: refused; again in 0.1 s")),
      []
    )
    assert.match(Screen.frame(place(later), now)[1] ?? "", / 57 \(2 h\) /)
    const merged = { ...later, checks: { ...later.checks, "backlog:pending": [{ status: "pass", observedValue: 0 }] } }
    assert.deepStrictEqual(changes(place(later), place(merged)), ["order: backlog merged"])
    const gone = [{ url: "http://a", expected: [], agents: [], fault: "connect ECONNREFUSED" }]
    assert.deepStrictEqual(changes(place(merged), gone), ["http://a: does not answer: connect ECONNREFUSED"])
    assert.deepStrictEqual(
      changes(gone, [{ ...gone[0], url: "http://a", expected: [], agents: [], fault: "reset" }]),
      []
    )
    assert.lengthOf(changes(gone, place(well)), 1)
  })

  it("what another version leaves out or says otherwise does no harm", () => {
    for (
      const health of [
        {},
        { checks: 1, notes: "no", degradationLevel: "1" },
        { checks: { "postgres:responseTime": [1, null, { status: 4 }], "backlog:pending": {} }, notes: [1, null] },
        { degradationLevel: 17, degradationSince: "yesterday", checks: { "backlog:pending": [{ oldestAt: "never" }] } }
      ]
    ) {
      const view = AgentView.make("order", health, now)
      assert.isAtLeast(
        Screen.frame([{ url: "http://a", expected: [], agents: [view], fault: undefined }], now).length,
        2
      )
      assert.lengthOf(Screen.changes([], [{ url: "http://a", expected: [], agents: [view], fault: undefined }], now), 1)
    }
  })

  it("an agent cannot drive the operator's terminal", () => {
    const lines = Screen.frame(place({ ...lost, notes: ["\u001b[2J\u009b31mhello\r\nworld"] }), now)
    assert.notMatch(lines.join(""), /\p{Cc}/u)
  })
})

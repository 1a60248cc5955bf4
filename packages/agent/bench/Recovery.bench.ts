/** How soon an agent notices that Postgres is lost, and how soon it is back with it. */
// A bench fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { CommandPolicy } from "@holdfast/contracts/CommandPolicy"
import * as Message from "@holdfast/contracts/Message"
import * as Migration from "@holdfast/database/Migration"
import * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import type { Bench, Options, Row } from "@holdfast/resilience/bench/Bench"
import { median, storeFolder } from "@holdfast/resilience/bench/Bench"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import { Effect, Logger, LogLevel, Schema, type Scope } from "effect"
import * as Http from "node:http"
import { setTimeout as pause } from "node:timers/promises"
import pg from "pg"
import * as Agent from "../src/Agent.ts"
import * as AgentConfig from "../src/AgentConfig.ts"
import * as Handler from "../src/Handler.ts"
import * as Holdfast from "../src/Holdfast.ts"

/** A level that got better this long ago flaps when it falls again, and is then held for a second (DESIGN §8). */
const FLAP_MILLIS = 60_000

/** Operations that an outage is to leave behind. */
const BACKLOG = 1_000

/** So many callers write all the time, each after a pause. */
const CALLERS = 4
const CALLER_PAUSE_MILLIS = 20

const Note = Table.make("note", {
  columns: { id: Table.text, text: Table.text, version: Table.integer },
  key: ["id"],
  merge: Table.versioned
})
const Noted = Message.event("bench.noted", {
  payload: Schema.Struct({ id: Schema.String }),
  key: (payload) => payload.id
})
const NoteApi = HttpApiGroup.make("notes").add(
  HttpApiEndpoint.post("write", "/notes")
    .setPayload(Schema.Struct({ text: Schema.String }))
    .addSuccess(Schema.Struct({ id: Schema.String }), { status: 201 })
    .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "required" })
)
const notes = Agent.make({
  name: "notes",
  title: "Notes",
  tables: [Note],
  migrations: [
    Migration.make("0001_initial", [
      "create table note (id text primary key, text text not null, version bigint not null)"
    ])
  ],
  api: NoteApi,
  handlers: Handler.group(NoteApi, {
    write: Handler.command(({ payload }) =>
      Effect.gen(function*() {
        const id = yield* Transaction.nextId("note")
        yield* Transaction.insert(Note, { id, text: payload.text })
        yield* Transaction.emit(Noted, { id })
        return { id }
      })
    )
  }),
  subscriptions: [],
  jobs: []
})

/** An agent with a Postgres of its own, and somebody who asks it all the time. */
interface Subject {
  readonly server: PostgresServer.PostgresServer
  readonly url: string
  readonly readyAt: number
  readonly write: () => Promise<void>
  readonly level: () => Promise<number>
  readonly mode: () => string
  readonly pending: () => number
  readonly merged: () => number
}

const http = (port: number, agent: Http.Agent, options: Http.RequestOptions, body?: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const request = Http.request({ host: "127.0.0.1", port, agent, timeout: 10_000, ...options }, (response) => {
      let text = ""
      response.on("data", (chunk) => void (text += String(chunk)))
      response.on("end", () => {
        const status = response.statusCode ?? 0
        if (status < 300) resolve(text)
        else reject(new TypeError(`${options.path} answered ${status}: ${text}`))
      })
    })
    request.on("timeout", () => request.destroy(new TypeError(`${options.path} did not answer`)))
    request.on("error", reject)
    request.end(body)
  })

let named = 0

const subject = (directory: string): Effect.Effect<Subject, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const server = yield* PostgresServer.start()
    const url = yield* server.createDatabase("notes")
    const config = yield* AgentConfig.load({
      HOLDFAST_DATA_DIR: `${directory}/${named++}`,
      HOLDFAST_PORT: "0",
      DATABASE_URL: url
    })
    const holdfast = yield* Holdfast.serve({ agents: [notes], config })
    yield* holdfast.ready
    const connections = yield* Effect.acquireRelease(
      Effect.sync(() => new Http.Agent({ keepAlive: true })),
      (made) => Effect.sync(() => made.destroy())
    )
    const level = async () => {
      const { degradation_level } = Object(
        JSON.parse(await http(holdfast.port, connections, { path: "/notes/health/ready" }))
      )
      return Number(degradation_level)
    }
    const primary = () => holdfast.agents[0]?.database?.primary
    const write = async () => {
      await http(holdfast.port, connections, {
        method: "POST",
        path: "/notes/notes",
        headers: { "content-type": "application/json", "idempotency-key": `bench-${process.pid}-${named++}` }
      }, "{\"text\":\"bought milk\"}")
    }
    yield* Effect.promise(async () => {
      while (await level() !== 0) await pause(5)
    })
    return {
      server,
      url,
      readyAt: performance.now(),
      write,
      level,
      mode: () => primary()?.mode() ?? "none",
      pending: () => primary()?.backlog().pending ?? 0,
      merged: () => primary()?.stats.lastFailback?.merged ?? 0
    }
  })

/** Asks until the answer holds; a minute without is a fault. Answers when that was. */
const whenever = async (look: () => boolean | Promise<boolean>, everyMillis: number): Promise<number> => {
  const begun = performance.now()
  while (!await look()) {
    if (performance.now() - begun > 60_000) throw new TypeError("what was waited for did not come within a minute")
    await pause(everyMillis)
  }
  return performance.now()
}

/** A session of the driver that does nothing: when its socket says that it has ended, nobody can know sooner. */
const idle = async (url: string): Promise<{ readonly ended: Promise<number> }> => {
  const client = new pg.Client({ connectionString: url })
  client.on("error", () => {})
  await client.connect()
  return { ended: new Promise((resolve) => client.once("end", () => resolve(performance.now()))) }
}

/** Asks anew every 5 ms, on a connection of its own, until Postgres answers. */
const firstAnswer = (url: string): Promise<number> =>
  whenever(async () => {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1_000, query_timeout: 1_000 })
    client.on("error", () => {})
    try {
      await client.connect()
      await client.query("select 1")
      return true
    } catch {
      return false
    } finally {
      void client.end().catch(() => {})
    }
  }, 5)

/** Keeps a few callers writing meanwhile; a write that fails is a fault. */
const underLoad = async <A>({ write }: Subject, during: () => Promise<A>): Promise<A> => {
  let isOver = false
  const caller = async () => {
    while (!isOver) {
      await write()
      await pause(CALLER_PAUSE_MILLIS)
    }
  }
  const callers = Promise.all(Array.from({ length: CALLERS }, caller))
  const ended = (async () => {
    try {
      return await during()
    } finally {
      isOver = true
    }
  })()
  await callers
  return ended
}

/** Of one outage, in milliseconds, and `merged` in operations. */
type Figure = "socket" | "killed" | "aboveSocket" | "serving" | "level" | "merged" | "stalled"

/** Kills Postgres, lets it return, and stalls it. */
const outage = (one: Subject): Promise<Readonly<Record<Figure, number>>> =>
  underLoad(one, async () => {
    const { level, merged, mode, pending, server, url, write } = one
    const isDegraded = async () => await level() > 0
    await pause(200)
    const session = await idle(url)
    const killedAt = performance.now()
    const [noticedAt, endedAt] = await Promise.all([
      whenever(isDegraded, 1),
      session.ended,
      Effect.runPromise(server.kill)
    ])
    const writeOn = async () => {
      while (pending() < BACKLOG) await write()
    }
    await Promise.all(Array.from({ length: 16 }, writeOn))
    const [answeredAt, servingAt, fullAt] = await Promise.all([
      firstAnswer(url),
      whenever(() => mode() === "primary", 1),
      // Who asks is in the same process, and would take its time from the merge.
      whenever(async () => await level() === 0, 5),
      Effect.runPromise(server.start)
    ])
    const mergedThen = merged()
    await pause(500)
    const stalledAt = performance.now()
    const [stallNoticedAt] = await Promise.all([whenever(isDegraded, 1), Effect.runPromise(server.stall)])
    await Effect.runPromise(server.resume)
    await whenever(async () => await level() === 0, 20)
    return {
      socket: endedAt - killedAt,
      killed: noticedAt - killedAt,
      aboveSocket: noticedAt - endedAt,
      serving: servingAt - answeredAt,
      level: fullAt - answeredAt,
      merged: mergedThen,
      stalled: stallNoticedAt - stalledAt
    }
  })

const run = ({ progress, quick }: Options): Promise<ReadonlyArray<Row>> =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(Effect.sync(storeFolder), ({ remove }) => Effect.sync(remove))
    // All at once, so that the minute that each has to have been well for is one and the same.
    const rounds = quick ? 3 : 5
    const subjects = yield* Effect.forEach(
      Array.from({ length: rounds }, (_, n) => n),
      (n) => subject(`${folder.path}/${n}`)
    )
    const wait = Math.max(...subjects.map(({ readyAt }) => readyAt)) + FLAP_MILLIS + 500 - performance.now()
    progress(`waits ${(wait / 1000).toFixed(0)} s, so that no agent counts as flapping`)
    yield* Effect.sleep(wait)
    const outages = yield* Effect.forEach(subjects, (one, index) => {
      progress(`outage ${index + 1} of ${rounds}`)
      return Effect.promise(() => outage(one))
    })
    const all = (figure: Figure) => outages.map((of) => of[figure])
    const worst = (figure: Figure) => Math.max(...all(figure))
    const floor = { name: "the driver's own socket", value: median(all("socket")) }
    return [
      {
        name: "kill -9 to level 1 on /health/ready",
        ours: median(all("killed")),
        unit: "ms",
        peer: { ...floor, ratio: median(all("killed").map((millis, n) => millis / (all("socket")[n] ?? NaN))) }
      },
      {
        name: "the same, after the socket's own notice",
        ours: median(all("aboveSocket")),
        unit: "ms",
        aim: { of: "ours", atMost: 50 }
      },
      { name: "the same, the worst outage", ours: worst("aboveSocket"), unit: "ms" },
      { name: "SIGSTOP to level 1", ours: median(all("stalled")), unit: "ms", aim: { of: "ours", atMost: 750 } },
      { name: "the same, the worst outage", ours: worst("stalled"), unit: "ms" },
      { name: "return to Postgres serves", ours: median(all("serving")), unit: "ms" },
      { name: "return to level 0", ours: median(all("level")), unit: "ms", aim: { of: "ours", atMost: 500 } },
      { name: "the same, the worst outage", ours: worst("level"), unit: "ms" },
      { name: "operations merged meanwhile", ours: median(all("merged")), unit: "operations" }
    ] satisfies ReadonlyArray<Row>
  }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None), Effect.runPromise)

export const bench: Bench = {
  title: "Losing Postgres, and its return",
  how:
    "An agent with a Postgres of its own for each outage, in one process with who measures it; four callers write all the " +
    "time, and a write that fails ends the bench. `kill -9` of the whole server, seen by who asks `/health/ready` every " +
    "millisecond, beside the moment at which an idle session of the driver is told by its socket. Then writes until " +
    `${BACKLOG} operations wait, the start of the server, and what passes from the first answer that an independent prober ` +
    "gets (a new connection and `select 1` every 5 ms) until operations count in Postgres again, and until the level is 0: " +
    "by then all is merged and compared. The agents have run for a minute before, for a level that falls again within a " +
    "minute of its last improvement is held for a second. Then the server is stopped by SIGSTOP. The median of 5 outages. " +
    "Less is better.",
  run
}

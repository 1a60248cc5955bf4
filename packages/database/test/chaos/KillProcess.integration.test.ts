// A test fails whatever the failure is: its type may stay open.
// A proxy's hook, or a listener, is plain code: what it starts runs by itself.
// @effect-diagnostics anyUnknownInErrorContext:off runEffectInsideEffect:off
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Transaction from "@holdfast/database/Transaction"
import * as ChaosRun from "@holdfast/testing/ChaosRun"
import * as Checker from "@holdfast/testing/Checker"
import * as History from "@holdfast/testing/History"
import { freePort } from "@holdfast/testing/HoldfastProcess"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Logger, LogLevel } from "effect"
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { folder, open, through, untilMode } from "../Outage.ts"
import * as Traffic from "./Traffic.ts"
import { asksForCommit, merges, proves, saysCommitted } from "./Wire.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

const program = fileURLToPath(new URL("../../../../dist/chaos/child.mjs", import.meta.url))

/** No round takes longer, in milliseconds: one that would has not met its point. */
const ROUND_MILLIS = 30_000

/**
 * What a round sees of the child, and of what passes between it and Postgres. `strike` kills the child at once, and keeps
 * the bytes at hand from going on.
 */
interface Sight {
  readonly strike: () => TcpProxy.Action
  readonly acknowledged: () => number
  readonly mode: () => string | undefined
  /** Rounds of the merge that have begun. */
  readonly merges: () => number
  readonly isProving: () => boolean
}

/** Where a child is killed. */
interface Point {
  readonly name: string
  /** Postgres is out of reach at first, until so many operations have been acknowledged. */
  readonly alone?: number
  readonly upstream?: (sight: Sight, chunk: Buffer) => TcpProxy.Action
  readonly downstream?: (sight: Sight, chunk: Buffer) => TcpProxy.Action
  /** Something has been said by the child. */
  readonly heard?: (sight: Sight) => unknown
}

const at = (holds: boolean, sight: Sight): TcpProxy.Action => holds ? sight.strike() : "pass"

const points: ReadonlyArray<Point> = [
  {
    name: "a commit on its way to Postgres",
    upstream: (sight, chunk) => at(sight.acknowledged() > 20 && asksForCommit(chunk), sight)
  },
  {
    name: "Postgres has committed, the file has not",
    downstream: (sight, chunk) => at(sight.acknowledged() > 20 && saysCommitted(chunk), sight)
  },
  {
    name: "alone, journaling on the shadow",
    alone: Infinity,
    heard: (sight) => sight.acknowledged() > 40 && sight.strike()
  },
  {
    name: "alone again, with a backlog",
    alone: Infinity,
    heard: (sight) => sight.acknowledged() > 90 && sight.strike()
  },
  { name: "a round of the merge begins", alone: 60, upstream: (sight, chunk) => at(merges(chunk), sight) },
  {
    name: "the commit of a round on its way",
    alone: 60,
    upstream: (sight, chunk) => at(sight.merges() > 0 && asksForCommit(chunk), sight)
  },
  {
    name: "a round is committed, and not marked in the file",
    alone: 60,
    downstream: (sight, chunk) => at(sight.merges() > 0 && saysCommitted(chunk), sight)
  },
  {
    name: "a later round is committed, and not marked in the file",
    alone: 600,
    downstream: (sight, chunk) => at(sight.merges() > 1 && saysCommitted(chunk), sight)
  },
  { name: "both sides are about to be compared", alone: 60, upstream: (sight, chunk) => at(proves(chunk), sight) },
  { name: "both sides are compared", alone: 60, downstream: (sight) => at(sight.isProving(), sight) },
  { name: "just after the flip", alone: 60, heard: (sight) => sight.mode() === "primary" && sight.strike() }
]

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("kill -9 of the process", () => {
  beforeAll(async () => {
    await build({
      entryPoints: [fileURLToPath(new URL("child.ts", import.meta.url))],
      outfile: program,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      external: ["better-sqlite3", "pg-native"],
      logLevel: "warning",
      banner: {
        js:
          "import{createRequire as __createRequire}from\"node:module\";const require=__createRequire(import.meta.url);"
      }
    })
  })

  it.scopedLive(
    "at every point of its work: nothing is lost, nothing happens twice, no file is broken",
    () =>
      Effect.gen(function*() {
        const run = yield* ChaosRun.make("kill process")
        const server = yield* PostgresServer.start()
        const nowhere = { host: "127.0.0.1", port: yield* freePort }
        const url = yield* server.createDatabase("bank")
        const directory = yield* folder
        const history = History.make()
        const pragmas: Array<string> = []
        const proofs: Array<string> = []

        const round = (name: string, point: Point) =>
          Effect.scoped(Effect.gen(function*() {
            const proxy = yield* TcpProxy.make(point.alone === undefined ? server : nowhere)
            const child = spawn(
              process.execPath,
              [program, directory, through(proxy, url), name, String(run.seed)],
              { stdio: ["ignore", "pipe", "inherit"] }
            )
            let acknowledged = 0
            let mode: string | undefined
            let rounds = 0
            let isProving = false
            let isStruck = false
            let isBack = point.alone === undefined
            const sight: Sight = {
              strike: () => {
                if (!isStruck) {
                  isStruck = true
                  child.kill("SIGKILL")
                  run.sometimes(point.name)
                }
                return "cut"
              },
              acknowledged: () => acknowledged,
              mode: () => mode,
              merges: () => rounds,
              isProving: () => isProving
            }
            yield* proxy.onUpstream((chunk) => {
              if (merges(chunk)) rounds++
              isProving ||= proves(chunk)
              return isStruck ? "cut" : point.upstream?.(sight, chunk) ?? "pass"
            })
            yield* proxy.onDownstream((chunk) => isStruck ? "cut" : point.downstream?.(sight, chunk) ?? "pass")
            let rest = ""
            child.stdout.on("data", (chunk) => {
              const lines = (rest + String(chunk)).split("\n")
              rest = lines.pop() ?? ""
              for (const line of lines) {
                const [kind = "", what = "", detail] = JSON.parse(line) as ReadonlyArray<string>
                if (kind === "pragma") pragmas.push(what)
                else if (kind === "proof") proofs.push(what)
                else if (kind === "mode") mode = what
                else {
                  // Each line begins with one of the phases, as the child's own history records them.
                  history.record(what, kind as History.Phase, detail ?? undefined)
                  if (kind === "ok") acknowledged++
                }
                if (!isBack && acknowledged >= (point.alone ?? 0)) {
                  isBack = true
                  void Effect.runPromise(proxy.setTarget(server))
                }
                point.heard?.(sight)
              }
            })
            const late = setTimeout(() => child.kill("SIGKILL"), ROUND_MILLIS)
            yield* Effect.promise(() => once(child, "close"))
            clearTimeout(late)
            assert.isTrue(isStruck, `never came to the point: ${point.name}`)
          }))

        for (const [index, point] of points.entries()) yield* round(`p${index}`, point)
        // At any moment, wherever it is by then: in health, alone, or on the way back.
        const choices = run.choices("moments")
        for (let n = 0; n < run.form(9, 120); n++) {
          const wait = choices.integer(1, 250)
          const alone = choices.pick([undefined, 30, 250, Infinity])
          let isSet = false
          yield* round(`r${n}`, {
            name: `at some moment, ${
              alone === undefined ? "in health" : alone === Infinity ? "alone" : "on the way back"
            }`,
            ...(alone === undefined ? {} : { alone }),
            heard: (sight) => {
              const isTime = alone === undefined || alone === Infinity
                ? sight.acknowledged() > 5
                : sight.acknowledged() >= alone
              if (!isTime || isSet) return
              isSet = true
              setTimeout(sight.strike, wait)
            }
          })
        }

        history.save(`node_modules/.cache/chaos/kill-process-${run.seed}.jsonl`)
        const bank = yield* open({ url, directory })
        yield* untilMode(bank, "primary")
        const { set, violations } = yield* Traffic.broken(url, history, yield* Traffic.differences(bank, url))
        run.figure("kills", pragmas.length)
        run.figure("acknowledged", set.acknowledged)
        run.figure("refused", set.refused)
        run.figure("unknown", set.unknown)
        run.figure("unknownButThere", set.unknownButThere)
        yield* Checker.kept(violations)
        const sound = JSON.stringify([{ synchronous: 2 }, { integrity_check: "ok" }])
        assert.deepStrictEqual(pragmas.filter((one) => one !== sound), [])
        assert.isAtLeast(pragmas.length, 20)
        // Whatever the kill has left behind, no file has ever differed from Postgres when it was back there.
        assert.deepStrictEqual(proofs.filter((proof) => proof !== "0 repaired, 0 copied"), [])
        assert.isAbove(proofs.length, 5)
        const integrity = yield* bank.housekeep("check", Transaction.query("pragma integrity_check"))
        assert.deepStrictEqual(integrity, [{ integrity_check: "ok" }])
        // Nobody was told what became of these: they are there as a whole or not at all, once.
        yield* run.reached(...points.map(({ name }) => name))
      }).pipe(quiet),
    { timeout: ChaosRun.timeout(4 * 60_000, 60 * 60_000) }
  )
})

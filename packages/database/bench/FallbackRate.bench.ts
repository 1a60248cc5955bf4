/** What the store does per second while Postgres is away, beside what it does while Postgres is there. */
// The rounds that compare ours with the peers are promises, and each run of ours in them is a program of its own.
// @effect-diagnostics runEffectInsideEffect:off
import type { Bench, Options, Row } from "@holdfast/resilience/bench/Bench"
import { compare, interleave, storeFolder } from "@holdfast/resilience/bench/Bench"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import { Effect, Logger, LogLevel } from "effect"
import { Database } from "../src/Database.ts"
import * as Orders from "./Orders.ts"

const alone = "level 1: the file alone"
const full = "level 0: the same store with Postgres"

const run = ({ progress, quick }: Options): Promise<ReadonlyArray<Row>> =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(Effect.sync(storeFolder), ({ remove }) => Effect.sync(remove))
    const server = yield* PostgresServer.start()
    const store = yield* Orders.replicated({
      agent: "bench",
      url: yield* server.createDatabase("ours"),
      directory: folder.path,
      migrations: Orders.migrations,
      tables: [Orders.Orders]
    })
    const { primary } = store
    const up = Orders.until(() => primary.mode() === "primary" && primary.dependency.current().status === "up")
    const away = Orders.until(() => primary.mode() === "alone")
    const placing = (callers: number, orders: number) =>
      Effect.map(
        Effect.provideService(Orders.placing(callers, orders), Database, store),
        ({ perSecond }) => perSecond
      )
    const all = quick ? 2_000 : 10_000
    const measure = (callers: number) =>
      Effect.gen(function*() {
        const orders = callers === 1 ? all / 10 : all
        yield* placing(callers, orders / 2)
        const rounds = yield* Effect.promise(() =>
          interleave(
            {
              [full]: () => Effect.runPromise(Effect.zipRight(up, placing(callers, orders))),
              [alone]: () =>
                Effect.runPromise(Effect.orDie(
                  server.kill.pipe(
                    Effect.zipRight(away),
                    Effect.zipRight(placing(callers, orders)),
                    // What was taken alone is merged before the next round begins.
                    Effect.zipLeft(Effect.zipRight(server.start, up))
                  )
                ))
            },
            quick ? 3 : 7,
            (what) => progress(`${callers} callers, ${what}`)
          )
        )
        return compare(
          `order and event without Postgres, ${callers} ${callers === 1 ? "caller" : "callers"}`,
          "/s",
          rounds,
          alone,
          { [full]: { of: "ratio", atLeast: 0.7 } }
        )
      })
    const rows = (yield* Effect.forEach([1, 16, 256], measure)).flat()
    if (primary.backlog().withheld > 0) return yield* Effect.dieMessage("something of an outage did not merge")
    return rows
  }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.Warning), Effect.runPromise)

export const bench: Bench = {
  title: "While Postgres is away",
  how:
    "The same store under the same load, once with Postgres, once while its server is killed (`kill -9`): operations then " +
    "count in the SQLite file with `synchronous=FULL` and are listed for the merge. After each round Postgres is started " +
    "again, and all of it is merged before the next one. The median of 7 rounds, in turns. More is better.",
  run
}

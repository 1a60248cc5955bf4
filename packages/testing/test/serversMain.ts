import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as RedisServer from "@holdfast/testing/RedisServer"
import { Effect } from "effect"
import Pg from "pg"

/** Starts servers, says so, and dies by a signal: nobody closes its scope. */
const program = Effect.gen(function*() {
  const [postgres, redis] = yield* Effect.all([PostgresServer.start(), RedisServer.start()], { concurrency: 2 })
  const busy = new Pg.Client({ connectionString: postgres.url() })
  yield* Effect.promise(() => busy.connect())
  void busy.query("select pg_sleep(600)").catch(() => {})
  if (process.argv.includes("stalled")) yield* Effect.all([postgres.stall, redis.stall])
  process.stdout.write("started\n")
  return yield* Effect.never
})

await Effect.runPromise(Effect.scoped(program))

import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ServerFetch from "./ServerFetch.ts"
import type { ServerName } from "./ServerSource.ts"
import * as ServerSource from "./ServerSource.ts"
import * as TestServers from "./TestServers.ts"

const ensure = (server: ServerName) =>
  Effect.gen(function*() {
    if (Option.isNone(ServerSource.present(server))) {
      yield* Effect.catchAll(ServerFetch.fetch(server), (cause) => Console.error(cause.message))
    }
    const source = Option.orElse(ServerSource.present(server), () => ServerSource.image(server))
    return yield* Option.match(source, {
      onNone: () => Effect.as(Console.error(`MISSING: ${TestServers.absent(server)}`), false),
      onSome: (source) => Effect.as(Console.error(`${server}: ${ServerSource.describe(source)}`), true)
    })
  })

const wanted = process.argv.slice(2)
const servers = (["postgres", "redis", "kafka"] as const).filter((name) => wanted.length === 0 || wanted.includes(name))
const there = await Effect.runPromise(Effect.forEach(servers, ensure, { concurrency: "unbounded" }))
process.exitCode = process.env["REQUIRE_SERVERS"] === "1" && there.includes(false) ? 1 : 0

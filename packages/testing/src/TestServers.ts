import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { ServerUnavailable } from "./ServerControl.ts"
import type { ServerName, ServerSource } from "./ServerSource.ts"
import * as Sources from "./ServerSource.ts"

const ensureServers = fileURLToPath(new URL("../../../scripts/ensure-servers.mjs", import.meta.url))

/** How long the fetch of a server may take, in milliseconds. */
const FETCH_MILLIS = 300_000

const remedy: Readonly<Record<ServerName, string>> = {
  postgres: "install Postgres 14 or later",
  redis: "install Redis 7 or later",
  kafka: "install Java 17 or later and Maven"
}

/**
 * That a server is missing, and what helps.
 *
 * @category conversions
 */
export const absent = (server: ServerName) =>
  `no ${server} for tests: ${remedy[server]}, or give the address of one in ${Sources.addressVariable[server]}, ` +
  `or start Docker; \`node scripts/ensure-servers.mjs\` says what was tried`

/** What is not there already is looked for once in a process: fetched, unless the run has tried that, else in Docker. */
const sought = new Map<ServerName, Option.Option<ServerSource>>()

const seek = (server: ServerName): Option.Option<ServerSource> => {
  if (process.env["HOLDFAST_SERVERS_ENSURED"] === undefined) {
    spawnSync(process.execPath, [ensureServers, server], { stdio: ["ignore", 2, 2], timeout: FETCH_MILLIS })
  }
  return Option.orElse(Sources.present(server), () => Sources.image(server))
}

const find = (server: ServerName): Option.Option<ServerSource> =>
  Option.orElse(Sources.present(server), () => {
    const answer = sought.get(server) ?? seek(server)
    sought.set(server, answer)
    return answer
  })

/**
 * Where this server comes from.
 *
 * @category constructors
 */
export const source = (server: ServerName): Effect.Effect<ServerSource, ServerUnavailable> =>
  Effect.suspend(() =>
    Option.match(find(server), {
      onNone: () => Effect.fail(new ServerUnavailable({ server, detail: absent(server) })),
      onSome: Effect.succeed
    })
  )

const said = new Set<string>()

/**
 * Whether tests must be skipped for want of this server, as `describe.skipIf(TestServers.isMissing("postgres"))`; says
 * why, once. Tests that kill or stall it ask for `faults`: a server of which only the address is known has none. With
 * `REQUIRE_SERVERS=1` a missing server is a failure.
 *
 * @category predicates
 */
export const isMissing = (server: ServerName, needs: { readonly faults?: boolean } = {}): boolean => {
  const source = Option.getOrUndefined(find(server))
  const reason = source === undefined ?
    absent(server) :
    source._tag === "Address" && needs.faults === true
    ? `the ${server} of ${source.variable} can be neither killed nor stalled: unset it to run the tests that do`
    : undefined
  if (reason === undefined) return false
  if (process.env["REQUIRE_SERVERS"] === "1") throw new ServerUnavailable({ server, detail: reason })
  if (!said.has(reason)) process.stderr.write(`SKIPPED: ${reason}\n`)
  said.add(reason)
  return true
}

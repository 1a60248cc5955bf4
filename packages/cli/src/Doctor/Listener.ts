import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { createServer } from "node:net"
import type { Finding } from "./Finding.ts"
import { fail, ok, warn } from "./Finding.ts"

/** Who has the port is asked for no longer than this, in milliseconds. */
const ANSWER_MILLIS = 1_000

const loopback = /^(?:127\.|localhost$|::1$)/

const Alive = Schema.Struct({ agent: Schema.String, status: Schema.String })

/** The error that listening there meets; undefined when there is none. */
const refusal = (host: string, port: number): Effect.Effect<string | undefined> =>
  Effect.async((resume) => {
    const server = createServer()
    server.once("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? error.message)))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resume(Effect.succeed(undefined))))
  })

/** The name under which agents answer on the port already. */
const agentsAt = (url: string): Effect.Effect<Option.Option<string>> =>
  Effect.tryPromise(async () => {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(ANSWER_MILLIS) })
    return (await response.json()) as unknown
  }).pipe(
    Effect.flatMap(Schema.decodeUnknown(Alive)),
    Effect.map(({ agent }) => agent),
    Effect.option
  )

const portOf = (host: string, port: number): Effect.Effect<Finding> =>
  Effect.gen(function*() {
    const code = yield* refusal(host, port)
    const place = `port ${port} of ${host}`
    if (code === undefined) return ok("port", port === 0 ? "the system chooses one" : `${place} is free`)
    if (code === "EACCES") {
      return fail("port", "port_forbidden", `${place} is for root alone`, "set HOLDFAST_PORT to one above 1023")
    }
    if (code !== "EADDRINUSE") {
      return fail("port", "address_unknown", `${place}: ${code}`, "set HOLDFAST_HOST to an address of this machine")
    }
    const running = yield* agentsAt(AgentConfig.ownUrl(host, port))
    return Option.match(running, {
      onNone: () => fail("port", "port_in_use", `${place} is in use`, "stop the other process, or set HOLDFAST_PORT"),
      onSome: (agent) =>
        warn("port", "agents_running", `${agent} answers on ${place} already`, "stop it first, or set HOLDFAST_PORT")
    })
  })

/**
 * Looks at the address on which the agents are to listen.
 *
 * @category checks
 */
export const examine = (host: string, port: number): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.map(portOf(host, port), (found) => [
    found,
    ...(loopback.test(host) ? [] : [warn(
      "address",
      "open_to_others",
      `${host} can be reached from other machines, and who reaches it may do everything`,
      "set HOLDFAST_HOST to 127.0.0.1 and put a proxy in front that asks who one is"
    )])
  ])

import * as Sqlite from "@holdfast/database/Sqlite"
import { ConfigProvider, Data, Duration, Effect, LogLevel, Option, type Scope } from "effect"
import * as Http from "node:http"
import type { Agent } from "../src/Agent.ts"
import * as AgentConfig from "../src/AgentConfig.ts"
import * as Holdfast from "../src/Holdfast.ts"
import type { ListenFailed } from "../src/HttpServer.ts"
import * as Logging from "../src/Logging.ts"

export const config: AgentConfig.AgentConfig = {
  ...Effect.runSync(ConfigProvider.fromMap(new Map()).load(AgentConfig.config)),
  dataDir: "unused",
  port: 0,
  logLevel: LogLevel.Debug,
  logFormat: "json",
  drainSettle: Duration.zero,
  drainDeadline: Duration.seconds(5),
  requestDeadline: Duration.seconds(2),
  maxInFlight: 64,
  maxBodyBytes: 64 * 1024
}

export interface Reply {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly text: string
  readonly json: Readonly<Record<string, unknown>>
}

export interface Request {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  readonly agent?: Http.Agent
}

/** The connection broke before the answer was complete; `isNew`: it was made for this request, and nothing came back on it. */
export class NoAnswer extends Data.TaggedError("NoAnswer")<{ readonly message: string; readonly isNew: boolean }> {}

/** A request by node's own client, which sends what it is told to. */
export const ask = (port: number, request: Request): Effect.Effect<Reply, NoAnswer> =>
  Effect.async((resume) => {
    const sent = Http.request({
      host: "127.0.0.1",
      port,
      method: request.method,
      path: request.path,
      headers: { ...request.headers },
      ...(request.agent === undefined ? {} : { agent: request.agent })
    }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", ({ message }) => resume(new NoAnswer({ message, isNew: false })))
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString()
        let json: Reply["json"] = {}
        try {
          json = Object(JSON.parse(text))
        } catch {
          // Not every answer is JSON.
        }
        resume(Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, text, json }))
      })
    })
    sent.on("error", ({ message }) => resume(new NoAnswer({ message, isNew: !sent.reusedSocket })))
    sent.end(request.body)
    return Effect.sync(() => sent.destroy())
  })

export interface Serving extends Holdfast.Holdfast {
  readonly log: ReadonlyArray<string>
  readonly get: (path: string, headers?: Readonly<Record<string, string>>) => Effect.Effect<Reply, NoAnswer>
  readonly post: (
    path: string,
    body: unknown,
    headers?: Readonly<Record<string, string>>
  ) => Effect.Effect<Reply, NoAnswer>
  readonly ask: (request: Request) => Effect.Effect<Reply, NoAnswer>
}

/** Serves on a free port with temporary stores; ready when it answers. With Postgres, on that, and ready or not. */
export const serve = (
  agents: ReadonlyArray<Agent>,
  overrides: Partial<AgentConfig.AgentConfig> = {},
  options: Partial<Holdfast.Options> = {}
): Effect.Effect<Serving, ListenFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const log: Array<string> = []
    const isTemporary = Option.isNone(overrides.postgres ?? Option.none())
    const holdfast = yield* Holdfast.serve({
      agents,
      config: { ...config, ...overrides },
      ...(isTemporary
        ? { openStore: (agent: Agent) => Sqlite.layerTemporary({ agent: agent.name, migrations: agent.migrations }) }
        : {}),
      ...options
    }).pipe(
      Effect.provide(Logging.layer({ format: "json", level: LogLevel.Debug, write: (line) => log.push(line) }))
    )
    if (isTemporary && options.openStore === undefined) yield* holdfast.ready
    return {
      ...holdfast,
      log,
      ask: (request) => ask(holdfast.port, request),
      get: (path, headers = {}) => ask(holdfast.port, { method: "GET", path, headers }),
      post: (path, body, headers = {}) =>
        ask(holdfast.port, {
          method: "POST",
          path,
          headers: { "content-type": "application/json", ...headers },
          body: JSON.stringify(body)
        })
    }
  })

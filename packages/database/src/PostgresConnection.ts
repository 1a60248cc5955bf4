import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Socket } from "node:net"
import pg from "pg"
import { classify, type PostgresError, PostgresUnavailable } from "./PostgresError.ts"

/**
 * Where Postgres is and how to reach it.
 *
 * @category models
 */
export interface PostgresConfig {
  readonly url: Redacted.Redacted<string>
  /** Undefined: as `sslmode` in the URL says. */
  readonly tls?: { readonly rejectUnauthorized: boolean; readonly ca?: string } | false | undefined
}

/** A connection must come about within this time, in milliseconds. */
const CONNECT_MILLIS = 2_000

/** How long a server may take to hear that a session is closed, in milliseconds. */
const GOODBYE_MILLIS = 1_000

/**
 * What a session allows itself, in milliseconds. A transaction whose client stands still ends by itself, so that what it
 * has locked is free again.
 */
const session = {
  statement_timeout: 5_000,
  lock_timeout: 1_500,
  idle_in_transaction_session_timeout: 5_000
}

const parsers = new Map<number, (text: string) => unknown>([
  // int8 and numeric: every integer of ours is a safe one.
  [20, Number],
  [1700, Number],
  // json is kept as the text it is.
  [114, (text) => text],
  [3802, (text) => text]
])

const types = {
  getTypeParser: (oid: number, format?: "text" | "binary") =>
    parsers.get(oid) ?? pg.types.getTypeParser(oid, format ?? "text")
}

/**
 * A statement for the pipeline; `name` lets the server keep its plan.
 *
 * @category models
 */
export interface Statement {
  readonly text: string
  readonly values?: ReadonlyArray<unknown>
  readonly name?: string
}

/**
 * What a statement answered.
 *
 * @category models
 */
export interface Result {
  readonly command: string
  readonly rows: ReadonlyArray<Readonly<Record<string, unknown>>>
}

/** A quoted identifier. */
export const quote = (name: string): string => `"${name.replaceAll("\"", "\"\"")}"`

/**
 * One session, whose statements are sent without waiting for each other's answers and answered in order. A call that is
 * not answered in time ends the session: nothing can be said of it any more, and the server undoes what was open.
 *
 * @category models
 */
export interface PostgresConnection {
  /** Sends the statements and answers with all results, or with the first failure. */
  readonly run: (
    statements: ReadonlyArray<Statement>,
    withinMillis: number
  ) => Effect.Effect<ReadonlyArray<Result>, PostgresError>
  /** Ends the session at once; whatever waits fails. */
  readonly destroy: (why: string) => void
  /** Takes leave of the server, which otherwise notes a client that broke off. Nothing may be under way. */
  readonly close: () => void
  readonly isOpen: () => boolean
  /** Calls the listener once, when the session has ended for whatever reason; returns how to stop. */
  readonly onEnd: (listener: (why: string) => void) => () => void
}

const clientOf = (config: PostgresConfig, name: string): pg.Client =>
  new pg.Client({
    connectionString: Redacted.value(config.url),
    ...(config.tls === undefined ? {} : { ssl: config.tls }),
    application_name: name,
    connectionTimeoutMillis: CONNECT_MILLIS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 1_000,
    pipeline: true,
    types
  } as pg.ClientConfig)

const wrap = (client: pg.Client): PostgresConnection => {
  const listeners = new Set<(why: string) => void>()
  let ended: string | undefined
  const end = (why: string) => {
    if (ended !== undefined) return
    ended = why
    for (const listener of listeners) listener(why)
    listeners.clear()
  }
  const socket = (): Socket | undefined =>
    // The driver does not declare its connection; without its socket a stalled session cannot be left.
    (client as unknown as { connection?: { stream?: Socket } }).connection?.stream
  client.on("error", (error) => end(error.message))
  client.on("end", () => end("the connection ended"))
  const destroy = (why: string) => {
    end(why)
    socket()?.destroy()
  }
  const send = async ({ name, text, values }: Statement): Promise<Result> => {
    const result = await client.query({
      text,
      ...(name === undefined ? {} : { name }),
      ...(values === undefined ? {} : { values: [...values] })
    })
    return { command: result.command, rows: result.rows }
  }
  return {
    isOpen: () => ended === undefined,
    onEnd: (listener) => {
      if (ended !== undefined) listener(ended)
      else listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    destroy,
    close: () => {
      if (ended !== undefined) return
      end("closed")
      void client.end().catch(() => {})
      setTimeout(() => socket()?.destroy(), GOODBYE_MILLIS).unref()
    },
    run: (statements, withinMillis) =>
      Effect.async<ReadonlyArray<Result>, PostgresError>((resume) => {
        if (ended !== undefined) {
          return resume(Effect.fail(new PostgresUnavailable({ reason: "lost", detail: ended })))
        }
        let isAnswered = false
        const expire = () => {
          if (isAnswered) return
          const detail = `no answer within ${withinMillis} ms`
          resume(Effect.fail(new PostgresUnavailable({ reason: "timeout", detail })))
          destroy(detail)
        }
        // An event loop that stood still runs its timers before it reads its sockets: the answer may be there.
        const timer = setTimeout(() => setImmediate(() => setImmediate(expire)), withinMillis)
        const stream = socket()
        // One packet for all: the driver would send each statement by itself.
        stream?.cork()
        const sent = statements.map(send)
        stream?.uncork()
        void Promise.allSettled(sent).then((settled) => {
          isAnswered = true
          clearTimeout(timer)
          const failures = settled.flatMap((one) => one.status === "rejected" ? [classify(one.reason)] : [])
          // Those behind a statement that failed in a transaction fail because of it (25P02).
          const first = failures.find((failure) => failure.code !== "25P02") ?? failures[0]
          if (first !== undefined) {
            if (first instanceof PostgresUnavailable && first.reason !== "full" && first.reason !== "read_only") {
              destroy(first.detail)
            }
            return resume(Effect.fail(first))
          }
          resume(Effect.succeed(settled.flatMap((one) => one.status === "fulfilled" ? [one.value] : [])))
        })
      })
  }
}

/**
 * Opens a session in the schema. `name` is what the server's own views show.
 *
 * @category constructors
 */
export const connect = (
  config: PostgresConfig,
  name: string,
  schema?: string
): Effect.Effect<PostgresConnection, PostgresError> =>
  Effect.flatMap(
    Effect.async<PostgresConnection, PostgresError>((resume) => {
      const client = clientOf(config, name)
      const connection = wrap(client)
      const timer = setTimeout(() => {
        const detail = `no connection within ${CONNECT_MILLIS} ms`
        connection.destroy(detail)
        resume(Effect.fail(new PostgresUnavailable({ reason: "timeout", detail })))
      }, CONNECT_MILLIS + 100)
      client.connect().then(() => {
        clearTimeout(timer)
        resume(Effect.succeed(connection))
      }, (error: unknown) => {
        clearTimeout(timer)
        connection.destroy(String(error))
        resume(Effect.fail(classify(error)))
      })
      return Effect.sync(() => {
        clearTimeout(timer)
        connection.destroy("not wanted any more")
      })
    }),
    (connection) =>
      Effect.as(
        Effect.tapError(
          connection.run(
            [
              ...Object.entries(session).map(([setting, value]) => ({ text: `set ${setting} = ${value}` })),
              ...(schema === undefined ? [] : [{ text: `set search_path = ${quote(schema)}` }])
            ],
            CONNECT_MILLIS
          ),
          (error) => Effect.sync(() => connection.destroy(error.message))
        ),
        connection
      )
  )

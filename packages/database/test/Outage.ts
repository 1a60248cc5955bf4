import { Database, type DatabaseShape } from "@holdfast/database/Database"
import type { Migration } from "@holdfast/database/Migration"
import * as PostgresConnection from "@holdfast/database/PostgresConnection"
import * as PostgresWatch from "@holdfast/database/PostgresWatch"
import * as Replicated from "@holdfast/database/Replicated"
import type { Table } from "@holdfast/database/Table"
import type * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import { Context, Effect, Layer, Redacted, type Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Accounts, Entries, migrations } from "./Bank.ts"

/** A folder that goes with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-outage-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** What a store holds. */
export interface Holding {
  readonly agent: string
  readonly migrations: ReadonlyArray<Migration>
  readonly tables: ReadonlyArray<Table>
}

const bank: Holding = { agent: "bank", migrations, tables: [Accounts, Entries] }

/** A store that follows a primary. */
export type Replica = DatabaseShape & { readonly primary: NonNullable<DatabaseShape["primary"]> }

/** A process's store, of the bank where nothing else is said. */
export const open = (options: {
  readonly holding?: Holding
  readonly url: string
  readonly directory: string
  readonly instance?: string
  readonly fallback?: "allowed" | "forbidden"
  readonly maxBacklog?: number
}): Effect.Effect<Replica, never, Scope.Scope> =>
  Effect.gen(function*() {
    const postgres = { url: Redacted.make(options.url) }
    const watch = yield* PostgresWatch.make(postgres)
    const context = yield* Effect.orDie(Layer.build(Replicated.layer({
      ...options.holding ?? bank,
      directory: options.directory,
      postgres,
      watch,
      instance: options.instance ?? "one",
      fallback: options.fallback ?? "allowed",
      ...(options.maxBacklog === undefined ? {} : { maxBacklog: options.maxBacklog })
    })))
    const database = Context.get(context, Database)
    const { primary } = database
    if (primary === undefined) return yield* Effect.dieMessage("no primary")
    yield* Replicated.settled(primary)
    return { ...database, stats: database.stats, primary }
  })

/** Real time. */
export const pause = (millis: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, millis)))

/** Looks until it holds; the test's own time-out ends a look in vain. */
export const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => holds() ? Effect.void : Effect.zipRight(pause(5), until(holds)))

/** Until the store works with its primary, or without it. */
export const untilMode = (
  { primary }: { readonly primary: NonNullable<DatabaseShape["primary"]> },
  mode: "primary" | "alone"
) => until(() => primary.mode() === mode && (mode === "alone" || primary.dependency.current().status === "up"))

/** The same database, reached through something on the way. */
export const through = (way: { readonly host: string; readonly port: number }, url: string): string => {
  const address = new URL(url)
  address.hostname = way.host
  address.port = String(way.port)
  return address.href
}

/** What Postgres itself says. */
export const ask = (url: string, text: string, schema = bank.agent) =>
  Effect.scoped(Effect.gen(function*() {
    const session = yield* Effect.acquireRelease(
      PostgresConnection.connect({ url: Redacted.make(url) }, "test", schema),
      (made) => Effect.sync(() => made.destroy("done"))
    )
    const [result] = yield* session.run([{ text }], 5_000)
    return result?.rows ?? []
  }))

/** Two processes on one database, each through a way of its own that can be cut. */
export const pair = (server: PostgresServer.PostgresServer, holding: Holding = bank) =>
  Effect.gen(function*() {
    const url = yield* server.createDatabase(holding.agent)
    const at = (instance: string) =>
      Effect.gen(function*() {
        const proxy = yield* TcpProxy.make(server)
        const directory = yield* folder
        const store = yield* open({ holding, url: through(proxy, url), directory, instance })
        yield* untilMode(store, "primary")
        return { store, proxy, directory, url: through(proxy, url) }
      })
    return { url, one: yield* at("one"), two: yield* at("two") }
  })

/** Cuts a process off, and waits until it knows. */
export const cutOff = ({ proxy, store }: { readonly proxy: TcpProxy.TcpProxy; readonly store: Replica }) =>
  proxy.refuse.pipe(Effect.zipRight(proxy.cut), Effect.zipRight(untilMode(store, "alone")))

/** Lets it through again, and waits until it is back. */
export const letBack = ({ proxy, store }: { readonly proxy: TcpProxy.TcpProxy; readonly store: Replica }) =>
  Effect.zipRight(proxy.pass, untilMode(store, "primary"))

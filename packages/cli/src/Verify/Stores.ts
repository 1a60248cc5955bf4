import type { Agent } from "@holdfast/agent/Agent"
import type { PostgresConfig } from "@holdfast/agent/PostgresConfig"
import * as PostgresReader from "@holdfast/database/PostgresReader"
import * as Sqlite from "@holdfast/database/Sqlite"
import { StoreUnavailable } from "@holdfast/database/StoreError"
import type { ReaderShape } from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { existsSync } from "node:fs"
import { join } from "node:path"

/**
 * A file of an agent, in the folder of one process that runs it.
 *
 * @category models
 */
export interface StoreFile {
  readonly agent: string
  readonly directory: string
  readonly reader: ReaderShape
}

/**
 * What there is to read.
 *
 * @category models
 */
export interface Stores {
  /** The store of record of each agent, by name. */
  readonly records: ReadonlyMap<string, ReaderShape>
  /** Every file of the agents: shadows where Postgres holds the stores of record, else these themselves. */
  readonly files: ReadonlyArray<StoreFile>
}

const open = (agent: string, directory: string): Effect.Effect<StoreFile, StoreUnavailable, Scope.Scope> =>
  Effect.map(Sqlite.reader({ agent, directory }), (reader) => ({ agent, directory, reader }))

/** The one file that is the agent's store; where there is none, opening it says so. */
const recordOf = (agent: string, directories: ReadonlyArray<string>, files: ReadonlyArray<StoreFile>) =>
  Effect.gen(function*() {
    const [first, second] = files.filter((file) => file.agent === agent)
    if (second !== undefined) {
      return yield* new StoreUnavailable({
        reason: "other",
        detail: `${first?.directory} and ${second.directory} both hold a store of the ${agent} agent; name one of them`
      })
    }
    return [agent, (first ?? (yield* open(agent, directories[0] ?? "."))).reader] as const
  })

/**
 * Opens the agents' stores for reading, whether the agents run or not.
 *
 * @category constructors
 */
export const read = (options: {
  readonly agents: ReadonlyArray<Agent>
  /** Folders with files of the agents, one for each process. */
  readonly directories: ReadonlyArray<string>
  readonly postgres: Option.Option<PostgresConfig>
}): Effect.Effect<Stores, StoreUnavailable, Scope.Scope> =>
  Effect.gen(function*() {
    const { agents, directories } = options
    const files = yield* Effect.forEach(
      agents.flatMap(({ name }) =>
        directories
          .filter((directory) => existsSync(join(directory, `${name}.sqlite`)))
          .map((directory) => [name, directory] as const)
      ),
      ([name, directory]) => open(name, directory)
    )
    const records = yield* Option.match(options.postgres, {
      onNone: () => Effect.forEach(agents, ({ name }) => recordOf(name, directories, files)),
      onSome: ({ ssl, url }) =>
        Effect.forEach(
          agents,
          ({ name }) => Effect.map(PostgresReader.reader({ url, tls: ssl }, name), (reader) => [name, reader] as const),
          { concurrency: "unbounded" }
        )
    })
    return { records: new Map(records), files }
  })

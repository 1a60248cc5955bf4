import type { Agent } from "@holdfast/agent/Agent"
import type { PostgresConfig } from "@holdfast/agent/PostgresConfig"
import * as PostgresReader from "@holdfast/database/PostgresReader"
import * as Sqlite from "@holdfast/database/Sqlite"
import { StoreUnavailable } from "@holdfast/database/StoreError"
import type { StoreReader } from "@holdfast/database/StoreReader"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as Facts from "./Facts.ts"

/**
 * Where a store should be there is none, or one that is not what it is taken for; `variable` is what to correct.
 *
 * @category errors
 */
export class StoreMisplaced extends Data.TaggedError("StoreMisplaced")<{
  readonly path: string
  readonly agent: string | undefined
  readonly variable: "HOLDFAST_DATA_DIR" | "DATABASE_URL"
  readonly detail: string
}> {}

/**
 * A file of an agent, in the folder of one process that runs it.
 *
 * @category models
 */
export interface StoreFile {
  readonly agent: string
  readonly directory: string
  readonly reader: StoreReader
}

/**
 * What there is to read.
 *
 * @category models
 */
export interface Stores {
  /** The store of record of each agent, by name. */
  readonly records: ReadonlyMap<string, StoreReader>
  /** Every file of the agents: shadows where Postgres holds the stores of record, else these themselves. */
  readonly files: ReadonlyArray<StoreFile>
}

const pathOf = (agent: string, directory: string): string => join(directory, `${agent}.sqlite`)

const open = (agent: string, directory: string): Effect.Effect<StoreFile, StoreUnavailable, Scope.Scope> =>
  Sqlite.reader({ agent, directory }).pipe(
    Effect.mapBoth({
      onSuccess: (reader) => ({ agent, directory, reader }),
      onFailure: ({ detail, reason }) =>
        new StoreUnavailable({
          reason,
          detail: `${pathOf(agent, directory)}, the file of the ${agent} agent, cannot be read: ${detail}`
        })
    })
  )

const CORRECT = "name the folder in which the agents run with --data-dir or HOLDFAST_DATA_DIR"

/** A folder that was named has something of the agents in it. */
const checkFolder = (directory: string, files: ReadonlyArray<StoreFile>) =>
  files.some((file) => file.directory === directory) ? Effect.void : new StoreMisplaced({
    path: directory,
    agent: undefined,
    variable: "HOLDFAST_DATA_DIR",
    detail: `${directory} ${existsSync(directory) ? "has no store of any agent" : "does not exist"}: ${CORRECT}`
  })

/** The one file that is the agent's store. */
const recordOf = (agent: string, directories: ReadonlyArray<string>, files: ReadonlyArray<StoreFile>) =>
  Effect.gen(function*() {
    const [found, second] = files.filter((file) => file.agent === agent)
    if (second !== undefined) {
      return yield* new StoreUnavailable({
        reason: "other",
        detail: `${found?.directory} and ${second.directory} both hold a store of the ${agent} agent; name one of them`
      })
    }
    if (found === undefined) {
      const path = pathOf(agent, directories[0] ?? ".")
      return yield* new StoreMisplaced({
        path,
        agent,
        variable: "HOLDFAST_DATA_DIR",
        detail: `there is no store of the ${agent} agent at ${path}: ${CORRECT}`
      })
    }
    if (yield* Facts.isShadow(found.reader)) {
      const path = pathOf(agent, found.directory)
      return yield* new StoreMisplaced({
        path,
        agent,
        variable: "DATABASE_URL",
        detail: `${path} is the shadow of Postgres, and the store of the ${agent} agent is there: ` +
          "set DATABASE_URL as the agents have it"
      })
    }
    return [agent, found.reader] as const
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
  /** Whether each folder must have files of the agents also where Postgres holds the stores of record. */
  readonly areFilesNeeded: boolean
  readonly postgres: Option.Option<PostgresConfig>
}): Effect.Effect<Stores, StoreUnavailable | StoreMisplaced, Scope.Scope> =>
  Effect.gen(function*() {
    const { agents, areFilesNeeded, directories, postgres } = options
    const files = yield* Effect.forEach(
      agents.flatMap(({ name }) =>
        directories
          .filter((directory) => existsSync(pathOf(name, directory)))
          .map((directory) => [name, directory] as const)
      ),
      ([name, directory]) => open(name, directory)
    )
    if (areFilesNeeded || Option.isNone(postgres)) {
      yield* Effect.forEach(directories, (directory) => checkFolder(directory, files), { discard: true })
    }
    const records = yield* Option.match(postgres, {
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

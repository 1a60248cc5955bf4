import BetterSqlite3 from "better-sqlite3"
import { ConstraintViolated, StoreUnavailable } from "./StoreError.ts"

/** A connection to one SQLite file. */
export type Connection = BetterSqlite3.Database
/** A prepared statement. */
export type Statement = BetterSqlite3.Statement<Array<unknown>>

/** Older versions can corrupt a WAL that two connections checkpoint at once (fixed 2026-03). */
const OLDEST_SAFE_VERSION = [3, 51, 3] as const

const isOldEnoughToFear = (version: string): boolean => {
  const parts = version.split(".").map(Number)
  for (let i = 0; i < OLDEST_SAFE_VERSION.length; i++) {
    const difference = (parts[i] ?? 0) - (OLDEST_SAFE_VERSION[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}

/**
 * Opens a file for the one writer: WAL, and `synchronous=FULL` at every open, because SQLite forgets it (a commit must
 * survive a power cut, not only the end of the process).
 *
 * @category constructors
 */
export const openWriter = (path: string): Connection => {
  const connection = new BetterSqlite3(path)
  connection.pragma("journal_mode = WAL")
  connection.pragma("synchronous = FULL")
  connection.pragma("foreign_keys = ON")
  connection.pragma("busy_timeout = 5000")
  // SqliteCheckpoint copies the log; this is only the net below it, should its thread die.
  connection.pragma("wal_autocheckpoint = 50000")
  connection.pragma("cache_size = -16384")
  connection.pragma("temp_store = MEMORY")
  const version = String(connection.prepare("select sqlite_version()").pluck().get())
  if (isOldEnoughToFear(version)) {
    connection.close()
    throw new StoreUnavailable({
      reason: "corrupt",
      detail: `SQLite ${version} can corrupt its log; ${OLDEST_SAFE_VERSION.join(".")} or newer is needed`
    })
  }
  return connection
}

/** Opens a file for reads beside the writer. */
export const openReader = (path: string): Connection => {
  const connection = new BetterSqlite3(path, { readonly: true, fileMustExist: true })
  connection.pragma("busy_timeout = 5000")
  connection.pragma("query_only = ON")
  return connection
}

/**
 * Takes the exclusive lock of a file for as long as the connection is open; throws `SQLITE_BUSY` when another has it.
 *
 * @category constructors
 */
export const openLock = (path: string): Connection => {
  const connection = new BetterSqlite3(path, { timeout: 0 })
  try {
    connection.exec("begin exclusive")
    return connection
  } catch (error) {
    connection.close()
    throw error
  }
}

const constraintKinds: Readonly<Record<string, ConstraintViolated["kind"]>> = {
  SQLITE_CONSTRAINT_UNIQUE: "unique",
  SQLITE_CONSTRAINT_PRIMARYKEY: "unique",
  SQLITE_CONSTRAINT_ROWID: "unique",
  SQLITE_CONSTRAINT_CHECK: "check",
  SQLITE_CONSTRAINT_NOTNULL: "not_null",
  SQLITE_CONSTRAINT_FOREIGNKEY: "foreign_key"
}

const reasons: ReadonlyArray<readonly [prefix: string, StoreUnavailable["reason"]]> = [
  ["SQLITE_FULL", "full"],
  ["SQLITE_BUSY", "locked"],
  ["SQLITE_LOCKED", "locked"],
  ["SQLITE_CORRUPT", "corrupt"],
  ["SQLITE_NOTADB", "corrupt"],
  ["SQLITE_IOERR", "other"],
  ["SQLITE_READONLY", "other"],
  ["SQLITE_CANTOPEN", "other"]
]

/**
 * The typed failure of what the driver threw, or `undefined` for what is a bug of ours (a wrong statement or parameter).
 *
 * @category errors
 */
export const classify = (thrown: unknown, table: string): ConstraintViolated | StoreUnavailable | undefined => {
  if (thrown instanceof StoreUnavailable || thrown instanceof ConstraintViolated) return thrown
  if (thrown instanceof TypeError && thrown.message.includes("not open")) {
    return new StoreUnavailable({ reason: "closed", detail: "the store is closed" })
  }
  if (!(thrown instanceof BetterSqlite3.SqliteError)) return undefined
  const kind = constraintKinds[thrown.code]
  if (kind !== undefined) return new ConstraintViolated({ kind, table, detail: thrown.message })
  const reason = reasons.find(([prefix]) => thrown.code.startsWith(prefix))
  if (reason === undefined) return undefined
  return new StoreUnavailable({ reason: reason[1], detail: `${thrown.code}: ${thrown.message}`, cause: thrown })
}

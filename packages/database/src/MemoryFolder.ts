import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { StoreUnavailable } from "./StoreError.ts"

/** Linux keeps what is in here in memory; elsewhere the system's folder for temporary files has to do. */
const SHARED_MEMORY = "/dev/shm"

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}

/** What processes have left behind that were killed. */
const sweep = (parent: string): void => {
  for (const name of readdirSync(parent)) {
    const [, pid] = /^holdfast-memory-(\d+)-/.exec(name) ?? []
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(parent, name), { recursive: true, force: true })
  }
}

/**
 * A folder that vanishes with the scope, in memory where the system has such a place.
 *
 * @category constructors
 */
export const make: Effect.Effect<string, StoreUnavailable, Scope.Scope> = Effect.acquireRelease(
  Effect.try({
    try: () => {
      const parent = existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir()
      sweep(parent)
      return mkdtempSync(join(parent, `holdfast-memory-${process.pid}-`))
    },
    catch: (cause) => new StoreUnavailable({ reason: "other", detail: "no folder in memory can be made", cause })
  }),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

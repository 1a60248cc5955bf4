import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createRequire } from "node:module"
import { Worker } from "node:worker_threads"

/** While a store is written, its log is copied into the database file this often. */
const INTERVAL_MILLIS = 1_000

/** From so many pages on (64 MiB) the log is wound back even if writers must wait a moment for it. */
const RESTART_PAGES = 16_384

/**
 * The copying runs in a thread of its own, because some thousand pages take longer than the event loop may stand still.
 * PASSIVE never disturbs readers or the writer; once all is copied, the writer begins the log anew by itself.
 */
const program = `
const { parentPort, workerData } = require("node:worker_threads")
const Database = require(workerData.driver)
const connections = new Map()
const open = (path) => {
  const connection = new Database(path, { fileMustExist: true })
  connection.pragma("synchronous = FULL")
  connections.set(path, connection)
  return connection
}
parentPort.on("message", ({ path, close }) => {
  let failure
  try {
    if (close) {
      connections.get(path)?.close()
      connections.delete(path)
    } else {
      const connection = connections.get(path) ?? open(path)
      const [{ log, checkpointed }] = connection.pragma("wal_checkpoint(PASSIVE)")
      if (log > ${RESTART_PAGES} && checkpointed < log) connection.pragma("wal_checkpoint(RESTART)")
    }
  } catch (error) {
    failure = String(error)
  }
  parentPort.postMessage({ path, close: close === true, failure })
})
`

interface Reply {
  readonly path: string
  readonly close: boolean
  readonly failure: string | undefined
}

/** One thread serves all stores of the process; it starts with the first that needs it and ends with the last. */
class Thread {
  private static running: Thread | undefined
  private readonly worker: Worker
  private readonly listeners = new Map<string, (reply: Reply) => void>()

  private constructor() {
    this.worker = new Worker(program, {
      eval: true,
      workerData: { driver: createRequire(import.meta.url).resolve("better-sqlite3") }
    })
    this.worker.unref()
    this.worker.on("message", (reply: Reply) => this.listeners.get(reply.path)?.(reply))
    // Whatever ends the thread, nobody waits for its replies: the next request starts another one.
    const ended = (failure: string) => {
      if (Thread.running === this) Thread.running = undefined
      for (const [path, listener] of this.listeners) listener({ path, close: true, failure })
    }
    this.worker.on("error", (error) => ended(String(error)))
    this.worker.on("exit", () => ended("the thread ended"))
  }

  static join(path: string, listener: (reply: Reply) => void): Thread {
    const thread = Thread.running ??= new Thread()
    thread.listeners.set(path, listener)
    return thread
  }

  ask(path: string, close: boolean): void {
    this.worker.postMessage({ path, close })
  }

  leave(path: string): void {
    this.listeners.delete(path)
    if (this.listeners.size > 0) return
    if (Thread.running === this) Thread.running = undefined
    void this.worker.terminate()
  }
}

/**
 * Keeps a file's log short while the store is open: call the result after each commit. Instead of SQLite's own
 * checkpoints, which would run inside a commit. A checkpoint that fails is tried again; until then the log only grows.
 *
 * @category constructors
 */
export const make = (path: string): Effect.Effect<() => void, never, Scope.Scope> =>
  Effect.gen(function*() {
    let thread: Thread | undefined
    let busy = false
    let last = performance.now()
    let closed: (() => void) | undefined

    const heard = (reply: Reply) => {
      busy = false
      if (!reply.close) return
      thread?.leave(path)
      thread = undefined
      closed?.()
    }

    yield* Effect.addFinalizer(() =>
      Effect.async<void>((resume) => {
        closed = () => resume(Effect.void)
        if (thread === undefined) closed()
        else thread.ask(path, true)
      })
    )

    return () => {
      const now = performance.now()
      if (busy || closed !== undefined || now - last < INTERVAL_MILLIS) return
      last = now
      busy = true
      thread ??= Thread.join(path, heard)
      thread.ask(path, false)
    }
  })

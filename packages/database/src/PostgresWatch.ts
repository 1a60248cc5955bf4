import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as PostgresConnection from "./PostgresConnection.ts"
import { type PostgresError, PostgresUnavailable } from "./PostgresError.ts"

/**
 * One session of this process that does nothing but notice: a socket that closes is evidence at once, and a server that
 * stands still misses a heartbeat.
 *
 * @category models
 */
export interface PostgresWatch {
  /** Whether the session answered its last heartbeat. */
  readonly isUp: () => boolean
  /** Calls the listener whenever the session is lost; returns how to stop. */
  readonly onLost: (listener: (why: string) => void) => () => void
  /** Succeeds when the server answers; opens the session if there is none. Callers at one time share one attempt. */
  readonly probe: Effect.Effect<void, PostgresError>
  /** Runs small statements of the agents' bookkeeping, with names in full, on the session. */
  readonly run: (
    statements: ReadonlyArray<PostgresConnection.Statement>
  ) => Effect.Effect<ReadonlyArray<PostgresConnection.Result>, PostgresError>
  /** The last heartbeat's round trip, in milliseconds. */
  readonly roundTripMillis: () => number
}

/** Between two heartbeats, and how long one may take, in milliseconds: a stall is noticed within their sum. */
const HEARTBEAT_MILLIS = 200
const HEARTBEAT_TIMEOUT_MILLIS = 400

const RUN_MILLIS = 1_000

/**
 * Watches the server for as long as the scope lives.
 *
 * @category constructors
 */
export const make = (
  config: PostgresConnection.PostgresConfig
): Effect.Effect<PostgresWatch, never, Scope.Scope> =>
  Effect.gen(function*() {
    const listeners = new Set<(why: string) => void>()
    let session: PostgresConnection.PostgresConnection | undefined
    let roundTrip = 0
    let attempt: Promise<void> | undefined
    let isClosed = false
    let timer: NodeJS.Timeout | undefined

    const lost = (why: string) => {
      session = undefined
      for (const listener of listeners) listener(why)
    }

    const heartbeat: Effect.Effect<void, PostgresError> = Effect.suspend(() => {
      const begun = performance.now()
      return session === undefined
        ? Effect.fail(new PostgresUnavailable({ reason: "lost", detail: "no session" }))
        : Effect.map(session.run([{ text: "select 1" }], HEARTBEAT_TIMEOUT_MILLIS), () => {
          roundTrip = performance.now() - begun
        })
    })
    const beat = () => {
      timer = setTimeout(() => {
        if (session === undefined || isClosed) return
        // What fails ends the session, which tells the listeners.
        Effect.runFork(heartbeat).addObserver(() => beat())
      }, HEARTBEAT_MILLIS)
    }
    const open = Effect.flatMap(
      PostgresConnection.connect(config, "holdfast watch"),
      (made) =>
        Effect.suspend(() => {
          if (isClosed) {
            made.destroy("closed")
            return Effect.void
          }
          session = made
          made.onEnd((why) => {
            if (session === made) lost(why)
          })
          clearTimeout(timer)
          beat()
          // Nobody waits for these writes: they may be lost with the server.
          return Effect.asVoid(made.run([{ text: "set synchronous_commit = off" }], RUN_MILLIS))
        })
    )
    const probe: Effect.Effect<void, PostgresError> = Effect.suspend(() => session === undefined ? open : heartbeat)

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isClosed = true
        clearTimeout(timer)
        listeners.clear()
        session?.destroy("closed")
      })
    )
    return {
      isUp: () => session !== undefined,
      onLost: (listener) => {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
      probe: Effect.async((resume) => {
        attempt ??= new Promise<void>((resolve, reject) => {
          Effect.runFork(Effect.either(probe)).addObserver((exit) => {
            attempt = undefined
            if (exit._tag === "Success" && exit.value._tag === "Right") resolve()
            else if (exit._tag === "Success" && exit.value._tag === "Left") reject(exit.value.left)
            else reject(new PostgresUnavailable({ reason: "lost", detail: "the probe broke" }))
          })
        })
        attempt.then(() => resume(Effect.void), (error: PostgresError) => resume(Effect.fail(error)))
      }),
      run: (statements) =>
        Effect.suspend(() =>
          session === undefined
            ? Effect.fail(new PostgresUnavailable({ reason: "lost", detail: "no session" }))
            : Effect.tapError(session.run(statements, RUN_MILLIS), (error) =>
              Effect.sync(() => {
                // A session stays read-only that was opened when its server was.
                if (error._tag === "PostgresUnavailable" && error.reason === "read_only") session?.destroy(error.detail)
              }))
        ),
      roundTripMillis: () => roundTrip
    }
  })

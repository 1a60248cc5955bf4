import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/**
 * A server for tests could not be had, or did not do what it was told.
 *
 * @category errors
 */
export class ServerUnavailable extends Data.TaggedError("ServerUnavailable")<{
  readonly server: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.server}: ${this.detail}`
  }
}

/**
 * What a test may do to a server. The faults are the real ones: `kill` is `kill -9` of the process and all its children,
 * `stall` is SIGSTOP of all of them (the kernel still accepts connections for it; nobody answers).
 *
 * @category models
 */
export interface ServerControl {
  /** Starts it where it does not run, and waits until it answers; the same data and the same port every time. */
  readonly start: Effect.Effect<void, ServerUnavailable>
  /** Kills it, stalled or not, and waits until every process of it is gone; nothing where it does not run. */
  readonly kill: Effect.Effect<void, ServerUnavailable>
  /** `kill`, then `start`. */
  readonly restart: Effect.Effect<void, ServerUnavailable>
  readonly stall: Effect.Effect<void, ServerUnavailable>
  readonly resume: Effect.Effect<void, ServerUnavailable>
  /** Whether its process is there; a stalled one is. */
  readonly isRunning: Effect.Effect<boolean>
  /** The end of what it wrote. */
  readonly log: Effect.Effect<string>
}

/**
 * A server somebody else runs: it can be used, not broken.
 *
 * @category constructors
 */
export const given = (server: string, variable: string): ServerControl => {
  const impossible = Effect.fail(
    new ServerUnavailable({ server, detail: `it was given by ${variable}: a test can neither kill nor stall it` })
  )
  return {
    start: Effect.void,
    kill: impossible,
    restart: impossible,
    stall: impossible,
    resume: impossible,
    isRunning: Effect.succeed(true),
    log: Effect.succeed("")
  }
}

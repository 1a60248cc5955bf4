import * as Effect from "effect/Effect"
import { setTimeout as pause } from "node:timers/promises"
import type { Choices } from "./Choices.ts"
import type { ServerControl, ServerUnavailable } from "./ServerControl.ts"

/**
 * What is done to a server: `kill` is kill -9 and a start afterwards, `stall` is SIGSTOP and SIGCONT.
 *
 * @category models
 */
export interface Fault {
  readonly kind: "kill" | "stall"
  /** How long all is well before it, and how long it lasts, in milliseconds. */
  readonly quietMillis: number
  readonly lastsMillis: number
}

/**
 * A schedule of faults.
 *
 * @category constructors
 */
export const schedule = (
  choices: Choices,
  options: {
    readonly faults: number
    readonly kinds: readonly [Fault["kind"], ...ReadonlyArray<Fault["kind"]>]
    readonly quietMillis: readonly [from: number, to: number]
    readonly lastsMillis: readonly [from: number, to: number]
  }
): ReadonlyArray<Fault> =>
  Array.from({ length: options.faults }, () => ({
    kind: choices.pick(options.kinds),
    quietMillis: choices.integer(...options.quietMillis),
    lastsMillis: choices.integer(...options.lastsMillis)
  }))

/** Ends every fault there may be. */
const heal = (server: ServerControl) => Effect.zipRight(Effect.ignore(server.resume), Effect.ignore(server.start))

/**
 * Ends when it holds; looks at every turn of the event loop, so that a fault can hit what lasts a millisecond.
 *
 * @category programs
 */
export const moment = (holds: () => boolean): Effect.Effect<void> =>
  Effect.async((resume) => {
    let isWanted = true
    const look = () => {
      if (!isWanted) return
      if (holds()) resume(Effect.void)
      else setImmediate(look)
    }
    look()
    return Effect.sync(() => void (isWanted = false))
  })

/**
 * Does one fault to the server and ends it. Strikes when its time has come and `when` holds; `during` runs as soon as the
 * server is gone.
 *
 * @category programs
 */
export const inflict = <E = never>(
  server: ServerControl,
  fault: Fault,
  options: { readonly when?: () => boolean; readonly during?: Effect.Effect<void, E> } = {}
): Effect.Effect<void, ServerUnavailable | E> =>
  Effect.gen(function*() {
    yield* Effect.promise(() => pause(fault.quietMillis))
    yield* moment(options.when ?? (() => true))
    const begun = performance.now()
    yield* fault.kind === "kill" ? server.kill : server.stall
    yield* options.during ?? Effect.void
    yield* Effect.promise(() => pause(Math.max(0, fault.lastsMillis - (performance.now() - begun))))
    yield* fault.kind === "kill" ? server.start : server.resume
  }).pipe(Effect.onExit((exit) => exit._tag === "Success" ? Effect.void : heal(server)))

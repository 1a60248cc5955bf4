import * as Deadline from "@holdfast/resilience/Deadline"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { setTimeout as pause } from "node:timers/promises"
import type * as History from "./History.ts"

/**
 * One thing that a client asks for, under an id of its own.
 *
 * @category models
 */
export interface Request<A, E, R> {
  readonly id: string
  readonly run: Effect.Effect<A, E, R>
}

/**
 * Clients that ask at a steady rate, whether they are answered or not.
 *
 * @category models
 */
export interface Options<A, E, R> {
  readonly history: History.History
  readonly perSecond: number
  /** No client waits longer. */
  readonly deadline: Duration.DurationInput
  readonly request: (n: number) => Request<A, E, R>
  readonly isOver: () => boolean
  /** Who does not know what became of it asks again under the same id, so often at most; 0 by default. */
  readonly retries?: number
  /** More than this many at a time are not asked for. */
  readonly maxUnderWay?: number
}

/** Errors that leave open whether the operation took effect; all other typed ones are definite. */
const open = new Set(["OutcomeUnknown", "DeadlineExceeded"])

const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : "untyped"

/** Whether an answer says for sure that nothing happened; a defect says nothing. */
const phaseOf = <A, E>(exit: Exit.Exit<A, E>): readonly [History.Phase, string | undefined] => {
  if (Exit.isSuccess(exit)) return ["ok", undefined]
  const failure = Cause.failureOption(exit.cause)
  if (failure._tag === "None") return ["info", Cause.pretty(exit.cause)]
  const tag = tagOf(failure.value)
  return [open.has(tag) ? "info" : "fail", tag]
}

/**
 * Asks once, or again where the answer left it open, and records what was said.
 *
 * @category programs
 */
export const ask = <A, E, R>(
  options: Pick<Options<A, E, R>, "deadline" | "retries"> & { readonly history: Pick<History.History, "record"> },
  { id, run }: Request<A, E, R>
): Effect.Effect<Exit.Exit<A, E | unknown>, never, R> =>
  Effect.gen(function*() {
    for (let attempt = 0;; attempt++) {
      options.history.record(id, "invoke")
      const exit = yield* Effect.exit(Deadline.within(options.deadline, id)(run))
      const [phase, detail] = phaseOf(exit)
      options.history.record(id, phase, detail)
      if (phase !== "info" || attempt >= (options.retries ?? 0)) return exit
      yield* Effect.promise(() => pause(20))
    }
  })

/**
 * What a run has done; requests beyond the most that may be under way were `skipped`.
 *
 * @category models
 */
export interface Done<A, E, R> {
  readonly requests: ReadonlyMap<string, Request<A, E, R>>
  readonly skipped: number
}

/**
 * Runs until it is over and every client has been answered.
 *
 * @category programs
 */
export const run = <A, E, R>(options: Options<A, E, R>): Effect.Effect<Done<A, E, R>, never, R> =>
  Effect.gen(function*() {
    const clients: Array<Fiber.Fiber<unknown>> = []
    const requests = new Map<string, Request<A, E, R>>()
    const begun = performance.now()
    let skipped = 0
    for (let n = 0; !options.isOver(); n++) {
      const due = begun + n * 1_000 / options.perSecond
      const wait = due - performance.now()
      if (wait > 1) yield* Effect.promise(() => pause(wait))
      if (options.history.underWay() >= (options.maxUnderWay ?? 1_000)) {
        skipped++
        continue
      }
      const request = options.request(n)
      requests.set(request.id, request)
      clients.push(yield* Effect.fork(ask(options, request)))
    }
    yield* Fiber.joinAll(clients)
    return { requests, skipped }
  })

/**
 * Asks again for everything whose outcome nobody was told. Where all is well, each answer is definite.
 *
 * @category programs
 */
export const resolve = <A, E, R>(
  options: Pick<Options<A, E, R>, "history" | "deadline">,
  requests: ReadonlyMap<string, Request<A, E, R>>
): Effect.Effect<void, never, R> =>
  Effect.forEach(
    [...options.history.outcomes()].filter(([, phase]) => phase === "info" || phase === "invoke"),
    ([id]) => {
      const request = requests.get(id)
      return request === undefined ? Effect.void : ask(options, request)
    },
    { discard: true }
  )

import type { DatabaseShape } from "@holdfast/database/Database"
import type { Reader, Transaction } from "@holdfast/database/Transaction"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as DeadLetters from "./DeadLetters.ts"
import { DependencyAway } from "./DeliveryError.ts"
import type { Reactions } from "./Reactions.ts"
import * as Verdict from "./Verdict.ts"

/** How many scopes are tried at once. */
const BATCH = 256

/** Messages that another process of this agent parked are looked for this often, in milliseconds: it may be gone. */
const SWEEP = 60_000

/** While the primary is away its return is looked for this often, in milliseconds. */
const RETURN_WATCH = 500

/** Pause while a dependency is away. */
const PAUSE = "1 second"

/** The letter is not to be tried now, or at all. */
export type NotTried = DeadLetters.DeadLetterMissing | DeadLetters.DeadLetterSettled | DeadLetters.DeadLetterBehind

const isNotTried = (error: { readonly _tag: string }): error is NotTried =>
  error instanceof DeadLetters.DeadLetterMissing || error instanceof DeadLetters.DeadLetterSettled ||
  error instanceof DeadLetters.DeadLetterBehind

const orAway = <E extends { readonly _tag: string; readonly message: string }>(error: E) =>
  isNotTried(error) ? error : new DependencyAway({ detail: error.message, cause: error })

/**
 * Handles a letter's message in the message's own operation, which also settles the letter: it takes effect at most once,
 * whenever and however often it is tried. Answers the verdict if it failed again; the letter then says so.
 *
 * @category retrying
 */
export const attempt = (
  database: DatabaseShape,
  reactions: Reactions<Transaction | Reader>,
  id: string,
  by: string | undefined
): Effect.Effect<Verdict.Failed | undefined, NotTried | DependencyAway> =>
  Effect.gen(function*() {
    const letter = yield* Effect.mapError(database.read(DeadLetters.find(id)), orAway)
    const envelope = DeadLetters.envelopeOf(letter)
    const write = <E extends { readonly _tag: string; readonly message: string }>(
      handler: Effect.Effect<void, E, Transaction | Reader>
    ) => Effect.mapError(database.execute(reactions.bookkeeping(envelope, `v${letter.version}`, handler)), orAway)
    const settled = DeadLetters.handled(id, by)
    const exit = yield* DeadLetters.inTurn(id).pipe(
      Effect.zipRight(reactions.handle(envelope)),
      Effect.zipRight(settled),
      (handler) => Effect.exit(database.execute(reactions.operation(envelope, handler)))
    )
    if (Exit.isSuccess(exit)) {
      if (exit.value._tag === "Known") yield* write(Effect.zipRight(DeadLetters.inTurn(id), settled))
      return undefined
    }
    const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
    if (failure !== undefined && isNotTried(failure)) return yield* failure
    const verdict = failure === undefined ? Verdict.ofDefect(exit.cause) : Verdict.ofFailure(failure)
    if (verdict._tag === "Away") return yield* verdict.error
    // Waiting for the primary uses up no attempts: another failure after it is the first of its kind.
    const isAnother = letter.errorCode === Verdict.awaitsPrimary && verdict.code !== Verdict.awaitsPrimary
    const attempts = isAnother ? 1 : letter.attempts + 1
    const wait = Verdict.delay(verdict, attempts, yield* Random.next)
    yield* write(DeadLetters.again(database.agent, id, attempts, verdict, wait))
    return verdict
  })

/**
 * Tries parked messages when they are due, the first of each scope, for ever; those that wait for the primary also as soon
 * as it is back. `wake` is opened whenever a letter changes.
 *
 * @category retrying
 */
export const retryParked = (
  database: DatabaseShape,
  reactions: Reactions<Transaction | Reader>,
  wake: Effect.Latch
): Effect.Effect<never> => {
  const attemptAll = (ids: ReadonlyArray<string>) =>
    Effect.forEach(
      ids,
      // Somebody else has dealt with it.
      (id) => Effect.catchIf(attempt(database, reactions, id, undefined), isNotTried, () => Effect.void),
      { concurrency: "unbounded", discard: true }
    )
  const isAlone = () => database.primary?.mode() === "alone"
  /** Each that waits for the primary is tried once after each return; also after a start, which may have missed one. */
  let isReturning = true
  const resume = (after: string): Effect.Effect<void, DependencyAway> =>
    Effect.gen(function*() {
      const awaiting = DeadLetters.headsThatFailed(Verdict.awaitsPrimary, after, BATCH)
      const ids = yield* Effect.mapError(database.read(awaiting), orAway)
      yield* attemptAll(ids)
      const last = ids.at(-1)
      if (last !== undefined) yield* resume(last)
    })
  const round = Effect.gen(function*() {
    wake.unsafeClose()
    if (isAlone()) isReturning = true
    else if (isReturning) {
      yield* resume("")
      isReturning = isAlone()
    }
    const heads = yield* Effect.mapError(database.read(DeadLetters.heads(BATCH)), orAway)
    const now = yield* Clock.currentTimeMillis
    const due = heads.filter((head) => head.due <= now)
    if (due.length === 0) {
      const sweep = isReturning ? RETURN_WATCH : SWEEP
      const wait = Math.min(sweep, (heads[0]?.due ?? Infinity) - now)
      yield* Effect.timeoutOption(wake.await, Duration.millis(wait))
      return
    }
    yield* attemptAll(due.map(({ id }) => id))
  })
  return Effect.forever(
    Effect.catchAllCause(round, (cause) =>
      Effect.zipRight(
        Effect.logWarning(`${database.agent} cannot try its parked messages; next try in ${PAUSE}`, cause),
        Effect.sleep(PAUSE)
      ))
  )
}

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StoreUnavailable } from "./StoreError.ts"

/** The transaction may have committed or not; only its operations' ids can tell. */
export interface CommitUnknown {
  readonly _tag: "CommitUnknown"
  readonly cause: unknown
}

/**
 * One piece of work for the writer of a store. `run` happens inside the open transaction and tells how to answer the
 * caller once the commit is durable; `abandon` answers when the transaction did not commit.
 *
 * @category models
 */
export interface Job {
  readonly _tag: "Job"
  /** Set when the caller was interrupted while the job still waited. */
  withdrawn: boolean
  /** A transaction that the job has run in may have committed. */
  readonly doubt: () => void
  readonly run: Effect.Effect<() => void, StoreUnavailable>
  readonly abandon: (error: StoreUnavailable | CommitUnknown) => void
}

/**
 * Work that needs the writer for itself: no transaction is open when it runs, and no job runs beside it. It must not fail
 * and answers its caller itself.
 *
 * @category models
 */
export interface Exclusive {
  readonly _tag: "Exclusive"
  readonly run: Effect.Effect<void>
  readonly abandon: (error: StoreUnavailable) => void
}

/**
 * The transaction side of a store with one writer.
 *
 * @category models
 */
export interface Writer {
  readonly begin: Effect.Effect<void, StoreUnavailable>
  /** Fails with `CommitUnknown` when the transaction may have committed. */
  readonly commit: Effect.Effect<void, StoreUnavailable | CommitUnknown>
  readonly rollback: Effect.Effect<void>
  readonly committed: () => void
  /** Whether the jobs of a transaction that failed are to run again, before all others, instead of being abandoned. */
  readonly again: (error: StoreUnavailable | CommitUnknown) => boolean
}

/** Figures of the batches, as plain numbers. */
export interface GroupCommitStats {
  transactions: number
  queued: number
  lastBatch: number
  lastCommitMillis: number
}

/** At most this many operations share a transaction: beyond it the first would wait too long for its answer. */
export const MAX_BATCH = 256

/** Work in one turn of the event loop before others get theirs, in milliseconds. */
const SLICE_MILLIS = 4

/**
 * Gives the event loop a turn whenever the work since the last turn exceeds a slice; timers and sockets are served even
 * while a large transaction runs.
 *
 * @category scheduling
 */
export class Slice {
  private since = performance.now()

  readonly breathe: Effect.Effect<void> = Effect.async((resume) => {
    setImmediate(() => {
      this.since = performance.now()
      resume(Effect.void)
    })
  })

  spent(): boolean {
    return performance.now() - this.since > SLICE_MILLIS
  }
}

/** What fails here must be seen, but keeps nobody from being answered. */
const unharmed = (what: string, effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.catchAllCause(effect, (cause) => Effect.logError(`${what} failed`, cause))

/**
 * Natural batching: while one transaction commits, arrivals queue; the next transaction takes them all. No timer and no
 * linger, so a lone caller waits for one commit and 256 callers share one. Jobs run strictly in the order of submission.
 *
 * Closing the scope ends what was submitted before and answers later jobs with `StoreUnavailable` (closed).
 *
 * @category constructors
 */
export const make = (
  writer: Writer,
  slice: Slice,
  maxBatch: number = MAX_BATCH
): Effect.Effect<
  { readonly submit: (work: Job | Exclusive) => void; readonly stats: GroupCommitStats },
  never,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const queue: Array<Job | Exclusive> = []
    const stats: GroupCommitStats = { transactions: 0, queued: 0, lastBatch: 0, lastCommitMillis: 0 }
    let wake: (() => void) | undefined
    let closed = false

    const arrivals = Effect.async<void>((resume) => {
      wake = () => {
        wake = undefined
        resume(Effect.void)
      }
      if (queue.length > 0 || closed) wake()
    })

    /** The next job, unless something exclusive is before it. */
    const take = (): Job | undefined => {
      for (;;) {
        const [work] = queue
        if (work === undefined || work._tag === "Exclusive") return undefined
        queue.shift()
        stats.queued = queue.length
        if (!work.withdrawn) return work
      }
    }

    const batch = Effect.gen(function*() {
      const taken: Array<Job> = []
      const answers: Array<() => void> = []
      const started = performance.now()
      const outcome = yield* Effect.gen(function*() {
        yield* writer.begin
        for (let job = take(); job !== undefined; job = answers.length < maxBatch ? take() : undefined) {
          taken.push(job)
          answers.push(yield* job.run)
          if (slice.spent()) yield* slice.breathe
        }
        yield* writer.commit
      }).pipe(
        // A bug must not end the writer, and everybody who waits with it. What it did to the commit only the ids can tell.
        Effect.catchAllDefect((cause) => Effect.fail<CommitUnknown>({ _tag: "CommitUnknown", cause })),
        Effect.either
      )
      stats.transactions++
      stats.lastBatch = taken.length
      stats.lastCommitMillis = performance.now() - started
      if (outcome._tag === "Right") {
        yield* unharmed("a listener to commits", Effect.sync(writer.committed))
        for (const answer of answers) answer()
      } else {
        yield* unharmed("a rollback", writer.rollback)
        const error = outcome.left
        if (error._tag === "CommitUnknown") { for (const job of taken) job.doubt() }
        if (writer.again(error)) {
          queue.unshift(...taken)
          stats.queued = queue.length
          return
        }
        // A begin that failed took nobody: answer who waits, so that no caller hangs on a store that is away.
        if (taken.length === 0) {
          for (let job = take(); job !== undefined; job = take()) taken.push(job)
        }
        for (const job of taken) job.abandon(error)
      }
    })

    const loop: Effect.Effect<void> = Effect.gen(function*() {
      for (;;) {
        const [next] = queue
        if (next === undefined) {
          if (closed) return
          yield* arrivals
        } else {
          if (next._tag === "Exclusive") {
            queue.shift()
            yield* unharmed("work of the store", next.run)
          } else yield* batch
          yield* slice.breathe
        }
      }
    })

    const writing = yield* Effect.forkDaemon(Effect.uninterruptible(loop))
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        closed = true
        wake?.()
        return Effect.asVoid(writing.await)
      })
    )

    return {
      stats,
      submit: (work) => {
        if (closed) return work.abandon(new StoreUnavailable({ reason: "closed", detail: "the store is closing" }))
        queue.push(work)
        stats.queued = queue.length
        wake?.()
      }
    }
  })

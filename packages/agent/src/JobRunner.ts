import { Database, type DatabaseShape } from "@holdfast/database/Database"
import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type { AnyFailure, AnyService } from "./Handler.ts"
import type { Context as Needs, Job, Timer, Worker } from "./Job.ts"
import * as ProblemJson from "./ProblemJson.ts"

/**
 * What a job has done since the start, for metrics and health.
 *
 * @category models
 */
export interface JobStats {
  readonly name: string
  runs: number
  failures: number
  /** Failures in a row; 0 after a success. */
  failing: number
  running: boolean
  lastMillis: number
}

/**
 * The jobs of an agent, at work.
 *
 * @category models
 */
export interface Jobs {
  readonly stats: ReadonlyArray<JobStats>
  /** Starts no more runs and waits for those under way, at most as long as given; then interrupts them. */
  readonly stop: (within: Duration.Duration) => Effect.Effect<void>
}

/** Pauses after failures: from a second to a minute. */
const pauses: RetryPolicy.RetryPolicy = {
  ...RetryPolicy.background,
  jitter: "equal",
  base: "1 second",
  cap: "1 minute"
}

const MINUTE = 60_000

/** Records are needed no longer than their slot can come again. */
const keepMillis = (timer: Timer<AnyService>): number => Math.max(10 * MINUTE, 2 * timer.everyMillis)

const runSlot = (
  database: DatabaseShape,
  timer: Timer<AnyService>,
  slot: number
): Effect.Effect<unknown, AnyFailure, AnyService> => {
  const id = `job:${database.agent}:${timer.name}:${slot}`
  return database.execute({
    id,
    command: `${database.agent}.${timer.name}`,
    writeClass: "mergeable",
    fingerprint: "",
    cause: { correlationId: id, causationId: id, actor: `agent:${database.agent}` },
    isLocal: true,
    keepMillis: keepMillis(timer),
    handler: timer.run,
    answer: () => "",
    refusal: () => undefined
  })
}

/**
 * Runs the jobs until stopped. They are supervised: a failure or a defect is logged and counted, and the job goes on
 * after a growing pause.
 *
 * @category constructors
 */
export const start = <J extends Job<AnyService>>(
  jobs: ReadonlyArray<J>
): Effect.Effect<Jobs, never, Database | Needs<J>> =>
  Effect.gen(function*() {
    const database = yield* Database
    // What the jobs need is in here: J says so, though each job's own type has been forgotten.
    const context = (yield* Effect.context<Database | Needs<J>>()) as Context.Context<AnyService>
    let stopping = false
    const stops: Array<() => void> = []

    /** Sleeps until the latch opens, the time is over, or the jobs stop. */
    const rest = (latch: Effect.Latch, millis: number) =>
      stopping ? Effect.void : Effect.timeoutOption(latch.await, Duration.millis(Math.max(0, millis)))

    const attempt = (stats: JobStats, run: Effect.Effect<unknown, AnyFailure, AnyService>) =>
      Effect.gen(function*() {
        stats.running = true
        const begun = yield* Clock.currentTimeMillis
        const exit = yield* Effect.exit(run)
        stats.running = false
        stats.runs++
        stats.lastMillis = (yield* Clock.currentTimeMillis) - begun
        if (Exit.isSuccess(exit)) {
          if (isTold.delete(stats)) yield* annotated(stats, Effect.logInfo(`job ${stats.name} works again`))
          stats.failing = 0
          return undefined
        }
        stats.failures++
        stats.failing++
        yield* failed(stats, exit.cause)
        return RetryPolicy.delay(pauses, stats.failing, 0, yield* Random.next)
      })

    /** Jobs whose failure stands in the log. */
    const isTold = new Set<JobStats>()

    const annotated = (stats: JobStats, line: Effect.Effect<void>) =>
      Effect.annotateLogs(line, { agent: database.agent, job: stats.name, failuresInARow: stats.failing })

    /** One that stays broken is told of less and less often. */
    const isToTell = ({ failing }: JobStats) => Number.isInteger(Math.log2(failing))

    const failed = (stats: JobStats, cause: Cause.Cause<unknown>) =>
      Effect.suspend(() => {
        const isBroken = !Chunk.isEmpty(Cause.defects(cause))
        const refusal = isBroken ? undefined : ProblemJson.refusal(Cause.squash(cause))
        // The line of the level says it already, and health counts the failures.
        if (refusal !== undefined) return annotated(stats, Effect.logDebug(`job waits: ${refusal.reason}`))
        isTold.add(stats)
        if (!isToTell(stats)) return Effect.void
        const [first] = Cause.prettyErrors(cause)
        const line = isBroken
          ? Effect.logError("job failed", cause)
          : Effect.logWarning(`job failed: ${first?.message ?? "interrupted"}`)
        return annotated(stats, line)
      })

    const runTimer = (timer: Timer<AnyService>, stats: JobStats, latch: Effect.Latch) =>
      Effect.gen(function*() {
        while (!stopping) {
          const slot = Math.floor((yield* Clock.currentTimeMillis) / timer.everyMillis)
          const pause = yield* attempt(stats, runSlot(database, timer, slot))
          const now = yield* Clock.currentTimeMillis
          yield* rest(latch, pause ?? (slot + 1) * timer.everyMillis - now)
        }
      })

    const runWorker = (worker: Worker<AnyService>, stats: JobStats, latch: Effect.Latch) =>
      Effect.gen(function*() {
        stops.push(database.onCommit((tables) => {
          for (const table of tables) if (worker.wakeOn.has(table)) return latch.unsafeOpen()
        }))
        while (!stopping) {
          latch.unsafeClose()
          const pause = yield* attempt(stats, worker.run)
          if (pause === undefined) yield* rest(latch, worker.everyMillis)
          else yield* Effect.sleep(Duration.millis(pause))
        }
      })

    const started = yield* Effect.forEach(jobs, (job) =>
      Effect.gen(function*() {
        const stats: JobStats = { name: job.name, runs: 0, failures: 0, failing: 0, running: false, lastMillis: 0 }
        const latch = yield* Effect.makeLatch(false)
        stops.push(() => latch.unsafeOpen())
        const fiber = yield* Effect.forkDaemon(
          Effect.provide(
            job._tag === "Timer" ? runTimer(job, stats, latch) : runWorker(job, stats, latch),
            context
          )
        )
        return { stats, fiber }
      }))

    return {
      stats: started.map(({ stats }) => stats),
      stop: (within) =>
        Effect.gen(function*() {
          stopping = true
          for (const stop of stops) stop()
          const fibers = started.map(({ fiber }) => fiber)
          // A job that rests after a failure has nothing to finish either.
          const idle = started.filter(({ stats }) => !stats.running).map(({ fiber }) => fiber)
          yield* Fiber.interruptAll(idle)
          yield* Effect.timeoutOption(Fiber.awaitAll(fibers), within)
          yield* Fiber.interruptAll(fibers)
        })
    }
  })

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Deadline from "./Deadline.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import * as Signal from "./Signal.ts"

/** Between a return that failed and the next one, in milliseconds: twice as long each time. */
const RETURN_BASE = 100
const RETURN_CAP = 5_000

/**
 * `up` answers; `away` does not; `recovering` answers again, but what must be done before it may be used (a merge,
 * say) is not done yet.
 *
 * @category models
 */
export type Status = "up" | "away" | "recovering"

/**
 * What is known of a dependency. Times are milliseconds since 1970.
 *
 * @category models
 */
export interface State {
  readonly status: Status
  readonly since: number
  /** What brought the status about: the probe's failure or the caller's evidence. */
  readonly cause: string | undefined
  readonly lastError: string | undefined
  readonly lastErrorAt: number | undefined
  /** Why the last `recover` failed, until it is `up`: it answers, and cannot be used. */
  readonly recoveryError?: string | undefined
  /** When it is asked again; undefined while it is being asked. */
  readonly nextProbeAt: number | undefined
  /** When it last answered a probe, and after how many milliseconds. */
  readonly answeredAt: number | undefined
  readonly roundTripMillis: number | undefined
}

/**
 * How a dependency is watched.
 *
 * @category models
 */
export interface Options<E, R, E2, R2> {
  readonly name: string
  /** Succeeds when the dependency answers. It is given `timeout`, also where it cannot be interrupted. */
  readonly probe: Effect.Effect<void, E, R>
  /** Runs after the return and before `up`, for as long as it takes; its failure is `away` again. */
  readonly recover?: Effect.Effect<void, E2, R2>
  /** `away` by default: nothing has answered yet. */
  readonly initial?: Status
  /** Between two probes while `up`; 5 s by default. */
  readonly interval?: Duration.DurationInput
  /** 1 s by default. */
  readonly timeout?: Duration.DurationInput
  /** Paces the probes while `away`; from 50 ms to 1 s with full jitter by default. Its `attempts` do not count. */
  readonly pace?: RetryPolicy.RetryPolicy
  /** Good probes in a row that end `away`; 2 by default. */
  readonly goodProbes?: number
  /** Between those good probes; 20 ms by default. */
  readonly confirmAfter?: Duration.DurationInput
}

/**
 * A watched dependency.
 *
 * @category models
 */
export interface Dependency {
  readonly name: string
  /** The state of this moment, for plain code. */
  readonly current: () => State
  readonly state: Effect.Effect<State>
  /** The state, then each change of it. */
  readonly changes: Stream.Stream<State>
  /** Evidence of loss (a closed socket, an open breaker): `away` before this returns, and probed at once. */
  readonly unsafeLost: (cause: string) => void
  /** The same as an Effect. */
  readonly lost: (cause: string) => Effect.Effect<void>
  /** Probes now instead of at the next time: the dependency may be back. */
  readonly unsafeProbe: () => void
}

const defaultPace: RetryPolicy.RetryPolicy = {
  ...RetryPolicy.background,
  base: "50 millis",
  cap: "1 second"
}

/**
 * Watches a dependency for as long as the scope lives. Worse at once, by one bad probe or by evidence; better after
 * `goodProbes` good probes in a row and, where there is one, after `recover`.
 *
 * @category constructors
 */
export const make = <E, R, E2 = never, R2 = never>(
  options: Options<E, R, E2, R2>
): Effect.Effect<Dependency, never, Scope.Scope | R | R2> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const wall = () => clock.unsafeCurrentTimeMillis()
    const interval = Duration.toMillis(options.interval ?? "5 seconds")
    const timeout = options.timeout ?? "1 second"
    const confirmAfter = Duration.toMillis(options.confirmAfter ?? "20 millis")
    const pace = options.pace ?? defaultPace
    const goodProbes = options.goodProbes ?? 2
    const signal = yield* Signal.make<State>(
      initial(options.initial ?? "away", wall()),
      (before, after) => before.status === after.status
    )

    // Evidence raises the epoch, so that a probe or a recovery that began before it proves nothing afterwards.
    let epoch = 0
    let good = 0
    let bad = 0
    let failedReturns = 0
    let previousDelay = 0
    let probeNow = false
    let wake = () => {}

    const become = (status: Status, cause: string | undefined, recoveryError?: string) => {
      const before = signal.current()
      signal.unsafeSet({
        ...before,
        recoveryError: status === "up" ? undefined : recoveryError ?? before.recoveryError,
        status,
        since: before.status === status ? before.since : wall(),
        cause: before.status === status ? before.cause : cause,
        ...(status === "away" ? { lastError: cause, lastErrorAt: wall() } : {})
      })
    }
    const asking = () => signal.unsafeSet({ ...signal.current(), nextProbeAt: undefined })
    const unsafeProbe = () => {
      probeNow = true
      asking()
      wake()
    }
    const unsafeLost = (cause: string) => {
      // Once it is away only probes count: callers that still fail must neither pace the probes nor undo them.
      if (signal.current().status === "away") return
      epoch++
      become("away", cause)
      unsafeProbe()
    }
    /** Ends after `ms`, or as soon as a probe is asked for. */
    const pause = (ms: number) =>
      Effect.raceFirst(
        Clock.sleep(Duration.millis(ms)),
        Effect.async<void>((resume) => {
          wake = () => resume(Effect.void)
          if (probeNow) wake()
        })
      )
    /** Runs `self`, but no longer than the evidence of this moment stands. */
    const whileUnchanged = <E3, R3>(self: Effect.Effect<void, E3, R3>) =>
      Effect.raceFirst(
        self,
        Effect.async<void>((resume) => {
          const begun = epoch
          wake = () => {
            if (epoch !== begun) resume(Effect.void)
          }
        })
      )

    const probe = Effect.gen(function*() {
      const begun = epoch
      const asked = clock.unsafeCurrentTimeNanos()
      const exit = yield* Effect.exit(Deadline.within(timeout, `${options.name} probe`)(options.probe))
      if (epoch !== begun) return
      if (Exit.isFailure(exit)) {
        good = 0
        bad++
        failedReturns = 0
        become("away", describe(exit.cause))
        return
      }
      bad = 0
      previousDelay = 0
      const roundTripMillis = Number(clock.unsafeCurrentTimeNanos() - asked) / 1e6
      signal.unsafeSet({ ...signal.current(), answeredAt: wall(), roundTripMillis })
      if (signal.current().status === "up") return
      good++
      if (good < goodProbes) return
      good = 0
      if (options.recover === undefined) return become("up", undefined)
      become("recovering", undefined)
      const recovered = yield* Effect.exit(whileUnchanged(options.recover))
      if (epoch !== begun) return
      if (Exit.isSuccess(recovered)) {
        failedReturns = 0
        return become("up", undefined)
      }
      bad++
      failedReturns++
      const why = describe(recovered.cause)
      become("away", why, why)
    })
    const nextDelay = Effect.map(Random.next, (random) => {
      if (signal.current().status === "up") return interval
      if (good > 0) return confirmAfter
      previousDelay = RetryPolicy.delay(pace, Math.max(1, bad), previousDelay, random)
      // It answers at once, and what keeps it from being used may last: a return costs more than a probe.
      const patience = failedReturns === 0 ? 0 : Math.min(RETURN_CAP, RETURN_BASE * 2 ** (failedReturns - 1))
      return Math.max(previousDelay, patience)
    })
    const watch = Effect.gen(function*() {
      while (true) {
        probeNow = false
        asking()
        yield* probe
        const ms = yield* nextDelay
        signal.unsafeSet({ ...signal.current(), nextProbeAt: wall() + ms })
        yield* pause(ms)
      }
    })
    // A defect in the loop itself would leave a dependency unwatched for good, and nobody would see it.
    const supervised = Effect.forever(
      Effect.catchAllDefect(watch, (defect) =>
        Effect.zipRight(
          Effect.logError("A dependency's watch broke and starts again", Cause.die(defect)),
          Clock.sleep(Duration.millis(interval))
        ))
    )
    yield* Effect.forkScoped(Effect.interruptible(supervised))

    return {
      name: options.name,
      current: signal.current,
      state: signal.get,
      changes: signal.changes,
      unsafeLost,
      lost: (cause) => Effect.sync(() => unsafeLost(cause)),
      unsafeProbe
    }
  })

/**
 * A dependency of which nothing has been heard yet.
 *
 * @category constructors
 */
export const initial = (status: Status, since: number): State => ({
  status,
  since,
  cause: undefined,
  lastError: undefined,
  lastErrorAt: undefined,
  recoveryError: undefined,
  nextProbeAt: undefined,
  answeredAt: undefined,
  roundTripMillis: undefined
})

const describe = (cause: Cause.Cause<unknown>): string => {
  const [first] = Cause.prettyErrors(cause)
  return first === undefined ? "interrupted" : first.message === "" ? first.name : first.message
}

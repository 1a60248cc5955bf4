import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Random from "effect/Random"
import type * as Runtime from "effect/Runtime"
import * as Bulkhead from "./Bulkhead.ts"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import * as Deadline from "./Deadline.ts"
import * as Failure from "./Failure.ts"
import { Chain, type Member } from "./internal/Chain.ts"
import { unstacked } from "./internal/unstacked.ts"
import * as PolicyInvalid from "./PolicyInvalid.ts"
import * as RateLimit from "./RateLimit.ts"
import * as RetryBudget from "./RetryBudget.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import * as TimeSource from "./TimeSource.ts"

/**
 * How calls to one dependency are guarded. What is left out has the defaults of its module; `false` switches a part
 * off. `E` is the dependency's own failures.
 *
 * @category models
 */
export interface Options<E extends Failure.Tagged> {
  /** What to do about each failure; only `retry` is tried again, only `fail` gets no fallback. */
  readonly failures: Failure.Classifier<E>
  /** What a rejected promise means. Without it a rejection is a defect. */
  readonly classify?: (thrown: unknown) => E
  /** Whether the breaker counts a failure against the dependency; by default all but those with recovery `fail`. */
  readonly counts?: (failure: E) => boolean
  /** How long one attempt may take, the wait for the bulkhead included; 2 s by default. */
  readonly attemptTimeout?: Duration.DurationInput
  /** How long the call may take in all; by default as long as all attempts and delays can take. */
  readonly deadline?: Duration.DurationInput
  readonly retry?: Partial<RetryPolicy.RetryPolicy> | false
  /** Its own, or one that several policies for the same dependency share. */
  readonly budget?: Partial<RetryBudget.Config> | RetryBudget.RetryBudget
  /** `slowCall` is half of `attemptTimeout` by default. */
  readonly breaker?: Partial<CircuitBreaker.Config>
  readonly rateLimit?: RateLimit.Config
  readonly bulkhead?: Partial<Bulkhead.Config> | false
}

/**
 * Plain numbers for metrics and health.
 *
 * @category models
 */
export interface Stats {
  /** Calls begun. */
  readonly calls: number
  /** Calls that ended in a failure, refused ones included. */
  readonly failures: number
  /** Attempts that were not made: breaker, rate limit, bulkhead. */
  readonly rejected: number
  /** Attempts after the first. */
  readonly retries: number
  /** Retries not made because the budget was used up. */
  readonly budgetExhausted: number
  /** Attempts that gave no answer in time. */
  readonly timeouts: number
  /** Attempts under way whose caller waits for them. */
  readonly inflight: number
  /** Attempts that wait for a permit. */
  readonly queued: number
  /** Attempts still running although their caller has gone. */
  readonly orphaned: number
  /** Retries that the budget would bear now. */
  readonly budget: number
}

/**
 * Guards the calls to one dependency, outer to inner: deadline, fallback, retry with budget, breaker, rate limit,
 * attempt time-out, disconnect, bulkhead, call.
 *
 * - The deadline is the earlier of the fiber's (`Deadline.current`) and the policy's own.
 * - The work holds its permit until it has ended, also when its caller has gone (`orphaned`).
 * - The breaker hears one result an attempt: that of the work. Interruption is none; a caller's deadline is a
 *   failure only if the attempt had a quarter of `attemptTimeout` at least, else it says nothing.
 * - After an `AttemptTimeout` or `DeadlineExceeded` the outcome of the work is unknown.
 *
 * @category models
 */
export interface Policy<E extends Failure.Tagged> {
  readonly name: string
  /**
   * Guards a promise: the cheapest way. A time-out or an interruption leaves the promise to itself.
   */
  promise<A>(call: () => PromiseLike<A>): Effect.Effect<A, E | Failure.PolicyFailure>
  /**
   * Guards an effect, which runs in a fiber of its own. A time-out or an interruption interrupts that fiber but does
   * not wait for it. A defect counts against the dependency and is not retried.
   */
  effect<A, E2 extends E, R>(call: Effect.Effect<A, E2, R>): Effect.Effect<A, E2 | Failure.PolicyFailure, R>
  /**
   * Answers a guarded call's failure with `fallback`, save where its recovery is `fail`. The fallback has what the
   * call has left of the deadline.
   */
  withFallback<A, E2 extends E | Failure.PolicyFailure, R, B, E3, R3>(
    guarded: Effect.Effect<A, E2, R>,
    fallback: (failure: E2) => Effect.Effect<B, E3, R3>
  ): Effect.Effect<A | B, E2 | E3 | Failure.DeadlineExceeded, R | R3>
  readonly breaker: CircuitBreaker.CircuitBreaker
  /** The numbers of this moment. */
  stats(): Stats
}

/**
 * A policy, or the first option that makes no sense. Time and chance are those of the fiber that builds it.
 *
 * @category constructors
 */
export const make = <E extends Failure.Tagged>(
  name: string,
  options: Options<E>
): Effect.Effect<Policy<E>, PolicyInvalid.PolicyInvalid> =>
  Effect.gen(function*() {
    const settings = yield* resolve(name, options)
    const time = yield* TimeSource.current
    const random = drawFrom(yield* Effect.random)
    const budget = isBudget(options.budget) ? options.budget : yield* RetryBudget.make(settings.budget)
    const breaker = yield* CircuitBreaker.make(settings.breaker, time, random)
    const bulkhead = settings.bulkhead === undefined ? undefined : yield* Bulkhead.make(settings.bulkhead, time)
    const rateLimit = options.rateLimit === undefined ? undefined : yield* RateLimit.make(options.rateLimit)
    return new Guard<E>(name, options, settings, { time, random, budget, breaker, bulkhead, rateLimit })
  })

interface Settings {
  readonly attemptTimeout: number
  readonly deadline: number
  readonly retry: RetryPolicy.RetryPolicy | undefined
  readonly budget: RetryBudget.Config
  readonly breaker: CircuitBreaker.Config
  readonly bulkhead: Bulkhead.Config | undefined
}

const resolve = <E extends Failure.Tagged>(
  name: string,
  options: Options<E>
): Either.Either<Settings, PolicyInvalid.PolicyInvalid> =>
  Either.gen(function*() {
    const retry = options.retry === false ? undefined : { ...RetryPolicy.request, ...options.retry }
    const budget = { ...RetryBudget.defaults, ...(isBudget(options.budget) ? {} : options.budget) }
    const attemptTimeout = PolicyInvalid.millis(options.attemptTimeout ?? "2 seconds")
    const breaker: CircuitBreaker.Config = {
      ...CircuitBreaker.defaults,
      slowCall: attemptTimeout / 2,
      ...options.breaker
    }
    const bulkhead: Bulkhead.Config | undefined = options.bulkhead === false
      ? undefined
      : {
        ...Bulkhead.defaults,
        maxWait: Math.min(attemptTimeout, PolicyInvalid.millis(Bulkhead.defaults.maxWait)),
        ...options.bulkhead
      }
    yield* PolicyInvalid.unless(name, options, [
      ["attemptTimeout", attemptTimeout > 0 && attemptTimeout < Infinity, "must be a finite duration above zero"]
    ])
    if (retry !== undefined) yield* RetryPolicy.validate(retry, name, "retry.")
    yield* RetryBudget.validate(budget, name, "budget.")
    yield* CircuitBreaker.validate(breaker, name, "breaker.")
    if (bulkhead !== undefined) yield* Bulkhead.validate(bulkhead, name, "bulkhead.")
    if (options.rateLimit !== undefined) yield* RateLimit.validate(options.rateLimit, name, "rateLimit.")
    const attempts = retry?.attempts ?? 1
    const slowCall = PolicyInvalid.millis(breaker.slowCall)
    const deadline = options.deadline === undefined
      ? attempts * attemptTimeout + longestDelays(retry)
      : PolicyInvalid.millis(options.deadline)
    yield* PolicyInvalid.unless(name, options, [
      ["retry.attempts", attempts < Infinity, "must be finite: somebody waits for the call"],
      ["deadline", deadline > 0 && deadline < Infinity, "must be a finite duration above zero"],
      [
        "deadline",
        attempts * attemptTimeout <= deadline,
        `must leave room for ${attempts} attempts of ${attemptTimeout} ms each`
      ],
      [
        "breaker.slowCall",
        slowCall <= attemptTimeout || slowCall === Infinity,
        "must not be above attemptTimeout, or no call is ever slow"
      ],
      [
        "bulkhead.maxWait",
        bulkhead === undefined || PolicyInvalid.millis(bulkhead.maxWait) <= attemptTimeout,
        "must not be above attemptTimeout"
      ]
    ])
    return { attemptTimeout, deadline, retry, budget, breaker, bulkhead }
  })

const longestDelays = (retry: RetryPolicy.RetryPolicy | undefined): number => {
  if (retry === undefined || retry.attempts === Infinity) return 0
  const longest: RetryPolicy.RetryPolicy = {
    ...retry,
    jitter: retry.jitter === "decorrelated" ? "decorrelated" : "none"
  }
  let previous = 0
  let sum = 0
  for (let attempt = 1; attempt < retry.attempts; attempt++) {
    previous = RetryPolicy.delay(longest, attempt, previous, 1)
    sum += previous
  }
  return sum
}

const isBudget = (budget: Options<Failure.Tagged>["budget"]): budget is RetryBudget.RetryBudget =>
  budget !== undefined && "take" in budget

// Only the rare paths draw: a delay before a retry, the time that a breaker stays open.
const drawFrom = (random: Random.Random) => () => Effect.runSync(random.next)

interface Parts {
  readonly time: TimeSource.TimeSource
  readonly random: () => number
  readonly budget: RetryBudget.RetryBudget
  readonly breaker: CircuitBreaker.CircuitBreaker
  readonly bulkhead: Bulkhead.Bulkhead | undefined
  readonly rateLimit: RateLimit.RateLimit | undefined
}

/** A refusal's `retryAfterMs` may be that old. */
const refusalAgeMs = 50

/** A timer may go off that much early. */
const timerErrorMs = 2

/** How an attempt failed, what its caller is answered then, and whether to try again first. */
interface Ending<out A, out E, out R> {
  readonly failure: E
  readonly answer: Effect.Effect<A, E, R>
  readonly retry: boolean
}

const refusal = <F extends Failure.PolicyFailure>(build: () => F): Ending<never, F, never> => {
  const failure = unstacked(build)
  return { failure, answer: Exit.fail(failure), retry: Failure.policyFailures.recovery(failure) === "retry" }
}

/** An attempt, as its policy's timer sees it. */
interface Watched extends Member<Watched> {
  /** When something about it is due; `Infinity` if nothing is. */
  readonly nextLook: () => number
  /** Does what is due. */
  readonly look: (now: number) => void
  /** Whether its work runs on although nobody waits for it. */
  readonly isOrphaned: () => boolean
}

class Guard<E extends Failure.Tagged> implements Policy<E> {
  readonly name: string
  readonly breaker: CircuitBreaker.CircuitBreaker
  readonly time: TimeSource.TimeSource
  readonly bulkhead: Bulkhead.Bulkhead | undefined
  readonly rateLimit: RateLimit.RateLimit | undefined
  readonly retry: RetryPolicy.RetryPolicy | undefined
  readonly budget: RetryBudget.RetryBudget
  readonly random: () => number
  readonly attemptTimeout: number
  readonly totalTime: number
  /** An attempt that had less than this before its caller's deadline had no fair chance. */
  readonly fairChance: number
  readonly classify: ((thrown: unknown) => E) | undefined
  readonly #failures: Failure.Classifier<E>
  readonly #counts: ((failure: E) => boolean) | undefined

  // A refusal is the same each time, so it is built once.
  readonly queueFull: Ending<never, Failure.BulkheadFull, never>
  readonly waitedTooLong: Ending<never, Failure.BulkheadFull, never>
  readonly attemptTimedOut: Ending<never, Failure.AttemptTimeout, never>
  readonly deadlineExceeded: Ending<never, Failure.DeadlineExceeded, never>
  #breakerOpen: Ending<never, Failure.BreakerOpen, never> | undefined

  calls = 0
  failed = 0
  rejected = 0
  retries = 0
  budgetExhausted = 0
  timeouts = 0
  running = 0

  /** All attempts whose work has not ended. */
  readonly attempts = new Chain<Watched>()
  #timerAt = Infinity
  #cancelTimer = () => {}

  constructor(name: string, options: Options<E>, settings: Settings, parts: Parts) {
    this.name = name
    this.breaker = parts.breaker
    this.time = parts.time
    this.bulkhead = parts.bulkhead
    this.rateLimit = parts.rateLimit
    this.budget = parts.budget
    this.random = parts.random
    this.retry = settings.retry
    this.attemptTimeout = settings.attemptTimeout
    this.totalTime = settings.deadline
    this.fairChance = settings.attemptTimeout / 4
    this.classify = options.classify
    this.#failures = options.failures
    this.#counts = options.counts
    const limit = settings.bulkhead?.limit ?? Infinity
    const timeoutMs = settings.attemptTimeout
    this.queueFull = refusal(() => new Failure.BulkheadFull({ policy: name, limit, reason: "queue" }))
    this.waitedTooLong = refusal(() => new Failure.BulkheadFull({ policy: name, limit, reason: "wait" }))
    this.attemptTimedOut = refusal(() => new Failure.AttemptTimeout({ policy: name, timeoutMs }))
    this.deadlineExceeded = refusal(() => new Failure.DeadlineExceeded({ operation: name }))
  }

  promise<A>(call: () => PromiseLike<A>): Effect.Effect<A, E | Failure.PolicyFailure> {
    return PromiseAttempt.guarding(this, call)
  }

  effect<A, E2 extends E, R>(call: Effect.Effect<A, E2, R>): Effect.Effect<A, E2 | Failure.PolicyFailure, R> {
    return Effect.flatMap(Effect.runtime<R>(), (runtime) => EffectAttempt.guarding<A, E, E2, R>(this, call, runtime))
  }

  withFallback<A, E2 extends E | Failure.PolicyFailure, R, B, E3, R3>(
    guarded: Effect.Effect<A, E2, R>,
    fallback: (failure: E2) => Effect.Effect<B, E3, R3>
  ): Effect.Effect<A | B, E2 | E3 | Failure.DeadlineExceeded, R | R3> {
    return Effect.suspend(() => {
      const end = this.time.now() + this.totalTime
      return Effect.catchAll(
        guarded,
        (failure): Effect.Effect<B, E2 | E3 | Failure.DeadlineExceeded, R3> =>
          this.recovery(failure) === "fail"
            ? Effect.fail(failure)
            : Deadline.within(Math.max(0, end - this.time.now()), this.name)(fallback(failure))
      )
    })
  }

  stats(): Stats {
    let orphaned = 0
    this.attempts.each((attempt) => {
      if (attempt.isOrphaned()) orphaned++
    })
    return {
      calls: this.calls,
      failures: this.failed,
      rejected: this.rejected,
      retries: this.retries,
      budgetExhausted: this.budgetExhausted,
      timeouts: this.timeouts,
      inflight: this.running - orphaned,
      queued: this.bulkhead?.queued() ?? 0,
      orphaned,
      budget: this.budget.remaining(this.time.now())
    }
  }

  recovery(failure: E | Failure.PolicyFailure): Failure.Recovery {
    return Failure.isPolicyFailure(failure)
      ? Failure.policyFailures.recovery(failure)
      : this.#failures.recovery(failure)
  }

  counts(failure: E): boolean {
    return this.#counts === undefined ? this.recovery(failure) !== "fail" : this.#counts(failure)
  }

  breakerOpen(now: number): Ending<never, Failure.BreakerOpen, never> {
    const retryAfterMs = Math.ceil(this.breaker.retryAfter(now))
    const known = this.#breakerOpen
    if (known !== undefined && Math.abs(known.failure.retryAfterMs - retryAfterMs) < refusalAgeMs) return known
    return this.#breakerOpen = refusal(() => new Failure.BreakerOpen({ policy: this.name, retryAfterMs }))
  }

  /** Sees to it that the attempt is looked at when its time is over. */
  watch(attempt: Watched, now: number): void {
    this.attempts.add(attempt)
    const at = attempt.nextLook()
    if (at < this.#timerAt) this.#arm(at, now)
  }

  #arm(at: number, now: number): void {
    this.#cancelTimer()
    this.#timerAt = at
    this.#cancelTimer = this.time.after(at - now, () => this.#look(), true)
  }

  #look(): void {
    this.#timerAt = Infinity
    const now = this.time.now()
    let next = Infinity
    this.attempts.each((attempt) => {
      attempt.look(now)
      next = Math.min(next, attempt.nextLook())
    })
    if (next < Infinity) this.#arm(next, now)
  }
}

/** What an attempt hands on to the next one of its call. Times as the guard's clock has them. */
interface Course {
  /** Attempts made so far. */
  readonly attempts: number
  readonly startedAt: number
  readonly deadlineAt: number
  readonly previousDelay: number
}

/**
 * One attempt. Three things happen to it, each once and in any order: its caller is answered, the breaker is told
 * (judged), and the work ends, which gives the permit back.
 */
abstract class Attempt<A, E extends Failure.Tagged, E2 extends E, R> implements Watched, Bulkhead.Waiter {
  previous: Watched | undefined = undefined
  next: Watched | undefined = undefined
  protected readonly guard: Guard<E>
  private readonly resume: (effect: Effect.Effect<A, E2 | Failure.PolicyFailure, R>) => void
  private readonly course: Course | undefined
  private readonly caller = Option.getOrUndefined(Fiber.getCurrentFiber())
  private ticket = 0
  private waiting = false
  private answered = false
  private judged = false
  private startedAt = 0
  protected deadlineAt = 0
  protected expiresAt = 0

  constructor(
    guard: Guard<E>,
    resume: (effect: Effect.Effect<A, E2 | Failure.PolicyFailure, R>) => void,
    course: Course | undefined
  ) {
    this.guard = guard
    this.resume = resume
    this.course = course
  }

  /** Begins the work; one of the `ended` methods is called when it ends. */
  protected abstract launch(): void
  /** Asks the work to end: nobody waits for it any more. */
  protected abstract abort(): void
  /** The next attempt of the same call. */
  protected abstract again(course: Course): Effect.Effect<A, E2 | Failure.PolicyFailure, R>

  /** Asks for admission, outer to inner, and launches the work where nothing objects. */
  begin(): void {
    const guard = this.guard
    const now = guard.time.now()
    if (this.course === undefined) {
      guard.calls++
      guard.budget.call(now)
      const end = now + guard.totalTime
      this.deadlineAt = this.caller === undefined ? end : Math.min(end, this.caller.getFiberRef(Deadline.current))
    } else {
      this.deadlineAt = this.course.deadlineAt
    }
    this.startedAt = now
    this.expiresAt = now + guard.attemptTimeout
    if (this.deadlineAt <= now) return this.answerFailure(guard.deadlineExceeded.answer)
    this.ticket = guard.breaker.admit(now)
    if (this.ticket === CircuitBreaker.refused) return this.refused(guard.breakerOpen(now), now)
    if (guard.rateLimit !== undefined) {
      const retryAfterMs = guard.rateLimit.take(now)
      if (retryAfterMs > 0) {
        guard.breaker.forget(this.ticket)
        return this.refused(refusal(() => new Failure.RateLimited({ policy: guard.name, retryAfterMs })), now)
      }
    }
    const bulkhead = guard.bulkhead
    if (bulkhead === undefined || bulkhead.enter()) {
      guard.watch(this, now)
      guard.running++
      this.launch()
    } else if (bulkhead.wait(this)) {
      this.waiting = true
      guard.watch(this, now)
    } else {
      guard.breaker.forget(this.ticket)
      this.refused(guard.queueFull, now)
    }
  }

  /** What to do when the caller is interrupted, if anything must be done. */
  protected onInterrupt(): Effect.Effect<void> | undefined {
    return this.answered ? undefined : Effect.sync(() => this.abandon())
  }

  protected isWaiting(): boolean {
    return this.waiting
  }

  // The bulkhead's answers.

  start(): void {
    this.waiting = false
    this.startedAt = this.guard.time.now()
    this.guard.running++
    this.launch()
  }

  refuse(): void {
    this.unqueue()
    this.refused(this.guard.waitedTooLong, this.guard.time.now())
  }

  // What time brings.

  nextLook(): number {
    return Math.min(this.answered ? Infinity : this.deadlineAt, this.judged ? Infinity : this.expiresAt)
  }

  look(now: number): void {
    const guard = this.guard
    if (!this.answered && now >= this.deadlineAt && this.deadlineAt < this.expiresAt) {
      this.endOfPatience(now)
      return this.answerFailure(guard.deadlineExceeded.answer)
    }
    if (this.judged || now < this.expiresAt) return
    if (this.waiting) {
      guard.bulkhead?.withdraw(this)
      return this.refuse()
    }
    guard.timeouts++
    this.judge(false, now)
    this.abort()
    this.failed(guard.attemptTimedOut, now)
  }

  isOrphaned(): boolean {
    return !this.waiting && this.isForsaken()
  }

  // How the work ends.

  protected endedWell(answer: Effect.Effect<A, E2, R>): void {
    this.judge(true, this.guard.time.now())
    this.leave()
    if (this.answered) return
    this.answered = true
    this.resume(answer)
  }

  protected endedBadly(failure: E2, answer: Effect.Effect<A, E2, R>): void {
    const now = this.guard.time.now()
    let counts
    let retry
    try {
      counts = this.guard.counts(failure)
      retry = this.guard.recovery(failure) === "retry"
    } catch (defect) {
      // The classification is the user's; its bug must cost neither the permit nor the answer.
      return this.endedInDefect(Exit.die(defect))
    }
    this.judge(!counts, now)
    this.leave()
    this.failed({ failure, answer, retry }, now)
  }

  protected endedInDefect(exit: Exit.Exit<never>): void {
    this.judge(false, this.guard.time.now())
    this.leave()
    this.answerFailure(exit)
  }

  protected endedInterrupted(exit: Exit.Exit<never>): void {
    if (!this.judged) this.guard.breaker.forget(this.ticket)
    this.judged = true
    this.leave()
    if (this.answered) return
    this.answered = true
    this.resume(exit)
  }

  /** The caller has gone. */
  private abandon(): void {
    if (this.answered) return
    this.answered = true
    this.endOfPatience(this.guard.time.now())
  }

  /** Nobody waits any more, be it for the deadline (which says something of the dependency) or another reason. */
  private endOfPatience(now: number): void {
    if (this.waiting) {
      this.guard.bulkhead?.withdraw(this)
      return this.unqueue()
    }
    const hadFairChance = now - this.startedAt >= this.guard.fairChance
    if (hadFairChance && now >= this.deadlineAt - timerErrorMs) this.judge(false, now)
    this.abort()
  }

  private unqueue(): void {
    this.waiting = false
    this.judged = true
    this.guard.breaker.forget(this.ticket)
    this.guard.attempts.remove(this)
  }

  private leave(): void {
    const guard = this.guard
    guard.attempts.remove(this)
    guard.running--
    guard.bulkhead?.leave()
  }

  private judge(well: boolean, now: number): void {
    if (this.judged) return
    this.judged = true
    if (well) this.guard.breaker.succeed(this.ticket, now, now - this.startedAt)
    else this.guard.breaker.fail(this.ticket, now, now - this.startedAt)
  }

  private isForsaken(): boolean {
    return this.answered || (this.caller !== undefined && this.caller.unsafePoll() !== null)
  }

  private refused(refusal: Ending<never, Failure.PolicyFailure, never>, now: number): void {
    this.guard.rejected++
    this.failed(refusal, now)
  }

  /** Tries again where that may help, else answers. */
  private failed(
    { answer, failure, retry }: Ending<A, E2 | Failure.PolicyFailure, R>,
    now: number
  ): void {
    const guard = this.guard
    if (this.isForsaken()) {
      this.answered = true
      return
    }
    if (guard.retry === undefined || !retry) return this.answerFailure(answer)
    const attempts = (this.course?.attempts ?? 0) + 1
    const startedAt = this.course?.startedAt ?? this.expiresAt - guard.attemptTimeout
    const wait = RetryPolicy.decide(guard.retry, {
      attempt: attempts,
      elapsed: now - startedAt,
      remaining: this.deadlineAt - now,
      previous: this.course?.previousDelay ?? 0,
      random: guard.random(),
      retryAfter: Failure.retryAfterMs(failure)
    })
    if (typeof wait === "string") return this.answerFailure(answer)
    if (!guard.budget.take(now)) {
      guard.budgetExhausted++
      return this.answerFailure(answer)
    }
    guard.retries++
    this.answered = true
    this.resume(Effect.zipRight(
      Effect.sleep(Duration.millis(wait)),
      this.again({ attempts, startedAt, deadlineAt: this.deadlineAt, previousDelay: wait })
    ))
  }

  private answerFailure(answer: Effect.Effect<A, E2 | Failure.PolicyFailure, R>): void {
    if (this.answered) return
    this.answered = true
    this.guard.failed++
    this.resume(answer)
  }
}

class PromiseAttempt<A, E extends Failure.Tagged> extends Attempt<A, E, E, never> {
  private readonly work: () => PromiseLike<A>

  constructor(
    guard: Guard<E>,
    resume: (effect: Effect.Effect<A, E | Failure.PolicyFailure>) => void,
    work: () => PromiseLike<A>,
    course: Course | undefined
  ) {
    super(guard, resume, course)
    this.work = work
  }

  static guarding<A, E extends Failure.Tagged>(
    guard: Guard<E>,
    work: () => PromiseLike<A>,
    course?: Course
  ): Effect.Effect<A, E | Failure.PolicyFailure> {
    // A callback with a second parameter would cost an AbortController each time, and a finalizer half as much as the
    // whole call: only a caller in the queue needs one.
    return Effect.async((resume) => {
      const attempt = new PromiseAttempt(guard, resume, work, course)
      attempt.begin()
      return attempt.isWaiting() ? attempt.onInterrupt() : undefined
    })
  }

  protected override launch(): void {
    let promise
    try {
      promise = this.work()
    } catch (thrown) {
      return this.rejected(thrown)
    }
    promise.then(
      (value) => this.endedWell(Exit.succeed(value)),
      (thrown: unknown) => this.rejected(thrown)
    )
  }

  protected override abort(): void {
    // A promise cannot be asked to end.
  }

  protected override again(course: Course): Effect.Effect<A, E | Failure.PolicyFailure> {
    return PromiseAttempt.guarding(this.guard, this.work, course)
  }

  private rejected(thrown: unknown): void {
    const classify = this.guard.classify
    if (classify === undefined) return this.endedInDefect(Exit.die(thrown))
    let failure
    try {
      failure = classify(thrown)
    } catch (defect) {
      return this.endedInDefect(Exit.die(defect))
    }
    this.endedBadly(failure, Exit.fail(failure))
  }
}

class EffectAttempt<A, E extends Failure.Tagged, E2 extends E, R> extends Attempt<A, E, E2, R> {
  private readonly work: Effect.Effect<A, E2, R>
  private readonly runtime: Runtime.Runtime<R>
  private fiber: Fiber.RuntimeFiber<A, E2> | undefined = undefined

  constructor(
    guard: Guard<E>,
    resume: (effect: Effect.Effect<A, E2 | Failure.PolicyFailure, R>) => void,
    work: Effect.Effect<A, E2, R>,
    runtime: Runtime.Runtime<R>,
    course: Course | undefined
  ) {
    super(guard, resume, course)
    this.work = work
    this.runtime = runtime
  }

  static guarding<A, E extends Failure.Tagged, E2 extends E, R>(
    guard: Guard<E>,
    work: Effect.Effect<A, E2, R>,
    runtime: Runtime.Runtime<R>,
    course?: Course
  ): Effect.Effect<A, E2 | Failure.PolicyFailure, R> {
    return Effect.async((resume) => {
      const attempt = new EffectAttempt<A, E, E2, R>(guard, resume, work, runtime, course)
      attempt.begin()
      return attempt.onInterrupt()
    })
  }

  protected override launch(): void {
    const end = Math.min(this.deadlineAt, this.expiresAt)
    this.fiber = Deadline.detach(this.runtime, this.work, end, (exit, answer) => {
      if (Exit.isSuccess(exit)) return this.endedWell(answer)
      const failure = Cause.failureOrCause(exit.cause)
      if (Either.isLeft(failure)) return this.endedBadly(failure.left, answer)
      const cause = Exit.failCause(failure.right)
      return Cause.isInterruptedOnly(failure.right) ? this.endedInterrupted(cause) : this.endedInDefect(cause)
    })
  }

  protected override abort(): void {
    this.fiber?.unsafeInterruptAsFork(this.fiber.id())
  }

  protected override again(course: Course): Effect.Effect<A, E2 | Failure.PolicyFailure, R> {
    return EffectAttempt.guarding<A, E, E2, R>(this.guard, this.work, this.runtime, course)
  }
}

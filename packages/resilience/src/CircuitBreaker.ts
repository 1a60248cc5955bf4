import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as PolicyInvalid from "./PolicyInvalid.ts"
import * as Signal from "./Signal.ts"
import type * as TimeSource from "./TimeSource.ts"

/**
 * `closed` lets all through, `open` nothing, `half_open` one probe at a time; `isolated` nothing, because somebody
 * said so.
 *
 * @category models
 */
export type State = "closed" | "open" | "half_open" | "isolated"

/**
 * Why the state is what it is.
 *
 * @category models
 */
export type Reason =
  | "initial"
  | "consecutive_failures"
  | "failure_rate"
  | "slow_rate"
  | "tripped"
  | "open_time_over"
  | "probe_failed"
  | "probe_unanswered"
  | "probes_succeeded"
  | "isolated"
  | "released"
  | "reset"

/**
 * A state, why, and since when (milliseconds since 1970).
 *
 * @category models
 */
export interface Status {
  readonly state: State
  readonly reason: Reason
  readonly since: number
}

/**
 * When a breaker opens and how it closes again.
 *
 * @category models
 */
export interface Config {
  /** What the rates are taken over: the last calls, or the calls of the last time (counted in tenths of it). */
  readonly window:
    | { readonly kind: "time"; readonly duration: Duration.DurationInput }
    | { readonly kind: "count"; readonly size: number }
  /** The rates mean nothing below this many calls; `Infinity` switches them off. */
  readonly minCalls: number
  /** Opens at this share of failed calls. */
  readonly failureRate: number
  /** Opens after this many failures with no success between them; `Infinity` switches it off. */
  readonly consecutiveFailures: number
  /** A call that takes this long is slow, whatever its outcome. */
  readonly slowCall: Duration.DurationInput
  /** Opens at this share of slow calls. */
  readonly slowRate: number
  /** The first open time; each re-opening multiplies it by `openFactor`, up to `openCap`. */
  readonly open: Duration.DurationInput
  readonly openFactor: number
  readonly openCap: Duration.DurationInput
  /** Chance moves the open time by up to this share up or down, never above `openCap`. */
  readonly openJitter: number
  /** So many probes, one after the other, must succeed before it closes. */
  readonly probes: number
  /** A probe without an answer for this long counts as failed. */
  readonly halfOpen: Duration.DurationInput
}

/**
 * Half of at least 20 calls in 10 s, or 5 failures in a row, or 80 % slower than 1 s; open for 5 s, doubling to 60 s,
 * ±20 %; 3 probes, 10 s each at most.
 *
 * @category constants
 */
export const defaults: Config = {
  window: { kind: "time", duration: "10 seconds" },
  minCalls: 20,
  failureRate: 0.5,
  consecutiveFailures: 5,
  slowCall: "1 second",
  slowRate: 0.8,
  open: "5 seconds",
  openFactor: 2,
  openCap: "60 seconds",
  openJitter: 0.2,
  probes: 3,
  halfOpen: "10 seconds"
}

/**
 * The config, or the first field of it that makes no sense, `prefix` before its name.
 *
 * @category validation
 */
export const validate = (
  config: Config,
  name = "breaker",
  prefix = ""
): Either.Either<Config, PolicyInvalid.PolicyInvalid> => {
  const open = PolicyInvalid.millis(config.open)
  const halfOpen = PolicyInvalid.millis(config.halfOpen)
  const window = config.window
  const count = (value: number) => (Number.isInteger(value) && value >= 1) || value === Infinity
  const rate = (value: number) => value > 0 && value <= 1
  const duration = window.kind === "time" ? PolicyInvalid.millis(window.duration) : slots
  const size = window.kind === "count" ? window.size : 1
  return PolicyInvalid.unless(name, config, [
    [`${prefix}window.duration`, duration >= slots && duration < Infinity, `must be finite and at least ${slots} ms`],
    [`${prefix}window.size`, Number.isInteger(size) && size >= 1, "must be a whole number of at least 1"],
    [`${prefix}minCalls`, count(config.minCalls), "must be a whole number of at least 1, or Infinity"],
    [
      `${prefix}minCalls`,
      window.kind === "time" || config.minCalls <= window.size || config.minCalls === Infinity,
      "must not be above window.size, or the rates never apply"
    ],
    [`${prefix}failureRate`, rate(config.failureRate), "must lie above 0 and not above 1"],
    [
      `${prefix}consecutiveFailures`,
      count(config.consecutiveFailures),
      "must be a whole number of at least 1, or Infinity"
    ],
    [`${prefix}slowCall`, PolicyInvalid.millis(config.slowCall) > 0, "must be above zero"],
    [`${prefix}slowRate`, rate(config.slowRate), "must lie above 0 and not above 1"],
    [`${prefix}open`, open > 0 && open < Infinity, "must be a finite duration above zero"],
    [`${prefix}openFactor`, config.openFactor >= 1 && config.openFactor < Infinity, "must be a number of at least 1"],
    [`${prefix}openCap`, PolicyInvalid.millis(config.openCap) >= open, "must not be below open"],
    [`${prefix}openJitter`, config.openJitter >= 0 && config.openJitter < 1, "must lie between 0 and 1, 1 excluded"],
    [
      `${prefix}probes`,
      Number.isInteger(config.probes) && config.probes >= 1,
      "must be a whole number of at least 1, or it never closes"
    ],
    [`${prefix}halfOpen`, halfOpen > 0 && halfOpen < Infinity, "must be a finite duration above zero"]
  ])
}

/**
 * What `admit` answers when the call must not be made.
 *
 * @category constants
 */
export const refused = -1

/**
 * A circuit breaker for plain code: ask `admit` before a call and hand its ticket back with the outcome. All times
 * are milliseconds of one monotonic clock.
 *
 * A ticket belongs to the state that issued it: an outcome that arrives after the state has changed is ignored, so
 * calls that fail together open it once, and an answer from before an outage closes nothing. State changes are
 * published; calls are not.
 *
 * @category models
 */
export interface CircuitBreaker {
  /** A ticket, or `refused`. */
  admit(now: number): number
  /** The dependency answered, after `took` milliseconds. A failure that is no fault of its own is an answer too. */
  succeed(ticket: number, now: number, took: number): void
  /** The dependency failed or did not answer, after `took` milliseconds. */
  fail(ticket: number, now: number, took: number): void
  /** The call says nothing about the dependency: it was interrupted or not made. */
  forget(ticket: number): void
  /** Milliseconds until a call may be admitted again; 0 when it may now. */
  retryAfter(now: number): number
  /** The status of this moment; an `open` whose time is over turns `half_open` with the next `admit`. */
  readonly status: Signal.Signal<Status>
  /** Opens at once, as if it had tripped: for evidence from elsewhere. */
  trip(now?: number): void
  /** Closes at once and forgets all outcomes: for evidence from elsewhere that all is well. */
  reset(): void
  /** Refuses all calls until every isolation has been released (each answer works once); then it is closed. */
  isolate(): () => void
}

/**
 * A closed breaker. `random` gives numbers in [0, 1).
 *
 * @category constructors
 */
export const make = (
  config: Config,
  time: TimeSource.TimeSource,
  random: () => number
): Effect.Effect<CircuitBreaker, PolicyInvalid.PolicyInvalid> =>
  Effect.flatMap(
    validate(config),
    (config) =>
      Effect.map(
        Signal.make<Status>({ state: "closed", reason: "initial", since: time.wall() }, (a, b) => a.state === b.state),
        (status) => new Breaker(config, status, time, random)
      )
  )

class Breaker implements CircuitBreaker {
  readonly #config: Config
  readonly #time: TimeSource.TimeSource
  readonly #random: () => number
  readonly #slowCall: number
  readonly #open: number
  readonly #openCap: number
  readonly #halfOpen: number
  readonly #window: Window
  readonly status: Signal.Signal<Status>

  #state: State = "closed"
  /** The ticket of the current state; it changes with every change of state. */
  #ticket = 0
  #consecutive = 0
  /** Openings since it was last closed. */
  #openings = 0
  #openUntil = 0
  #probing = false
  #probeUntil = 0
  #proved = 0
  #isolations = 0

  constructor(
    config: Config,
    status: Signal.Signal<Status>,
    time: TimeSource.TimeSource,
    random: () => number
  ) {
    this.#config = config
    this.status = status
    this.#time = time
    this.#random = random
    this.#slowCall = Duration.toMillis(config.slowCall)
    this.#open = Duration.toMillis(config.open)
    this.#openCap = Duration.toMillis(config.openCap)
    this.#halfOpen = Duration.toMillis(config.halfOpen)
    this.#window = config.window.kind === "time"
      ? new TimeWindow(Duration.toMillis(config.window.duration))
      : new CountWindow(config.window.size)
  }

  admit(now: number): number {
    switch (this.#state) {
      case "closed":
        return this.#ticket
      case "isolated":
        return refused
      case "open":
        if (now < this.#openUntil) return refused
        this.#become("half_open", "open_time_over")
        break
      case "half_open":
        if (this.#probing) {
          if (now >= this.#probeUntil) this.#openNow(now, "probe_unanswered")
          return refused
        }
    }
    this.#probing = true
    this.#probeUntil = now + this.#halfOpen
    return this.#ticket
  }

  succeed(ticket: number, now: number, took: number): void {
    if (ticket !== this.#ticket) return
    if (this.#state === "closed") return this.#record(now, false, took)
    this.#probing = false
    this.#proved++
    if (this.#proved >= this.#config.probes) this.#close("probes_succeeded")
  }

  fail(ticket: number, now: number, took: number): void {
    if (ticket !== this.#ticket) return
    if (this.#state === "closed") return this.#record(now, true, took)
    this.#openNow(now, "probe_failed")
  }

  forget(ticket: number): void {
    if (ticket === this.#ticket && this.#state === "half_open") this.#probing = false
  }

  retryAfter(now: number): number {
    switch (this.#state) {
      case "closed":
        return 0
      case "open":
        return Math.max(0, this.#openUntil - now)
      case "half_open":
        return this.#probing ? Math.max(0, this.#probeUntil - now) : 0
      case "isolated":
        return this.#open
    }
  }

  trip(now = this.#time.now()): void {
    if (this.#state === "closed" || this.#state === "half_open") this.#openNow(now, "tripped")
  }

  reset(): void {
    if (this.#state !== "isolated") this.#close("reset")
  }

  isolate(): () => void {
    this.#isolations++
    if (this.#isolations === 1) this.#become("isolated", "isolated")
    let released = false
    return () => {
      if (released) return
      released = true
      this.#isolations--
      if (this.#isolations === 0) this.#close("released")
    }
  }

  #record(now: number, failed: boolean, took: number): void {
    const window = this.#window
    const config = this.#config
    window.add(now, failed, took >= this.#slowCall)
    this.#consecutive = failed ? this.#consecutive + 1 : 0
    if (this.#consecutive >= config.consecutiveFailures) return this.#openNow(now, "consecutive_failures")
    if (window.calls < config.minCalls) return
    if (window.failures >= config.failureRate * window.calls) return this.#openNow(now, "failure_rate")
    if (window.slow >= config.slowRate * window.calls) this.#openNow(now, "slow_rate")
  }

  #openNow(now: number, reason: Reason): void {
    const time = this.#open * this.#config.openFactor ** this.#openings
    const spread = 1 + this.#config.openJitter * (2 * this.#random() - 1)
    this.#openUntil = now + Math.min(this.#openCap, time * spread)
    this.#openings++
    this.#become("open", reason)
  }

  #close(reason: Reason): void {
    this.#openings = 0
    this.#become("closed", reason)
  }

  #become(state: State, reason: Reason): void {
    this.#state = state
    this.#ticket++
    this.#consecutive = 0
    this.#probing = false
    this.#proved = 0
    this.#window.clear()
    this.status.unsafeSet({ state, reason, since: this.#time.wall() })
  }
}

/** Outcomes of the calls that still count. */
interface Window {
  readonly calls: number
  readonly failures: number
  readonly slow: number
  readonly add: (now: number, failed: boolean, slow: boolean) => void
  readonly clear: () => void
}

const slots = 10

/** A tenth of a time window; the tenths form a circle. */
class Slot {
  calls = 0
  failures = 0
  slow = 0
  next: Slot = this
}

/** The calls of the current tenth of the window and of the nine before it. */
class TimeWindow implements Window {
  calls = 0
  failures = 0
  slow = 0
  readonly #slotMs: number
  #slot = new Slot()
  #number = -Infinity
  #end = -Infinity

  constructor(duration: number) {
    this.#slotMs = duration / slots
    for (let count = 1; count < slots; count++) {
      const slot = new Slot()
      slot.next = this.#slot.next
      this.#slot.next = slot
    }
  }

  add(now: number, failed: boolean, slow: boolean): void {
    if (now >= this.#end) this.#rotate(now)
    const slot = this.#slot
    this.calls++
    slot.calls++
    if (failed) {
      this.failures++
      slot.failures++
    }
    if (slow) {
      this.slow++
      slot.slow++
    }
  }

  clear(): void {
    this.#drop(slots)
  }

  #rotate(now: number): void {
    const number = Math.floor(now / this.#slotMs)
    this.#drop(Math.min(number - this.#number, slots))
    this.#number = number
    this.#end = (number + 1) * this.#slotMs
  }

  /** Moves on by so many slots, forgetting what they held. */
  #drop(count: number): void {
    for (let step = 0; step < count; step++) {
      const slot = this.#slot = this.#slot.next
      this.calls -= slot.calls
      this.failures -= slot.failures
      this.slow -= slot.slow
      slot.calls = slot.failures = slot.slow = 0
    }
  }
}

/** The last `size` calls. */
class CountWindow implements Window {
  calls = 0
  failures = 0
  slow = 0
  readonly #outcomes: Uint8Array
  #at = 0

  constructor(size: number) {
    this.#outcomes = new Uint8Array(size)
  }

  add(_now: number, failed: boolean, slow: boolean): void {
    const size = this.#outcomes.length
    if (this.calls === size) {
      const oldest = this.#outcomes[this.#at] ?? 0
      this.failures -= oldest & 1
      this.slow -= oldest >> 1
    } else {
      this.calls++
    }
    if (failed) this.failures++
    if (slow) this.slow++
    this.#outcomes[this.#at] = (failed ? 1 : 0) | (slow ? 2 : 0)
    this.#at = (this.#at + 1) % size
  }

  clear(): void {
    this.calls =
      this.failures =
      this.slow =
      this.#at =
        0
  }
}

import { Duration } from "effect"
import type * as CircuitBreaker from "../src/CircuitBreaker.ts"

/**
 * The reference model of the circuit breaker: what it must do, written without regard to cost. It keeps every outcome
 * since the last change of state and computes all else from them.
 *
 * 1. An *era* lasts from one change of state to the next. A call belongs to the era that admitted it; its outcome is
 *    heard only within that era.
 * 2. `closed` admits all. After each outcome it opens if the last `consecutiveFailures` outcomes of the era are
 *    failures, or if the window holds `minCalls` outcomes or more and the share of failures reaches `failureRate` or
 *    that of slow ones `slowRate`. The window holds the last `size` outcomes, or those whose tenth-of-a-window is the
 *    present one or one of the nine before it.
 * 3. `open` admits none until its time is over. The time is `open` × `openFactor` ^ (openings since it was closed),
 *    moved by chance by at most `openJitter` of itself, never above `openCap`. The first call after it begins
 *    `half_open`.
 * 4. `half_open` admits one call at a time, a *probe*. One failed probe opens it; `probes` succeeded ones close it. A
 *    probe that says nothing (interrupted) is as if it had not been. A call that comes when a probe has been without
 *    an answer for `halfOpen` opens it, and is refused.
 * 5. `isolated` admits none, until the last isolation is released; then it is closed.
 */
export interface Model {
  readonly state: CircuitBreaker.State
  readonly era: number
  readonly outcomes: ReadonlyArray<Outcome>
  readonly openings: number
  readonly openUntil: number
  /** Until when the probe under way may take; none is under way when undefined. */
  readonly probeUntil: number | undefined
  readonly proved: number
  readonly isolations: number
}

export interface Outcome {
  readonly at: number
  readonly failed: boolean
  readonly slow: boolean
}

export const initial: Model = {
  state: "closed",
  era: 0,
  outcomes: [],
  openings: 0,
  openUntil: 0,
  probeUntil: undefined,
  proved: 0,
  isolations: 0
}

type Random = () => number

const become = (model: Model, state: CircuitBreaker.State): Model => ({
  ...model,
  state,
  era: model.era + 1,
  outcomes: [],
  probeUntil: undefined,
  proved: 0
})

const open = (config: CircuitBreaker.Config, model: Model, now: number, random: Random): Model => {
  const time = Duration.toMillis(config.open) * config.openFactor ** model.openings
  const moved = time * (1 + config.openJitter * (2 * random() - 1))
  const openUntil = now + Math.min(Duration.toMillis(config.openCap), moved)
  return { ...become(model, "open"), openUntil, openings: model.openings + 1 }
}

const close = (model: Model): Model => ({ ...become(model, "closed"), openings: 0 })

/** The call's era if it is admitted. */
export const admit = (
  config: CircuitBreaker.Config,
  model: Model,
  now: number,
  random: Random
): [Model, number | undefined] => {
  const probe = (model: Model): [Model, number] => [
    { ...model, probeUntil: now + Duration.toMillis(config.halfOpen) },
    model.era
  ]
  switch (model.state) {
    case "closed":
      return [model, model.era]
    case "isolated":
      return [model, undefined]
    case "open":
      return now < model.openUntil ? [model, undefined] : probe(become(model, "half_open"))
    case "half_open":
      if (model.probeUntil === undefined) return probe(model)
      return now < model.probeUntil ? [model, undefined] : [open(config, model, now, random), undefined]
  }
}

const inWindow = (config: CircuitBreaker.Config, outcomes: ReadonlyArray<Outcome>, now: number) => {
  const window = config.window
  if (window.kind === "count") return outcomes.slice(-window.size)
  const tenth = Duration.toMillis(window.duration) / 10
  return outcomes.filter(({ at }) => Math.floor(at / tenth) > Math.floor(now / tenth) - 10)
}

/** Hears an outcome; `undefined` for one that says nothing. */
export const hear = (
  config: CircuitBreaker.Config,
  model: Model,
  era: number,
  outcome: Outcome | undefined,
  random: Random
): Model => {
  if (era !== model.era) return model
  if (model.state === "half_open") {
    if (outcome === undefined) return { ...model, probeUntil: undefined }
    if (outcome.failed) return open(config, model, outcome.at, random)
    const proved = model.proved + 1
    return proved === config.probes ? close(model) : { ...model, probeUntil: undefined, proved }
  }
  if (outcome === undefined) return model
  const outcomes = [...model.outcomes, outcome]
  const heard = { ...model, outcomes }
  const last = outcomes.slice(-config.consecutiveFailures)
  const window = inWindow(config, outcomes, outcome.at)
  const share = (of: (outcome: Outcome) => boolean, rate: number) => window.filter(of).length >= rate * window.length
  const opens = (last.length === config.consecutiveFailures && last.every(({ failed }) => failed)) ||
    (window.length >= config.minCalls &&
      (share(({ failed }) => failed, config.failureRate) || share(({ slow }) => slow, config.slowRate)))
  return opens ? open(config, heard, outcome.at, random) : heard
}

export const trip = (config: CircuitBreaker.Config, model: Model, now: number, random: Random): Model =>
  model.state === "closed" || model.state === "half_open" ? open(config, model, now, random) : model

export const reset = (model: Model): Model => model.state === "isolated" ? model : close(model)

export const isolate = (model: Model): Model => ({
  ...(model.isolations === 0 ? become(model, "isolated") : model),
  isolations: model.isolations + 1
})

export const release = (model: Model): Model => {
  const left = { ...model, isolations: model.isolations - 1 }
  return left.isolations === 0 ? close(left) : left
}

import type { PrimaryStatus } from "@holdfast/database/Database"
import type * as Degradation from "@holdfast/resilience/Degradation"
import type { Dependency, State } from "@holdfast/resilience/Dependency"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

type Level = Context.Tag.Service<Degradation.Degradation>

/**
 * What an agent depends on; undefined is what its operator has chosen to do without.
 *
 * @category models
 */
export interface Dependencies {
  readonly primary: boolean
  readonly broker: Dependency | undefined
  readonly cache: Dependency | undefined
}

/** What is known before anything has answered. */
export const initial = ({ broker, cache, primary }: Dependencies): Degradation.Facts => ({
  primary: primary ? "away" : "absent",
  standby: "ok",
  bus: broker === undefined ? "absent" : "away",
  cache: cache === undefined ? "absent" : cache.current().status,
  backlogFull: false,
  memoryAnswers: false
})

const follow = (
  dependency: Dependency,
  report: (state: State) => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.forkScoped(
    Stream.runForEach(dependency.changes, (state) => Effect.sync(() => report(state)))
  ))

/** How often a backlog that only grows older is looked at. */
const LOOK = "1 second"

/** How often an agent that has not joined the bus yet is looked at. */
const LOOK_FOR_JOIN = "50 millis"

/** Both have nothing to do between their return and their use that the level would tell of. */
const plain = ({ status }: State): "up" | "away" => status === "up" ? "up" : "away"

/**
 * Reports the broker and the cache for as long as the scope lives. Where the broker is up, the bus is so for an agent once
 * `hasJoined` says so, and `recovering` until then.
 *
 * @category programs
 */
export const followShared = (
  degradation: Level,
  { broker, cache }: Pick<Dependencies, "broker" | "cache">,
  hasJoined: () => boolean
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    if (cache !== undefined) yield* follow(cache, (state) => degradation.unsafeReport({ cache: plain(state) }))
    if (broker === undefined) return
    let isJoined = false
    const report = () => {
      const status = plain(broker.current())
      isJoined ||= status === "up" && hasJoined()
      const bus = status === "up" && !isJoined ? "recovering" : status
      if (bus !== degradation.facts().bus) degradation.unsafeReport({ bus }, isJoined ? undefined : "expected")
    }
    yield* follow(broker, report)
    const look = Effect.zipRight(Effect.sleep(LOOK_FOR_JOIN), Effect.sync(report))
    yield* Effect.forkScoped(Effect.repeat(look, { until: () => isJoined }))
  })

/**
 * Reports that the backlog is full, or is not any more.
 *
 * @category reporting
 */
export const reportBacklog = (degradation: Level, primary: PrimaryStatus | undefined): void => {
  const isFull = primary?.backlog().isFull ?? false
  if (isFull !== degradation.facts().backlogFull) degradation.unsafeReport({ backlogFull: isFull })
}

/**
 * Reports the primary store and its backlog for as long as the scope lives. Set aside by a drill, it is not lost. While
 * returns to it fail, that it answers changes nothing: it is away.
 *
 * @category programs
 */
export const followPrimary = (
  degradation: Level,
  primary: PrimaryStatus,
  isDrilling: () => boolean
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { dependency } = primary
    const statusOf = ({ recoveryError, status }: State) =>
      status === "recovering" && recoveryError !== undefined ? "away" : status
    let wasUp = false
    const report = (state: State) => {
      wasUp ||= state.status === "up"
      degradation.unsafeReport({ primary: statusOf(state) }, wasUp && !isDrilling() ? undefined : "expected")
    }
    report(dependency.current())
    if (primary.persistence === "memory") degradation.unsafeReport({ standby: "unwritable", memoryAnswers: true })
    yield* follow(dependency, report)
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(
      Effect.sleep(LOOK),
      Effect.sync(() => reportBacklog(degradation, primary))
    )))
  })

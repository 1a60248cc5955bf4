import type { PrimaryStatus } from "@holdfast/database/Database"
import type * as Degradation from "@holdfast/resilience/Degradation"
import type { Dependency } from "@holdfast/resilience/Dependency"
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
  bus: broker === undefined ? "absent" : broker.current().status,
  cache: cache === undefined ? "absent" : cache.current().status,
  backlogFull: false,
  memoryAnswers: false
})

const follow = (
  dependency: Dependency,
  report: (status: "up" | "away" | "recovering") => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.forkScoped(
    Stream.runForEach(dependency.changes, ({ status }) => Effect.sync(() => report(status)))
  ))

/** How often a backlog that only grows older is looked at. */
const LOOK = "1 second"

/**
 * Reports the broker and the cache for as long as the scope lives. A bus has nothing to merge: on its way back it is away.
 *
 * @category programs
 */
export const followShared = (
  degradation: Level,
  { broker, cache }: Pick<Dependencies, "broker" | "cache">
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const plain = (status: "up" | "away" | "recovering") => status === "recovering" ? "away" : status
    if (broker !== undefined) yield* follow(broker, (status) => degradation.unsafeReport({ bus: plain(status) }))
    if (cache !== undefined) yield* follow(cache, (status) => degradation.unsafeReport({ cache: plain(status) }))
  })

/**
 * Reports the primary store and its backlog for as long as the scope lives.
 *
 * @category programs
 */
export const followPrimary = (
  degradation: Level,
  primary: PrimaryStatus
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    degradation.unsafeReport({
      primary: primary.dependency.current().status,
      ...(primary.persistence === "memory" ? { standby: "unwritable" as const, memoryAnswers: true } : {})
    })
    yield* follow(primary.dependency, (status) => degradation.unsafeReport({ primary: status }))
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(
      Effect.sleep(LOOK),
      Effect.sync(() => {
        const { isFull } = primary.backlog()
        if (isFull !== degradation.facts().backlogFull) degradation.unsafeReport({ backlogFull: isFull })
      })
    )))
  })

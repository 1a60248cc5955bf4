import * as Redis from "@holdfast/cache/Redis"
import type { Dependency } from "@holdfast/resilience/Dependency"
import { Data, Effect, Layer, Stream } from "effect"
import { Redis as Client } from "ioredis"
import { randomUUID } from "node:crypto"
import { monitorEventLoopDelay } from "node:perf_hooks"

/**
 * Where a test's Redis answers.
 */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Redis did not become what a test waits for. */
class NotInTime extends Data.TaggedError("NotInTime")<{ readonly status: string; readonly cause: string | undefined }> {
  override get message() {
    return `Redis is not ${this.status} in time: ${this.cause ?? "no cause"}`
  }
}

/** Ends when Redis has this status. */
export const becomes = (status: Dependency["current"] extends () => { readonly status: infer S } ? S : never) =>
  Effect.flatMap(
    Redis.Redis,
    ({ dependency }) =>
      Stream.runHead(Stream.filter(dependency.changes, (state) => state.status === status)).pipe(
        Effect.timeoutFail({
          duration: "10 seconds",
          onTimeout: () => new NotInTime({ status, cause: dependency.current().lastError })
        })
      )
  )

/** Keys that no other test has. */
export const ownPrefix = () => `test:${randomUUID()}:`

/** What uses Redis, on a connection of its own, once Redis is up for it. */
export const onceUp = <A, E>(layer: Layer.Layer<A, E, Redis.Redis>, address: Address, keyPrefix = ownPrefix()) =>
  Layer.effectDiscard(becomes("up")).pipe(
    Layer.provideMerge(layer),
    Layer.provideMerge(Redis.Redis.layer({ ...address, keyPrefix }))
  )

/** A connection to Redis, once it is up. */
export const on = (address: Address, keyPrefix = ownPrefix()) => onceUp(Layer.empty, address, keyPrefix)

/** A command on a connection beside those that are tested. */
export const tell = (address: Address, command: string, ...args: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const client = new Client({ host: address.host, port: address.port, lazyConnect: true })
    try {
      return await client.call(command, ...args)
    } finally {
      client.disconnect()
    }
  })

/**
 * How long the longest of the calls took that went through `timed`, in milliseconds, less what the process itself was
 * held up.
 */
export const stopwatch = Effect.acquireRelease(
  Effect.sync(() => {
    const delay = monitorEventLoopDelay({ resolution: 5 })
    delay.enable()
    let longest = 0
    return {
      timed: <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
        Effect.suspend(() => {
          const begun = performance.now()
          return Effect.ensuring(call, Effect.sync(() => void (longest = Math.max(longest, performance.now() - begun))))
        }),
      longest: () => longest - delay.max / 1e6,
      stop: () => delay.disable()
    }
  }),
  (watch) => Effect.sync(watch.stop)
)

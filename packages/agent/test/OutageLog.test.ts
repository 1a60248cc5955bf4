import { assert, describe, it } from "@effect/vitest"
import * as Dependency from "@holdfast/resilience/Dependency"
import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"
import { Data, Effect, LogLevel } from "effect"
import * as Logging from "../src/Logging.ts"
import * as OutageLog from "../src/OutageLog.ts"

class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

describe("the log of outages", () => {
  it.scopedLive("one line when a dependency is lost, also at the start, and one when it is back", () => {
    const log: Array<string> = []
    const said = (n: number) =>
      Effect.repeat(Effect.sleep("5 millis"), { until: () => log.length >= n }).pipe(Effect.timeout("5 seconds"))
    return Effect.gen(function*() {
      let answers = false
      const redis = yield* Dependency.make({
        name: "redis",
        probe: Effect.suspend(() => answers ? Effect.void : new Refused({ message: "connect ECONNREFUSED" })),
        pace: { ...RetryPolicy.background, base: "5 millis", cap: "5 millis" }
      })
      yield* OutageLog.ofDependency("Redis", redis, "memory stands in for it")
      yield* said(1)
      // Long enough for some probes more.
      yield* Effect.sleep("50 millis")
      answers = true
      yield* said(2)
      yield* redis.lost("the connection was closed")
      yield* said(3)
      yield* said(4)
      assert.deepStrictEqual(log.map((line) => line.slice(13)), [
        "WARN    Redis is away (connect ECONNREFUSED); memory stands in for it",
        "INFO    Redis is back",
        "WARN    Redis is away (the connection was closed); memory stands in for it",
        "INFO    Redis is back"
      ])
    }).pipe(Effect.provide(
      Logging.layer({ format: "pretty", level: LogLevel.Info, write: (line) => log.push(line) })
    ))
  })

  it.scopedLive("a dependency that is there at the start is not worth a line", () => {
    const log: Array<string> = []
    return Effect.gen(function*() {
      const redis = yield* Dependency.make({ name: "redis", probe: Effect.void })
      yield* OutageLog.ofDependency("Redis", redis, "memory stands in for it")
      yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => redis.current().status === "up" })
      yield* Effect.sleep("50 millis")
      assert.deepStrictEqual(log, [])
    }).pipe(Effect.provide(
      Logging.layer({ format: "pretty", level: LogLevel.Info, write: (line) => log.push(line) })
    ))
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, LogLevel } from "effect"
import * as Logging from "../src/Logging.ts"

const lines = <A, E>(format: "pretty" | "json", effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const written: Array<string> = []
    yield* Effect.provide(
      effect,
      Logging.layer({ format, level: LogLevel.Info, write: (line) => written.push(line) })
    )
    return written
  })

describe("logging", () => {
  it.effect("writes one JSON object a line, cause included", () =>
    Effect.gen(function*() {
      const [line = ""] = yield* lines(
        "json",
        Effect.logError("failed\nbadly", Cause.die(new Error("boom"))).pipe(
          Effect.annotateLogs({ agent: "order", correlationId: "c-1" })
        )
      )
      assert.notInclude(line, "\n")
      const event = JSON.parse(line)
      assert.deepInclude(event, { level: "error", message: "failed\nbadly", agent: "order", correlationId: "c-1" })
      assert.include(event.cause, "boom")
    }))

  it.effect("figures are as long as somebody reads them", () =>
    Effect.gen(function*() {
      const [line = ""] = yield* lines(
        "json",
        Effect.annotateLogs(Effect.logInfo("back"), { millis: 118.96652899999754, merged: 3, at: 1795659843590 })
      )
      assert.deepInclude(JSON.parse(line), { millis: 118.967, merged: 3, at: 1795659843590 })
    }))

  it.effect("hides secrets and persons by key and by form", () =>
    Effect.gen(function*() {
      for (const format of ["json", "pretty"] as const) {
        const [line = ""] = yield* lines(
          format,
          Effect.logInfo("mail to jane.doe@example.com with Bearer abc.def.ghi at postgres://me:hunter2@db/x", {
            customer: { name: "Jane Doe", email: "jane.doe@example.com", address: { line1: "1 High Street" } },
            paymentMethodToken: "tok_secret",
            password: "hunter2",
            orderId: "ord_1"
          }).pipe(Effect.annotateLogs("authorization", "Basic xyz123456"))
        )
        for (const secret of ["jane", "Jane", "abc.def", "hunter2", "High Street", "tok_secret", "xyz"]) {
          assert.notInclude(line, secret, format)
        }
        assert.include(line, "ord_1")
      }
    }))

  it.effect("keeps quiet below its level", () =>
    Effect.map(lines("json", Effect.logDebug("no")), (written) => {
      assert.lengthOf(written, 0)
    }))
})

import { assert, describe, it } from "@effect/vitest"
import * as HostileRequests from "@holdfast/testing/HostileRequests"
import { Effect } from "effect"
import { KernelApi } from "../src/KernelApi.ts"
import { GiftCardApi, giftCardsIn } from "./GiftCards.ts"
import { serve } from "./Serving.ts"

describe("hostile input", () => {
  it.live(
    "never a 5xx, never a reset, always problem+json with a known code, nothing stored",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const { get, port } = yield* serve([giftCardsIn(Effect.succeed(0))], { maxBodyBytes: 1024 * 1024 })
        const report = yield* HostileRequests.attack({
          port,
          targets: [
            { agent: "giftcard", api: GiftCardApi, except: ["break"] },
            { agent: "giftcard", api: KernelApi }
          ],
          seed: 20_261_123,
          rounds: 60,
          stored: Effect.map(get("/giftcard/cards"), (reply) => reply.json)
        })
        assert.deepStrictEqual(report.faults, [])
        assert.isAbove(report.requests, 400)
      })),
    60_000
  )
})

import { assert, describe, it } from "@effect/vitest"
import * as MemoryCache from "@holdfast/cache/MemoryCache"
import { Effect } from "effect"
import { suite } from "./CacheSuite.ts"

suite("memory cache", MemoryCache.layer())

describe("memory store", () => {
  it.effect("never keeps more than its bound: the one unused for the longest time goes", () =>
    Effect.gen(function*() {
      const store = MemoryCache.store(3)
      for (const key of ["a", "b", "c"]) yield* store.write(key, key, 1000)
      yield* store.read("a")
      yield* store.write("b", "again", 1000)
      yield* store.write("d", "d", 1000)
      const kept = yield* Effect.forEach(["a", "b", "c", "d"], (key) => store.read(key))
      assert.deepStrictEqual(kept, ["a", "again", undefined, "d"])
    }))
})

import * as TimeSource from "@holdfast/resilience/TimeSource"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Cache, make, type Store } from "./Cache.ts"

/**
 * Keeps at most `maxEntries` texts in this process; beyond that the one unused for the longest time is forgotten.
 *
 * @category constructors
 */
export const store = (maxEntries: number): Store => {
  // A Map remembers the order of insertion: what is used is inserted again, so that the first is the longest unused.
  const entries = new Map<string, { readonly text: string; readonly until: number }>()
  return {
    read: (key) =>
      Effect.map(TimeSource.current, (time) => {
        const entry = entries.get(key)
        if (entry === undefined) return undefined
        entries.delete(key)
        if (entry.until <= time.now()) return undefined
        entries.set(key, entry)
        return entry.text
      }),
    write: (key, text, ttlMillis) =>
      Effect.map(TimeSource.current, (time) => {
        entries.delete(key)
        entries.set(key, { text, until: time.now() + ttlMillis })
        for (const oldest of entries.keys()) {
          if (entries.size <= maxEntries) break
          entries.delete(oldest)
        }
      }),
    remove: (key) => Effect.sync(() => void entries.delete(key))
  }
}

/**
 * The cache that needs no server, and what stands in for one that is away.
 *
 * @category layers
 */
export const layer = (options: { readonly maxEntries: number } = { maxEntries: 10_000 }): Layer.Layer<Cache> =>
  Layer.sync(Cache, () => make(store(options.maxEntries)))

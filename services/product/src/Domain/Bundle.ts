import type { Sku } from "@holdfast/contracts/Sku"

/** What each bundle consists of, by its sku; a sku that is not in it is no bundle. */
export type Bundles = ReadonlyMap<Sku, ReadonlyArray<Sku>>

/**
 * The skus of a cycle through `start`, each containing the next and the last one the first, or `undefined` (invariant
 * C4).
 */
export const cycle = (bundles: Bundles, start: Sku): ReadonlyArray<Sku> | undefined => {
  const seen = new Set<Sku>()
  const paths: Array<ReadonlyArray<Sku>> = [[start]]
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    for (const component of bundles.get(path.at(-1) ?? start) ?? []) {
      if (component === start) return path
      if (seen.has(component)) continue
      seen.add(component)
      paths.push([...path, component])
    }
  }
  return undefined
}

/** Upper bounds of the buckets, in seconds (OpenTelemetry's advice for HTTP servers). */
export const BUCKETS: ReadonlyArray<number> = [
  0.005,
  0.01,
  0.025,
  0.05,
  0.075,
  0.1,
  0.25,
  0.5,
  0.75,
  1,
  2.5,
  5,
  7.5,
  10
]

/**
 * Durations in buckets, as plain numbers: counting costs an increment.
 *
 * @category models
 */
export interface Histogram {
  count: number
  sumSeconds: number
  /** How many fell into each of `BUCKETS`, not cumulated; the last is what exceeds them all. */
  readonly buckets: Array<number>
}

/** An empty histogram. */
export const histogram = (): Histogram => ({ count: 0, sumSeconds: 0, buckets: [...BUCKETS, 0].map(() => 0) })

/** Counts a duration. */
export const observe = (self: Histogram, seconds: number): void => {
  let at = 0
  while (at < BUCKETS.length && seconds > (BUCKETS[at] ?? Infinity)) at++
  self.count++
  self.sumSeconds += seconds
  self.buckets[at] = (self.buckets[at] ?? 0) + 1
}

/**
 * The requests of one route, by status.
 *
 * @category models
 */
export interface RouteMetric {
  readonly method: string
  readonly route: string
  readonly byStatus: Map<number, Histogram>
}

/** A route nobody has asked for yet. */
export const routeMetric = (method: string, route: string): RouteMetric => ({ method, route, byStatus: new Map() })

/** Counts an answered request. */
export const count = (self: RouteMetric, status: number, seconds: number): void => {
  let found = self.byStatus.get(status)
  if (found === undefined) self.byStatus.set(status, found = histogram())
  observe(found, seconds)
}

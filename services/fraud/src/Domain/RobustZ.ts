/**
 * What a window of values looks like, robustly: enough to judge a further value, so that the window need not be kept.
 */
export interface Spread {
  readonly count: number
  readonly median: number
  /** Median of the absolute deviations from the median. */
  readonly mad: number
  /** Mean of the absolute deviations from the median. */
  readonly meanDeviation: number
}

export const nothing: Spread = { count: 0, median: 0, mad: 0, meanDeviation: 0 }

const medianOf = (sorted: ReadonlyArray<number>): number => {
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2
}

export const spread = (values: ReadonlyArray<number>): Spread => {
  if (values.length === 0) return nothing
  const ascending = (a: number, b: number) => a - b
  const median = medianOf([...values].sort(ascending))
  const deviations = values.map((value) => Math.abs(value - median)).sort(ascending)
  return {
    count: values.length,
    median,
    mad: medianOf(deviations),
    meanDeviation: deviations.reduce((sum, deviation) => sum + deviation, 0) / values.length
  }
}

/**
 * 0.6745 · (x − median) / MAD. Where more than half of the values are equal (MAD 0) the mean deviation · 1.2533 stands in;
 * where all are equal, any value of twice the median or more is infinitely far.
 */
export const robustZ = (window: Spread, x: number): number => {
  const distance = x - window.median
  if (window.mad > 0) return 0.6745 * distance / window.mad
  if (window.meanDeviation > 0) return distance / (1.2533 * window.meanDeviation)
  return Math.abs(distance) >= Math.abs(window.median) && distance !== 0 ? distance * Infinity : 0
}

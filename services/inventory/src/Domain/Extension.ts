/** What an extension depends on. Times are milliseconds since the epoch. */
export interface Extendable {
  readonly expiresAt: number | null
  readonly ttlSeconds: number
  /** How often it was extended. */
  readonly extensions: number
}

/**
 * The new end of a held reservation, never before the present one; `undefined` when it may not be extended any more. A
 * reservation is extended once, and once more while its order is under review.
 */
export const extend = (
  reservation: Extendable,
  now: number,
  ttlSeconds: number | undefined,
  forReview: boolean
): number | undefined =>
  reservation.extensions >= (forReview ? 2 : 1)
    ? undefined
    : Math.max(reservation.expiresAt ?? 0, now + (ttlSeconds ?? reservation.ttlSeconds) * 1000)

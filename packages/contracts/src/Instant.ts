import * as Schema from "effect/Schema"

const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const isInstant = (text: string): boolean => {
  if (!form.test(text)) return false
  const millis = Date.parse(text)
  // Date.parse takes 30 February for 2 March.
  return !Number.isNaN(millis) && new Date(millis).toISOString() === text
}

/**
 * A point in time as RFC 3339 text in UTC with milliseconds, e.g. `2010-12-01T08:26:00.000Z`; of fixed width, so the order
 * of the texts is the order of the times.
 *
 * @category schemas
 */
export const Instant = Schema.String.pipe(
  Schema.filter(isInstant, {
    jsonSchema: { format: "date-time", minLength: 24, maxLength: 24, examples: ["2010-12-01T08:26:00.000Z"] },
    arbitrary: () => (fc) =>
      fc.date({ min: new Date(0), max: new Date(4_102_444_799_999), noInvalidDate: true }).map((date) =>
        date.toISOString()
      ),
    message: () => "a time must be RFC 3339 in UTC with milliseconds, e.g. 2010-12-01T08:26:00.000Z"
  })
)
export type Instant = typeof Instant.Type

/**
 * The instant that many milliseconds after 1970-01-01T00:00Z; `millis` must lie in the years 0 to 9999.
 *
 * @category conversions
 */
export const fromMillis = (millis: number): Instant => new Date(millis).toISOString()

/**
 * Milliseconds since 1970-01-01T00:00Z.
 *
 * @category conversions
 */
export const toMillis = (instant: Instant): number => Date.parse(instant)

import * as Schema from "effect/Schema"

/**
 * An object of up to `max` entries whose names match the pattern. (A record with a refined key drops the names that do not
 * match; input is refused instead.)
 *
 * @category schemas
 */
export const of = <A, I>(name: RegExp, value: Schema.Schema<A, I>, min: number, max: number, what: string) =>
  Schema.Record({ key: Schema.String, value }).pipe(
    Schema.filter((entries) => {
      const names = Object.keys(entries)
      return names.length >= min && names.length <= max && names.every((one) => name.test(one))
    }, {
      jsonSchema: { minProperties: min, maxProperties: max, propertyNames: { pattern: name.source } },
      message: () => `must have ${min} to ${max} entries, each named by ${what}`
    })
  )

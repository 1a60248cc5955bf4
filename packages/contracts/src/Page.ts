import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { Instant } from "./Instant.ts"

/** Items of a page when the request names no `limit`. */
export const defaultLimit = 50

/**
 * A place in a list: the values of the columns it is ordered by, of the last item seen.
 *
 * @category models
 */
export type Position = ReadonlyArray<string | number>

const PositionJson = Schema.parseJson(
  Schema.Array(Schema.Union(Schema.String, Schema.Number)).pipe(Schema.minItems(1), Schema.maxItems(8))
)
const decodePosition = ParseResult.decodeUnknownEither(PositionJson)

/**
 * The opaque cursor of a position: Base64url of its JSON.
 *
 * @category conversions
 */
export const cursor = (position: Position): string => Encoding.encodeBase64Url(JSON.stringify(position))

/**
 * A cursor as a client sends it back; decodes to the position behind which the list continues.
 *
 * @category schemas
 */
export const Cursor = Schema.transformOrFail(
  Schema.String.pipe(Schema.maxLength(1024)).annotations({
    description: "Where to go on: the `next` of the page before",
    message: () => "must be the `next` of the page before, unchanged"
  }),
  Schema.typeSchema(Schema.Array(Schema.Union(Schema.String, Schema.Number))),
  {
    strict: true,
    decode: (text, _, ast) =>
      Encoding.decodeBase64UrlString(text).pipe(
        Either.flatMap(decodePosition),
        Either.mapLeft(() => new ParseResult.Type(ast, text, "must be the `next` of the page before, unchanged"))
      ),
    encode: (position) => ParseResult.succeed(cursor(position))
  }
)

/**
 * Query parameters of every list: spread them into `setUrlParams(Schema.Struct({ ...Page.parameters, … }))`.
 *
 * @category schemas
 */
export const parameters = {
  limit: Schema.optional(
    Schema.NumberFromString.pipe(
      Schema.filter((n) => Number.isInteger(n) && n >= 1 && n <= 200, {
        jsonSchema: { type: "integer", minimum: 1, maximum: 200 },
        message: () => "limit must be a whole number from 1 to 200"
      })
    )
  ).annotations({ description: `Items per page, 1 to 200; ${defaultLimit} when left out` }),
  after: Schema.optional(Cursor).annotations({ description: "Where to go on: the `next` of the page before" })
}

/**
 * The filter of lists that other systems follow: items changed at this time or later.
 *
 * @category schemas
 */
export const updatedSince = Schema.optional(Instant).annotations({
  description: "Only what changed at this time or later"
})

/**
 * The shape of a page: `items`, and `next` unless the list ends here.
 *
 * @category schemas
 */
export const of = <A, I, R>(item: Schema.Schema<A, I, R>) =>
  Schema.Struct({
    items: Schema.Array(item),
    next: Schema.optional(Schema.String).annotations({ description: "Send it as `after` to go on; absent at the end" })
  })

/**
 * The page of a query that asked for `limit + 1` rows: the extra row tells that there is more.
 *
 * @category constructors
 */
export const make = <Row, Item>(
  rows: ReadonlyArray<Row>,
  limit: number,
  position: (row: Row) => Position,
  item: (row: Row) => Item
): { readonly items: ReadonlyArray<Item>; readonly next?: string } => {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return rows.length > limit && last !== undefined
    ? { items: items.map(item), next: cursor(position(last)) }
    : { items: items.map(item) }
}

import * as Schema from "effect/Schema"
import * as Text from "./Text.ts"

/**
 * A language by its BCP 47 tag.
 *
 * @category schemas
 */
export const Language = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}$/, {
    message: () => "a language must be a BCP 47 tag such as en or pt-BR"
  })
)
export type Language = typeof Language.Type

/**
 * A text in up to 30 languages, each at most `max` characters: `{ "en": "Lantern" }`.
 *
 * @category schemas
 */
export const translated = (max: number) =>
  Schema.Record({ key: Language, value: Text.paragraphs(max) }).pipe(
    Schema.filter((texts) => {
      const count = Object.keys(texts).length
      return count >= 1 && count <= 30
    }, { message: () => "must name 1 to 30 languages by their BCP 47 tags, e.g. { \"en\": \"Lantern\" }" })
  )

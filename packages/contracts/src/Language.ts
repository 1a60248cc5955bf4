import * as Schema from "effect/Schema"
import * as Dictionary from "./Dictionary.ts"
import * as Text from "./Text.ts"

const form = /^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}$/

/**
 * A language by its BCP 47 tag.
 *
 * @category schemas
 */
export const Language = Schema.String.pipe(
  Schema.pattern(form, {
    message: () => "a language must be a BCP 47 tag such as en or pt-BR"
  })
)
export type Language = typeof Language.Type

/**
 * A text in up to 30 languages, each at most `max` characters: `{ "en": "Lantern" }`.
 *
 * @category schemas
 */
export const translated = (max: number) => Dictionary.of(form, Text.paragraphs(max), 1, 30, "a BCP 47 tag such as en")

import * as Schema from "effect/Schema"

/**
 * An e-mail address of at most 254 characters.
 *
 * @category schemas
 */
export const Email = Schema.String.pipe(
  Schema.filter(
    (text) =>
      text.length <= 254 && /^[^\s@<>"\p{Cc}\p{Cs}]{1,64}@[^\s@<>"\p{Cc}\p{Cs}]+\.[^\s@<>".\p{Cc}\p{Cs}]+$/u.test(text),
    {
      jsonSchema: { format: "email", maxLength: 254 },
      message: () => "must be an e-mail address such as ada@example.com, at most 254 characters"
    }
  )
)
export type Email = typeof Email.Type

/**
 * A telephone number in E.164 form.
 *
 * @category schemas
 */
export const Phone = Schema.String.pipe(
  Schema.pattern(/^\+[1-9]\d{1,14}$/, {
    message: () => "a telephone number must be in E.164 form, such as +442079460123"
  })
)
export type Phone = typeof Phone.Type

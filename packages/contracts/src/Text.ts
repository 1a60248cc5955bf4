import * as Schema from "effect/Schema"

// Control characters split headers and log lines, NUL breaks Postgres text, lone surrogates have no UTF-8 form.
const unprintable = /[\p{Cc}\p{Cs}]/u
const unprintableButBreaks = /(?![\n\r\t])[\p{Cc}\p{Cs}]/u
const visible = /\S/

const bounded = (min: number, max: number, forbidden: RegExp, kind: string) =>
  Schema.String.pipe(
    Schema.filter(
      (text) => text.length >= min && text.length <= max && !forbidden.test(text) && (min === 0 || visible.test(text)),
      {
        jsonSchema: { minLength: min, maxLength: max },
        message: () =>
          `must be ${kind} of ${min} to ${max} characters without control characters${min === 0 ? "" : ", not blank"}`
      }
    )
  )

/**
 * One line of visible text: 1 to `max` UTF-16 units, not blank, no control characters, well-formed Unicode.
 *
 * @category schemas
 */
export const line = (max: number) => bounded(1, max, unprintable, "one line of text")

/**
 * As {@link line}, and may be empty.
 *
 * @category schemas
 */
export const lineOrEmpty = (max: number) => bounded(0, max, unprintable, "one line of text")

/**
 * Text of several lines: as {@link line}, and may hold line breaks and tabs.
 *
 * @category schemas
 */
export const paragraphs = (max: number) => bounded(1, max, unprintableButBreaks, "text")

/**
 * The form of {@link code}.
 *
 * @category patterns
 */
export const codeForm = (max: number): RegExp => new RegExp(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,${max - 1}}$`)

/**
 * A machine-readable word of 1 to `max` characters: letters, digits and `. _ : -`, the first a letter or a digit. Safe in
 * paths, headers and keys.
 *
 * @category schemas
 */
export const code = (max: number) =>
  Schema.String.pipe(
    Schema.pattern(codeForm(max), {
      description: `1 to ${max} letters, digits, ".", "_", ":" or "-"`,
      message: () => `must be 1 to ${max} letters, digits, ".", "_", ":" or "-", the first a letter or a digit`
    })
  )

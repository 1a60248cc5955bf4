/** Longer texts are found by their beginning. */
const MAX_LENGTH = 20_000

/** Words without case and accents, between spaces: ` pole lantern `; a word is found by its beginning. */
export const words = (texts: Iterable<string>): string => {
  const found = new Set<string>()
  for (const text of texts) for (const word of wordsOf(text)) found.add(word)
  return ` ${[...found].join(" ")} `
}

/** The words of a text, in its order. */
export const wordsOf = (text: string): ReadonlyArray<string> =>
  text.slice(0, MAX_LENGTH).normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "")

/** The line that stands for a category. */
export const categoryTag = (id: string): string => `category ${id}`.toLowerCase()

/** The line that stands for an attribute and its value. */
export const attributeTag = (name: string, value: string): string => `attribute ${name} ${value}`.toLowerCase()

/** Whole lines that are looked for, between line breaks. */
export const tags = (lines: Iterable<string>): string => `\n${[...lines].join("\n")}\n`

/** A LIKE pattern that finds the text anywhere; its own wildcards are escaped by a backslash. */
export const containing = (text: string): string => `%${text.replace(/[\\%_]/g, "\\$&")}%`

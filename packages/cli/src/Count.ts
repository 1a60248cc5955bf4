/**
 * The word for so many of something: most have an s for all numbers but one.
 *
 * @category formatting
 */
export const noun = (count: number, one: string, many = `${one}s`): string => count === 1 ? one : many

/**
 * The number with its word.
 *
 * @category formatting
 */
export const of = (count: number, one: string, many?: string): string => `${count} ${noun(count, one, many)}`

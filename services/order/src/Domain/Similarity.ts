const PREFIX = 4
const PREFIX_WEIGHT = 0.1

const jaro = (a: string, b: string): number => {
  if (a.length === 0 || b.length === 0) return 0
  const reach = Math.max(0, Math.floor(Math.max(a.length, b.length) / 2) - 1)
  const taken = new Array<boolean>(b.length).fill(false)
  const left: Array<string> = []
  for (let i = 0; i < a.length; i++) {
    for (let j = Math.max(0, i - reach); j <= Math.min(b.length - 1, i + reach); j++) {
      if (taken[j] === true || a[i] !== b[j]) continue
      taken[j] = true
      left.push(a[i] ?? "")
      break
    }
  }
  if (left.length === 0) return 0
  const right = [...b].filter((_, j) => taken[j] === true)
  const transposed = left.filter((letter, i) => letter !== right[i]).length / 2
  const matches = left.length
  return (matches / a.length + matches / b.length + (matches - transposed) / matches) / 3
}

/** Jaro–Winkler similarity of two words, 0 to 1. */
export const jaroWinkler = (a: string, b: string): number => {
  const base = jaro(a, b)
  let prefix = 0
  while (prefix < PREFIX && prefix < a.length && a[prefix] === b[prefix]) prefix++
  return base + prefix * PREFIX_WEIGHT * (1 - base)
}

const letters = (text: string): string => text.toLowerCase().replace(/[^\p{L}]/gu, "")

/** How alike a person's name and the local part of their e-mail address are, in hundredths: the best of its parts. */
export const ofNameAndEmail = (name: string, email: string): number => {
  const local = letters(email.slice(0, email.lastIndexOf("@")))
  const words = [name, ...name.split(/\s+/)].map(letters).filter((word) => word.length > 0)
  return Math.round(100 * words.reduce((best, word) => Math.max(best, jaroWinkler(word, local)), 0))
}

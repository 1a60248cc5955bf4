const jaro = (a: string, b: string): number => {
  if (a === b) return 1
  if (a.length === 0 || b.length === 0) return 0
  const reach = Math.max(0, Math.floor(Math.max(a.length, b.length) / 2) - 1)
  const taken: Array<boolean> = []
  const matches: Array<string> = []
  for (let i = 0; i < a.length; i++) {
    for (let j = Math.max(0, i - reach); j <= Math.min(b.length - 1, i + reach); j++) {
      if (taken[j] !== true && a[i] === b[j]) {
        taken[j] = true
        matches.push(b[j] ?? "")
        break
      }
    }
  }
  if (matches.length === 0) return 0
  let k = 0
  let outOfOrder = 0
  for (let j = 0; j < b.length; j++) if (taken[j] === true && matches[k++] !== b[j]) outOfOrder++
  const m = matches.length
  return (m / a.length + m / b.length + (m - outOfOrder / 2) / m) / 3
}

/**
 * Jaro–Winkler similarity of two texts, 0 to 1: the Jaro similarity, raised for a common start of up to four characters
 * (0.1 each). Compares UTF-16 units as they are: fold case before.
 *
 * @category arithmetic
 */
export const similarity = (a: string, b: string): number => {
  const base = jaro(a, b)
  let start = 0
  while (start < 4 && start < a.length && a[start] === b[start]) start++
  return base + start * 0.1 * (1 - base)
}

const plain = (text: string): string => text.normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "")

/**
 * How alike a person's name and the local part of an e-mail address are, 0 to 100: the best of the whole name, its words in
 * reverse order and each word of three letters or more, against the local part without what follows a `+`.
 *
 * @category arithmetic
 */
export const ofNameAndEmail = (name: string, email: string): number => {
  const local = plain(email.replace(/@.*$/s, "").replace(/\+.*$/s, ""))
  const words = name.split(/\s+/).map(plain).filter((word) => word !== "")
  const spellings = [words.join(""), [...words].reverse().join(""), ...words.filter((word) => word.length >= 3)]
  return Math.round(100 * Math.max(...spellings.map((spelling) => similarity(spelling, local))))
}

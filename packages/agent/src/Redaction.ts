const HIDDEN = "[redacted]"

/** Keys whose values are secrets, or tell who somebody is. */
const secretKey = /token|passw|secret|authori[sz]ation|cookie|api-?_?key|credential/i
const personalKey = /^(?:name|firstName|lastName|fullName|company|email|phone|line1|line2|taxId|ip)$/i

const patterns: ReadonlyArray<readonly [RegExp, string]> = [
  [/\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${HIDDEN}`],
  // Up to the last @: a password that somebody forgot to encode may hold one, or a slash. `file:///…@…` is a stack trace.
  [/(:\/\/)(?!\/)[^\s"<>]{0,512}@/g, `$1${HIDDEN}@`],
  [/[^\s/:@"<>]{1,64}:[^\s/@"<>]{1,256}@(?=[\w[])/g, `${HIDDEN}@`],
  [
    /([\w-]{0,32}(?:passw|secret|token|credential)\w{0,16}["']?(?:=|:\s?(?=["'])))(?:"[^"]*"|'[^']*'|[^\s&,;"']+)/gi,
    `$1${HIDDEN}`
  ],
  [/[\w.%+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b/g, HIDDEN]
]

/** A shorter one would be found everywhere. */
const MIN_SECRET = 4

/** Longest first: one may be a part of another. */
let secrets: ReadonlyArray<string> = []

/**
 * From now on hides this very text wherever it appears. For passwords of servers: who is sent one may repeat it in an error
 * whose form nobody can foresee.
 *
 * @category redaction
 */
export const hide = (secret: string): void => {
  const forms = [secret, encodeURIComponent(secret)].filter((form) => form.length >= MIN_SECRET)
  secrets = [...new Set([...secrets, ...forms])].toSorted((one, other) => other.length - one.length)
}

/**
 * Text without credentials and e-mail addresses.
 *
 * @category redaction
 */
export const text = (value: string): string =>
  patterns.reduce(
    (result, [pattern, replacement]) => result.replace(pattern, replacement),
    secrets.reduce((result, secret) => result.replaceAll(secret, HIDDEN), value)
  )

/** Deeper than this, a value in a log line helps nobody. */
const MAX_DEPTH = 6

/**
 * A value for a log line: what stands under a secret or personal key is hidden, all text is redacted, functions and what
 * is too deep are named only.
 *
 * @category redaction
 */
export const value = (key: string, input: unknown, depth = 0): unknown => {
  if (secretKey.test(key) || personalKey.test(key)) return HIDDEN
  if (typeof input === "string") return text(input)
  if (typeof input === "bigint" || typeof input === "symbol" || typeof input === "function") return text(String(input))
  if (typeof input !== "object" || input === null) return input
  if (depth >= MAX_DEPTH) return "…"
  if (input instanceof Error) return text(`${input.name}: ${input.message}`)
  if (input instanceof Date) return input.toISOString()
  if (Array.isArray(input)) return input.map((item) => value("", item, depth + 1))
  return Object.fromEntries(Object.entries(input).map(([name, inner]) => [name, value(name, inner, depth + 1)]))
}

/**
 * Plain data with its texts redacted, whatever their keys are.
 *
 * @category redaction
 */
export const texts = (input: unknown): unknown =>
  typeof input === "string"
    ? text(input)
    : Array.isArray(input)
    ? input.map(texts)
    : typeof input === "object" && input !== null
    ? Object.fromEntries(Object.entries(input).map(([key, inner]) => [key, texts(inner)]))
    : input

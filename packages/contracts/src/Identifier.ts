import { createHmac } from "node:crypto"

/**
 * The kinds of identifiers that agents know one another's customers by only as keyed hashes (spec §16, invariant F5).
 *
 * @category models
 */
export type Kind = "email" | "phone" | "ip" | "cidr" | "device" | "cardFp" | "address" | "customer"

/**
 * The key where `HOLDFAST_HASH_KEY` is not set: for development only. All agents of a shop must use one key, else what one
 * hashes another does not recognise.
 */
export const developmentKey = "holdfast-development-hash-key"

const ipv4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/

/** The groups of an address, 4 bytes or 8 words; `undefined` for what is no address. */
const groupsOf = (ip: string): { readonly bits: 8 | 16; readonly groups: ReadonlyArray<number> } | undefined => {
  const text = ip.trim().toLowerCase().replace(/^::ffff:(?=\d+\.)/, "")
  const bytes = ipv4.exec(text)?.slice(1).map(Number)
  if (bytes !== undefined) return bytes.every((byte) => byte <= 255) ? { bits: 8, groups: bytes } : undefined
  if (!/^[0-9a-f:]{2,39}$/.test(text) || text.includes(":::")) return undefined
  const [head = "", tail, ...more] = text.split("::")
  if (more.length > 0) return undefined
  const words = (part: string) => part === "" ? [] : part.split(":").map((word) => Number.parseInt(word, 16))
  const before = words(head)
  const after = tail === undefined ? [] : words(tail)
  const missing = 8 - before.length - after.length
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  const groups = [...before, ...Array.from({ length: missing }, () => 0), ...after]
  return groups.every((word) => word >= 0 && word <= 0xffff) ? { bits: 16, groups } : undefined
}

const textOf = (bits: 8 | 16, groups: ReadonlyArray<number>): string =>
  bits === 8 ? groups.join(".") : groups.map((word) => word.toString(16)).join(":")

/**
 * The network of `length` bits that an address (or a network) lies in, as canonical text, e.g. `203.0.113.0/24`; `undefined`
 * for what is no address or a length that it does not have. IPv6 is written without `::`.
 *
 * @category conversions
 */
export const network = (address: string, length: number): string | undefined => {
  const parsed = groupsOf(address.replace(/\/.*$/, ""))
  if (parsed === undefined || !Number.isInteger(length) || length < 0) return undefined
  const { bits, groups } = parsed
  if (length > bits * groups.length) return undefined
  const masked = groups.map((group, index) => {
    const kept = Math.min(bits, Math.max(0, length - index * bits))
    return kept === 0 ? 0 : group & (((1 << kept) - 1) << (bits - kept))
  })
  return `${textOf(bits, masked)}/${length}`
}

/**
 * One spelling for the ways in which people write the same identifier: case, blanks and punctuation do not count in e-mail
 * addresses, telephone numbers and postal addresses; IP addresses and networks are in one notation.
 *
 * @category conversions
 */
export const normalize = (kind: Kind, value: string): string => {
  const text = value.normalize("NFKC").trim()
  switch (kind) {
    case "email":
      return text.toLowerCase()
    case "phone":
      return text.replace(/[^\d+]/g, "").replace(/^00/, "+")
    case "ip": {
      const parsed = groupsOf(text)
      return parsed === undefined ? text : textOf(parsed.bits, parsed.groups)
    }
    case "cidr":
      return network(text, Number(text.replace(/^.*\//, ""))) ?? text
    case "address":
      return text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "")
    case "device":
    case "cardFp":
    case "customer":
      return text
  }
}

/**
 * The keyed hash by which an identifier is stored and sent: 32 lower-case hexadecimal digits (HMAC-SHA-256 of the kind and
 * the normalised value, cut to 128 bits). Kinds never share a hash.
 *
 * @category conversions
 */
export const hash = (key: string, kind: Kind, value: string): string =>
  createHmac("sha256", key).update(`${kind}\n${normalize(kind, value)}`).digest("hex").slice(0, 32)

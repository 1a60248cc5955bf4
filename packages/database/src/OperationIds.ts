import { alphabet } from "@holdfast/contracts/Id"
import { createHash } from "node:crypto"

const TIME = 10
const STEM = 22

/** A ULID, or an id of ours, at the end of the operation's id: its first ten characters are its time. */
const ulid = /(?:^|[:_.-])([0-7][0-9A-HJKMNP-TV-Z]{9})[0-9A-HJKMNP-TV-Z]{16}$/

/** A UUID version 7 at the end of the operation's id: its first 48 bits are its time. */
const uuid7 = /([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i

/**
 * The time in an operation's id, as ten characters, or nothing. Ids with it lie side by side in an index, where ids of
 * pure hash touch a page each; and it is the same wherever the operation runs, which a clock is not.
 */
const timeOf = (operationId: string): string => {
  const own = ulid.exec(operationId)
  if (own?.[1] !== undefined) return own[1]
  const [, high, low] = uuid7.exec(operationId) ?? []
  if (high === undefined || low === undefined) return ""
  let time = Number.parseInt(high, 16) * 65_536 + Number.parseInt(low, 16)
  let text = ""
  for (let i = 0; i < TIME; i++) {
    text = digit(time % 32) + text
    time = Math.floor(time / 32)
  }
  return text
}

/**
 * Makes the ids of one operation: the time in the operation's id where it has one, a hash of that id, and a counter. The
 * same operation run again, here or on another store, makes the same ids in the same order; two operations never share
 * one (at least 60 bits of hash besides the time).
 *
 * @category constructors
 */
export const make = (operationId: string): (prefix: string) => string => {
  let stem = ""
  let counter = 0
  return (prefix) => {
    if (stem === "") {
      stem = (timeOf(operationId) + base32(createHash("sha256").update(operationId).digest())).slice(0, STEM)
    }
    const n = counter++
    return `${prefix}_${stem}${digit(n >> 15)}${digit(n >> 10)}${digit(n >> 5)}${digit(n)}`
  }
}

const digit = (n: number): string => alphabet[n & 31] ?? "0"

const base32 = (bytes: Uint8Array): string => {
  let text = ""
  let bits = 0
  let value = 0
  for (const byte of bytes) {
    value = (value << 8) | byte
    bits += 8
    while (bits >= 5 && text.length < STEM) {
      text += digit(value >>> (bits - 5))
      bits -= 5
    }
    value &= (1 << bits) - 1
    if (text.length === STEM) break
  }
  return text
}

import { alphabet } from "@holdfast/contracts/Id"
import { createHash } from "node:crypto"

/**
 * Makes the ids of one operation: 22 characters from a hash of the operation's id, 4 from a counter. The same operation
 * run again, here or on another store, makes the same ids in the same order; two operations never share one (110 bits).
 *
 * @category constructors
 */
export const make = (operationId: string): (prefix: string) => string => {
  let stem = ""
  let counter = 0
  return (prefix) => {
    if (stem === "") stem = base32(createHash("sha256").update(operationId).digest())
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
    while (bits >= 5 && text.length < 22) {
      text += digit(value >>> (bits - 5))
      bits -= 5
    }
    value &= (1 << bits) - 1
    if (text.length === 22) break
  }
  return text
}

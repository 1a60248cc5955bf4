import { createHmac } from "node:crypto"
import type { ListKind } from "./Fraud.ts"

/**
 * The keyed hash by which agents speak of an identifier without knowing it (invariant F5): HMAC-SHA-256 of its kind and its
 * normal form (no spaces around or doubled, lower case), as 64 hexadecimal digits. Agents that share lists share the key.
 *
 * @category conversions
 */
export const of = (key: string, kind: typeof ListKind.Type, value: string): string =>
  createHmac("sha256", key).update(`${kind}:${value.trim().replace(/\s+/g, " ").toLowerCase()}`).digest("hex")

/**
 * The key when `HOLDFAST_HASH_KEY` is not set: for development, where hashes need not be secret.
 */
export const developmentKey = "holdfast-development-hash-key"

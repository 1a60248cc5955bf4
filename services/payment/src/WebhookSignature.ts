import { WebhookSignatureInvalid } from "@holdfast/contracts/PaymentErrors"
import * as Either from "effect/Either"
import { createHmac, timingSafeEqual } from "node:crypto"

/** A signature is good for this long either way, in seconds: later the webhook may be a recording. */
export const toleranceSeconds = 300

const digest = (secret: string, timestamp: string, raw: Uint8Array): Buffer =>
  createHmac("sha256", secret).update(`${timestamp}.`).update(raw).digest()

/** The header over a raw body: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`; `now` in milliseconds. */
export const sign = (secret: string, raw: Uint8Array, now: number): string => {
  const timestamp = String(Math.floor(now / 1000))
  return `t=${timestamp},v1=${digest(secret, timestamp, raw).toString("hex")}`
}

const invalid = (reason: WebhookSignatureInvalid["reason"]) => Either.left(new WebhookSignatureInvalid({ reason }))

/**
 * Checks a header against the raw body. Several `v1` may be given while a secret is changed; unknown parts are ignored.
 * The comparison takes the same time wherever the difference is.
 */
export const verify = (
  secret: string,
  raw: Uint8Array,
  header: string | undefined,
  now: number
): Either.Either<void, WebhookSignatureInvalid> => {
  if (header === undefined || header === "") return invalid("missing")
  let timestamp: string | undefined
  const signatures: Array<Buffer> = []
  for (const part of header.split(",")) {
    const [name, value = ""] = part.trim().split("=", 2)
    if (name === "t") timestamp = value
    if (name === "v1" && /^[0-9a-f]{64}$/i.test(value)) signatures.push(Buffer.from(value, "hex"))
  }
  if (timestamp === undefined || !/^\d{1,12}$/.test(timestamp) || signatures.length === 0) return invalid("malformed")
  const expected = digest(secret, timestamp, raw)
  if (!signatures.some((signature) => timingSafeEqual(signature, expected))) return invalid("mismatch")
  return Math.abs(now / 1000 - Number(timestamp)) > toleranceSeconds ? invalid("too_old") : Either.void
}

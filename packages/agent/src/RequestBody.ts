import { InvalidRequest, PayloadTooLarge, UnsupportedMediaType } from "@holdfast/contracts/Errors"
import * as Either from "effect/Either"
import type { IncomingMessage } from "node:http"

/** How much of an oversized body is read and thrown away so that the client gets to read the refusal. */
const DISCARD_BYTES = 64 * 1024 * 1024

/** How long a client may go on sending an oversized body, in milliseconds. */
const DISCARD_MILLIS = 5_000

const empty = new Uint8Array(0)

const announcedBytes = (request: IncomingMessage): number => Number(request.headers["content-length"] ?? Number.NaN)

/** Whether the request has a body, by its headers. */
export const has = (request: IncomingMessage): boolean =>
  announcedBytes(request) > 0 || request.headers["transfer-encoding"] !== undefined

/**
 * Reads a body up to the limit and calls back once: with the bytes, or with `PayloadTooLarge` after what exceeds the limit
 * was discarded. Calls back never if the client goes away.
 *
 * @category readers
 */
export const read = (
  request: IncomingMessage,
  limitBytes: number,
  done: (body: Either.Either<Uint8Array, PayloadTooLarge>) => void
): void => {
  if (!has(request)) return done(Either.right(empty))
  const announced = announcedBytes(request)
  const chunks: Array<Buffer> = []
  let bytes = 0
  let refused: NodeJS.Timeout | undefined
  let ended = false
  const end = (body: Either.Either<Uint8Array, PayloadTooLarge>) => {
    if (ended) return
    ended = true
    clearTimeout(refused)
    done(body)
  }
  const refuse = () => end(Either.left(new PayloadTooLarge({ limitBytes })))
  // Nothing would come of reading a body that is announced as hopelessly large, or that waits for leave to be sent.
  if (announced > DISCARD_BYTES || (announced > limitBytes && request.headers.expect !== undefined)) return refuse()
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= limitBytes) {
      chunks.push(chunk)
      return
    }
    chunks.length = 0
    refused ??= setTimeout(refuse, DISCARD_MILLIS)
    if (bytes > DISCARD_BYTES) refuse()
  })
  request.on("end", () => {
    if (bytes > limitBytes) return refuse()
    const [first] = chunks
    end(Either.right(first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks)))
  })
  request.on("close", () => clearTimeout(refused))
}

/** How deep arrays and objects of a body may nest; a schema of ours is never deeper. */
const MAX_DEPTH = 32

const invalid = (message: string) => Either.left(new InvalidRequest({ issues: [{ path: "", message }] }))

const decoder = new TextDecoder("utf-8", { fatal: true })

/** Whether brackets outside of strings nest deeper than the limit. */
const tooDeep = (text: string): boolean => {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 34) {
      for (i++; i < text.length && text.charCodeAt(i) !== 34; i++) if (text.charCodeAt(i) === 92) i++
    } else if (c === 123 || c === 91) {
      if (++depth > MAX_DEPTH) return true
    } else if (c === 125 || c === 93) depth--
  }
  return false
}

// A lone surrogate is no text: it would change on its way through UTF-8. NUL is refused by Postgres.
const unstorable = /[\uD800-\uDFFF]|\0/u

/**
 * Whether text can be stored and given back unchanged by every store.
 *
 * @category guards
 */
export const isStorable = (text: string): boolean => !unstorable.test(text)

const allStorable = (value: unknown): boolean => {
  if (typeof value === "string") return isStorable(value)
  if (Array.isArray(value)) return value.every(allStorable)
  if (typeof value !== "object" || value === null) return true
  return Object.entries(value).every(([key, inner]) => isStorable(key) && allStorable(inner))
}

/**
 * The JSON value of a body: valid UTF-8, at most 32 levels deep, every text storable. An empty body is `undefined`.
 *
 * @category readers
 */
export const parseJson = (
  body: Uint8Array,
  contentType: string | undefined
): Either.Either<unknown, InvalidRequest | UnsupportedMediaType> => {
  if (body.length === 0) return Either.right(undefined)
  if (contentType === undefined || !/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(contentType)) {
    return Either.left(new UnsupportedMediaType({ supported: ["application/json"] }))
  }
  let text: string
  try {
    text = decoder.decode(body)
  } catch {
    return invalid("the body is not valid UTF-8")
  }
  if (tooDeep(text)) return invalid(`the body nests deeper than ${MAX_DEPTH} levels`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return invalid("the body is not valid JSON")
  }
  // Only an escape can bring such characters past the UTF-8 decoder and the JSON parser.
  if (text.includes("\\u") && !allStorable(value)) {
    return invalid("the body has a text with a NUL character or half a surrogate pair")
  }
  return Either.right(value)
}

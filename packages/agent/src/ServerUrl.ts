import * as Either from "effect/Either"
import { isIPv6 } from "node:net"

/**
 * The parts of a server's address, decoded.
 *
 * @category models
 */
export interface ServerUrl {
  readonly protocol: string
  readonly user: string
  readonly password: string
  readonly host: string
  readonly port: number | undefined
  /** Without its leading slash. */
  readonly path: string
  readonly parameters: ReadonlyMap<string, string>
}

const UNREADABLE = "cannot be read as a URL (in a user name or password, write / # ? @ % as %2F %23 %3F %40 %25)"

const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const hostOf = (hostname: string): string | undefined => {
  const bare = hostname.replace(/^\[(.*)\]$/, "$1")
  return /^[\w.-]{1,253}$/.test(bare) || isIPv6(bare) ? bare : undefined
}

/**
 * Reads an address that may hold a password; otherwise says what is wrong, in words that repeat nothing of it but a
 * scheme or the name of a parameter.
 *
 * @category parsing
 */
export const parse = (text: string, protocols: ReadonlyArray<string>): Either.Either<ServerUrl, string> => {
  const scheme = /^([a-z][a-z0-9+.-]{0,20}:)\/\//i.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined) return Either.left(`does not begin with ${protocols[0] ?? ""}//`)
  if (!protocols.includes(scheme)) return Either.left(`begins with ${scheme}//`)
  if (!URL.canParse(text)) return Either.left(UNREADABLE)
  const url = new URL(text)
  const host = hostOf(url.hostname)
  const [user, password, path] = [url.username, url.password, url.pathname.replace(/^\//, "")].map(decoded)
  // A fragment, or an @ behind the host, is what is left of a password that was not encoded.
  if (url.hash !== "" || url.pathname.includes("@") || url.search.includes("@")) return Either.left(UNREADABLE)
  if (host === undefined) return Either.left("names no host, or more than one")
  if (url.port === "0") return Either.left("names port 0")
  if (user === undefined || password === undefined || path === undefined) return Either.left(UNREADABLE)
  return Either.right({
    protocol: scheme,
    user,
    password,
    host,
    port: url.port === "" ? undefined : Number(url.port),
    path,
    parameters: new Map(url.searchParams)
  })
}

/**
 * A host as it stands in a URL.
 *
 * @category formatting
 */
export const hostInUrl = (host: string): string => isIPv6(host) ? `[${host}]` : host

/**
 * User and password as they stand in a URL, with the @ behind them; empty when there are none.
 *
 * @category formatting
 */
export const userInfo = (user: string, password: string | undefined): string =>
  user === "" && password === undefined
    ? ""
    : `${encodeURIComponent(user)}${password === undefined ? "" : `:${encodeURIComponent(password)}`}@`

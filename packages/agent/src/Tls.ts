import * as Config from "effect/Config"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { X509Certificate } from "node:crypto"
import * as Variable from "./Variable.ts"

/**
 * How a connection is encrypted, in the words of Node's `tls.connect`.
 *
 * @category models
 */
export interface Tls {
  /** Whether the server must prove by its certificate that it is the one asked for. */
  readonly rejectUnauthorized: boolean
  /** Certificates of the authorities to trust in place of the system's, in PEM. */
  readonly ca?: string
}

/**
 * Encrypted, and the server proves who it is: to the given authorities, or to the system's.
 *
 * @category constructors
 */
export const verified = (ca: Option.Option<string>): Tls =>
  Option.match(ca, {
    onNone: () => ({ rejectUnauthorized: true }),
    onSome: (pem) => ({ rejectUnauthorized: true, ca: pem })
  })

const isCertificate = (pem: string): boolean => {
  try {
    return new X509Certificate(pem).subject !== undefined
  } catch {
    return false
  }
}

/**
 * The certificates in the file that the variable names.
 *
 * @category constructors
 */
export const caFile = (name: string): Config.Config<Option.Option<string>> =>
  Config.mapOrFail(
    Variable.file(name, "certificates in PEM", "/etc/holdfast/ca.pem"),
    (pem) =>
      Option.isSome(pem) && !isCertificate(pem.value)
        ? Either.left(Variable.fault(
          name,
          `must be a file with certificates in PEM, e.g. ${name}=/etc/holdfast/ca.pem; the file holds none`
        ))
        : Either.right(pem)
  )

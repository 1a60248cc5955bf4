import type { Tls } from "@holdfast/agent/Tls"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { lookup } from "node:dns/promises"
import { connect, isIP, type Socket } from "node:net"
import { connect as secure, type TLSSocket } from "node:tls"

/** A look-up, a connection, a handshake: each ends by this time. */
const STEP = "2 seconds"

/**
 * How far one comes towards a server.
 *
 * @category errors
 */
export class NetworkFault extends Data.TaggedError("NetworkFault")<{
  readonly code:
    | "host_unknown"
    | "dns_silent"
    | "connection_refused"
    | "host_unreachable"
    | "connect_silent"
    | "connection_closed"
    | "tls_silent"
    | "tls_not_spoken"
    | "tls_untrusted"
    | "tls_expired"
    | "tls_name_mismatch"
    | "network_error"
  readonly detail: string
}> {}

const codes: Readonly<Record<string, NetworkFault["code"]>> = {
  ENOTFOUND: "host_unknown",
  ENODATA: "host_unknown",
  EAI_AGAIN: "dns_silent",
  ECONNREFUSED: "connection_refused",
  EHOSTUNREACH: "host_unreachable",
  ENETUNREACH: "host_unreachable",
  EADDRNOTAVAIL: "host_unreachable",
  ETIMEDOUT: "connect_silent",
  ECONNRESET: "connection_closed",
  EPIPE: "connection_closed",
  EPROTO: "tls_not_spoken",
  CERT_HAS_EXPIRED: "tls_expired",
  CERT_NOT_YET_VALID: "tls_expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "tls_name_mismatch",
  DEPTH_ZERO_SELF_SIGNED_CERT: "tls_untrusted",
  SELF_SIGNED_CERT_IN_CHAIN: "tls_untrusted",
  UNABLE_TO_GET_ISSUER_CERT: "tls_untrusted",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "tls_untrusted",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "tls_untrusted",
  CERT_UNTRUSTED: "tls_untrusted",
  CERT_SIGNATURE_FAILURE: "tls_untrusted",
  CERT_REVOKED: "tls_untrusted"
}

/**
 * The fault in what Node, or a driver on top of it, threw; undefined when the network is not what failed.
 *
 * @category errors
 */
export const faultOf = (thrown: unknown): NetworkFault | undefined => {
  if (thrown instanceof NetworkFault) return thrown
  // A host with several addresses of which none answers.
  if (thrown instanceof AggregateError) return faultOf(thrown.errors[0])
  if (!(thrown instanceof Error) || !("code" in thrown) || typeof thrown.code !== "string") return undefined
  const code = codes[thrown.code] ?? (thrown.code.startsWith("ERR_SSL") ? "tls_not_spoken" : undefined)
  return code === undefined ? undefined : new NetworkFault({ code, detail: thrown.message })
}

const unexpected = (thrown: unknown): NetworkFault =>
  faultOf(thrown) ?? new NetworkFault({ code: "network_error", detail: String(thrown) })

/**
 * Gives up after a step's time, or the time given; what goes on behind is left alone.
 *
 * @category combinators
 */
export const within = <E>(onTimeout: () => E, time: Duration.DurationInput = STEP) =>
<A, E1, R>(
  effect: Effect.Effect<A, E1, R>
): Effect.Effect<A, E | E1, R> => Effect.timeoutFail(Effect.disconnect(effect), { duration: time, onTimeout })

/**
 * The addresses of a host.
 *
 * @category checks
 */
export const resolve = (host: string): Effect.Effect<ReadonlyArray<string>, NetworkFault> =>
  Effect.tryPromise({ try: () => lookup(host, { all: true }), catch: unexpected }).pipe(
    Effect.map((found) => found.map(({ address }) => address)),
    within(() => new NetworkFault({ code: "dns_silent", detail: `no answer about ${host} within ${STEP}` }))
  )

/** What a socket does once it is open; the socket is gone afterwards. */
const use = <S extends Socket, A>(
  open: () => S,
  ready: "connect" | "secureConnect",
  act: (socket: S) => A
): Effect.Effect<A, NetworkFault> =>
  Effect.async((resume) => {
    const socket = open()
    const end = (outcome: Effect.Effect<A, NetworkFault>) => {
      resume(outcome)
      socket.destroy()
    }
    socket.on("error", (error) => end(Effect.fail(unexpected(error))))
    socket.on("close", () =>
      end(Effect.fail(new NetworkFault({ code: "connection_closed", detail: "the other side closed the connection" }))))
    socket.once(ready, () =>
      end(Effect.succeed(act(socket))))
    return Effect.sync(() =>
      void socket.destroy()
    )
  })

/**
 * Opens a connection and closes it: how long that takes, in milliseconds, and to which address.
 *
 * @category checks
 */
export const reach = (
  host: string,
  port: number
): Effect.Effect<{ readonly address: string; readonly millis: number }, NetworkFault> =>
  Effect.suspend(() => {
    const started = performance.now()
    return use(() => connect({ host, port }), "connect", (socket) => ({
      address: socket.remoteAddress ?? host,
      millis: performance.now() - started
    }))
  }).pipe(
    within(() => new NetworkFault({ code: "connect_silent", detail: `${host}:${port} did not answer within ${STEP}` }))
  )

/** As `tls.connect` wants it; a name is sent to the server, an address is not. */
export const tlsOptions = (host: string, tls: Tls) => ({
  host,
  ...(isIP(host) === 0 ? { servername: host } : {}),
  ...tls
})

/** What a connection is encrypted with. */
const encryption = (socket: TLSSocket): string => {
  // Declared as always there; of a session that was taken up again there is none.
  const until = socket.getPeerCertificate().valid_to as string | undefined
  return `${socket.getProtocol() ?? "TLS"}${until === undefined ? "" : `, certificate valid until ${until}`}`
}

/**
 * Shakes hands: the version of TLS and until when the certificate is valid.
 *
 * @category checks
 */
export const shakeHands = (host: string, port: number, tls: Tls): Effect.Effect<string, NetworkFault> =>
  use(() => secure({ ...tlsOptions(host, tls), port }), "secureConnect", encryption).pipe(
    Effect.mapError((fault) =>
      // Who does not speak TLS hangs up, or answers something else.
      fault.code === "connection_closed" ? new NetworkFault({ code: "tls_not_spoken", detail: fault.detail }) : fault
    ),
    within(() => new NetworkFault({ code: "tls_silent", detail: `no handshake within ${STEP}` }))
  )

/**
 * What to do about a fault, where `address` is the variable with host and port, `authorities` the one with the
 * certificates to trust, and `encrypted` how encryption is switched.
 *
 * @category formatting
 */
export const fixOf = (
  { code }: NetworkFault,
  variables: { readonly address: string; readonly authorities: string; readonly encrypted: string }
): string => {
  switch (code) {
    case "host_unknown":
      return `correct the host in ${variables.address}, or make its name known to this machine`
    case "dns_silent":
      return "make the name servers of this machine answer, or use an address in place of the name"
    case "connection_refused":
      return `start the server, or correct host and port in ${variables.address}`
    case "host_unreachable":
    case "connect_silent":
      return `open the way to the server (route, firewall), or correct host and port in ${variables.address}`
    case "connection_closed":
    case "network_error":
      return `look into the server's log, and whether ${variables.address} names the right port`
    case "tls_not_spoken":
      return `the server does not encrypt on this port: set it up to, or change ${variables.encrypted}`
    case "tls_silent":
      return `the server does not encrypt on this port (change ${variables.encrypted}), or it is stalled (restart it)`
    case "tls_untrusted":
      return `put the certificate of the authority that signed the server's into the file of ${variables.authorities}`
    case "tls_expired":
      return "renew the server's certificate, or set the clock of this machine"
    case "tls_name_mismatch":
      return `use a name in ${variables.address} that stands in the server's certificate`
  }
}

/**
 * Whether what is sent there stays on this machine.
 *
 * @category accessors
 */
export const isLocal = (addresses: ReadonlyArray<string>): boolean =>
  addresses.every((address) => address.startsWith("127.") || address === "::1")

/**
 * Milliseconds as a person reads them.
 *
 * @category formatting
 */
export const millis = (value: number): string => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`

import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/**
 * Another agent did not answer a question in time, or not with an answer.
 *
 * @category errors
 */
export class PeerUnavailable extends Data.TaggedError("PeerUnavailable")<{
  readonly agent: string
  readonly detail: string
}> {}

/** A question to another agent waits at most this long. */
const ANSWER_MILLIS = 2_000

/**
 * Asks other agents over HTTP, where waiting for their messages is not enough (spec §18.1: a second missed deadline).
 *
 * @category services
 */
export class Peer extends Context.Tag("@holdfast/agent/Peer")<Peer, {
  /** The JSON that `GET /<agent><path>` answers with 2xx, `undefined` when it answers 404. */
  readonly get: (agent: string, path: string) => Effect.Effect<unknown, PeerUnavailable>
}>() {
  /**
   * Peers, each below the base URL that is given for it, e.g. `http://127.0.0.1:4000` (`AgentConfig.peerUrl`); read for
   * each question, as the port may be chosen late.
   */
  static readonly layer = (baseUrl: (agent: string) => string) =>
    Layer.succeed(this, {
      get: (agent: string, path: string) =>
        Effect.tryPromise({
          try: async () => {
            const response = await fetch(`${baseUrl(agent)}/${agent}${path}`, {
              signal: AbortSignal.timeout(ANSWER_MILLIS)
            })
            if (response.status === 404) return undefined
            if (!response.ok) throw new TypeError(`status ${response.status}`)
            return (await response.json()) as unknown
          },
          catch: (cause) => new PeerUnavailable({ agent, detail: String(cause) })
        })
    })
}

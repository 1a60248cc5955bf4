import type { WriteClass } from "@holdfast/contracts/CommandPolicy"
import type { Envelope } from "@holdfast/contracts/Envelope"
import type * as Message from "@holdfast/contracts/Message"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { type HandlerError, Unprocessable } from "./DeliveryError.ts"

/**
 * What an agent does when it hears a kind of message.
 *
 * @category models
 */
export interface Subscription<out R> {
  readonly type: string
  readonly topic: string
  readonly writeClass: WriteClass
  /** Decodes the payload and handles it. */
  readonly handle: (envelope: Envelope) => Effect.Effect<void, HandlerError, R>
}

/**
 * Handles each message of the kind once, in one transaction with the record that it was handled, in order per key. The
 * payload is decoded by the message's schema: fields it does not know are ignored, and what it cannot decode fails with
 * `Unprocessable` (code `undecodable`). The handler contains no outside call, no sleep, no clock and no random.
 *
 * @category constructors
 */
export const on = <Name extends string, A, I, E extends HandlerError, R>(
  message: Message.Message<Name, A, I>,
  handler: (payload: A, envelope: Envelope) => Effect.Effect<unknown, E, R>,
  options?: { readonly writeClass?: WriteClass }
): Subscription<R> => {
  const decode = Schema.decodeUnknownEither(message.payload)
  return {
    type: message.type,
    topic: message.topic,
    writeClass: options?.writeClass ?? "mergeable",
    handle: (envelope) => {
      const payload = decode(envelope.data)
      return Either.isRight(payload)
        ? Effect.asVoid(handler(payload.right, envelope))
        : new Unprocessable({
          code: "undecodable",
          detail: ParseResult.TreeFormatter.formatErrorSync(payload.left)
        })
    }
  }
}

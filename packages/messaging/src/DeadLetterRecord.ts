import { type Envelope, sourceOf } from "@holdfast/contracts/Envelope"
import type * as Message from "@holdfast/contracts/Message"
import * as Schema from "effect/Schema"
import * as CloudEvents from "./CloudEvents.ts"
import * as Topics from "./Topics.ts"

const Payload = Schema.Struct({
  /** The message that could not be handled. */
  envelope: Schema.Unknown,
  errorCode: Schema.String,
  errorMessage: Schema.String,
  attempts: Schema.Int
})

/**
 * A dead letter on its way to the agent's dead-letter topic.
 *
 * @category models
 */
export interface DeadLetterNotice extends Omit<typeof Payload.Type, "envelope"> {
  readonly envelope: Envelope
}

const typeOf = (agent: string): string => `ecom.${agent}.dead_letter.v1`

/**
 * How a dead letter waits in the outbox of its agent. The agent's table of dead letters is the truth; this is the copy for
 * whoever watches the topic.
 *
 * @category constructors
 */
export const notice = (agent: string): Message.Message<`${string}.dead_letter`, DeadLetterNotice, unknown> => ({
  name: `${agent}.dead_letter`,
  kind: "event",
  type: typeOf(agent),
  topic: Topics.deadLetters(agent),
  // An envelope is plain JSON already, and the kernel does not know what is in it.
  payload: Payload as unknown as Schema.Schema<DeadLetterNotice, unknown>,
  key: (payload) => payload.envelope.key,
  subject: (payload) => payload.envelope.subject
})

/**
 * The record of a dead letter (spec §19.4): the message itself, whole, under its own key, with the reason in headers.
 * `undefined` for every other message.
 *
 * @category encoding
 */
export const of = (message: Envelope): CloudEvents.TopicRecord | undefined => {
  const consumer = message.source.slice(sourceOf("").length)
  if (message.type !== typeOf(consumer) || message.topic !== Topics.deadLetters(consumer)) return undefined
  // Written by `notice` above.
  const { attempts, envelope, errorCode, errorMessage } = message.data as DeadLetterNotice
  const [partition, offset] = envelope.position?.split(":") ?? []
  const structured = CloudEvents.toStructured(envelope)
  return {
    ...structured,
    topic: message.topic,
    headers: {
      ...structured.headers,
      "x-error-code": errorCode,
      "x-error-message": errorMessage,
      "x-original-topic": envelope.topic,
      ...(partition === undefined || offset === undefined
        ? {}
        : { "x-original-partition": partition, "x-original-offset": offset }),
      "x-attempts": String(attempts),
      "x-consumer": consumer
    }
  }
}

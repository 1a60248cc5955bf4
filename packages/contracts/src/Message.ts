import type * as Schema from "effect/Schema"

/**
 * A kind of message: an event (a fact, past tense, on its producer's events topic) or a command (a wish, imperative, on
 * its receiver's commands topic). The name's first part is the agent that owns the topic (spec §19).
 *
 * @category models
 */
export interface Message<Name extends string, A, I = A> {
  readonly name: Name
  readonly kind: "event" | "command"
  /** CloudEvents `type`, e.g. `ecom.order.placed.v1`. */
  readonly type: string
  readonly topic: string
  readonly payload: Schema.Schema<A, I>
  /** Messages of one key are handled in the order in which they were emitted. */
  readonly key: (payload: A) => string
  /** The aggregate the message is about, where that is not the key. */
  readonly subject: (payload: A) => string
}

/** Any message, whatever its payload. */
// The key functions are contravariant in the payload, so only `any` stands for every message here.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Any = Message<string, any, any>

/** The payload of a message kind. */
export type Payload<M> = M extends Message<string, infer A, infer _> ? A : never

interface Options<A, I> {
  readonly payload: Schema.Schema<A, I>
  readonly key: (payload: A) => string
  readonly subject?: (payload: A) => string
}

const make =
  (kind: "event" | "command") =>
  <Name extends `${string}.${string}`, A, I>(name: Name, options: Options<A, I>): Message<Name, A, I> => {
    const agent = name.slice(0, name.indexOf("."))
    return {
      name,
      kind,
      type: `ecom.${name}.v1`,
      topic: `ecom.${agent}.${kind}s.v1`,
      payload: options.payload,
      key: options.key,
      subject: options.subject ?? options.key
    }
  }

/**
 * Declares an event, e.g. `Message.event("order.placed", { payload, key: (p) => p.orderId })`.
 *
 * @category constructors
 */
export const event = make("event")

/**
 * Declares a command to the agent named first, e.g. `Message.command("inventory.reserve", …)`.
 *
 * @category constructors
 */
export const command = make("command")

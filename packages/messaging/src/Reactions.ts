import type { WriteClass } from "@holdfast/contracts/CommandPolicy"
import type { Envelope } from "@holdfast/contracts/Envelope"
import type { Operation } from "@holdfast/database/Operation"
import { retention } from "@holdfast/database/Operation"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as CloudEvents from "./CloudEvents.ts"
import { type HandlerError, Unprocessable } from "./DeliveryError.ts"
import type { Subscription } from "./Subscription.ts"

type Reaction<R> = Pick<Subscription<R>, "writeClass" | "handle">

/**
 * What an agent does with each type of message, and the operations it does it in.
 *
 * @category models
 */
export interface Reactions<out R> {
  readonly topics: ReadonlyArray<string>
  readonly concerns: (envelope: Envelope) => boolean
  readonly handle: (envelope: Envelope) => Effect.Effect<void, HandlerError, R>
  /** The one operation of a message: its id makes redelivery harmless. */
  readonly operation: <E, R2>(
    envelope: Envelope,
    handler: Effect.Effect<void, E, R2>
  ) => Operation<void, E, R2>
  /** An operation about a message that failed; `step` tells those of one message apart. */
  readonly bookkeeping: <E, R2>(
    envelope: Envelope,
    step: string,
    handler: Effect.Effect<void, E, R2>
  ) => Operation<void, E, R2>
}

const writeClasses: ReadonlyArray<WriteClass> = ["mergeable", "bounded", "provisional", "refused"]

const stricter = (one: WriteClass, other: WriteClass): WriteClass =>
  writeClasses.indexOf(one) > writeClasses.indexOf(other) ? one : other

const refuse: Reaction<never> = {
  writeClass: "mergeable",
  handle: (envelope) =>
    new Unprocessable({ code: "undecodable", detail: `no CloudEvent: ${JSON.stringify(envelope.data)}` })
}

/** A letter of a type that nobody subscribes to any more. */
const unwanted: Reaction<never> = {
  writeClass: "mergeable",
  handle: (envelope) =>
    new Unprocessable({ code: "no_subscription", detail: `nothing here handles ${envelope.type} any more` })
}

/** Who asked has given up: to do it now would surprise it. */
const inTime = ({ deadline }: Envelope) =>
  deadline === undefined
    ? Effect.void
    : Effect.flatMap(Transaction.now, (now) =>
      now <= deadline ? Effect.void : new Unprocessable({
        code: "deadline_passed",
        detail: `was wanted by ${new Date(deadline).toISOString()}, came to its turn at ${new Date(now).toISOString()}`
      }))

/**
 * Reactions from subscriptions; several to one type are handled in turn, in one transaction.
 *
 * @category constructors
 */
export const make = <R>(
  agent: string,
  subscriptions: ReadonlyArray<Subscription<R>>
): Reactions<R | Transaction.Transaction> => {
  const byType = new Map<string, Reaction<R>>([[CloudEvents.undecodableType, refuse]])
  for (const next of subscriptions) {
    const known = byType.get(next.type)
    byType.set(
      next.type,
      known === undefined ? next : {
        writeClass: stricter(known.writeClass, next.writeClass),
        handle: (envelope) => Effect.zipRight(known.handle(envelope), next.handle(envelope))
      }
    )
  }
  const of = (envelope: Envelope): Reaction<R> => byType.get(envelope.type) ?? unwanted
  const inTransaction = <E, R2>(
    id: string,
    envelope: Envelope,
    writeClass: WriteClass,
    handler: Effect.Effect<void, E, R2>
  ): Operation<void, E, R2> => ({
    id,
    command: envelope.type,
    writeClass,
    fingerprint: envelope.type,
    cause: {
      correlationId: envelope.correlationId,
      causationId: envelope.id,
      ...(envelope.traceparent === undefined ? {} : { traceparent: envelope.traceparent })
    },
    keepMillis: retention.message,
    handler,
    answer: () => "",
    refusal: () => undefined
  })
  return {
    topics: [...new Set(subscriptions.map((subscription) => subscription.topic))],
    concerns: (envelope) => byType.has(envelope.type),
    handle: (envelope) => Effect.zipRight(inTime(envelope), of(envelope).handle(envelope)),
    operation: (envelope, handler) =>
      inTransaction(`msg:${agent}:${envelope.source}:${envelope.id}`, envelope, of(envelope).writeClass, handler),
    bookkeeping: (envelope, step, handler) =>
      inTransaction(`letter:${agent}:${envelope.source}:${envelope.id}:${step}`, envelope, "mergeable", handler)
  }
}

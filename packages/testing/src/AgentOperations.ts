// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import type * as Handler from "@holdfast/agent/Handler"
import type { Envelope } from "@holdfast/contracts/Envelope"
import { sourceOf } from "@holdfast/contracts/Envelope"
import type * as Message from "@holdfast/contracts/Message"
import { Database } from "@holdfast/database/Database"
import type { ExecuteError, ReadError } from "@holdfast/database/StoreError"
import type { Reader, Transaction } from "@holdfast/database/Transaction"
import type { HandlerError } from "@holdfast/messaging/DeliveryError"
import * as Reactions from "@holdfast/messaging/Reactions"
import type { Subscription } from "@holdfast/messaging/Subscription"
import * as Effect from "effect/Effect"

// Whatever the handlers ask and answer: `call` below gives each its own types back.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Open = any

type Handlers = Readonly<Record<string, Handler.Handler<never, unknown, Open, Open>>>

type RequestOf<H> = H extends { readonly run: (request: infer Request) => unknown }
  ? Omit<Request, keyof Handler.RequestContext> & Partial<Handler.RequestContext>
  : never

type ResultOf<H> = H extends { readonly run: (request: never) => infer Result } ? Result : never

type Success<H> = Effect.Effect.Success<Extract<ResultOf<H>, Effect.Effect<Open, Open, Open>>>
type Failure<H> = Effect.Effect.Error<Extract<ResultOf<H>, Effect.Effect<Open, Open, Open>>>

/**
 * An agent's handlers and reactions over its store, each call an operation as the runtime makes them, without server and
 * bus: what a test of the agent's behaviour speaks to.
 *
 * @category models
 */
export interface AgentOperations<H extends Handlers> {
  /** Calls the handler of an endpoint. Two calls with one `idempotencyKey` are one operation: the second one dies. */
  readonly call: <N extends keyof H & string>(
    name: N,
    request: RequestOf<H[N]>
  ) => Effect.Effect<Success<H[N]>, Failure<H[N]> | ReadError, Database>
  /** Delivers a message once more under the same id, or as a new one. */
  readonly hear: <Name extends string, A, I>(
    message: Message.Message<Name, A, I>,
    payload: A,
    options?: { readonly id?: string; readonly correlationId?: string }
  ) => Effect.Effect<void, HandlerError | ExecuteError, Database>
  /** Runs a job's handler as an operation of its own. */
  readonly run: <A, E>(
    job: Effect.Effect<A, E, Transaction | Reader>
  ) => Effect.Effect<void, E | ExecuteError, Database>
  /** What the agent has said so far of one kind of message, in order. */
  readonly said: <Name extends string, A, I>(
    message: Message.Message<Name, A, I>
  ) => Effect.Effect<ReadonlyArray<A>, ReadError, Database>
}

/**
 * Speaks to the agent of that name; the store comes from the context, so that each test may have its own.
 *
 * @category constructors
 */
export const make = <H extends Handlers>(
  agent: string,
  handlers: H,
  subscriptions: ReadonlyArray<Subscription<Transaction | Reader>> = []
): AgentOperations<H> => {
  const reactions = Reactions.make(agent, subscriptions)
  let unnamed = 0
  const asOperation = <A, E>(id: string, command: string, handler: Effect.Effect<A, E, Transaction | Reader>) =>
    Effect.flatMap(Database, (database) =>
      database.execute({
        id,
        command,
        writeClass: "mergeable",
        fingerprint: command,
        cause: { correlationId: id, causationId: id },
        keepMillis: 60_000,
        handler,
        answer: (value) => JSON.stringify(value) ?? "null",
        refusal: () => undefined
      }))
  return {
    call: (name, request) =>
      Effect.suspend(() => {
        const handler = handlers[name]
        if (handler === undefined) return Effect.dieMessage(`no handler ${name}`)
        const id = `test:${agent}:${request.idempotencyKey ?? `unnamed-${unnamed++}`}`
        const context: Handler.RequestContext = {
          principal: "test",
          correlationId: id,
          idempotencyKey: undefined,
          expectedVersion: undefined,
          rawBody: new Uint8Array()
        }
        // The handler's own type says what it takes and gives; the record of handlers has forgotten it.
        const effect = handler.run({ ...context, ...request } as never)
        if (handler._tag === "Query") {
          const reading = effect as Effect.Effect<Open, Open, Reader>
          return Effect.flatMap(Database, (database) => database.read(reading))
        }
        const writing = effect as Effect.Effect<Open, Open, Transaction | Reader>
        return Effect.flatMap(
          asOperation(id, name, writing),
          (outcome) =>
            outcome._tag === "Done" ? Effect.succeed(outcome.value) : Effect.dieMessage(`${id} was answered before`)
        )
      }),
    hear: (message, payload, options = {}) =>
      Effect.flatMap(Database, (database) => {
        const id = options.id ?? `msg-${unnamed++}`
        const envelope: Envelope = {
          id,
          source: sourceOf("test"),
          type: message.type,
          topic: message.topic,
          key: message.key(payload),
          subject: message.subject(payload),
          time: "2026-01-01T00:00:00.000Z",
          correlationId: options.correlationId ?? id,
          causationId: id,
          data: payload
        }
        return Effect.asVoid(database.execute(reactions.operation(envelope, reactions.handle(envelope))))
      }),
    run: (job) => Effect.suspend(() => Effect.asVoid(asOperation(`job-${unnamed++}`, "job", job))),
    said: <Name extends string, A, I>(message: Message.Message<Name, A, I>) =>
      Effect.flatMap(
        Database,
        (database) =>
          Effect.map(database.outbox.readAfter(0, [message.topic], 1_000_000), (messages) =>
            messages.filter(({ envelope }) =>
              envelope.type === message.type
            )
              // Payloads do not transform: what was emitted is what was encoded.
              .map(({ envelope }) => envelope.data as A))
      )
  }
}

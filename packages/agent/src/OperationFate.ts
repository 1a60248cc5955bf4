import { NotFound } from "@holdfast/contracts/Errors"
import { Intents, Operations, Withheld } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as HttpAnswer from "./HttpAnswer.ts"

/**
 * What became of an operation, as long as its record is kept. `waiting`: accepted during an outage, it runs when that is
 * over. `withheld`: it was answered during an outage, and its changes wait for a person; `discarded`: that person has
 * dropped them.
 *
 * @category schemas
 */
export const OperationFate = Schema.Struct({
  id: Schema.String,
  command: Schema.String,
  status: Schema.Literal("waiting", "done", "refused", "withheld", "discarded"),
  acceptedAt: Schema.String,
  answer: Schema.optional(Schema.Struct({
    status: Schema.Number,
    body: Schema.Unknown,
    location: Schema.optional(Schema.String)
  })).annotations({ description: "What its client was answered; a repeated request is answered the same" })
}).annotations({ identifier: "OperationFate" })
export type OperationFate = typeof OperationFate.Type

const iso = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(millis))

const parse = Schema.decodeUnknownEither(Schema.parseJson(Schema.Unknown))

/** The answer of an HTTP command; other operations have none that anybody else could read. */
const answerOf = (id: string, record: string): OperationFate["answer"] => {
  if (!id.startsWith("http:")) return undefined
  const { body, headers, status } = HttpAnswer.fromRecord(record)
  const location = headers?.["location"]
  return {
    status,
    body: Either.getOrElse(parse(body), () => body),
    ...(location === undefined ? {} : { location })
  }
}

/**
 * Reads what became of an operation; fails with `NotFound` for an id that nobody has used, or whose record has expired.
 *
 * @category queries
 */
export const read = (id: string) =>
  Effect.gen(function*() {
    const record = Option.getOrUndefined(yield* Transaction.get(Operations, { id }))
    const intent = Option.getOrUndefined(yield* Transaction.get(Intents, { operationId: id }))
    if (record === undefined) {
      if (intent === undefined) return yield* new NotFound({ resource: "operation", id })
      const { acceptedAt, command, status } = intent
      const fate: OperationFate = { id, command, status, acceptedAt: iso(acceptedAt) }
      return fate
    }
    const withheld = Option.getOrUndefined(yield* Transaction.get(Withheld, { operationId: id }))
    const answer = answerOf(id, record.answer)
    const fate: OperationFate = {
      id,
      command: record.command,
      status: withheld?.status === "open"
        ? "withheld"
        : withheld?.status === "discarded"
        ? "discarded"
        : record.outcome === "refused"
        ? "refused"
        : "done",
      acceptedAt: iso(intent?.acceptedAt ?? record.receivedAt),
      ...(answer === undefined ? {} : { answer })
    }
    return fate
  })

import type { Envelope } from "@holdfast/contracts/Envelope"
import * as Problem from "@holdfast/contracts/Problem"
import { DeadLettered } from "@holdfast/contracts/SystemEvents"
import type { DeadLetterStatus } from "@holdfast/database/SystemTables"
import { DeadLetters as Letters } from "@holdfast/database/SystemTables"
import type { Row } from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as DeadLetterRecord from "./DeadLetterRecord.ts"
import * as Topics from "./Topics.ts"
import type { Failed } from "./Verdict.ts"

/**
 * A message that could not be handled. `parked`: tried again at `nextAt`, or waits behind an earlier one of its key
 * (`nextAt` null); `open`: waits for a person.
 *
 * @category models
 */
export type DeadLetter = Row<typeof Letters>

/** There is no dead letter of that id. */
export class DeadLetterMissing extends Schema.TaggedError<DeadLetterMissing>()(
  "DeadLetterMissing",
  { id: Schema.String },
  Problem.problem({
    code: "dead_letter_missing",
    status: 404,
    title: "No such dead letter",
    detail: "List the dead letters of this agent and use an id from the list.",
    severity: "low",
    recovery: "fail"
  })
) {}

/** The dead letter was replayed or discarded before. */
export class DeadLetterSettled extends Schema.TaggedError<DeadLetterSettled>()(
  "DeadLetterSettled",
  { id: Schema.String, status: Schema.String },
  Problem.problem({
    code: "dead_letter_settled",
    status: 409,
    title: "The dead letter is settled",
    detail: "It was replayed or discarded before; nothing is left to do.",
    severity: "low",
    recovery: "fail"
  })
) {}

/** An earlier message of the same key waits too, and comes first. */
export class DeadLetterBehind extends Schema.TaggedError<DeadLetterBehind>()(
  "DeadLetterBehind",
  { id: Schema.String, first: Schema.String },
  Problem.problem({
    code: "dead_letter_behind",
    status: 409,
    title: "An earlier message of the same key waits",
    detail: "Replay or discard the dead letter named as `first` before this one.",
    severity: "low",
    recovery: "fail"
  })
) {}

/** The replayed message failed again; the letter stays as it is and counts the attempt. */
export class ReplayFailed extends Schema.TaggedError<ReplayFailed>()(
  "ReplayFailed",
  { id: Schema.String, error: Schema.String, reason: Schema.String },
  Problem.problem({
    code: "replay_failed",
    status: 422,
    title: "The message failed again",
    detail: "Mend what `reason` names, then replay it once more, or discard it.",
    severity: "medium",
    recovery: "fail"
  })
) {}

/**
 * Dead letters in the order in which they came; `after` continues behind the last one of the page before.
 *
 * @category queries
 */
export const list = (filter: {
  readonly status?: DeadLetterStatus
  readonly key?: string
  readonly after?: Pick<DeadLetter, "firstAt" | "id">
  readonly limit: number
}) =>
  Transaction.select(Letters, {
    where: [
      ...(filter.status === undefined ? [] : [["status", "=", filter.status] as const]),
      ...(filter.key === undefined ? [] : [["key", "=", filter.key] as const])
    ],
    orderBy: [["firstAt", "asc"], ["id", "asc"]],
    ...(filter.after === undefined ? {} : { after: [filter.after.firstAt, filter.after.id] }),
    limit: filter.limit
  })

/** The letter, if it still waits for anything: `parked` or `open`. */
export const find = (id: string) =>
  Effect.gen(function*() {
    const letter = Option.getOrUndefined(yield* Transaction.get(Letters, { id }))
    if (letter === undefined) return yield* new DeadLetterMissing({ id })
    if (letter.status === "parked" || letter.status === "open") return letter
    return yield* new DeadLetterSettled({ id, status: letter.status })
  })

/**
 * Gives a message up for good; those that wait behind it go on.
 *
 * @category commands
 */
export const discard = (id: string, by: string) =>
  Effect.zipRight(
    find(id),
    Transaction.update(
      Letters,
      { id },
      (letter) => ({ ...letter, status: "discarded" as const, nextAt: null, settledBy: by })
    )
  )

/** One letter per message: its id is the message's own. */
export const idOf = (envelope: Envelope): string => `${envelope.source}:${envelope.id}`

/** Order holds within a source, topic and key. */
export const scopeOf = (message: Scope): string => `${message.source} ${message.topic} ${message.key}`

type Scope = Pick<Envelope, "source" | "topic" | "key">

/** The first or the last parked message of a scope. */
const parked = (scope: Scope, which: "first" | "last") =>
  Effect.map(
    Transaction.select(Letters, {
      where: [
        ["key", "=", scope.key],
        ["source", "=", scope.source],
        ["topic", "=", scope.topic],
        ["status", "=", "parked"]
      ],
      orderBy: [["firstAt", which === "first" ? "asc" : "desc"]],
      limit: 1
    }),
    ([letter]) => Option.fromNullable(letter)
  )

/** Whether messages of the scope wait, so that the next one must wait behind them. */
export const isParked = (scope: Scope) => Effect.map(parked(scope, "last"), Option.isSome)

/** Whether the message is a letter, of whatever status. */
export const isLetter = (envelope: Envelope) =>
  Effect.map(Transaction.get(Letters, { id: idOf(envelope) }), Option.isSome)

/** The scopes among these keys that have letters of whatever status: the only ones worth a look at each message. */
export const scopesOf = (keys: ReadonlyArray<string>) =>
  Effect.map(
    Transaction.query(
      `select distinct source, topic, key from dead_letter where key in (${keys.map(() => "?").join(", ")})`,
      keys
    ),
    (rows) =>
      new Set(rows.map((row) =>
        scopeOf({ source: String(row["source"]), topic: String(row["topic"]), key: String(row["key"]) })
      ))
  )

/** The letter, if it may be tried now: it waits, and no earlier one of its scope does. */
export const inTurn = (id: string) =>
  Effect.gen(function*() {
    const letter = yield* find(id)
    if (letter.status !== "parked") return letter
    const first = yield* parked(letter, "first")
    return Option.isSome(first) && first.value.id !== id
      ? yield* new DeadLetterBehind({ id, first: first.value.id })
      : letter
  })

/** No earlier message of the scope of `d` is parked. */
const isFirst = `not exists (
  select 1 from dead_letter e where e.status = 'parked' and e.key = d.key and e.source = d.source
  and e.topic = d.topic and e.first_at < d.first_at
)`

/**
 * The first parked message of each scope, by when it is due. Those behind it have no time of their own: they are due as
 * soon as they are first.
 *
 * @category queries
 */
export const heads = (limit: number) =>
  Effect.map(
    Transaction.query(
      `select id, coalesce(next_at, 0) as due from dead_letter d where status = 'parked' and ${isFirst} order by 2 limit ?`,
      [limit]
    ),
    (rows) => rows.map((row) => ({ id: String(row["id"]), due: Number(row["due"]) }))
  )

/**
 * Of the first parked messages of each scope those that failed for this reason, whenever they are due; by their ids, from
 * behind `after`.
 *
 * @category queries
 */
export const headsThatFailed = (errorCode: string, after: string, limit: number) =>
  Effect.map(
    Transaction.query(
      `select id from dead_letter d where status = 'parked' and error_code = ? and id > ? and ${isFirst} order by id limit ?`,
      [errorCode, after, limit]
    ),
    (rows) => rows.map((row) => String(row["id"]))
  )

/** Why a message of a scope becomes a letter: its own failure, or the ones before it. */
export type Reason = Failed | "behind"

/**
 * Writes the letters of one scope, in order; a message that has one already keeps it. `wait` is until the next attempt of
 * a message that is tried again, in milliseconds.
 *
 * @category writing
 */
export const write = (
  agent: string,
  messages: ReadonlyArray<{ readonly envelope: Envelope; readonly reason: Reason }>,
  wait: number
) =>
  Effect.gen(function*() {
    const { now } = yield* Transaction.Transaction
    for (const { envelope, reason } of messages) {
      const id = idOf(envelope)
      if (Option.isSome(yield* Transaction.get(Letters, { id }))) continue
      const before = yield* parked(envelope, "last")
      const failed = reason !== "behind"
      const buried = failed && reason._tag === "Bury"
      yield* Transaction.insert(Letters, {
        id,
        topic: envelope.topic,
        source: envelope.source,
        eventId: envelope.id,
        key: envelope.key,
        type: envelope.type,
        envelope,
        errorCode: failed ? reason.code : "behind",
        errorMessage: failed ? sentence(reason.detail) : "waits behind an earlier message of its key",
        attempts: failed ? 1 : 0,
        // Also the order within the scope: two of one millisecond must differ.
        firstAt: Option.match(before, { onNone: () => now, onSome: ({ firstAt }) => Math.max(now, firstAt + 1) }),
        nextAt: failed && !buried ? now + wait : null,
        status: buried ? "open" : "parked",
        settledBy: null
      })
      if (buried) {
        yield* announce(agent, { envelope, errorCode: reason.code, errorMessage: sentence(reason.detail), attempts: 1 })
      }
    }
  })

/**
 * Writes that the attempt of this number failed: `wait` until the next one, or none.
 *
 * @category writing
 */
export const again = (
  agent: string,
  id: string,
  attempts: number,
  reason: { readonly code: string; readonly detail: string },
  wait: number | undefined
) =>
  Effect.gen(function*() {
    const { now } = yield* Transaction.Transaction
    const before = yield* find(id)
    const status = before.status === "parked" && wait !== undefined ? "parked" as const : "open" as const
    const letter = yield* Transaction.update(Letters, { id }, (row) => ({
      ...row,
      attempts,
      errorCode: reason.code,
      errorMessage: sentence(reason.detail),
      nextAt: status === "parked" && wait !== undefined ? now + wait : null,
      status
    }))
    if (before.status === "parked" && status === "open") {
      yield* announce(agent, {
        envelope: envelopeOf(letter),
        errorCode: reason.code,
        errorMessage: letter.errorMessage,
        attempts: letter.attempts
      })
    }
  })

/**
 * Writes that the message has been handled: a parked one leaves no trace but its operation, a replayed one says by whom.
 *
 * @category writing
 */
export const handled = (id: string, by: string | undefined) =>
  by === undefined
    ? Transaction.remove(Letters, { id })
    : Effect.asVoid(Transaction.update(
      Letters,
      { id },
      (row) => ({ ...row, status: "replayed" as const, nextAt: null, settledBy: by })
    ))

/** The message as it was. */
export const envelopeOf = (letter: DeadLetter): Envelope =>
  // Written by `write` above; the column's type is open because the kernel does not know messages.
  letter.envelope as Envelope

/** What a person reads of a failure at most; some quote what they failed for. */
const MAX_SENTENCE = 1_000

/** Not through the middle of a character. */
const sentence = (detail: string): string => detail.slice(0, MAX_SENTENCE).replace(/[\ud800-\udbff]$/, "")

/**
 * A copy of the message with the reason around it may be larger than a message may be: then it goes without its data,
 * which the table has.
 */
const copy = (agent: string, letter: DeadLetterRecord.DeadLetterNotice) =>
  Effect.catchTag(
    Transaction.emit(DeadLetterRecord.notice(agent), letter),
    "MessageTooLarge",
    () =>
      Transaction.emit(DeadLetterRecord.notice(agent), { ...letter, envelope: { ...letter.envelope, data: undefined } })
  )

/** A dead letter about a dead letter, or about a copy of one, would never end. */
const announce = (agent: string, letter: DeadLetterRecord.DeadLetterNotice) =>
  letter.envelope.type === DeadLettered.type || Topics.isDeadLetters(letter.envelope.topic)
    ? Effect.void
    : Effect.zipRight(
      Transaction.emit(DeadLettered, {
        agent,
        topic: letter.envelope.topic,
        eventId: letter.envelope.id,
        error: letter.errorCode
      }),
      copy(agent, letter)
    )

import type { Agent } from "@holdfast/agent/Agent"
import { sourceOf } from "@holdfast/contracts/Envelope"
import { retention } from "@holdfast/database/Operation"
import type { ReadError } from "@holdfast/database/StoreError"
import type { ReaderShape } from "@holdfast/database/Transaction"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Facts from "./Facts.ts"
import type { Finding } from "./Finding.ts"
import * as Invariants from "./Invariants.ts"
import type { Stores } from "./Stores.ts"

/** Messages that are looked at together. */
const PAGE = 500

const DAY = 24 * 60 * 60 * 1000

interface Hearing {
  readonly consumer: string
  readonly types: ReadonlySet<string>
  readonly topics: ReadonlyArray<string>
}

/** What an agent wants to hear; undefined for one that wants nothing. */
const hearingOf = (agent: Agent): Hearing | undefined => {
  const all = [...agent.subscriptions, ...agent.parts.flatMap((part) => part.subscriptions)]
  return all.length === 0 ? undefined : {
    consumer: agent.name,
    types: new Set(all.map(({ type }) => type)),
    topics: [...new Set(all.map(({ topic }) => topic))]
  }
}

/** All that the source has said on these topics, page by page. */
const eachPage = <A>(
  source: ReaderShape,
  topics: ReadonlyArray<string>,
  use: (page: ReadonlyArray<Facts.Pending>) => Effect.Effect<A, ReadError>
): Effect.Effect<ReadonlyArray<A>, ReadError> =>
  Effect.gen(function*() {
    const found: Array<A> = []
    let seq = 0
    for (;;) {
      const page = yield* Facts.outboxAfter(source, seq, topics, PAGE)
      if (page.length > 0) found.push(yield* use(page))
      seq = page.at(-1)?.seq ?? seq
      if (page.length < PAGE) return found
    }
  })

/** Those that the consumer wants, of which it has no record, and no letter that stands for one. */
const unheardOf = (source: string, hearing: Hearing, at: ReaderShape, said: ReadonlyArray<Facts.Pending>) =>
  Effect.gen(function*() {
    const wanted = said.filter(({ type }) => hearing.types.has(type))
    const letterOf = ({ event_id }: Facts.Pending) => `${sourceOf(source)}:${event_id}`
    const recordOf = (message: Facts.Pending) => `msg:${hearing.consumer}:${letterOf(message)}`
    const records = new Set(yield* Facts.knownOperations(at, wanted.map(recordOf)))
    const missing = wanted.filter((message) => !records.has(recordOf(message)))
    const letters = new Set(yield* Facts.knownLetters(at, missing.map(letterOf)))
    return missing.filter((message) => !letters.has(letterOf(message)))
  })

/** The record of a message that was handled is kept for its time: older messages prove nothing. */
const unheard = (source: string, from: ReaderShape, hearing: Hearing, at: ReaderShape, oldest: number) =>
  Effect.map(
    eachPage(
      from,
      hearing.topics,
      (page) => unheardOf(source, hearing, at, page.filter(({ created_at }) => created_at > oldest))
    ),
    (pages) => pages.flat()
  )

/** On the bus that agents of one process share, a consumer has heard a source up to its cursor, which is saved late. */
const behindCursor = (source: string, from: ReaderShape, hearing: Hearing, at: ReaderShape) =>
  Effect.gen(function*() {
    const cursors = new Map((yield* Facts.cursors(at)).map((cursor) => [cursor.source, cursor.seq]))
    const place = cursors.get(sourceOf(source)) ?? cursors.get(source) ?? 0
    return yield* unheardOf(source, hearing, at, yield* Facts.outboxAfter(from, place, hearing.topics, PAGE))
  })

/**
 * What has been said and not been published, or not been handled by an agent that wants it.
 *
 * @category checks
 */
export const check = (options: {
  readonly agents: ReadonlyArray<Agent>
  readonly stores: Stores
  /** Whether Postgres holds the stores of record. */
  readonly hasPrimary: boolean
  readonly hasBroker: boolean
}): Effect.Effect<ReadonlyArray<Finding>, ReadError> =>
  Effect.gen(function*() {
    const { agents, hasBroker, hasPrimary } = options
    const records = [...options.stores.records]
    const oldest = (yield* Clock.currentTimeMillis) - retention.message + DAY
    const unpublished = !hasBroker ? [] : yield* Effect.forEach(records, ([source, reader]) =>
      Effect.map(
        hasPrimary ? Facts.unmarked(reader) : Facts.behindPublished(reader),
        (pending) => Invariants.unpublished(source, pending)
      ))
    const hearings = agents.flatMap((agent) => hearingOf(agent) ?? [])
    const undelivered = yield* Effect.forEach(hearings, (hearing) => {
      const at = options.stores.records.get(hearing.consumer)
      return at === undefined ? Effect.succeed([]) : Effect.forEach(records, ([source, from]) =>
        Effect.map(
          // The cursors of the bus in the process are in its files alone.
          hasBroker || hasPrimary
            ? unheard(source, from, hearing, at, oldest)
            : behindCursor(source, from, hearing, at),
          (pending) => Invariants.undelivered(source, hearing.consumer, pending)
        ))
    })
    return [...unpublished.flat(), ...undelivered.flat(2)]
  })

import { sourceOf } from "@holdfast/contracts/Envelope"
import type { ReadError } from "@holdfast/database/StoreError"
import { Cursors } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as RetryPolicy from "@holdfast/resilience/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { DependencyAway } from "./DeliveryError.ts"
import { EventBus, type EventBusShape, type Member } from "./EventBus.ts"

/** At most this many messages are delivered at once. */
const BATCH = 256

/** Cursors are written this long after they moved: after a crash the messages since are recognised, not handled again. */
const SAVE_AFTER = "1 second"

/** Pauses of a lane whose deliveries fail: for ever, at most 5 s apart, one message at a time. */
const pauses: RetryPolicy.RetryPolicy = { ...RetryPolicy.background, cap: "5 seconds" }

/** How far an agent has heard a source; `saved` is what its store says. */
interface Cursor {
  seq: number
  saved: number
}

interface Present {
  readonly member: Member
  /** By source. They outlive the lane, so that a source that leaves and returns is continued. */
  readonly cursors: Map<string, Cursor>
  /** Opened when a cursor has moved. */
  readonly moved: Effect.Latch
}

interface Running {
  readonly consumer: Present
  readonly source: Present
  readonly state: { paused: boolean; lastError: string | undefined }
  readonly fiber: Fiber.RuntimeFiber<never>
}

const nameOf = (present: Present): string => present.member.database.agent

/** Where the consumer goes on in the source's log: where it was, or at the beginning if the log is a new one. */
const openCursor = (consumer: Present, source: Present): Effect.Effect<Cursor, ReadError> => {
  const name = sourceOf(nameOf(source))
  const known = consumer.cursors.get(name)
  const stored = known === undefined
    ? Effect.map(consumer.member.database.read(Transaction.get(Cursors, { source: name })), (row) => {
      const seq = Option.match(row, { onNone: () => 0, onSome: (cursor) => cursor.seq })
      return { seq, saved: seq }
    })
    : Effect.succeed(known)
  return Effect.map(stored, (cursor) => {
    if (cursor.seq > source.member.database.outbox.lastSeq()) cursor.seq = 0
    consumer.cursors.set(name, cursor)
    return cursor
  })
}

const saveCursors = (consumer: Present) =>
  Effect.suspend(() => {
    const moved = [...consumer.cursors].filter(([, cursor]) => cursor.seq !== cursor.saved)
      .map(([source, cursor]) => ({ source, cursor, seq: cursor.seq }))
    if (moved.length === 0) return Effect.void
    const write = Effect.forEach(moved, ({ seq, source }) =>
      Effect.flatMap(
        Transaction.get(Cursors, { source }),
        Option.match({
          onNone: () => Transaction.insert(Cursors, { source, seq }),
          onSome: () => Transaction.update(Cursors, { source }, () => ({ source, seq }))
        })
      ), { discard: true })
    return Effect.map(consumer.member.database.housekeep("cursors", write), () => {
      for (const { cursor, seq } of moved) cursor.saved = seq
    })
  })

const keepCursorsSaved = (consumer: Present): Effect.Effect<never> =>
  consumer.moved.await.pipe(
    Effect.andThen(Effect.sleep(SAVE_AFTER)),
    Effect.andThen(Effect.sync(() => consumer.moved.unsafeClose())),
    Effect.andThen(saveCursors(consumer)),
    // The store is away: the cursors stay as they were, which costs repeated deliveries after a crash and nothing else.
    Effect.catchAll(() => Effect.sync(() => consumer.moved.unsafeOpen())),
    Effect.forever
  )

/**
 * Carries one source's messages to one consumer. Woken by the source's commits, never by a clock; a clock runs only while
 * deliveries fail.
 */
const runLane = (
  consumer: Present,
  source: Present,
  state: Running["state"]
): Effect.Effect<never> => {
  const { outbox } = source.member.database
  const { deliver, topics } = consumer.member
  const wake = Effect.unsafeMakeLatch(true)
  /** Everything up to here was committed when the last signal came, or when the lane began. */
  let horizon = 0
  let failures = 0
  let opened: Cursor | undefined

  const round: Effect.Effect<void, DependencyAway | ReadError> = Effect.gen(function*() {
    yield* wake.await
    wake.unsafeClose()
    const cursor = opened ??= yield* openCursor(consumer, source)
    const seen = horizon
    const limit = failures === 0 ? BATCH : 1
    const batch = yield* outbox.readAfter(cursor.seq, topics, limit)
    if (batch.length > 0) yield* deliver(batch.map((message) => message.envelope))
    const before = cursor.seq
    const last = batch.at(-1)?.seq ?? before
    // A short batch holds all that was there of these topics, so that the messages of other topics need no second look.
    cursor.seq = batch.length === limit ? last : Math.max(last, seen)
    if (cursor.seq !== before) consumer.moved.unsafeOpen()
    if (batch.length === limit) wake.unsafeOpen()
    if (state.paused) yield* Effect.logInfo(`${nameOf(consumer)} hears ${nameOf(source)} again`)
    failures = 0
    state.paused = false
    state.lastError = undefined
  })

  const pause = (cause: Cause.Cause<DependencyAway | ReadError>) =>
    Effect.gen(function*() {
      const error = Cause.squash(cause)
      state.lastError = error instanceof Error ? error.message : String(error)
      if (!state.paused) {
        yield* Effect.logWarning(`${nameOf(consumer)} pauses to hear ${nameOf(source)}: ${state.lastError}`)
      }
      state.paused = true
      wake.unsafeOpen()
      yield* Effect.sleep(Duration.millis(RetryPolicy.delay(pauses, ++failures, 0, yield* Random.next)))
    })

  return Effect.acquireUseRelease(
    Effect.sync(() => {
      const stop = outbox.onAppend(() => {
        horizon = outbox.lastSeq()
        wake.unsafeOpen()
      })
      horizon = outbox.lastSeq()
      return stop
    }),
    // A defect of a delivery must not end the lane either: it would be silent.
    () => Effect.annotateLogs(Effect.forever(Effect.catchAllCause(round, pause)), "agent", nameOf(consumer)),
    (stop) => Effect.sync(stop)
  )
}

const make: Effect.Effect<EventBusShape> = Effect.sync(() => {
  const members = new Set<Present>()
  const lanes = new Set<Running>()

  const open = (consumer: Present, source: Present) => {
    if (consumer.member.topics.length === 0) return Effect.void
    const state: Running["state"] = { paused: false, lastError: undefined }
    return Effect.map(
      Effect.forkDaemon(Effect.interruptible(runLane(consumer, source, state))),
      (fiber) => void lanes.add({ consumer, source, state, fiber })
    )
  }

  const enter = (member: Member) =>
    Effect.gen(function*() {
      const present: Present = { member, cursors: new Map(), moved: Effect.unsafeMakeLatch(false) }
      members.add(present)
      for (const other of members) {
        yield* open(present, other)
        if (other !== present) yield* open(other, present)
      }
      const saver = yield* Effect.forkDaemon(Effect.interruptible(keepCursorsSaved(present)))
      return { present, saver }
    })

  const leave = ({ present, saver }: Effect.Effect.Success<ReturnType<typeof enter>>) =>
    Effect.gen(function*() {
      members.delete(present)
      const ended = [...lanes].filter((lane) => lane.consumer === present || lane.source === present)
      for (const lane of ended) lanes.delete(lane)
      yield* Fiber.interruptAll([saver, ...ended.map((lane) => lane.fiber)])
      // As above: unsaved cursors cost repetitions only.
      yield* Effect.catchAll(saveCursors(present), () => Effect.void)
    })

  return {
    broker: undefined,
    publishing: () => [],
    standing: (agent) =>
      [...members].some(({ member }) => member.database.agent === agent)
        ? { isHearing: true, isSending: true }
        : undefined,
    join: (member) => Effect.asVoid(Effect.acquireRelease(enter(member), leave)),
    lanes: () =>
      [...lanes].map(({ consumer, source, state }) => {
        const position = consumer.cursors.get(sourceOf(nameOf(source)))?.seq ?? 0
        return {
          consumer: nameOf(consumer),
          source: nameOf(source),
          position,
          lag: Math.max(0, source.member.database.outbox.lastSeq() - position),
          ...state
        }
      })
  }
})

/**
 * The bus without a broker: the outboxes of the agents in this process are the log, their stores keep the cursors.
 *
 * @category layers
 */
export const layer: Layer.Layer<EventBus> = Layer.effect(EventBus, make)

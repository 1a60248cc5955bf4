import type { Envelope } from "@holdfast/contracts/Envelope"
import type { DatabaseShape, OutboxMessage } from "@holdfast/database/Database"
import * as TimeSource from "@holdfast/resilience/TimeSource"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import KafkaJS, { type Admin } from "kafkajs"
import type { Publishing } from "../EventBus.ts"
import * as KafkaConfig from "../KafkaConfig.ts"
import * as KafkaError from "../KafkaError.ts"
import * as Topics from "../Topics.ts"
import * as KafkaAcknowledged from "./KafkaAcknowledged.ts"
import { retry } from "./KafkaClient.ts"
import * as KafkaRecord from "./KafkaRecord.ts"
import * as KafkaSession from "./KafkaSession.ts"
import type { KafkaTopics } from "./KafkaTopics.ts"
import type { KafkaWatch } from "./KafkaWatch.ts"

/** Messages in one request at most, and bytes: those of one partition must fit into the broker's limit of 1 MiB. */
const BATCH = 256
const BATCH_BYTES = 512 * 1024

/** What a broker takes by default, and all that is ever sent fits into. */
const DEFAULT_LIMIT_BYTES = 1_048_588

const limitFor = (envelope: Envelope): number =>
  Math.max(DEFAULT_LIMIT_BYTES, KafkaRecord.bytesOf(envelope) + BATCH_BYTES)

/** The broker acknowledges when every replica that is in sync has it. */
const ALL_IN_SYNC = -1

/** On a new cluster the topics are made first; that they have not been looked at is no failure for so long. */
const FIRST_LOOK_MILLIS = 10_000

/**
 * Publishes what one agent commits.
 *
 * @category models
 */
export interface KafkaRelay {
  /** Publishes until `finish` has been called and nothing is left, or publishing fails then. */
  readonly run: Effect.Effect<void>
  readonly finish: () => void
  readonly publishing: () => Publishing
  /** What is committed is taken, or would be if there were anything. */
  readonly isSending: () => boolean
}

/**
 * The relay of a store's outbox.
 *
 * Order per key holds whatever fails. A batch is sent again, the same, until the broker has acknowledged all of it; only
 * then the next one is looked for. So before a message is sent for the first time, every earlier one is in its partition.
 * What becomes of an attempt that was given up is unknown: it may land now, later or never, and cannot be taken back.
 * Landing late, behind newer messages, it adds only messages that the partition has already, further ahead; consumers have
 * settled those under their ids and recognise them. The first occurrences of the messages stand in the order of the outbox,
 * and effects follow first occurrences. The same holds for two processes of an agent of which one has lost the outbox
 * and does not know it yet: both publish stretches of one order that begin at or before what was acknowledged.
 *
 * Late arrivals are kept few all the same. An attempt that failed or was given up loses its sockets at once (see
 * `KafkaSession`): what of it has not left never will. The next attempt has to be answered on a new connection before it
 * sends anything, so that a stalled broker finds one copy of the batch when it wakes, and not one for each attempt.
 *
 * @category constructors
 */
export const make = (
  config: KafkaConfig.KafkaConfig,
  database: DatabaseShape,
  admin: KafkaSession.KafkaSession<Admin>,
  topics: KafkaTopics,
  watch: KafkaWatch
): Effect.Effect<KafkaRelay, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { agent, outbox, relay } = database
    const { timing } = config
    const time = yield* TimeSource.current
    const madeAt = time.now()
    const producer = yield* KafkaSession.make(
      config,
      (kafka) =>
        kafka.producer({
          // An idempotent one loses messages: after an attempt that timed out, kafkajs numbers the next batch like the one
          // that may have landed, and the broker takes it for a repetition, acknowledges it and drops it.
          idempotent: false,
          allowAutoTopicCreation: false,
          createPartitioner: KafkaJS.Partitioners.DefaultPartitioner,
          retry: retry.once
        }),
      watch.look
    )
    const acknowledged = KafkaAcknowledged.make(config, admin, topics)
    /** Undefined after a failure: what answers next may be another broker, or know less. */
    let comparedAt: number | undefined = time.now()
    const wake = Effect.unsafeMakeLatch(true)
    let finishing = false
    let prepared = false
    let position: number | undefined
    let oldestAt: number | undefined
    let lastError: string | undefined
    let failures = 0
    /** Less than a batch after the broker has found one too large. */
    let most = BATCH

    const succeeded = Effect.suspend(() => {
      failures = 0
      if (lastError === undefined) return Effect.void
      lastError = undefined
      watch.look()
      return Effect.logInfo(`${agent} publishes again`)
    })

    const failed = (cause: Cause.Cause<{ readonly message: string }>) =>
      Effect.gen(function*() {
        const error = Cause.squash(cause)
        const before = lastError
        lastError = error instanceof Error ? error.message : String(error)
        watch.lost(lastError)
        topics.forget()
        comparedAt = undefined
        // A broker that was away and is back may still refuse what it is offered.
        if (before === undefined || (KafkaError.isCritical(error) && lastError !== before)) {
          yield* KafkaError.log(`${agent} cannot publish its messages and tries on`, error)
        }
        yield* watch.pause(++failures)
      })

    /** Repeats it until it succeeds; when the agent is about to leave, a failure is the end. */
    const insistently = <A, E extends { readonly message: string }>(self: Effect.Effect<A, E>) =>
      Effect.gen(function*() {
        for (;;) {
          const exit = yield* Effect.exit(self)
          if (Exit.isSuccess(exit)) {
            yield* succeeded
            return true
          }
          yield* failed(exit.cause)
          if (finishing) return false
        }
      })

    /**
     * Sends the first of these messages, as many as go at once, and answers how many; fewer when the broker finds them too
     * large together. What it has taken then comes again, which changes no order: a prefix is sent before what follows it.
     */
    const send = (envelopes: ReadonlyArray<Envelope>): Effect.Effect<number, KafkaError.KafkaError> =>
      Effect.suspend(() => {
        const batch = KafkaRecord.batchOf(envelopes.slice(0, most), config.prefix, BATCH_BYTES)
        const sent = producer.use("publish", timing.send, (kafka) =>
          kafka.sendBatch({
            acks: ALL_IN_SYNC,
            timeout: KafkaConfig.millis(config, "request"),
            topicMessages: batch.topicMessages
          }))
        return Effect.matchEffect(Effect.zipRight(topics.ensure(batch.topics), sent), {
          onSuccess: (answer) => {
            acknowledged.add(answer)
            // Slowly: each refusal costs a connection.
            most = Math.min(BATCH, most + 1)
            return Effect.succeed(batch.taken)
          },
          onFailure: (error) => {
            const [only] = envelopes
            if (!KafkaError.isTooLarge(error) || only === undefined) return Effect.fail(error)
            if (batch.taken === 1) return Effect.fail(refusing(only, error))
            most = Math.ceil(batch.taken / 2)
            return send(envelopes)
          }
        })
      })

    const compared = Effect.suspend(() => {
      const now = time.now()
      if (comparedAt !== undefined && now - comparedAt < KafkaConfig.millis(config, "compareEvery")) return Effect.void
      return Effect.map(acknowledged.compare, () => {
        comparedAt = now
      })
    })

    /**
     * Sends what it can of these messages, however long it takes. Answers how many; none where the brokers turn out to have
     * lost earlier ones, which come first; `undefined` when it has ended before.
     */
    const deliver = (messages: ReadonlyArray<OutboxMessage>) =>
      Effect.gen(function*() {
        let taken = 0
        const once = Effect.zipRight(
          compared,
          Effect.suspend(() =>
            acknowledged.hasLost() ? Effect.succeed(0) : send(messages.map(({ envelope }) => envelope))
          )
        )
        const isDone = yield* insistently(Effect.map(once, (amount) => {
          taken = amount
        }))
        return isDone ? taken : undefined
      })

    /**
     * Publishes again what brokers have lost that had acknowledged it: all of those topics that the outbox still has, in its
     * order, before anything else. Consumers recognise what they have handled.
     */
    const restore = Effect.gen(function*() {
      const lost = acknowledged.takeLost()
      const last = outbox.lastSeq()
      yield* Effect.logError(
        `${agent}: messages of ${lost.join(", ")} that the broker had acknowledged are lost; ` +
          "all that the outbox still has of them is published again"
      )
      let after = 0
      let amount = 0
      for (;;) {
        const messages = (yield* outbox.readAfter(after, lost, BATCH)).filter(({ seq }) => seq <= last)
        if (messages.length === 0) break
        const taken = yield* deliver(messages)
        const reached = messages[(taken ?? 0) - 1]
        if (reached === undefined) return acknowledged.putBack(lost)
        after = reached.seq
        amount += taken ?? 0
      }
      yield* Effect.logInfo(`${agent} has published ${amount} messages again`)
    })

    /** Names the message: somebody has to find out why it is so large, or have it taken. */
    const refusing = (envelope: Envelope, { cause, code, detail }: KafkaError.BrokerRefused) =>
      new KafkaError.BrokerRefused({
        operation: "publish",
        code,
        detail: `${config.prefix}${envelope.topic} does not take ${envelope.type} ${envelope.id} of ` +
          `${KafkaRecord.bytesOf(envelope)} bytes, and what comes after it waits; set its max.message.bytes, or ` +
          `message.max.bytes of the brokers, to ${limitFor(envelope)} at least: ${detail}`,
        cause
      })

    const look = (limit: number) =>
      Effect.tap(relay.pending(limit), ([oldest]) => {
        oldestAt = oldest === undefined ? undefined : Date.parse(oldest.envelope.time)
      })

    /** Publishes the oldest messages. Answers whether there may be more. */
    const publish = Effect.gen(function*() {
      if (!prepared) {
        const ensure = topics.ensure(Topics.declared([agent]).map(({ name }) => name))
        // However long the brokers are away at the start, how old the oldest message is can be said.
        prepared = yield* insistently(Effect.ensuring(ensure, Effect.ignore(look(1))))
      }
      if (!prepared) return false
      const pending = yield* look(BATCH)
      if (acknowledged.hasLost()) yield* restore
      if (pending.length === 0) {
        yield* insistently(compared)
        return acknowledged.hasLost() && !finishing
      }
      const taken = yield* deliver(pending)
      const last = pending[(taken ?? 0) - 1]
      if (taken === undefined || last === undefined) return acknowledged.hasLost() && !finishing
      position = last.seq
      oldestAt = undefined
      yield* relay.published(last.seq)
      return taken < pending.length || pending.length === BATCH
    })

    /** The store fails, or there is a bug: neither may end the relay, it would be silent. */
    const stumbled = (cause: Cause.Cause<{ readonly message: string }>) =>
      Effect.gen(function*() {
        yield* Effect.logWarning(`${agent} cannot read what it has to publish and tries on`, cause)
        yield* watch.pause(++failures)
        return !finishing
      })

    const run = Effect.gen(function*() {
      for (;;) {
        wake.unsafeClose()
        const more = yield* Effect.catchAllCause(publish, stumbled)
        if (more) continue
        if (finishing) return
        yield* Effect.timeoutOption(wake.await, timing.poll)
      }
    })

    const subscribed = Effect.acquireRelease(
      Effect.sync(() => outbox.onAppend(() => wake.unsafeOpen())),
      (stop) => Effect.sync(stop)
    )

    return {
      run: Effect.scoped(Effect.zipRight(subscribed, run)),
      finish: () => {
        finishing = true
        wake.unsafeOpen()
      },
      publishing: () => ({
        agent,
        position,
        pending: relay.depth(),
        oldestAt,
        lastError: lastError ??
          (prepared || time.now() - madeAt < FIRST_LOOK_MILLIS ? undefined : "its topics have not been looked at yet")
      }),
      isSending: () => prepared && lastError === undefined
    }
  })

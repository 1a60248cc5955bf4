import * as Deadline from "@holdfast/resilience/Deadline"
import * as Dependency from "@holdfast/resilience/Dependency"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { EventBus, type EventBusShape, type Member } from "./EventBus.ts"
import * as KafkaClient from "./internal/KafkaClient.ts"
import * as KafkaConsumer from "./internal/KafkaConsumer.ts"
import * as KafkaLag from "./internal/KafkaLag.ts"
import * as KafkaRelay from "./internal/KafkaRelay.ts"
import * as KafkaSession from "./internal/KafkaSession.ts"
import * as KafkaTopics from "./internal/KafkaTopics.ts"
import * as KafkaWatch from "./internal/KafkaWatch.ts"
import type { KafkaConfig } from "./KafkaConfig.ts"
import { BrokerAway } from "./KafkaError.ts"

interface Present {
  readonly agent: string
  readonly scope: Scope.CloseableScope
  readonly relay: KafkaRelay.KafkaRelay
  readonly relaying: Fiber.RuntimeFiber<void>
  /** None for an agent that wants to hear nothing. */
  readonly consumer: KafkaConsumer.KafkaConsumer | undefined
  readonly hearing: Fiber.RuntimeFiber<never> | undefined
}

const make = (config: KafkaConfig): Effect.Effect<EventBusShape, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { timing } = config
    const members = new Set<Present>()
    const consumers = () => [...members].flatMap(({ consumer }) => consumer ?? [])
    const unmeasured = yield* Effect.makeLatch(false)
    let answering = false

    // Those who use the broker tell its watch what they see, and it asks them how they are.
    let dependency: Dependency.Dependency | undefined
    const { answers, watch } = KafkaWatch.make({
      lost: (cause) => dependency?.unsafeLost(cause),
      look: () => dependency?.unsafeProbe(),
      measure: () => unmeasured.unsafeOpen()
    })
    const admin = yield* KafkaSession.make(
      config,
      (kafka) => kafka.admin({ retry: KafkaClient.retry.once }),
      // They are the probe's own connections: where each is ended at once, looking again at once would never end.
      () => {}
    )
    const topics = KafkaTopics.make(config, admin)

    /** A connection proves nothing, an answer does; and whoever uses the broker has to have one too. */
    const probe = Effect.gen(function*() {
      const exit = yield* Effect.exit(admin.use("probe", timing.probe, (kafka) => kafka.describeCluster()))
      if (Exit.isSuccess(exit) && !answering) answers()
      answering = Exit.isSuccess(exit)
      yield* exit
      for (const { consumer, relay } of members) {
        const fault = relay.publishing().lastError ?? (consumer?.isNew() === true ? undefined : consumer?.fault())
        if (fault !== undefined) return yield* new BrokerAway({ operation: "probe", detail: fault })
      }
    })
    const broker = dependency = yield* Dependency.make({
      name: "kafka",
      probe,
      timeout: timing.probe,
      interval: timing.probeEvery
    })

    const measureForEver = Effect.suspend(() => answering ? KafkaLag.measure(config, admin, consumers()) : Effect.void)
      .pipe(
        // What was measured last stands until the next time.
        Effect.catchAllCause((cause) => Effect.logDebug("the lag of partitions cannot be measured", cause)),
        Effect.zipRight(Effect.timeoutOption(unmeasured.await, timing.measureEvery)),
        Effect.zipRight(Effect.sync(() => unmeasured.unsafeClose())),
        Effect.forever
      )
    yield* Effect.forkScoped(Effect.interruptible(measureForEver))

    const enter = (member: Member) =>
      Effect.gen(function*() {
        const fork = <A>(self: Effect.Effect<A>) =>
          Effect.forkDaemon(Effect.annotateLogs(Effect.interruptible(self), "agent", member.database.agent))
        const scope = yield* Scope.make()
        const relay = yield* Scope.extend(KafkaRelay.make(config, member.database, admin, topics, watch), scope)
        const consumer = member.topics.length === 0
          ? undefined
          : yield* KafkaConsumer.make(config, member, topics, watch)
        const present: Present = {
          agent: member.database.agent,
          scope,
          relay,
          relaying: yield* fork(relay.run),
          consumer,
          hearing: consumer === undefined ? undefined : yield* fork(consumer.run)
        }
        members.add(present)
        return present
      })

    /** Hears nothing more, then publishes what is committed, each within its time. */
    const leave = (present: Present) =>
      Effect.gen(function*() {
        members.delete(present)
        if (present.hearing !== undefined) yield* Fiber.interrupt(present.hearing)
        present.relay.finish()
        if (present.relay.publishing().lastError === undefined) {
          yield* Effect.ignore(Deadline.within(timing.flush, "flush")(Fiber.await(present.relaying)))
        }
        yield* Fiber.interrupt(present.relaying)
        yield* Scope.close(present.scope, Exit.void)
      })

    return {
      broker,
      join: (member) => Effect.asVoid(Effect.acquireRelease(enter(member), leave)),
      lanes: () => consumers().flatMap((consumer) => consumer.partitions.lanes()),
      publishing: () => [...members].map(({ relay }) => relay.publishing()),
      standing: (agent) => {
        const present = [...members].find((one) => one.agent === agent)
        return present === undefined ? undefined : {
          isHearing: answering && present.consumer?.fault() === undefined,
          isSending: answering && present.relay.isSending()
        }
      }
    }
  })

/**
 * The bus on Kafka: each agent publishes its outbox in order, and hears its topics as the group `holdfast.<agent>`, whose
 * processes share the partitions. Needs no broker to be built or joined; nothing is lost or given up while there is none.
 * Groups and topics of another `prefix` are another bus.
 *
 * @category layers
 */
export const layer = (config: KafkaConfig): Layer.Layer<EventBus> => Layer.scoped(EventBus, make(config))

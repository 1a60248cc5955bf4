import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Kafka } from "kafkajs"
import type { KafkaConfig } from "../KafkaConfig.ts"
import type { BrokerAway, BrokerRefused } from "../KafkaError.ts"
import * as KafkaClient from "./KafkaClient.ts"

/** What the library calls a producer or an admin, as far as it is the same. */
interface Connectable {
  readonly connect: () => Promise<void>
  readonly disconnect: () => Promise<void>
}

/**
 * A producer or an admin that is connected when it is first used.
 *
 * @category models
 */
export interface KafkaSession<out C> {
  /**
   * Uses it, within the time given. After a call that failed or was not waited for, all of it is thrown away, and the
   * next call has a new one: the library's own ways to recover are many, and some end nowhere.
   */
  readonly use: <A>(
    operation: string,
    within: Duration.DurationInput,
    run: (connected: C) => Promise<A>
  ) => Effect.Effect<A, BrokerAway | BrokerRefused>
}

const whyOf = (cause: Cause.Cause<BrokerAway | BrokerRefused>): string => {
  const failure = Cause.failureOption(cause)
  return Option.isSome(failure) ? failure.value.message : "nobody waits for the answer"
}

/** How long to wait for a farewell, which nothing depends on. */
const FAREWELL = "500 millis"

/**
 * @category constructors
 */
export const make = <C extends Connectable>(
  config: KafkaConfig,
  create: (kafka: Kafka) => C,
  disconnected: () => void
): Effect.Effect<KafkaSession<C>, never, Scope.Scope> => {
  interface Open {
    readonly client: KafkaClient.KafkaClient
    readonly session: C
    readonly connected: Promise<void>
  }
  let current: Open | undefined

  const open = Effect.map(KafkaClient.open(config, disconnected), (client): Open => {
    const session = create(client.kafka)
    const connected = session.connect()
    // Each call awaits it too; where there is none left, nobody would.
    connected.catch(() => {})
    return current = { client, session, connected }
  })

  const discard = (used: Open, why: string) =>
    Effect.sync(() => {
      if (current === used) current = undefined
      used.client.close(why)
    })

  const use: KafkaSession<C>["use"] = (operation, within, run) =>
    Effect.flatMap(
      Effect.suspend(() => current === undefined ? open : Effect.succeed(current)),
      (used) =>
        KafkaClient.call(operation, within, () => used.connected.then(() => run(used.session))).pipe(
          Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : discard(used, whyOf(exit.cause)))
        )
    )

  return Effect.as(
    Effect.addFinalizer(() =>
      Effect.suspend(() => {
        const last = current
        if (last === undefined) return Effect.void
        return Effect.zipRight(
          Effect.ignore(KafkaClient.call("disconnect", FAREWELL, () => last.session.disconnect())),
          discard(last, "not needed any more")
        )
      })
    ),
    { use }
  )
}

import * as Deadline from "@holdfast/resilience/Deadline"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Failback from "./Failback.ts"
import { quote, type Statement } from "./PostgresConnection.ts"
import type { PostgresError } from "./PostgresError.ts"
import * as PostgresSchema from "./PostgresSchema.ts"
import type { PostgresWatch } from "./PostgresWatch.ts"
import type { ReplicaState } from "./ReplicaState.ts"
import * as SqliteReader from "./SqliteReader.ts"

/**
 * A process among those that follow the same primary.
 *
 * @category models
 */
export interface Followers {
  /** Before this process writes: the others know of it, and ask for what it commits. */
  readonly introduce: Effect.Effect<void, PostgresError>
  /** Another history answers: nobody there has heard of this process. */
  readonly forget: () => void
  /** See `DatabaseShape.fresh`. */
  readonly fresh: Effect.Effect<void>
  /** Gives signs of life and follows the others, for as long as the scope lives. `also` is done with each sign. */
  readonly start: (also: Effect.Effect<void, PostgresError>) => Effect.Effect<void, never, Scope.Scope>
}

/** Between two signs of life, in milliseconds. */
const BEAT_MILLIS = 1_000

/** A newcomer writes only after the others have heard of it; so does who has been silent for longer than they remember. */
const INTRODUCTION = Duration.millis(1.5 * BEAT_MILLIS)
const REMEMBERED_SECONDS = 10

/** How long a read waits to hear of what others have committed. */
const FRESH_WITHIN = Duration.millis(500)

/** A table of the agent's schema, named in full: the watch's session belongs to no agent. */
export const qualified = (agent: string, table: string): string => `${quote(PostgresSchema.nameOf(agent))}.${table}`

/**
 * The others that follow the primary of these sides, and this process among them.
 *
 * @category constructors
 */
export const make = (options: {
  readonly instance: string
  /** The file's own name; none where the file does not outlive the process, which cannot work alone then. */
  readonly identity: string | undefined
  readonly watch: PostgresWatch
  readonly sides: Failback.Sides
  readonly state: ReplicaState
}): Followers => {
  const { identity = "", instance, sides, state, watch } = options
  const { agent, core, shadow } = sides
  const name = `${identity}/${instance}`
  const replicas = qualified(agent, "replica")
  /** When this process last gave a sign of life. */
  let beatenAt = -Infinity

  const statement = (): Statement => ({
    name: `beat ${agent}`,
    text: `with beat as (
        insert into ${replicas} (instance, seen_at, change_n) values ($1, now(), $2)
        on conflict (instance) do update set seen_at = now(), change_n = excluded.change_n),
      other as (
        select split_part(instance, '/', 1) as file, seen_at > now() - interval '${REMEMBERED_SECONDS} seconds' as here
        from ${replicas} where instance <> $1)
      select head,
        (select count(*) from other where here) as others,
        (select count(distinct file) from other where not here and file not in ('', $3)
          and file not in (select file from other where here)) as absent
      from ${qualified(agent, "replication")} where id = 1`,
    values: [name, shadow.standing()?.changeN ?? 0, identity]
  })
  const beat = Effect.map(Effect.suspend(() => watch.run([statement()])), ([result]) => {
    beatenAt = performance.now()
    state.others = Number(result?.rows[0]?.["others"] ?? 0)
    state.absent = Number(result?.rows[0]?.["absent"] ?? 0)
    state.knownHead = Number(result?.rows[0]?.["head"] ?? 0)
  })
  /** With nothing of its own left to bring, nobody has to leave this file its share; unsaid, it keeps it for a day. */
  const leave = Effect.suspend(() =>
    state.mode === "primary" && state.pending === 0
      ? Effect.ignore(watch.run([{
        text: `delete from ${replicas} where instance = $1 or split_part(instance, '/', 1) = nullif($2, '')`,
        values: [name, identity]
      }]))
      : Effect.void
  )

  /** Of a head that was asked for at the given moment. */
  const catchUp = (asked: number) =>
    Effect.gen(function*() {
      const head = yield* SqliteReader.attemptRead("shadow", () => shadow.standing()?.head ?? 0)
      if (state.knownHead > head) {
        yield* core.exclusive(Effect.gen(function*() {
          if (state.mode !== "primary" || !(yield* Failback.catchUp(sides))) return
          yield* Effect.logError(`the ${agent} agent's file differed from Postgres and is copied anew`)
          yield* Failback.copy(sides)
        }))
      }
      if (state.mode === "primary") state.asOf = Math.max(state.asOf, asked)
    })

  const askHead = Effect.gen(function*() {
    const asked = yield* Clock.currentTimeMillis
    const [result] = yield* watch.run([{
      name: `head ${agent}`,
      text: `select head from ${qualified(agent, "replication")} where id = 1`
    }])
    state.knownHead = Number(result?.rows[0]?.["head"] ?? 0)
    yield* catchUp(asked)
  })
  let asking: Promise<void> | undefined
  /** Asks once for all who ask at the same time; who comes later asks anew. */
  const askTogether = Effect.async<void>((resume) => {
    asking ??= new Promise((resolve) => {
      queueMicrotask(() => {
        asking = undefined
        Effect.runFork(Effect.ignore(askHead)).addObserver(() => resolve())
      })
    })
    void asking.then(() => resume(Effect.void))
  })

  return {
    introduce: Effect.suspend(() =>
      performance.now() - beatenAt < (REMEMBERED_SECONDS - 2) * 1_000
        ? Effect.void
        : Effect.zipRight(beat, Effect.suspend(() => state.others > 0 ? Effect.sleep(INTRODUCTION) : Effect.void))
    ),
    forget: () => {
      beatenAt = -Infinity
    },
    fresh: Effect.suspend(() =>
      state.mode !== "primary" || state.sharers() === 1
        ? Effect.void
        : Effect.ignore(Deadline.within(FRESH_WITHIN, "asking for what others have committed")(askTogether))
    ),
    start: (also) => {
      const beating = Effect.gen(function*() {
        yield* Effect.sleep(Duration.millis(BEAT_MILLIS))
        if (state.mode !== "primary" || !watch.isUp()) return
        const asked = yield* Clock.currentTimeMillis
        yield* beat
        yield* catchUp(asked)
        yield* also
      })
      return Effect.zipRight(
        Effect.addFinalizer(() => leave),
        Effect.asVoid(Effect.forkScoped(Effect.forever(
          Effect.catchAllCause(
            beating,
            (cause) => Effect.logDebug(`the ${agent} agent could not give a sign of life`, cause)
          )
        )))
      )
    }
  }
}

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Relay } from "./Database.ts"
import type { Sides } from "./Failback.ts"
import { qualified } from "./Followers.ts"
import type { PostgresError } from "./PostgresError.ts"
import type { PostgresWatch } from "./PostgresWatch.ts"
import type { ReplicaState } from "./ReplicaState.ts"
import * as SqliteReader from "./SqliteReader.ts"

/**
 * The relay of a process among others that run the same agent.
 *
 * @category models
 */
export interface ReplicatedRelay extends Relay {
  /** Renews the lease, and tells the primary what has been published. */
  readonly beat: Effect.Effect<void, PostgresError>
  /** The primary is in use again: who publishes must be agreed anew. */
  readonly rejoined: () => void
}

/** Who publishes says so for this long, by the primary's clock, and acts on it for less, by its own. */
const LEASE_SECONDS = 5
const LEASE_USED_MILLIS = 3_500

/** Unpublished messages of the primary that are looked at when a process takes over. */
const LOOK = 10_000

/** The primary hears of several batches at once; until it does, who takes over publishes them again. */
const MARK_AFTER = "100 millis"

/**
 * Publishes from the file's own log, in its order. While the primary serves, one process holds a lease; alone, each
 * publishes what its own file has: another may have published some of it, which consumers recognise.
 *
 * @category constructors
 */
export const make = (options: {
  readonly instance: string
  readonly sides: Sides
  readonly watch: PostgresWatch
  readonly state: ReplicaState
}): Effect.Effect<ReplicatedRelay, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { instance, sides: { agent, core }, state, watch } = options
    const local = core.database.relay
    const { statements } = core.state
    let isWanted = false
    let usableUntil = 0
    let isReconciled = false
    let unmarked: Array<string> = []

    const isHolder = () => performance.now() < usableUntil

    const claim = Effect.suspend(() => {
      const asked = performance.now()
      return Effect.map(
        watch.run([{
          name: `publisher ${agent}`,
          text: `insert into ${qualified(agent, "publisher")} as p (id, instance, until)
          values (1, $1, now() + interval '${LEASE_SECONDS} seconds')
          on conflict (id) do update set instance = excluded.instance, until = excluded.until
          where p.instance = excluded.instance or p.until < now()
          returning instance`,
          values: [instance]
        }]),
        ([result]) => {
          const isMine = result?.rows[0]?.["instance"] === instance
          if (!isMine) isReconciled = false
          usableUntil = isMine ? asked + LEASE_USED_MILLIS : 0
          return isMine
        }
      )
    })

    /**
     * Moves the cursor up to the first message that the primary knows as unpublished, and tells the primary of those before
     * it that this file knows better. What the file has taken alone the primary does not know at all: it is no answer then.
     */
    const reconcile = Effect.gen(function*() {
      const { generation } = state
      if (state.mode !== "primary" || state.pending > 0) return
      // What is committed here after the question is asked, the answer cannot know.
      const asked = core.state.committedSeq
      const [open] = yield* watch.run([{
        name: `unpublished ${agent}`,
        text: `select event_id from ${qualified(agent, "outbox")} where published_at is null order by seq limit ${LOOK}`
      }])
      if (state.generation !== generation) return
      const ids = (open?.rows ?? []).map((row) => String(row["event_id"]))
      const position = yield* SqliteReader.attemptRead("outbox", () => {
        const saved = local.position()
        const places = ids.flatMap((id) => {
          const seq: unknown = Object(statements.ofText("select seq from outbox where event_id = ?").get(id)).seq
          return typeof seq === "number" ? [{ id, seq }] : []
        })
        unmarked.push(...places.filter(({ seq }) => seq <= saved).map(({ id }) => id))
        isReconciled = true
        // There are more than were looked at, in an order that need not be this file's.
        if (ids.length === LOOK) return saved
        // What an outage has brought here may stand before what others have committed earlier.
        return Math.min(asked, ...places.filter(({ seq }) => seq > saved).map(({ seq }) => seq - 1))
      })
      // A cursor that did not move costs messages that are published again.
      yield* Effect.ignore(local.published(position))
    })

    const mark = Effect.suspend(() => {
      const ids = unmarked
      if (ids.length === 0) return Effect.void
      unmarked = []
      return Effect.asVoid(Effect.tapError(
        watch.run([{
          name: `mark ${agent}`,
          text: `update ${qualified(agent, "outbox")} set published_at = extract(epoch from now())::bigint * 1000
          where published_at is null and event_id = any($1)`,
          values: [ids]
        }]),
        () => Effect.sync(() => void unmarked.unshift(...ids))
      ))
    })

    const grown = yield* Effect.makeLatch(false)
    // While the primary is away they are told of with a sign of life after its return.
    const markNow = Effect.suspend(() => state.mode === "primary" ? Effect.ignore(mark) : Effect.void)
    // Whoever comes next need not wait until the lease is over.
    const release = Effect.suspend(() =>
      isHolder()
        ? Effect.ignore(watch.run([{
          text: `update ${qualified(agent, "publisher")} set until = now() where instance = $1`,
          values: [instance]
        }]))
        : Effect.void
    )
    yield* Effect.addFinalizer(() => Effect.zipRight(markNow, release))
    yield* Effect.forkScoped(Effect.forever(
      grown.await.pipe(
        Effect.andThen(Effect.sleep(MARK_AFTER)),
        Effect.andThen(Effect.sync(() => grown.unsafeClose())),
        Effect.andThen(markNow)
      )
    ))

    const ready = Effect.gen(function*() {
      if (!isHolder() && !(yield* claim)) return false
      if (!isReconciled) yield* reconcile
      return true
    })

    return {
      depth: local.depth,
      pending: (limit) =>
        Effect.suspend(() => {
          isWanted = true
          if (state.mode === "alone") return local.pending(limit)
          // The primary is asked and away: whoever it was that published, the next look is at the file alone.
          return Effect.flatMap(
            Effect.orElseSucceed(ready, () => false),
            (may) => may ? local.pending(limit) : Effect.succeed([])
          )
        }),
      published: (seq) =>
        Effect.zipRight(
          Effect.sync(() => {
            for (
              const row of statements.ofText("select event_id as id from outbox where seq > ? and seq <= ?").all(
                local.position(),
                seq
              )
            ) unmarked.push(String(Object(row).id))
            grown.unsafeOpen()
          }),
          local.published(seq)
        ),
      beat: Effect.gen(function*() {
        if (!isWanted) return
        if (yield* claim) yield* isReconciled ? mark : Effect.ignore(reconcile)
        // Who does not publish keeps up with who does, so that little is published twice when it is alone.
        else {yield* Effect.ignore(Effect.zipRight(
            reconcile,
            Effect.sync(() => {
              isReconciled = false
            })
          ))}
      }),
      rejoined: () => {
        usableUntil = 0
        isReconciled = false
      }
    }
  })

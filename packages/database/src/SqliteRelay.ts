import type { Envelope } from "@holdfast/contracts/Envelope"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DatabaseShape, OutboxMessage, Relay } from "./Database.ts"
import * as SqliteReader from "./SqliteReader.ts"
import type { WriterState } from "./SqliteTransaction.ts"
import { Cursors } from "./SystemTables.ts"

/** The cursor that says up to where the outbox has been published. */
export const PUBLISHED = "published"

/** When no transaction comes along that could take the cursor with it, it gets one of its own so much later. */
const SAVE_AFTER = "100 millis"

/**
 * The relay of one file.
 *
 * @category models
 */
export interface SqliteRelay extends Relay {
  /** Up to where the outbox has been published, as this process knows. */
  readonly position: () => number
}

/**
 * The relay of a store in one file. Numbers of the outbox are given in the order of commits by its one writer, so that a
 * cursor skips nothing. It is saved a moment after it has moved: a commit for each batch of messages would cost as much as
 * the operation that sent them, and what a crash takes of it is published again.
 *
 * @category constructors
 */
export const make = (
  state: WriterState,
  statements: SqliteReader.Statements,
  lastSeq: () => number,
  housekeep: DatabaseShape["housekeep"]
): Effect.Effect<SqliteRelay, never, Scope.Scope> =>
  Effect.gen(function*() {
    let known: number | undefined
    /** What a transaction has found committed. */
    let saved = 0
    const moved = yield* Effect.makeLatch(false)
    const select = "select coalesce(max(seq), 0) as seq from cursor where source = ?"
    const stored = (from: SqliteReader.Statements) => Number(Object(from.ofText(select).get(PUBLISHED)).seq)
    const position = () => known ??= stored(statements)

    const ride = () => {
      if (known === undefined || known <= saved) return
      saved = stored(state.statements)
      if (known <= saved) return
      state.statements.ofText(
        "insert into cursor (source, seq) values (?, ?) on conflict (source) do update set seq = excluded.seq"
      ).run(PUBLISHED, known)
      state.written.add(Cursors.name)
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => state.riders.add(ride)),
      () => Effect.sync(() => state.riders.delete(ride))
    )
    const save = Effect.suspend(() =>
      known === undefined || known <= stored(statements) ? Effect.void : housekeep(PUBLISHED, Effect.void)
    )
    yield* Effect.addFinalizer(() => Effect.ignore(save))
    yield* Effect.forkScoped(Effect.forever(
      moved.await.pipe(
        Effect.andThen(Effect.sleep(SAVE_AFTER)),
        Effect.andThen(Effect.sync(() => moved.unsafeClose())),
        Effect.andThen(save),
        // The store is away: the cursor stays where it was.
        Effect.catchAllCause(() => Effect.sync(() => moved.unsafeOpen()))
      )
    ))

    return {
      position,
      pending: (limit) =>
        Effect.suspend(() =>
          SqliteReader.attemptRead("outbox", () =>
            statements.ofText("select seq, envelope from outbox where seq > ? order by seq limit ?").raw().all(
              position(),
              limit
            )
              .map((row): OutboxMessage => {
                const [seq, text] = Array.isArray(row) ? row : []
                // Written as an Envelope by the transaction that emitted it.
                return { seq: Number(seq), envelope: JSON.parse(String(text)) as Envelope }
              }))
        ),
      published: (seq) =>
        Effect.suspend(() =>
          SqliteReader.attemptRead("outbox", () => {
            known = Math.max(position(), seq)
            moved.unsafeOpen()
          })
        ),
      depth: () =>
        known === undefined ? 0 : Math.max(0, lastSeq() - known)
    }
  })

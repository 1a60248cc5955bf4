import type { Envelope } from "@holdfast/contracts/Envelope"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { DatabaseShape, OutboxMessage, Relay } from "./Database.ts"
import * as SqliteReader from "./SqliteReader.ts"
import { Cursors } from "./SystemTables.ts"
import * as Transaction from "./Transaction.ts"

/** The cursor that says up to where the outbox has been published. */
export const PUBLISHED = "published"

const save = (seq: number) =>
  Effect.flatMap(
    Transaction.get(Cursors, { source: PUBLISHED }),
    Option.match({
      onNone: () => Effect.asVoid(Transaction.insert(Cursors, { source: PUBLISHED, seq })),
      onSome: () =>
        Effect.asVoid(Transaction.update(Cursors, { source: PUBLISHED }, () => ({ source: PUBLISHED, seq })))
    })
  )

/**
 * The relay of a store in one file. Numbers of the outbox are given in the order of commits by its one writer, so that a
 * cursor skips nothing.
 *
 * @category constructors
 */
export const make = (
  statements: SqliteReader.Statements,
  lastSeq: () => number,
  housekeep: DatabaseShape["housekeep"]
): Relay => {
  let position: number | undefined
  const read = <A>(run: () => A) => Effect.suspend(() => SqliteReader.attemptRead("outbox", run))
  const opened = () =>
    position ??= Number(
      statements.ofText("select coalesce(max(seq), 0) from cursor where source = ?").pluck().get(PUBLISHED)
    )
  return {
    pending: (limit) =>
      read(() =>
        statements.ofText("select seq, envelope from outbox where seq > ? order by seq limit ?").raw().all(
          opened(),
          limit
        )
          .map((row): OutboxMessage => {
            const [seq, text] = Array.isArray(row) ? row : []
            // Written as an Envelope by the transaction that emitted it.
            return { seq: Number(seq), envelope: JSON.parse(String(text)) as Envelope }
          })
      ),
    published: (seq) =>
      Effect.suspend(() => {
        position = Math.max(position ?? 0, seq)
        // One row, read and written in one transaction by one writer: neither can happen.
        return Effect.catchTags(housekeep("published", save(position)), {
          ConstraintViolated: Effect.die,
          RowMissing: Effect.die
        })
      }),
    depth: () => position === undefined ? 0 : Math.max(0, lastSeq() - position)
  }
}

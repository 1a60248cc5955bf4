import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PostgresConnection from "./PostgresConnection.ts"
import type { Statement } from "./PostgresConnection.ts"
import type { PostgresError } from "./PostgresError.ts"
import * as PostgresSchema from "./PostgresSchema.ts"

/**
 * What one run has removed from an agent's schema.
 *
 * @category models
 */
export interface Purged {
  readonly operations: number
  readonly messages: number
  readonly changes: number
  readonly deadLetters: number
  readonly replicas: number
  /**
   * No record of an operation that expired before this time is left, in milliseconds since 1970; undefined where some may
   * be. A file that forgets an id sooner would run it again.
   */
  readonly expiredBefore: number | undefined
}

/** Rows that one statement looks at: others wait for none of them longer than for a moment. */
const CHUNK = 1_000

/** A run that has not come to an end by then is continued by the next one. */
const RUN = Duration.toMillis("20 seconds")

const STATEMENT_MILLIS = 5_000

const DAY = Duration.toMillis("1 day")

/** Spec §20. */
const MESSAGE_DAYS = 7
const DEAD_LETTER_DAYS = 90

/**
 * A record stays so much longer than it must: whoever's clock is behind must find what its own clock calls young, or would
 * take it for lost.
 */
const CLOCK_MARGIN = Duration.toMillis("10 minutes")

/** Files forget their settled dead letters first: what only the primary has left is in no comparison. */
const DEAD_LETTER_MARGIN = Duration.toMillis("1 hour")

/** A process that has followed the log up to here finds what it misses; one that is further behind copies. */
const CHANGES_KEPT = 100_000

/** Removes the rows of the table with these keys; answers how many there were. Rows that others hold are left to the next run. */
const removal = (
  name: string,
  table: string,
  key: string,
  chosen: string,
  values: ReadonlyArray<unknown>
): Statement => ({
  name: `purge ${name}`,
  text: `with gone as (delete from ${table} where ${key} in (${chosen} for update skip locked) returning 1)
    select count(*) as n from gone`,
  values
})

/**
 * Removes from an agent's schema what nobody needs any more, on a session of its own, beside the writer and without its
 * lock: expired records of operations, messages a week after they were published (`isPublished`) or made, row changes that
 * every living process has followed, settled dead letters after 90 days, processes that are gone for a day.
 *
 * @category programs
 */
export const purge = (
  config: PostgresConnection.PostgresConfig,
  agent: string,
  { isPublished }: { readonly isPublished: boolean }
): Effect.Effect<Purged, PostgresError> =>
  Effect.acquireUseRelease(
    PostgresConnection.connect(config, `holdfast ${agent} housekeeping`, PostgresSchema.nameOf(agent)),
    (session) =>
      Effect.gen(function*() {
        const here = yield* Clock.currentTimeMillis
        const until = here + RUN
        const [clock] = yield* session.run([
          { text: "select (extract(epoch from now()) * 1000)::bigint as now" }
        ], STATEMENT_MILLIS)
        // What is removed is removed for all: not because of one clock that is ahead.
        const now = Math.min(here, Number(clock?.rows[0]?.["now"] ?? here))
        const expired = now - CLOCK_MARGIN
        const ask = (statement: Statement) =>
          Effect.map(session.run([statement], STATEMENT_MILLIS), ([result]) => result?.rows[0])
        const all = (statement: Statement): Effect.Effect<number, PostgresError> =>
          Effect.gen(function*() {
            let sum = 0
            for (;;) {
              const n = Number((yield* ask(statement))?.["n"])
              sum += n
              if (n === 0 || (yield* Clock.currentTimeMillis) > until) return sum
              yield* Effect.yieldNow()
            }
          })

        const operations = yield* all(removal(
          "operations",
          "operation",
          "n",
          `select n from operation where expires_at < $1 order by expires_at limit ${CHUNK}`,
          [expired]
        ))
        const left = yield* ask({
          text: "select exists (select 1 from operation where expires_at < $1) as some",
          values: [expired]
        })
        // The oldest ones are looked at: an index for this alone would cost every commit.
        const messages = yield* all(removal(
          `messages ${isPublished ? "published" : "created"}`,
          "outbox",
          "seq",
          `select seq from outbox where seq in (select seq from outbox order by seq limit ${CHUNK})
            and ${isPublished ? "published_at" : "created_at"} < $1`,
          [now - MESSAGE_DAYS * DAY]
        ))
        // The row at the mark itself stays: by it, whoever stands there sees that it has missed nothing.
        const followed = yield* ask({
          text: `select least(
            (select min(change_n) from replica where seen_at > now() - interval '1 hour'),
            (select change_n from replication where id = 1) - ${CHANGES_KEPT}
          ) as n`
        })
        const changes = yield* all(removal(
          "changes",
          "change",
          "n",
          `select n from change where n < $1 order by n limit ${CHUNK}`,
          [Number(followed?.["n"])]
        ))
        const deadLetters = yield* all(removal(
          "dead letters",
          "dead_letter",
          "id",
          `select id from dead_letter where status in ('replayed', 'discarded') and first_at < $1 limit ${CHUNK}`,
          [now - DEAD_LETTER_DAYS * DAY - DEAD_LETTER_MARGIN]
        ))
        const replicas = yield* all(removal(
          "replicas",
          "replica",
          "instance",
          "select instance from replica where seen_at < now() - interval '1 day'",
          []
        ))
        return {
          operations,
          messages,
          changes,
          deadLetters,
          replicas,
          expiredBefore: left?.["some"] === false ? expired : undefined
        }
      }),
    (session) => Effect.sync(session.close)
  )

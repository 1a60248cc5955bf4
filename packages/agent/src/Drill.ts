import { problem } from "@holdfast/contracts/Problem"
import type { DatabaseShape, FailbackReport } from "@holdfast/database/Database"
import type { LevelPolicy } from "@holdfast/resilience/Degradation"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as PrimaryErrors from "./PrimaryErrors.ts"

/**
 * A drill of this agent is under way.
 *
 * @category errors
 */
export class DrillRunning extends Schema.TaggedError<DrillRunning>()(
  "DrillRunning",
  {},
  problem({
    code: "drill_running",
    status: 409,
    title: "A drill is under way",
    detail: "Wait until GET drill of this agent says that it is done; then begin another one.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Without Postgres the agent may not work, not even for a drill.
 *
 * @category errors
 */
export class DrillForbidden extends Schema.TaggedError<DrillForbidden>()(
  "DrillForbidden",
  {},
  problem({
    code: "drill_forbidden",
    status: 409,
    title: "This agent may not work without Postgres",
    detail:
      "Its fallback is forbidden, so that a drill would be an outage. Allow the fallback and start the agent anew.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * Something is away: what still works would be lost with Postgres for the drill.
 *
 * @category errors
 */
export class DrillUntimely extends Schema.TaggedError<DrillUntimely>()(
  "DrillUntimely",
  {},
  problem({
    code: "drill_untimely",
    status: 409,
    title: "This is no time for a drill",
    detail: "The agent is not at level 0, and without Postgres would do less. Begin the drill when all is well.",
    severity: "low",
    recovery: "fail"
  })
) {}

/** What a drill may take: the shortest one is noticed by everybody, the longest one is still no outage. */
export const Seconds = Schema.Number.pipe(
  Schema.between(0.5, 60, { message: () => "must be a number of seconds from 0.5 to 60" })
)

/**
 * The last drill of an agent, as operators see it.
 *
 * @category schemas
 */
export const DrillView = Schema.Struct({
  state: Schema.Literal("never", "running", "done", "failed"),
  seconds: Schema.optional(Schema.Number).annotations({ description: "How long it works without Postgres" }),
  startedAt: Schema.optional(Schema.String),
  endedAt: Schema.optional(Schema.String),
  error: Schema.optional(Schema.String),
  report: Schema.optional(Schema.Struct({
    merged: Schema.Number.annotations({ description: "Operations of the drill that were merged into Postgres" }),
    withheld: Schema.Number,
    conflicts: Schema.Number,
    returnMillis: Schema.Number.annotations({ description: "From the first answer of Postgres to work on it" }),
    compared: Schema.Number.annotations({ description: "Rows that were compared on both sides" }),
    differed: Schema.Number.annotations({ description: "Rows that were not the same, and were set right" }),
    copied: Schema.Number.annotations({ description: "Rows copied anew, where only that helped" }),
    isSound: Schema.Boolean.annotations({ description: "Both sides were the same" })
  }))
}).annotations({ identifier: "Drill" })
export type DrillView = typeof DrillView.Type

const reportOf = (report: FailbackReport): NonNullable<DrillView["report"]> => ({
  merged: report.merged,
  withheld: report.withheld,
  conflicts: report.conflicts,
  returnMillis: Math.round(report.millis),
  compared: report.compared,
  differed: report.repaired,
  copied: report.copied,
  isSound: report.repaired === 0 && report.copied === 0
})

/**
 * The drills of the agent at hand: one at a time, in the background.
 *
 * @category services
 */
export class Drills extends Context.Tag("@holdfast/agent/Drill/Drills")<Drills, {
  /** Begins one; it ends by itself. */
  readonly begin: (
    seconds: number
  ) => Effect.Effect<
    DrillView,
    DrillRunning | DrillForbidden | DrillUntimely | PrimaryErrors.PrimaryNotConfigured | PrimaryErrors.PrimaryAway
  >
  /** The one under way, else the last one. */
  readonly current: () => DrillView
}>() {
  /** Drills that end with the scope. */
  static readonly make = (
    database: DatabaseShape,
    { fallback }: LevelPolicy,
    level: () => number
  ): Effect.Effect<Context.Tag.Service<Drills>, never, Scope.Scope> =>
    Effect.map(Effect.scope, (scope) => {
      let view: DrillView = { state: "never" }
      const iso = Effect.map(Clock.currentTimeMillis, (millis) => DateTime.formatIso(DateTime.unsafeMake(millis)))
      return Drills.of({
        current: () => view,
        begin: (seconds) =>
          Effect.gen(function*() {
            const startedAt = yield* iso
            const { primary } = database
            if (primary === undefined) return yield* new PrimaryErrors.PrimaryNotConfigured()
            if (fallback === "forbidden") return yield* new DrillForbidden()
            if (view.state === "running") return yield* new DrillRunning()
            if (primary.mode() === "alone") return yield* new PrimaryErrors.PrimaryAway()
            if (level() > 0) return yield* new DrillUntimely()
            view = { state: "running", seconds, startedAt }
            const running = view
            yield* Effect.forkIn(
              Effect.gen(function*() {
                const exit = yield* Effect.exit(primary.drill(Duration.seconds(seconds)))
                const ended = { ...running, endedAt: yield* iso }
                view = Exit.isSuccess(exit)
                  ? { ...ended, state: "done", report: reportOf(exit.value) }
                  : { ...ended, state: "failed", error: errorOf(exit.cause) }
              }),
              scope
            )
            return running
          })
      })
    })
}

const errorOf = (cause: Cause.Cause<{ readonly message: string }>): string => {
  const [first] = Cause.prettyErrors(cause)
  return first === undefined ? "interrupted" : first.message
}

import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { appendFileSync } from "node:fs"
import * as Choices from "./Choices.ts"

/**
 * What a run was to meet and never met: its faults hit nothing, so that its success says nothing.
 *
 * @category errors
 */
export class NeverReached extends Data.TaggedError("NeverReached")<{
  readonly scenario: string
  readonly what: ReadonlyArray<string>
}> {
  override get message(): string {
    return `${this.scenario} never reached: ${this.what.join(", ")}`
  }
}

/**
 * One run of a scenario with faults. Its choices follow from the seed; times and interleavings do not.
 *
 * @category models
 */
export interface ChaosRun {
  readonly seed: number
  readonly isLong: boolean
  /** The short form goes with every run of the tests, the long one is `npm run chaos -- --long`. */
  readonly form: <A>(short: A, long: A) => A
  /** The choices of one part of the scenario. */
  readonly choices: (part: string) => Choices.Choices
  /** Counts that something has been met, where it has. */
  readonly sometimes: (what: string, holds?: boolean) => void
  readonly count: (what: string) => number
  /** Fails unless all of these have been met. */
  readonly reached: (...what: ReadonlyArray<string>) => Effect.Effect<void, NeverReached>
  /** A figure for the report. */
  readonly figure: (name: string, value: number | string) => void
}

/** Which seed, which form and where the report goes; set by the chaos command. */
const SEED = "HOLDFAST_CHAOS_SEED"
const LONG = "HOLDFAST_CHAOS_LONG"
const REPORT = "HOLDFAST_CHAOS_REPORT"

const rounded = (value: number | string): number | string =>
  typeof value === "number" && !Number.isInteger(value) ? Math.round(value * 10) / 10 : value

/**
 * Begins a run; when its scope closes, it says on stdout what it has met, with its seed. Without a seed from outside the
 * tests always choose the same.
 *
 * @category constructors
 */
export const make = (scenario: string): Effect.Effect<ChaosRun, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const seed = Number(process.env[SEED] ?? 1)
      const isLong = process.env[LONG] === "1"
      const counts = new Map<string, number>()
      const figures: Record<string, number | string> = {}
      const begun = performance.now()
      const count = (what: string) => counts.get(what) ?? 0
      const run: ChaosRun = {
        seed,
        isLong,
        form: (short, long) => isLong ? long : short,
        choices: (part) => Choices.make(seed, `${scenario} ${part}`),
        sometimes: (what, holds = true) => void (holds && counts.set(what, count(what) + 1)),
        count,
        reached: (...what) => {
          const missed = what.filter((one) => count(one) === 0)
          return missed.length === 0 ? Effect.void : Effect.fail(new NeverReached({ scenario, what: missed }))
        },
        figure: (name, value) => void (figures[name] = rounded(value))
      }
      const told = () => ({
        scenario,
        seed,
        form: isLong ? "long" : "short",
        seconds: rounded((performance.now() - begun) / 1_000),
        ...figures,
        ...Object.fromEntries(counts)
      })
      return { run, told }
    }),
    ({ told }) =>
      Effect.sync(() => {
        const line = JSON.stringify(told())
        process.stdout.write(`chaos ${line}\n`)
        const file = process.env[REPORT]
        if (file !== undefined) appendFileSync(file, `${line}\n`)
      })
  ).pipe(Effect.map(({ run }) => run))

/**
 * How long a test may take, in milliseconds, in the form that is run.
 *
 * @category configuration
 */
export const timeout = (short: number, long: number): number => process.env[LONG] === "1" ? long : short

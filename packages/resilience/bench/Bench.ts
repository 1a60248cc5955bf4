/** What benches of all packages share. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"

/** What was promised of a figure, or of its ratio to the peer's. */
export type Aim = { readonly of: "ours" | "ratio" } & ({ readonly atMost: number } | { readonly atLeast: number })

/** One figure, beside a peer's if there is one. */
export interface Row {
  readonly name: string
  readonly ours: number
  readonly unit: string
  readonly peer?: {
    readonly name: string
    readonly value: number
    /** The median of the rounds' ratios of `ours` to `value`: steadier than the ratio of the medians. */
    readonly ratio: number
  }
  readonly aim?: Aim
}

/** How a bench is to be run. */
export interface Options {
  /** Fewer rounds: to see that it works, not to publish. */
  readonly quick: boolean
  /** Told what is being measured. */
  readonly progress: (what: string) => void
}

/** What a module `<Name>.bench.ts` exports as `bench`. */
export interface Bench {
  readonly title: string
  /** How it is measured, and what that does not show. */
  readonly how: string
  readonly run: (options: Options) => Promise<ReadonlyArray<Row>>
}

/** The value below which that share of the values lies; 0.5 is the median. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}

/** The middle one of the values. */
export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

/** Measures something once; what the number means is the row's unit. */
export type Subject = () => Promise<number>

/** The figures of each subject, round by round. */
export type Rounds = Readonly<Record<string, ReadonlyArray<number>>>

/** The subjects take turns, so that what the machine does meanwhile hits them alike. */
export const interleave = async (
  subjects: Readonly<Record<string, Subject>>,
  rounds: number,
  progress: (what: string) => void
): Promise<Rounds> => {
  const figures: Record<string, Array<number>> = {}
  for (let round = 1; round <= rounds; round++) {
    for (const [name, subject] of Object.entries(subjects)) {
      progress(`round ${round} of ${rounds}: ${name}`)
      const figure = await subject()
      ;(figures[name] ??= []).push(figure)
    }
  }
  return figures
}

/** A row for each peer: everyone but `ours` in the rounds. Each aim stands in the row of the peer it is named after. */
export const compare = (
  name: string,
  unit: string,
  rounds: Rounds,
  ours: string,
  aims: Readonly<Record<string, Aim>> = {}
): ReadonlyArray<Row> => {
  const own = rounds[ours] ?? []
  const peers = Object.entries(rounds).filter(([peer]) => peer !== ours)
  const unknown = Object.keys(aims).filter((aimed) => !peers.some(([peer]) => peer === aimed))
  if (own.length === 0 || unknown.length > 0) throw new Error(`${name}: nobody is called ${[ours, ...unknown].join()}`)
  return peers.map(([peer, values]) => {
    const aim = aims[peer]
    return {
      name,
      ours: median(own),
      unit,
      peer: {
        name: peer,
        value: median(values),
        ratio: median(values.map((value, round) => (own[round] ?? NaN) / value))
      },
      ...(aim === undefined ? {} : { aim })
    }
  })
}

/** A folder for stores, and its removal. It lies below the working folder: a temporary one may be memory, where a commit costs nothing. */
export const storeFolder = (): { readonly path: string; readonly remove: () => void } => {
  const parent = join(process.cwd(), "dist", "bench")
  mkdirSync(parent, { recursive: true })
  const path = mkdtempSync(join(parent, "stores-"))
  const remove = () => rmSync(path, { recursive: true, force: true })
  process.once("exit", remove)
  return { path, remove }
}

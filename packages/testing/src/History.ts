import { mkdirSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"

/**
 * `invoke` before an attempt; after it `ok` (acknowledged), `fail` (definitely without effect) or `info` (nobody knows).
 *
 * @category models
 */
export type Phase = "invoke" | "ok" | "fail" | "info"

/**
 * @category models
 */
export interface Entry {
  readonly op: string
  readonly phase: Phase
  /** Milliseconds since the history began. */
  readonly at: number
  readonly detail?: string
}

/**
 * What clients have asked for and been told, in order. An operation may be tried several times under its id: what was said
 * last stands, but an acknowledgement stands for good.
 *
 * @category models
 */
export interface History {
  readonly record: (op: string, phase: Phase, detail?: string) => void
  readonly entries: ReadonlyArray<Entry>
  /** What is known of each operation; `invoke` where no answer came at all. */
  readonly outcomes: () => ReadonlyMap<string, Phase>
  /** How long each answered attempt took, in milliseconds. */
  readonly latencies: () => ReadonlyArray<number>
  /** Operations that have been asked for and not answered yet. */
  readonly underWay: () => number
  /** Writes it as JSON lines. */
  readonly save: (path: string) => void
}

/**
 * An empty history.
 *
 * @category constructors
 */
export const make = (): History => {
  const begun = performance.now()
  const entries: Array<Entry> = []
  const open = new Map<string, number>()
  const latencies: Array<number> = []
  const outcomes = new Map<string, Phase>()
  return {
    entries,
    record: (op, phase, detail) => {
      const at = performance.now() - begun
      entries.push({ op, phase, at, ...(detail === undefined ? {} : { detail }) })
      if (phase === "invoke") open.set(op, at)
      else {
        latencies.push(at - (open.get(op) ?? at))
        open.delete(op)
      }
      const before = outcomes.get(op)
      if (before === "ok" || (phase === "invoke" && before !== undefined)) return
      outcomes.set(op, phase)
    },
    outcomes: () => outcomes,
    latencies: () => latencies,
    underWay: () => open.size,
    save: (path) => {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""))
    }
  }
}

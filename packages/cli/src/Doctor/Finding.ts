import * as Redaction from "@holdfast/agent/Redaction"

/**
 * What one check saw.
 *
 * @category models
 */
export interface Finding {
  /** What was looked at, as `postgres.login`. */
  readonly check: string
  readonly status: "ok" | "warn" | "fail"
  /** A word for programs that stays the same; `ok` when nothing is to be done. */
  readonly code: string
  readonly seen: string
  /** One sentence: what to do. */
  readonly fix?: string
}

/** Takes a finding as soon as it is made, so that none is lost when what comes after it takes too long. */
export type Report = (finding: Finding) => void

/** Without secrets and on one line, whoever wrote the text. */
const plain = (text: string): string => Redaction.text(text).replaceAll(/\s+/g, " ").trim()

/**
 * Nothing is to be done.
 *
 * @category constructors
 */
export const ok = (check: string, seen: string): Finding => ({ check, status: "ok", code: "ok", seen: plain(seen) })

const wrong = (status: "warn" | "fail") => (check: string, code: string, seen: string, fix: string): Finding => ({
  check,
  status,
  code,
  seen: plain(seen),
  fix: plain(fix)
})

/**
 * It works, and something about it should be known.
 *
 * @category constructors
 */
export const warn = wrong("warn")

/**
 * It does not work.
 *
 * @category constructors
 */
export const fail = wrong("fail")

/**
 * The worst of all.
 *
 * @category accessors
 */
export const worst = (findings: ReadonlyArray<Finding>): Finding["status"] =>
  findings.some(({ status }) => status === "fail")
    ? "fail"
    : findings.some(({ status }) => status === "warn")
    ? "warn"
    : "ok"

/**
 * A line for each finding, with its fix below.
 *
 * @category formatting
 */
export const format = (findings: ReadonlyArray<Finding>): string => {
  const width = Math.max(0, ...findings.map(({ check }) => check.length))
  return findings.map(({ check, fix, seen, status }) =>
    [
      `${status.padEnd(4)}  ${check.padEnd(width)}  ${seen}`,
      ...(fix === undefined ? [] : [`      ${"".padEnd(width)}  → ${fix}`])
    ].join("\n")
  ).join("\n")
}

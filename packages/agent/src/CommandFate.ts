import type { WriteClass } from "@holdfast/contracts/CommandPolicy"

/**
 * What becomes of a command at a moment: it runs (`bounded`: within its bound, beyond it a request is refused and a message
 * waits), is kept as an intent (202), or is refused (503, nothing stored).
 *
 * @category models
 */
export type CommandFate = "runs" | "bounded" | "kept" | "refused"

/** What the primary's absence leaves of each write class (spec §2.2). */
const alone: Readonly<Record<WriteClass, CommandFate>> = {
  mergeable: "runs",
  bounded: "bounded",
  provisional: "kept",
  refused: "refused"
}

/**
 * The fate of a command by its write class. `isAlone`: the file stands in for the primary, whatever else the level is for.
 *
 * @category arithmetic
 */
export const of = (
  writeClass: WriteClass,
  { isAlone, level }: { readonly level: number; readonly isAlone: boolean }
): CommandFate => level >= 3 ? "refused" : isAlone ? alone[writeClass] : "runs"

import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A line on standard output. */
export const print = (text: string): Effect.Effect<void> => Console.log(text)

/** JSON on standard output, for programs. */
export const printJson = (value: unknown): Effect.Effect<void> => Console.log(JSON.stringify(value, null, 2))

/** How often a long piece of work says where it is when nobody watches, in milliseconds. */
const QUIET_MILLIS = 10_000

/**
 * Shows where long work is on standard error: one line that rewrites itself on a terminal, a line now and then elsewhere.
 */
export const progress = (): {
  readonly show: (line: string) => void
  /** A line that stays. */
  readonly say: (line: string) => void
  readonly end: () => void
} => {
  const { stderr } = process
  let shownAt = 0
  let open = false
  return {
    show: (line) => {
      const now = performance.now()
      if (stderr.isTTY ? now - shownAt < 50 : now - shownAt < QUIET_MILLIS) return
      shownAt = now
      open = stderr.isTTY
      stderr.write(stderr.isTTY ? `\r\u001b[2K${line}` : `${line}\n`)
    },
    say: (line) => {
      stderr.write(open ? `\r\u001b[2K${line}\n` : `${line}\n`)
      open = false
    },
    end: () => {
      if (open) stderr.write("\r\u001b[2K")
      open = false
    }
  }
}

/** Columns of text, as wide as their widest cell. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()).join("\n")
}

/**
 * A page of the terminal that is drawn anew in place; lines that are too long are cut, and rows that find no room. When
 * the scope closes, the page stays as it was drawn last.
 */
export const screen: Effect.Effect<(lines: ReadonlyArray<string>) => Effect.Effect<void>, never, Scope.Scope> = Effect
  .acquireRelease(
    Effect.sync(() => {
      const { stdout } = process
      // Hides the cursor, which would flicker.
      stdout.write("\u001b[?25l\u001b[2J")
      return (lines: ReadonlyArray<string>) =>
        Effect.sync(() => {
          const shown = lines.slice(0, stdout.rows - 1).map((line) => `${line.slice(0, stdout.columns)}\u001b[K\n`)
          stdout.write(`\u001b[H${shown.join("")}\u001b[J`)
        })
    }),
    () => Effect.sync(() => void process.stdout.write("\u001b[?25h"))
  )

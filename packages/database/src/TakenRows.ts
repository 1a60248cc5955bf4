import type { Image } from "./Merge.ts"
import type { LoggedChange } from "./Primary.ts"
import { type RowName, rowName } from "./Shadow.ts"

/**
 * The rows that unmerged operations have changed: what others do to them has to wait for the merge. Remembers each as it
 * was before the outage touched it.
 *
 * @category constructors
 */
export class TakenRows {
  private readonly rows = new Map<RowName, { count: number; readonly atStart: Image | null }>()

  has(name: RowName): boolean {
    return this.rows.has(name)
  }

  /** The row before the outage, where the outage has touched it; null if it was not there. */
  atStart(name: RowName): Image | null | undefined {
    return this.rows.get(name)?.atStart
  }

  /** Another unmerged operation has changed these rows. */
  take(changes: ReadonlyArray<LoggedChange>): void {
    for (const [name, before] of firstImages(changes)) {
      const known = this.rows.get(name)
      if (known === undefined) this.rows.set(name, { count: 1, atStart: before })
      else known.count++
    }
  }

  /** An operation that had changed these rows is settled. Answers the rows that no other one holds. */
  release(changes: ReadonlyArray<LoggedChange>): ReadonlyArray<RowName> {
    const free: Array<RowName> = []
    for (const name of firstImages(changes).keys()) {
      const known = this.rows.get(name)
      if (known !== undefined && --known.count > 0) continue
      this.rows.delete(name)
      free.push(name)
    }
    return free
  }

  get size(): number {
    return this.rows.size
  }
}

/** The rows that the changes touch, each as it was before the first of them. */
const firstImages = (changes: ReadonlyArray<LoggedChange>): ReadonlyMap<RowName, Image | null> => {
  const first = new Map<RowName, Image | null>()
  for (const { before, key, table } of changes) {
    const name = rowName(table, key)
    if (!first.has(name)) first.set(name, before)
  }
  return first
}

import type { Table } from "./Table.ts"

/** A row as its table declares it. */
export type Image = Readonly<Record<string, unknown>>

/**
 * What becomes of one row change of an outage in the primary: `Apply` writes the row (or deletes it), `Skip` leaves what
 * is there, `Conflict` needs a person.
 *
 * @category models
 */
export type Decision =
  | { readonly _tag: "Apply"; readonly row: Image | null }
  | { readonly _tag: "Skip" }
  | { readonly _tag: "Conflict"; readonly reason: Reason }

/** Why a change cannot merge; stable words for records, events and people. */
export type Reason = "row_exists" | "row_gone" | "row_changed" | "constraint" | "id_reused"

const apply = (row: Image | null): Decision => ({ _tag: "Apply", row })
const skip: Decision = { _tag: "Skip" }
const conflict = (reason: Reason): Decision => ({ _tag: "Conflict", reason })

/** Equal as JSON values, whatever the order of an object's names. */
export const sameValue = (one: unknown, other: unknown): boolean => {
  if (one === other) return true
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false
  if (Array.isArray(one) !== Array.isArray(other)) return false
  const names = Object.keys(one)
  if (names.length !== Object.keys(other).length) return false
  const right = other as Image
  return names.every((name) => Object.hasOwn(right, name) && sameValue((one as Image)[name], right[name]))
}

/** Equal in all columns of the table but those left out. */
export const sameRow = (table: Table, one: Image, other: Image, except: ReadonlyArray<string> = []): boolean =>
  table.fields.every((field) => except.includes(field) || sameValue(one[field] ?? null, other[field] ?? null))

const number = (image: Image, field: string): number => Number(image[field])

/** The counters that the table adds up; none for tables that are compared. */
const countersOf = (table: Table): ReadonlyArray<string> => table.merge._tag === "delta" ? table.merge.counters : []

/**
 * Adds the difference of the counters; the other columns follow the outage only where nobody else has changed them. The
 * version grows by what it grew in the outage: not at all with an operation's second change of the row.
 */
const addUp = (table: Table, before: Image | undefined, after: Image, current: Image): Decision => {
  const counters = countersOf(table)
  const merged: Record<string, unknown> = { ...current }
  for (const field of table.fields) {
    if (field === "version" || table.key.includes(field)) continue
    if (counters.includes(field)) {
      merged[field] = number(current, field) + number(after, field) - (before === undefined ? 0 : number(before, field))
      continue
    }
    const isUntouched = before !== undefined && sameValue(before[field], after[field])
    if (isUntouched || sameValue(current[field], after[field])) continue
    if (before === undefined || !sameValue(current[field], before[field])) return conflict("row_changed")
    merged[field] = after[field]
  }
  if (table.versioned) {
    merged["version"] = number(current, "version") +
      (before === undefined ? 1 : number(after, "version") - number(before, "version"))
  }
  return apply(merged)
}

/**
 * Decides one change against the row that the primary has now, by the policy of the table (spec §2.2). Pure; what it
 * decides for a change of nobody else's row is that change itself.
 *
 * @category arithmetic
 */
export const decide = (
  table: Table,
  before: Image | null,
  after: Image | null,
  current: Image | undefined
): Decision => {
  if (current === undefined) {
    if (before === null) return after === null ? skip : apply(after)
    return after === null ? skip : conflict("row_gone")
  }
  if (before === null) {
    if (after === null) return skip
    if (table.merge._tag === "delta") return addUp(table, undefined, after, current)
    return sameRow(table, current, after) ? skip : conflict("row_exists")
  }
  if (after !== null && table.merge._tag === "delta") return addUp(table, before, after, current)
  // Two outages count the same versions: only the rows tell them apart.
  if (sameRow(table, current, before)) return apply(after)
  return after !== null && sameRow(table, current, after) ? skip : conflict("row_changed")
}

import { assert, describe, it } from "@effect/vitest"
import * as Merge from "@holdfast/database/Merge"
import * as MergePlan from "@holdfast/database/MergePlan"
import type { LoggedChange } from "@holdfast/database/Primary"
import { type BacklogEntry, rowName } from "@holdfast/database/Shadow"
import * as SystemTables from "@holdfast/database/SystemTables"
import * as Table from "@holdfast/database/Table"
import { FastCheck, Schema } from "effect"

const Stock = Table.make("stock", {
  columns: { id: Table.text, onHand: Table.integer, place: Table.text, version: Table.integer },
  key: ["id"],
  merge: Table.delta("onHand")
})
const Products = Table.make("product", {
  columns: {
    id: Table.text,
    title: Table.nullable(Table.text),
    tags: Table.json(Schema.Array(Schema.String)),
    version: Table.integer
  },
  key: ["id"],
  merge: Table.versioned
})
const Lines = Table.make("line", {
  columns: { id: Table.text, quantity: Table.integer },
  key: ["id"],
  merge: Table.partOf("product")
})
const Movements = Table.make("movement", {
  columns: { id: Table.text, amount: Table.integer },
  key: ["id"],
  merge: Table.ledger
})
const all: ReadonlyArray<Table.Table> = [Stock, Products, Lines, Movements]
const tables: ReadonlyMap<string, Table.Table> = new Map(
  [...all, ...SystemTables.replicated].map((table) => [table.name, table])
)
const tableOf = (name: string): Table.Table => tables.get(name) ?? Stock

type Rows = ReadonlyMap<string, Merge.Image>

/** What an operation does to a row, before it is known whether the row is there. */
interface Action {
  readonly table: string
  readonly id: string
  readonly kind: "insert" | "update" | "remove"
  readonly n: number
  readonly text: string
}

const keyOf = (id: string) => JSON.stringify({ id })
const columnsOf: Readonly<Record<string, (action: Action, before: Merge.Image | undefined) => Merge.Image>> = {
  stock: ({ n, text }, before) => ({
    onHand: Number(before?.["onHand"] ?? 0) + n,
    place: n % 3 === 0 ? text : before?.["place"] ?? text
  }),
  product: ({ n, text }) => ({ title: n === 0 ? null : text, tags: [text, String(n)] }),
  line: ({ n }) => ({ quantity: n }),
  movement: ({ n }) => ({ amount: n })
}

/** Runs operations as the kernel does: a version grows once in each, and what cannot be done is not done. */
const outage = (start: Rows, operations: ReadonlyArray<ReadonlyArray<Action>>, by: string) => {
  const rows = new Map(start)
  const entries = operations.map((actions, index): BacklogEntry => {
    const id = `${by}-${index}`
    const grown = new Set<string>()
    const changes = actions.flatMap((action): ReadonlyArray<LoggedChange> => {
      const table = tableOf(action.table)
      const name = rowName(table.name, keyOf(action.id))
      const before = rows.get(name)
      if ((action.kind === "insert") !== (before === undefined)) return []
      if (action.kind === "remove") {
        rows.delete(name)
        return [{ operationId: id, table: table.name, key: keyOf(action.id), before: before ?? null, after: null }]
      }
      const version = before === undefined ? 1 : Number(before["version"]) + (grown.has(name) ? 0 : 1)
      grown.add(name)
      const after = {
        id: action.id,
        ...columnsOf[table.name]?.(action, before),
        ...(table.versioned ? { version } : {})
      }
      rows.set(name, after)
      return [{ operationId: id, table: table.name, key: keyOf(action.id), before: before ?? null, after }]
    })
    return {
      n: index + 1,
      acceptedAt: index,
      changes,
      messages: [],
      operation: {
        id,
        command: "test",
        writeClass: "mergeable",
        fingerprint: "f",
        answer: "",
        outcome: "done",
        receivedAt: index,
        expiresAt: index
      }
    }
  })
  return { rows, entries }
}

const merge = (
  current: Rows,
  entries: ReadonlyArray<BacklogEntry>,
  more: Partial<MergePlan.Facts> = {}
): { readonly plan: MergePlan.MergePlan; readonly rows: Rows } => {
  const plan = MergePlan.make({
    agent: "test",
    now: 0,
    tables,
    entries,
    known: new Map(),
    told: new Set(),
    current: new Map(current),
    withheld: new Map(),
    condemned: new Map(),
    ...more
  })
  const rows = new Map(current)
  for (const { after, key, table } of plan.changes) {
    if (!all.some(({ name }) => name === table)) continue
    if (after === null) rows.delete(rowName(table, key))
    else rows.set(rowName(table, key), after)
  }
  return { plan, rows }
}

const action = FastCheck.record<Action>({
  table: FastCheck.constantFrom("stock", "product", "line", "movement"),
  id: FastCheck.constantFrom("a", "b"),
  kind: FastCheck.constantFrom("insert", "update", "update", "update", "remove"),
  n: FastCheck.integer({ min: -3, max: 5 }),
  text: FastCheck.constantFrom("x", "y", "z")
})
const operations = FastCheck.array(FastCheck.array(action, { minLength: 1, maxLength: 4 }), { maxLength: 8 })
const startOf = (actions: ReadonlyArray<Action>) =>
  outage(new Map(), [actions.map((one) => ({ ...one, kind: "insert" as const }))], "start").rows
const start = FastCheck.array(action, { maxLength: 10 }).map(startOf)
/** One operation for each change, so that none hides behind another. */
const only = (kinds: ReadonlyArray<string>, from: FastCheck.Arbitrary<ReadonlyArray<ReadonlyArray<Action>>>) =>
  from.map((some) => some.map((one) => one.filter(({ table }) => kinds.includes(table))))

const plain = (rows: Rows) => Object.fromEntries([...rows].sort(([one], [other]) => (one < other ? -1 : 1)))
const check = <T>(property: FastCheck.IProperty<T>) => FastCheck.assert(property, { numRuns: 1_000 })

describe("merge of an outage", () => {
  it("where nobody else has changed anything, the outage's rows come out, versions included", () => {
    check(FastCheck.property(start, operations, (before, some) => {
      const { entries, rows } = outage(before, some, "one")
      const merged = merge(before, entries)
      assert.strictEqual(merged.plan.conflicts, 0)
      assert.strictEqual(merged.plan.merged.length, entries.length)
      assert.deepStrictEqual(plain(merged.rows), plain(rows))
    }))
  })

  it("round by round it is the same as in one", () => {
    check(
      FastCheck.property(
        start,
        operations,
        operations,
        FastCheck.integer({ min: 1, max: 4 }),
        (before, one, other, size) => {
          const first = merge(before, outage(before, one, "one").entries).rows
          const { entries } = outage(before, other, "other")
          const whole = merge(first, entries)
          let rows: Rows = first
          let withheld: ReadonlyMap<string, string> = new Map()
          const operationsWithheld: Array<string> = []
          for (let at = 0; at < entries.length; at += size) {
            const part = merge(rows, entries.slice(at, at + size), { withheld })
            rows = part.rows
            operationsWithheld.push(...part.plan.withheld.map(({ operation }) => operation.id))
            withheld = new Map([
              ...withheld,
              ...part.plan.withheld.flatMap(({ changes, operation }) =>
                changes.map(({ key, table }) => [rowName(table, key), operation.id] as const)
              )
            ])
          }
          assert.deepStrictEqual(plain(rows), plain(whole.rows))
          assert.deepStrictEqual(operationsWithheld, whole.plan.withheld.map(({ operation }) => operation.id))
        }
      )
    )
  })

  it("counters of two outages add up to what both have merged", () => {
    const stockOnly = only(["stock", "movement"], operations)
    check(FastCheck.property(start, stockOnly, stockOnly, (before, one, other) => {
      const first = outage(before, one, "one")
      const afterOne = merge(before, first.entries).rows
      const second = outage(before, other, "other")
      const { plan, rows } = merge(afterOne, second.entries)
      for (const [name, row] of rows) {
        if (!name.startsWith("stock")) continue
        const moved = [...first.entries, ...plan.merged].flatMap(({ changes }) => changes)
          .filter((change) => rowName(change.table, change.key) === name)
        // A row that was removed on the way begins anew.
        if (moved.some(({ after }) => after === null)) continue
        const sum = moved.reduce(
          (total, { after, before: was }) => total + Number(after?.["onHand"]) - Number(was?.["onHand"] ?? 0),
          Number(before.get(name)?.["onHand"] ?? 0)
        )
        assert.strictEqual(row["onHand"], sum, name)
      }
    }))
  })

  it("nothing of the first outage is overwritten by the second, and nothing of the second is dropped unseen", () => {
    check(FastCheck.property(start, operations, operations, (before, one, other) => {
      const afterOne = merge(before, outage(before, one, "one").entries).rows
      const second = outage(before, other, "other")
      const { plan, rows } = merge(afterOne, second.entries)
      assert.strictEqual(plan.merged.length + plan.withheld.length, second.entries.length)
      const merged = new Set(plan.merged.map(({ operation }) => operation.id))
      const changes = second.entries.flatMap((entry) => entry.changes)
      for (const name of new Set([...before.keys(), ...afterOne.keys(), ...rows.keys(), ...second.rows.keys()])) {
        const own = changes.filter((change) => rowName(change.table, change.key) === name)
        const wasTouched = JSON.stringify(before.get(name)) !== JSON.stringify(afterOne.get(name))
        const held = own.filter(({ operationId }) => !merged.has(operationId))
        if (name.startsWith("stock") || own.length === 0) continue
        // Who has seen the row exactly as the other outage left it may change it further.
        const hasSeen = own.some((change) =>
          JSON.stringify(change.before) === JSON.stringify(afterOne.get(name) ?? null)
        )
        // Compared tables: whoever was first stands, and the other's row comes out only over an untouched one.
        if (wasTouched && hasSeen) continue
        if (wasTouched) assert.deepStrictEqual(rows.get(name), afterOne.get(name), name)
        else if (held.length === 0) assert.deepStrictEqual(rows.get(name), second.rows.get(name), name)
      }
      // A withheld operation is there as a whole, with what it wanted.
      for (const { changes: wanted, operation } of plan.withheld) {
        const stored = plan.changes.find(({ after, table }) =>
          table === SystemTables.Withheld.name && after?.["operationId"] === operation.id
        )
        assert.deepStrictEqual(stored?.after?.["changes"], wanted)
      }
    }))
  })

  it("a version that is the same by chance is no proof: the rows are compared", () => {
    const before = { id: "a", title: "old", tags: [], version: 2 }
    const after = { ...before, title: "new", version: 3 }
    assert.deepStrictEqual(Merge.decide(Products, before, after, { ...before, title: "somebody else's" }), {
      _tag: "Conflict",
      reason: "row_changed"
    })
    assert.deepStrictEqual(Merge.decide(Products, before, null, { ...before, title: "somebody else's" }), {
      _tag: "Conflict",
      reason: "row_changed"
    })
    assert.deepStrictEqual(Merge.decide(Products, before, after, before), { _tag: "Apply", row: after })
  })

  it("a ledger's row under the same key is the same fact only if it says the same", () => {
    assert.deepStrictEqual(Merge.decide(Movements, null, { id: "m", amount: 1 }, { id: "m", amount: 1 }), {
      _tag: "Skip"
    })
    assert.deepStrictEqual(Merge.decide(Movements, null, { id: "m", amount: 1 }, { id: "m", amount: 2 }), {
      _tag: "Conflict",
      reason: "row_exists"
    })
  })

  it("an id that the primary knows is not merged again; under another fingerprint it is another operation, and withheld", () => {
    const before: Rows = new Map([[rowName("stock", keyOf("a")), { id: "a", onHand: 9, place: "x", version: 4 }]])
    const update: Action = { table: "stock", id: "a", kind: "update", n: 1, text: "x" }
    const { entries } = outage(before, [[update]], "one")
    const known = merge(before, entries, { known: new Map([["one-0", { fingerprint: "f", outcome: "done" }]]) })
    assert.deepStrictEqual(plain(known.rows), plain(before))
    assert.strictEqual(known.plan.merged.length, 1)
    assert.strictEqual(known.plan.operations.length, 0)
    const reused = merge(before, entries, { known: new Map([["one-0", { fingerprint: "another", outcome: "done" }]]) })
    assert.deepStrictEqual(plain(reused.rows), plain(before))
    assert.strictEqual(reused.plan.withheld.length, 1)
    assert.strictEqual(reused.plan.operations.length, 0)
    assert.isAbove(reused.plan.conflicts, 0)
  })

  it("one that was refused there, and done here when the answer to that was lost, waits for a person", () => {
    const before: Rows = new Map([[rowName("stock", keyOf("a")), { id: "a", onHand: 9, place: "x", version: 4 }]])
    const update: Action = { table: "stock", id: "a", kind: "update", n: 1, text: "x" }
    const { entries } = outage(before, [[update]], "one")
    const { plan } = merge(before, entries, { known: new Map([["one-0", { fingerprint: "f", outcome: "refused" }]]) })
    assert.deepStrictEqual([plan.merged.length, plan.withheld.length, plan.operations.length], [0, 1, 0])
  })

  it("what was done before under an id that is forgotten does not count twice", () => {
    const before: Rows = new Map([[rowName("stock", keyOf("a")), { id: "a", onHand: 9, place: "x", version: 4 }]])
    const { entries } = outage(before, [[
      { table: "stock", id: "a", kind: "update", n: 1, text: "x" },
      { table: "movement", id: "m", kind: "insert", n: 1, text: "" }
    ]], "one")
    const once = merge(before, entries)
    assert.strictEqual(once.plan.merged.length, 1)
    const twice = merge(once.rows, entries)
    assert.deepStrictEqual([twice.plan.merged.length, twice.plan.withheld.length], [0, 1])
    assert.deepStrictEqual(plain(twice.rows), plain(once.rows))
  })
})

import { InvalidRequest, NotFound } from "@holdfast/contracts/Errors"
import type { ListEntryInput, ListName } from "@holdfast/contracts/Fraud"
import { ListChanged } from "@holdfast/contracts/FraudEvents"
import { toMillis } from "@holdfast/contracts/Instant"
import type * as Table from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { canBeListed } from "./Domain/Identifiers.ts"
import * as Settings from "./Settings.ts"
import { ListEntries } from "./Tables.ts"

type EntryKey = Table.Key<typeof ListEntries>

const tell = ({ kind, list, valueHash }: EntryKey, action: "added" | "removed" | "expired") =>
  Transaction.emit(ListChanged, { entryHash: valueHash, list, kind, action })

/** The hash to store: an identifier in clear goes no further than here. */
const hashOf = ({ kind, value, valueHash }: ListEntryInput) =>
  Effect.gen(function*() {
    if (valueHash !== undefined) return valueHash
    if (value !== undefined && kind === "cidr" && !canBeListed(value)) {
      return yield* new InvalidRequest({
        issues: [{
          path: "value",
          message: "must be a network such as 203.0.113.0/24, of /8 to /24 or, for IPv6, of /16 to /48"
        }]
      })
    }
    return yield* Settings.hash(kind, value ?? "")
  })

/** Puts an identifier on a list; what is there already gets the new reason and expiry. */
export const put = (list: ListName, input: ListEntryInput, by: string) =>
  Effect.gen(function*() {
    const at = yield* Transaction.now
    const key = { list, kind: input.kind, valueHash: yield* hashOf(input) }
    const entry = {
      ...key,
      reason: input.reason,
      expiresAt: input.expiresAt === undefined ? null : toMillis(input.expiresAt),
      addedBy: by,
      at
    }
    const present = yield* Transaction.get(ListEntries, key)
    const row = yield* Option.isNone(present)
      ? Transaction.insert(ListEntries, entry)
      : Transaction.update(ListEntries, key, () => entry)
    if (Option.isNone(present)) yield* tell(key, "added")
    return row
  })

export const take = (key: EntryKey) =>
  Effect.gen(function*() {
    const present = yield* Transaction.get(ListEntries, key)
    if (Option.isNone(present)) return yield* new NotFound({ resource: "list entry", id: key.valueHash })
    yield* Transaction.remove(ListEntries, key)
    yield* tell(key, "removed")
    return present.value
  })

/** Entries that one run of the clock removes. */
const BATCH = 500

/** Removes the entries whose time is over; they have not counted since. */
export const expire = Effect.gen(function*() {
  const now = yield* Transaction.now
  const rows = yield* Transaction.select(ListEntries, {
    where: [["expiresAt", "<=", now]],
    orderBy: [["expiresAt", "asc"]],
    limit: BATCH
  })
  for (const { kind, list, valueHash } of rows) {
    const key = { list, kind, valueHash }
    yield* Transaction.remove(ListEntries, key)
    yield* tell(key, "expired")
  }
})

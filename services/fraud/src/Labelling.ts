import type { LabelKind } from "@holdfast/contracts/Fraud"
import type { OrderId } from "@holdfast/contracts/Id"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Identifiers from "./Domain/Identifiers.ts"
import * as Memory from "./Memory.ts"
import { Labels, Sightings, Taints } from "./Tables.ts"

/**
 * Records what an order turned out to be. A chargeback or confirmed fraud taints its customer, card, device and addresses
 * for later orders (R17); clearing it takes that back.
 */
export const label = (orderId: OrderId, kind: LabelKind, at: number, by: string) =>
  Effect.gen(function*() {
    const row = yield* Transaction.insert(Labels, {
      id: yield* Transaction.nextId("lbl"),
      orderId,
      kind,
      at,
      labelledBy: by
    })
    const bad = kind !== "cleared"
    if (bad) {
      const sightings = yield* Transaction.select(Sightings, {
        where: [["orderId", "=", orderId], ["kind", "in", Identifiers.traceable]]
      })
      for (const sighting of sightings) {
        // Only Memory writes here, and it writes roles.
        const key = { kind: Identifiers.kindOf(sighting.kind as Identifiers.Role), hash: sighting.hash, orderId }
        if (Option.isNone(yield* Transaction.get(Taints, key))) yield* Transaction.insert(Taints, key)
      }
    } else {
      const taints = yield* Transaction.select(Taints, { where: [["orderId", "=", orderId]] })
      for (const { hash, kind } of taints) yield* Transaction.remove(Taints, { kind, hash, orderId })
    }
    if (kind !== "confirmed") yield* Memory.amend(orderId, (profile) => ({ ...profile, disputed: bad }))
    return row
  })

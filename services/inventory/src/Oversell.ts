import { OrderId } from "@holdfast/contracts/Id"
import * as Events from "@holdfast/contracts/InventoryEvents"
import { LocationId } from "@holdfast/contracts/Location"
import type * as Message from "@holdfast/contracts/Message"
import { Sku } from "@holdfast/contracts/Sku"
import type { ConflictDetected } from "@holdfast/contracts/SystemEvents"
import { Withheld } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Level from "./Domain/Level.ts"
import * as Repository from "./Repository.ts"
import { Reservations, StockLevels } from "./Tables.ts"

const Key = Schema.parseJson(Schema.Struct({ sku: Sku, locationId: LocationId }))

const Buckets = Schema.Struct({
  onHand: Schema.Number,
  reserved: Schema.Number,
  onHold: Schema.Number,
  damaged: Schema.Number
})

/** The changes of an operation that could not merge, as the merge has kept them. */
const Changes = Schema.Array(Schema.Struct({
  table: Schema.String,
  key: Schema.String,
  before: Schema.NullOr(Schema.Unknown),
  after: Schema.NullOr(Schema.Unknown)
}))

const nothing = { onHand: 0, reserved: 0, onHold: 0, damaged: 0 }

const bucketsOf = (image: unknown) => Either.getOrElse(Schema.decodeUnknownEither(Buckets)(image), () => nothing)

const orderOf = Schema.decodeUnknownOption(Schema.Struct({ orderId: OrderId }))

/** Orders named at most. */
const MAX_NAMED_ORDERS = 100

/**
 * Tells where an operation of an outage could not merge because more would be promised than there is: it waits for a person
 * as a conflict, and this names the sku and the orders that it is about (spec §8).
 */
export const detect = ({ agent, operationId, reason, rowKey, table }: Message.Payload<typeof ConflictDetected>) =>
  Effect.gen(function*() {
    if (agent !== "inventory" || table !== StockLevels.name || reason !== "constraint") return
    const key = Schema.decodeUnknownOption(Key)(rowKey)
    const withheld = yield* Transaction.get(Withheld, { operationId })
    if (Option.isNone(key) || Option.isNone(withheld)) return
    const level = yield* Transaction.get(StockLevels, key.value)
    const changes = Option.getOrElse(Schema.decodeUnknownOption(Changes)(withheld.value.changes), () => [])
    const wanted = changes.filter((change) => change.table === table && change.key === rowKey).reduce(
      (sum, { after, before }) => {
        const [was, is] = [bucketsOf(before), bucketsOf(after)]
        return {
          ...sum,
          onHand: sum.onHand + is.onHand - was.onHand,
          reserved: sum.reserved + is.reserved - was.reserved,
          onHold: sum.onHold + is.onHold - was.onHold,
          damaged: sum.damaged + is.damaged - was.damaged
        }
      },
      Option.getOrElse(level, () => Level.empty(key.value.sku, key.value.locationId, 0))
    )
    // Something else of the operation has broken a rule.
    if (Level.isWithinBounds(wanted)) return
    const { locationId, sku } = key.value
    const its = changes.filter((change) => change.table === Reservations.name).flatMap(({ after }) =>
      Option.toArray(Option.map(orderOf(after), ({ orderId }) => orderId))
    )
    const others = yield* Repository.ordersHolding(sku, locationId, MAX_NAMED_ORDERS)
    yield* Transaction.emit(Events.OversellDetected, {
      sku,
      locationId,
      available: Level.available(wanted),
      orderIds: [...new Set([...its, ...others])].slice(0, MAX_NAMED_ORDERS)
    })
  })

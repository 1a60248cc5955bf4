import * as Handler from "@holdfast/agent/Handler"
import { PaymentId, SagaId } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import { HoldRequest } from "@holdfast/contracts/Order"
import { OrderApi } from "@holdfast/contracts/OrderApi"
import { HoldNotFound, HoldNotReleasable, OrderNotPayable, OrderStateConflict } from "@holdfast/contracts/OrderErrors"
import * as Page from "@holdfast/contracts/Page"
import type { Saga } from "@holdfast/contracts/Saga"
import type { Query } from "@holdfast/database/Query"
import { Sagas } from "@holdfast/database/SystemTables"
import type { Row } from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Cancelling from "./Cancelling.ts"
import { transitions } from "./Domain/OrderState.ts"
import * as Holds from "./Holds.ts"
import * as Placement from "./Placement.ts"
import * as Repository from "./Repository.ts"
import * as CheckoutPayment from "./Sagas/CheckoutPayment.ts"
import { checkout } from "./Sagas/CheckoutSaga.ts"
import { Orders, Timeline } from "./Tables.ts"

const optional = <A, B>(value: A | undefined, comparison: (value: A) => B): ReadonlyArray<B> =>
  value === undefined ? [] : [comparison(value)]

const isManual = Schema.is(HoldRequest.fields.reason)

const isFinal = (state: Repository.OrderRow["state"]): boolean => Object.keys(transitions[state]).length === 0

const sagaView = (row: Row<typeof Sagas>): Saga => ({
  id: SagaId.make(row.id),
  type: row.type,
  key: row.key,
  state: row.state,
  step: row.step,
  attempts: row.misses,
  ...(row.deadlineAt === null ? {} : { deadlineAt: Instant.fromMillis(row.deadlineAt) }),
  ...(row.lastError === null ? {} : { lastError: row.lastError }),
  startedAt: Instant.fromMillis(row.startedAt),
  version: row.version
})

/** The customer tries another means of payment, under a payment of its own: the declined one is final. */
const pay = ({ expectedVersion, path: { id }, payload }: Handler.RequestOf<typeof OrderApi, "pay">) =>
  Effect.gen(function*() {
    const row = yield* Repository.order(id, expectedVersion)
    const now = yield* Transaction.now
    // The hold is in force exactly as long as checkout waits for this.
    const waiting = row.state === "placed" && now < row.expiresAt &&
      (yield* Holds.inForce(id, "awaiting_payment")) !== undefined
    if (!waiting) return yield* new OrderNotPayable({ orderId: id, state: row.state })
    const paymentId = PaymentId.make(yield* Transaction.nextId("pay"))
    const spareId = PaymentId.make(yield* Transaction.nextId("pay"))
    yield* checkout.move(id, (data) => CheckoutPayment.payAgain(data, paymentId, spareId, payload.paymentMethodToken))
    return yield* Repository.load(id)
  })

const list = ({ urlParams }: Handler.RequestOf<typeof OrderApi, "list">) =>
  Effect.gen(function*() {
    const { after, channel, customerId, externalRef, limit = Page.defaultLimit, state, updatedSince } = urlParams
    const where: Query<typeof Orders.columns>["where"] = [
      ...optional(state, (value) => ["state", "=", value] as const),
      ...optional(customerId, (value) => ["customerId", "=", value] as const),
      ...optional(channel, (value) => ["channel", "=", value] as const),
      ...optional(externalRef, (value) => ["externalRef", "=", value] as const),
      ...optional(updatedSince, (value) => ["updatedAt", ">=", value] as const)
    ]
    // Who follows changes reads on from the last one; others want the newest first.
    const following = updatedSince !== undefined
    const rows = yield* Transaction.select(Orders, {
      where,
      orderBy: following ? [["updatedAt", "asc"], ["id", "asc"]] : [["acceptedAt", "desc"], ["id", "desc"]],
      limit: limit + 1,
      ...(after === undefined ? {} : { after })
    })
    const held = yield* Repository.holdsInForce(rows.map((row) => row.id))
    return Page.make(
      rows,
      limit,
      (row) => [following ? row.updatedAt : row.acceptedAt, row.id],
      (row) => Repository.summary(row, held(row.id))
    )
  })

export const handlers = Handler.group(OrderApi, {
  place: Handler.command(({ payload }) => Placement.place(payload)),
  import: Handler.command(({ payload }) => Placement.importOrder(payload)),
  get: Handler.query(({ path }) => Repository.load(path.id)),
  list: Handler.query(list),
  cancel: Handler.command(({ expectedVersion, path, payload, principal }) =>
    Cancelling.cancel(path.id, payload, principal, expectedVersion)
  ),
  pay: Handler.command(pay),
  hold: Handler.command(({ expectedVersion, path: { id }, payload, principal }) =>
    Effect.gen(function*() {
      const { state } = yield* Repository.order(id, expectedVersion)
      if (isFinal(state)) return yield* new OrderStateConflict({ orderId: id, state, action: "hold" })
      yield* Holds.place(id, payload.reason, payload.by ?? principal, payload.note)
      return yield* Repository.load(id)
    })
  ),
  releaseHold: Handler.command(({ expectedVersion, path: { id, reason }, principal }) =>
    Effect.gen(function*() {
      yield* Repository.order(id, expectedVersion)
      if ((yield* Holds.inForce(id, reason)) === undefined) return yield* new HoldNotFound({ orderId: id, reason })
      if (!isManual(reason)) return yield* new HoldNotReleasable({ orderId: id, reason })
      yield* Holds.release(id, reason, principal)
      return yield* Repository.load(id)
    })
  ),
  timeline: Handler.query(({ path: { id }, urlParams: { after, limit = Page.defaultLimit } }) =>
    Effect.gen(function*() {
      yield* Repository.order(id)
      const rows = yield* Transaction.select(Timeline, {
        where: [["orderId", "=", id]],
        orderBy: [["n", "asc"], ["id", "asc"]],
        limit: limit + 1,
        ...(after === undefined ? {} : { after })
      })
      return Page.make(
        rows,
        limit,
        (row) => [row.n, row.id],
        ({ actor, at, data, kind }) => ({ at, actor, kind, data })
      )
    })
  ),
  saga: Handler.query(({ path: { id } }) =>
    Effect.gen(function*() {
      yield* Repository.order(id)
      const rows = yield* Transaction.select(Sagas, { where: [["key", "=", id]], orderBy: [["startedAt", "asc"]] })
      return { items: rows.map(sagaView) }
    })
  )
})

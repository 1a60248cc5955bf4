import * as Job from "@holdfast/agent/Job"
import * as SagaMachine from "@holdfast/agent/SagaMachine"
import { OrderId } from "@holdfast/contracts/Id"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { checkout } from "./Sagas/CheckoutSaga.ts"

/** No order without a hold stays `placed` longer than this, in milliseconds (invariant O8). */
const LIMIT = 35 * 60 * 1000

/** Orders turned back in one run. */
const BATCH = 100

const decode = Schema.decodeUnknown(Schema.Array(Schema.Struct({ id: OrderId })))

/** Placed too long, not held, and not waiting for a person already. */
const stuck = (now: number) =>
  Effect.flatMap(
    Transaction.query(
      `select o.id from orders o
       where o.state = 'placed' and o.accepted_at < ?
         and not exists (select 1 from order_hold h where h.order_id = o.id and h.released_at is null)
         and exists (
           select 1 from saga s
           where s.type = 'checkout' and s.key = o.id and s.ended_at is null and s.state = 'running'
         )
       order by o.accepted_at limit ?`,
      [now - LIMIT, BATCH]
    ),
    // Ids were stored by this agent.
    (rows) => Effect.orDie(decode(rows))
  )

/** Turns back orders that should have left `placed` long ago. */
export const expireStuck = Effect.gen(function*() {
  for (const { id } of yield* stuck(yield* Transaction.now)) {
    yield* Effect.logWarning(`order ${id} stays placed without a hold: it is turned back`)
    yield* checkout.move(id, (data) => SagaMachine.fail("payment_expired", data))
  }
})

export const jobs = [Job.timer("expire-stuck-orders", "1 minute", expireStuck)]

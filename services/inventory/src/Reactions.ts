import type { NotFound } from "@holdfast/contracts/Errors"
import type { OrderId, ReservationId } from "@holdfast/contracts/Id"
import * as Commands from "@holdfast/contracts/InventoryCommands"
import type {
  ExtensionUsed,
  ReleaseExceedsReserved,
  ReservationStateConflict
} from "@holdfast/contracts/InventoryErrors"
import * as Events from "@holdfast/contracts/InventoryEvents"
import * as Problem from "@holdfast/contracts/Problem"
import { VariantChanged } from "@holdfast/contracts/ProductEvents"
import type { ReservationRequest } from "@holdfast/contracts/Reservation"
import { ConflictDetected } from "@holdfast/contracts/SystemEvents"
import type { WriteError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import { AwaitsPrimary, Unprocessable } from "@holdfast/messaging/DeliveryError"
import * as Subscription from "@holdfast/messaging/Subscription"
import * as Effect from "effect/Effect"
import * as Oversell from "./Oversell.ts"
import * as Reservations from "./Reservations.ts"
import * as Stock from "./Stock.ts"

type Refusal = NotFound | ReservationStateConflict | ExtensionUsed | ReleaseExceedsReserved

const publicly = (refusal: Refusal) => {
  const problem = Problem.of(refusal)
  return { code: problem?.code ?? refusal._tag, detail: problem?.detail ?? refusal.message }
}

interface Target {
  readonly orderId: OrderId
  readonly reservationId: ReservationId
}

/** Every command is answered, what cannot be done too: a saga waits for it. */
const answering = <R>(
  command: "extend" | "commit" | "release",
  { orderId, reservationId }: Target,
  run: Effect.Effect<Reservations.Settled, Refusal | WriteError, R>
) => {
  const refuse = (refusal: Refusal) =>
    Transaction.emit(Events.ReservationCommandRefused, { reservationId, orderId, command, ...publicly(refusal) })
  return Effect.catchTags(Effect.flatMap(run, Reservations.announce), {
    NotFound: refuse,
    ReservationStateConflict: refuse,
    ExtensionUsed: refuse,
    ReleaseExceedsReserved: refuse
  })
}

/** An order is not told that there is no stock where there is, and may only not be promised yet. */
const reserve = (request: ReservationRequest) =>
  Effect.gen(function*() {
    const answer = yield* Reservations.reserve(request)
    if (answer._tag === "BeyondBound") {
      return yield* new AwaitsPrimary({
        detail: `there is stock for ${request.orderId}, beyond what may be promised while Postgres is away`
      })
    }
    yield* Reservations.announce(answer)
  })

export const subscriptions = [
  Subscription.on(
    Commands.ReserveStock,
    (request) =>
      // Its id belongs to another order: no answer would be true.
      Effect.catchTag(
        reserve(request),
        "ReservationStateConflict",
        (conflict) => new Unprocessable(publicly(conflict))
      ),
    { writeClass: "bounded" }
  ),
  Subscription.on(
    Commands.ExtendReservation,
    (command) => answering("extend", command, Reservations.extend(command, command))
  ),
  Subscription.on(
    Commands.CommitReservation,
    (command) => answering("commit", command, Reservations.commit(command))
  ),
  Subscription.on(
    Commands.ReleaseReservation,
    (command) => answering("release", command, Reservations.release(command, command))
  ),
  Subscription.on(
    VariantChanged,
    ({ flags: { backorder }, sku }) => Stock.limitBackorders(sku, backorder.allowed ? backorder.limit : 0)
  ),
  Subscription.on(ConflictDetected, Oversell.detect)
]

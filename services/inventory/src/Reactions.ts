import type { OrderId, ReservationId } from "@holdfast/contracts/Id"
import * as Commands from "@holdfast/contracts/InventoryCommands"
import * as Events from "@holdfast/contracts/InventoryEvents"
import * as Problem from "@holdfast/contracts/Problem"
import { VariantChanged } from "@holdfast/contracts/ProductEvents"
import * as Transaction from "@holdfast/database/Transaction"
import { Unprocessable } from "@holdfast/messaging/DeliveryError"
import * as Subscription from "@holdfast/messaging/Subscription"
import * as Effect from "effect/Effect"
import * as Reservations from "./Reservations.ts"
import * as Stock from "./Stock.ts"

const publicly = (refusal: Reservations.Refusal) => {
  const problem = Problem.of(refusal)
  return { code: problem?.code ?? refusal._tag, detail: problem?.detail ?? refusal.message }
}

interface Target {
  readonly reservationId: ReservationId
  readonly orderId: OrderId
}

/** Every command is answered, what cannot be done too: a saga waits for it. */
const answering = (command: "extend" | "commit" | "release", { orderId, reservationId }: Target) =>
  Effect.flatMap((answer: Reservations.Answer) =>
    answer._tag === "Refused"
      ? Effect.asVoid(Transaction.emit(Events.ReservationCommandRefused, {
        reservationId,
        orderId,
        command,
        ...publicly(answer.reason)
      }))
      : Effect.asVoid(Reservations.announce(answer))
  )

export const subscriptions = [
  Subscription.on(
    Commands.ReserveStock,
    (request) =>
      Effect.gen(function*() {
        const answer = yield* Reservations.reserve(request)
        if (answer._tag === "Refused") return yield* new Unprocessable(publicly(answer.reason))
        return yield* Reservations.announce(answer)
      }),
    { writeClass: "bounded" }
  ),
  Subscription.on(
    Commands.ExtendReservation,
    (command) => answering("extend", command)(Reservations.extend(command, command))
  ),
  Subscription.on(
    Commands.CommitReservation,
    (command) => answering("commit", command)(Reservations.commit(command))
  ),
  Subscription.on(
    Commands.ReleaseReservation,
    (command) => answering("release", command)(Reservations.release(command, command))
  ),
  Subscription.on(
    VariantChanged,
    ({ flags: { backorder }, sku }) => Stock.limitBackorders(sku, backorder.allowed ? backorder.limit : 0)
  )
]

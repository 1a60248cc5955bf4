import * as Schema from "effect/Schema"
import { OrderId, ReservationId } from "./Id.ts"
import * as Message from "./Message.ts"
import { ExtendRequest, ReleaseRequest, ReservationRequest } from "./Reservation.ts"
import * as Text from "./Text.ts"

const key = (payload: { readonly orderId: OrderId }) => payload.orderId
const subject = (payload: { readonly reservationId: ReservationId }) => payload.reservationId
const target = { reservationId: ReservationId, orderId: OrderId }

/** Answered by inventory.reservation_confirmed or inventory.reservation_rejected. */
export const ReserveStock = Message.command("inventory.reserve", { payload: ReservationRequest, key })

/** Answered by inventory.reservation_confirmed, …_expired, …_released or …_command_refused. */
export const ExtendReservation = Message.command("inventory.extend", {
  payload: Schema.Struct({ ...target, ...ExtendRequest.fields }),
  key,
  subject
})

/** Answered by inventory.reservation_confirmed (committed), …_expired, …_released or …_command_refused. */
export const CommitReservation = Message.command("inventory.commit", {
  payload: Schema.Struct({ ...target, reason: Schema.optional(Text.line(200)) }),
  key,
  subject
})

/** Answered by inventory.reservation_released or …_command_refused. */
export const ReleaseReservation = Message.command("inventory.release", {
  payload: Schema.Struct({ ...target, ...ReleaseRequest.fields }),
  key,
  subject
})

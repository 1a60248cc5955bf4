import * as SagaMachine from "@holdfast/agent/SagaMachine"
import { request } from "@holdfast/agent/SagaMachine"
import { ReservationId } from "@holdfast/contracts/Id"
import {
  CommitReservation,
  ExtendReservation,
  ReleaseReservation,
  ReserveStock
} from "@holdfast/contracts/InventoryCommands"
import {
  ReservationCommandRefused,
  ReservationConfirmed,
  ReservationExpired,
  ReservationRejected,
  ReservationReleased
} from "@holdfast/contracts/InventoryEvents"
import { ReservationState } from "@holdfast/contracts/Reservation"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  after,
  type Answer,
  type Data,
  SECOND,
  type Step,
  toCommit,
  toPayment,
  type Transition
} from "./CheckoutData.ts"

const { done, fail, next, on } = SagaMachine

const reserved = (data: Data): Transition =>
  !data.assessed.includes("pre_auth") ? next("assess", data) : data.authorized ? toCommit(data) : toPayment(data)

/** The reservation is gone: another one, as long as there are ids for it. */
const reserveAgain = (data: Data): Transition => {
  const reservationId = after(data.reservationIds, data.reservationId)
  return reservationId === undefined ? fail("out_of_stock", data) : next("reserve", { ...data, reservationId })
}

/** What the inventory agent tells when it is asked, since its event is missing. */
const readReservation = Schema.decodeUnknownOption(
  Schema.Struct({ id: ReservationId, state: ReservationState })
)
const askReservation = (
  read: (data: Data, state: ReservationState) => Transition | undefined
): NonNullable<Step["query"]> => ({
  agent: "inventory",
  path: (data) => `/reservations/${data.reservationId}`,
  read: (data, body) => Option.getOrUndefined(Option.map(readReservation(body), ({ state }) => read(data, state)))
})

/** Holds the stock longer, while others act. */
export const extend = (seconds: number, reason?: string) => (data: Data) => [
  request(ExtendReservation, {
    reservationId: data.reservationId,
    orderId: data.orderId,
    ttlSeconds: seconds,
    ...(reason === undefined ? {} : { reason })
  })
]

/** Gives one of this checkout's reservations back. */
export const releaseStock = (data: Data, reservationId: ReservationId) =>
  request(ReleaseReservation, { reservationId, orderId: data.orderId, reason: "checkout" })

/** What ends a reservation before it was committed. */
const reservationLost: ReadonlyArray<Answer> = [
  on(
    ReservationExpired,
    (data: Data, event) => event.reservationId === data.reservationId ? reserveAgain(data) : undefined
  ),
  on(
    ReservationReleased,
    (data: Data, event) => event.reservationId === data.reservationId ? reserveAgain(data) : undefined
  )
]

export const reserve: Step = {
  requests: (data) => [
    request(ReserveStock, {
      reservationId: data.reservationId,
      orderId: data.orderId,
      // From the order when the request leaves, see `withLines`.
      lines: [],
      shipTo: data.shipTo,
      ttlSeconds: 15 * 60,
      allowSplit: true
    })
  ],
  answers: [
    on(
      ReservationConfirmed,
      (data: Data, event) => event.reservationId === data.reservationId ? reserved(data) : undefined
    ),
    on(
      ReservationRejected,
      (data: Data, event) => event.orderId === data.orderId ? fail("out_of_stock", data) : undefined
    ),
    ...reservationLost
  ],
  waitMillis: () => 10 * SECOND,
  query: askReservation((data, state) => state === "held" || state === "committed" ? reserved(data) : undefined),
  exhausted: "compensate",
  undo: {
    requests: (data) => [releaseStock(data, data.reservationId)],
    answers: [
      on(ReservationReleased, (data: Data, event) => event.reservationId === data.reservationId),
      on(ReservationExpired, (data: Data, event) => event.reservationId === data.reservationId)
    ]
  }
}

export const commit: Step = {
  requests: (data) => [
    request(CommitReservation, { reservationId: data.reservationId, orderId: data.orderId })
  ],
  answers: [
    on(
      ReservationConfirmed,
      (data: Data, event): Transition | undefined =>
        event.reservationId === data.reservationId && event.state === "committed"
          ? done(data, { _tag: "Confirm" })
          : undefined
    ),
    ...reservationLost,
    on(
      ReservationCommandRefused,
      (data: Data, event) =>
        event.reservationId === data.reservationId && event.command === "commit" ? reserveAgain(data) : undefined
    )
  ],
  waitMillis: () => 10 * SECOND,
  query: askReservation((data, state) =>
    state === "committed"
      ? done(data, { _tag: "Confirm" })
      : state === "expired" || state === "released"
      ? reserveAgain(data)
      : undefined
  ),
  exhausted: "compensate"
}

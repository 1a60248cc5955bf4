import { request } from "@holdfast/agent/SagaMachine"
import * as SagaMachine from "@holdfast/agent/SagaMachine"
import { OrderId, OrderLineId, PaymentId, ReservationId } from "@holdfast/contracts/Id"
import { ReleaseReservation } from "@holdfast/contracts/InventoryCommands"
import { ReservationCommandRefused, ReservationExpired, ReservationReleased } from "@holdfast/contracts/InventoryEvents"
import { Money } from "@holdfast/contracts/Money"
import { CancelReason } from "@holdfast/contracts/Order"
import { PaymentState } from "@holdfast/contracts/Payment"
import { RefundPayment, VoidPayment } from "@holdfast/contracts/PaymentCommands"
import {
  PaymentRefunded,
  PaymentVoided,
  RefundFailed,
  RefundPending,
  VoidFailed
} from "@holdfast/contracts/PaymentEvents"
import { Count, Quantity } from "@holdfast/contracts/Quantity"
import { ReservationState } from "@holdfast/contracts/Reservation"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/**
 * What a cancellation must remember: worked out before any quantity changes. `keep` units of a line stay reserved; `value`
 * is what the cancelled units are worth, `refund` what goes back of captured money, `freeMoney` whether the open
 * authorisation is given back.
 */
export const Data = Schema.Struct({
  orderId: OrderId,
  reason: CancelReason,
  full: Schema.Boolean,
  lines: Schema.Array(Schema.Struct({ lineId: OrderLineId, qty: Quantity, keep: Count })),
  reservationId: ReservationId,
  paymentId: Schema.NullOr(PaymentId),
  value: Money,
  refund: Schema.NullOr(Money),
  refundKey: Schema.String,
  freeMoney: Schema.Boolean
})
export type Data = typeof Data.Type

/** What a cancellation changes in the order. */
export type Action =
  | { readonly _tag: "Finish" }
  | { readonly _tag: "Refuse"; readonly code: string }

type Transition = SagaMachine.Transition<Data, Action>
type Step = SagaMachine.Step<Data, Action>

const { done, next, on, park, stay } = SagaMachine

const WAIT = 10_000
const finish = (data: Data): Transition => done(data, { _tag: "Finish" })
const toVoid = (data: Data): Transition => data.freeMoney ? next("void", data) : finish(data)
const toMoney = (data: Data): Transition => data.refund === null ? toVoid(data) : next("refund", data)

const readReservation = Schema.decodeUnknownOption(
  Schema.Struct({
    state: ReservationState,
    lines: Schema.Array(Schema.Struct({ lineId: Schema.String, qty: Schema.Number }))
  })
)
const readPayment = Schema.decodeUnknownOption(Schema.Struct({ state: PaymentState }))

/** Whether no line holds more units than shall stay. */
const isFreed = (data: Data, body: unknown): boolean =>
  Option.match(readReservation(body), {
    onNone: () => false,
    onSome: ({ lines, state }) =>
      state === "released" || state === "expired" ||
      data.lines.every(({ keep, lineId }) =>
        lines.reduce((sum, line) => line.lineId === lineId ? sum + line.qty : sum, 0) <= keep
      )
  })

/** Only what this order holds; asked for ever, since money must not move before the stock is free. */
const free: Step = {
  requests: (data) => [
    request(ReleaseReservation, {
      reservationId: data.reservationId,
      orderId: data.orderId,
      reason: "cancelled",
      ...(data.full ? {} : { lines: data.lines.map(({ lineId, qty }) => ({ lineId, qty })) })
    })
  ],
  answers: [
    on(
      ReservationReleased,
      (data: Data, event) => event.reservationId === data.reservationId ? toMoney(data) : undefined
    ),
    on(
      ReservationExpired,
      (data: Data, event) => event.reservationId === data.reservationId ? toMoney(data) : undefined
    ),
    // The goods are on their way: the order goes on.
    on(
      ReservationCommandRefused,
      (data: Data, event): Transition | undefined =>
        event.reservationId === data.reservationId && event.command === "release"
          ? done(data, { _tag: "Refuse", code: event.code })
          : undefined
    )
  ],
  waitMillis: () => WAIT,
  query: {
    agent: "inventory",
    path: (data) => `/reservations/${data.reservationId}`,
    read: (data, body) => isFreed(data, body) ? toMoney(data) : undefined
  },
  exhausted: "repeat"
}

const refund: Step = {
  requests: (data) =>
    data.paymentId === null || data.refund === null ? [] : [
      request(RefundPayment, {
        paymentId: data.paymentId,
        orderId: data.orderId,
        amount: data.refund,
        reason: data.reason,
        refundKey: data.refundKey
      })
    ],
  answers: [
    on(PaymentRefunded, (data: Data, event) => event.refundKey === data.refundKey ? toVoid(data) : undefined),
    on(
      RefundPending,
      (data: Data, event): Transition | undefined => event.refundKey === data.refundKey ? stay(data) : undefined
    ),
    on(
      RefundFailed,
      (data: Data, event): Transition | undefined =>
        event.refundKey === data.refundKey ? park(`refund_failed: ${event.code}`, data) : undefined
    )
  ],
  waitMillis: () => 6 * WAIT,
  exhausted: "park"
}

const giveBack: Step = {
  requests: (data) =>
    data.paymentId === null ? [] : [
      request(VoidPayment, { paymentId: data.paymentId, orderId: data.orderId, reason: data.reason })
    ],
  answers: [
    on(PaymentVoided, (data: Data, event) => event.paymentId === data.paymentId ? finish(data) : undefined),
    on(
      VoidFailed,
      (data: Data, event): Transition | undefined =>
        event.paymentId === data.paymentId ? park(`void_failed: ${event.code}`, data) : undefined
    )
  ],
  waitMillis: () => WAIT,
  query: {
    agent: "payment",
    path: (data) => `/payments/${data.paymentId ?? ""}`,
    read: (data, body) =>
      Option.match(readPayment(body), {
        onNone: () => undefined,
        onSome: ({ state }) => state === "voided" || state === "auth_expired" ? finish(data) : undefined
      })
  },
  exhausted: "park"
}

/**
 * Cancellation of a confirmed order or some of its units (spec §18.4): the order is frozen when it starts → free stock →
 * money → finish. Nothing of it is undone; an operator who gives it up has settled what is left by other means.
 */
export const definition: SagaMachine.Definition<Data, Action> = {
  type: "cancellation",
  version: 1,
  first: "free",
  steps: { free, refund, void: giveBack },
  always: [],
  late: [],
  compensated: () => [{ _tag: "Finish" }]
}

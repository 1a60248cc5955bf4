import type { AssessmentOutcome } from "@holdfast/contracts/Fraud"
import { AssessOrder } from "@holdfast/contracts/FraudCommands"
import { OrderAssessed, ReviewDecided } from "@holdfast/contracts/FraudEvents"
import type { OrderId, PaymentId, ReservationId } from "@holdfast/contracts/Id"
import { AssessmentId, CaseId, RefundId } from "@holdfast/contracts/Id"
import * as Commands from "@holdfast/contracts/InventoryCommands"
import * as Stock from "@holdfast/contracts/InventoryEvents"
import { LocationId } from "@holdfast/contracts/Location"
import type * as Message from "@holdfast/contracts/Message"
import type { Money } from "@holdfast/contracts/Money"
import { AuthorizePayment, RefundPayment, VoidPayment } from "@holdfast/contracts/PaymentCommands"
import * as Pay from "@holdfast/contracts/PaymentEvents"
import * as OperationIds from "@holdfast/database/OperationIds"

/** A message on its way to or from a participant. */
export interface Sent {
  readonly message: Message.Any
  readonly payload: unknown
}

const sent = <N extends string, A, I>(message: Message.Message<N, A, I>, payload: A): Sent => ({ message, payload })

/** Handles a command if it is of that kind. */
const when = <N extends string, A, I>(
  command: Sent,
  message: Message.Message<N, A, I>,
  handle: (payload: A) => ReadonlyArray<Sent>
): ReadonlyArray<Sent> | undefined =>
  // The name says which payload it is.
  command.message.name === message.name ? handle(command.payload as A) : undefined

const id = OperationIds.make("participants")

/**
 * `forgetful` ones do not remember what was undone before it was done, and promise nothing about what is still under way:
 * the saga has to cope with both.
 */
export interface Manners {
  readonly forgetful: boolean
}

interface Reservation {
  readonly orderId: OrderId
  state: "held" | "committed" | "expired" | "released"
  lines: ReadonlyArray<{ readonly lineId: never; readonly sku: string; readonly qty: number }>
}

/** Holds stock: available units by sku, and reservations that answer for the rest. */
export class Inventory {
  readonly available = new Map<string, number>()
  readonly reservations = new Map<string, Reservation>()
  private readonly gone = new Set<string>()
  private readonly manners: Manners

  constructor(stock: Readonly<Record<string, number>>, manners: Manners = { forgetful: false }) {
    this.manners = manners
    for (const [sku, units] of Object.entries(stock)) this.available.set(sku, units)
  }

  /** Units promised to an order, committed or not. */
  heldFor(orderId: OrderId, state?: "held" | "committed"): number {
    return [...this.reservations.values()]
      .filter((one) =>
        one.orderId === orderId &&
        (state === undefined ? one.state === "held" || one.state === "committed" : one.state === state)
      )
      .reduce((sum, one) => sum + one.lines.reduce((units, line) => units + line.qty, 0), 0)
  }

  handle(command: Sent): ReadonlyArray<Sent> {
    return when(command, Commands.ReserveStock, (wish) => this.reserve(wish)) ??
      when(command, Commands.CommitReservation, ({ orderId, reservationId }) => this.commit(reservationId, orderId)) ??
      when(command, Commands.ExtendReservation, ({ orderId, reservationId }) => this.extend(reservationId, orderId)) ??
      when(
        command,
        Commands.ReleaseReservation,
        ({ lines, orderId, reservationId }) => this.release(reservationId, orderId, lines)
      ) ??
      []
  }

  private reserve(wish: Message.Payload<typeof Commands.ReserveStock>): ReadonlyArray<Sent> {
    const { orderId, reservationId } = wish
    if (reservationId === undefined) throw new TypeError("checkout names its reservations")
    const known = this.reservations.get(reservationId)
    if (known !== undefined) return [this.answer(reservationId, known)]
    if (this.gone.has(reservationId)) return [this.released(reservationId, orderId, [])]
    const wanted = new Map<string, number>()
    for (const { qty, sku } of wish.lines) wanted.set(sku, (wanted.get(sku) ?? 0) + qty)
    const shortages = [...wanted].map(([sku, units]) => ({
      sku,
      wanted: units,
      available: this.available.get(sku) ?? 0
    })).filter((one) => one.available < one.wanted)
    if (shortages.length > 0) return [sent(Stock.ReservationRejected, { orderId, shortages })]
    for (const [sku, units] of wanted) this.available.set(sku, (this.available.get(sku) ?? 0) - units)
    const made: Reservation = {
      orderId,
      state: "held",
      lines: wish.lines.map(({ lineId, qty, sku }) => ({ lineId: lineId as never, sku, qty }))
    }
    this.reservations.set(reservationId, made)
    return [this.answer(reservationId, made)]
  }

  private commit(reservationId: ReservationId, orderId: OrderId): ReadonlyArray<Sent> {
    const known = this.reservations.get(reservationId)
    if (known === undefined) return [this.refused(reservationId, orderId, "commit")]
    if (known.state === "held") known.state = "committed"
    return [this.answer(reservationId, known)]
  }

  private extend(reservationId: ReservationId, orderId: OrderId): ReadonlyArray<Sent> {
    const known = this.reservations.get(reservationId)
    return [known === undefined ? this.refused(reservationId, orderId, "extend") : this.answer(reservationId, known)]
  }

  private release(
    reservationId: ReservationId,
    orderId: OrderId,
    lines: ReadonlyArray<{ readonly lineId: string; readonly qty: number }> | undefined
  ): ReadonlyArray<Sent> {
    const known = this.reservations.get(reservationId)
    if (known === undefined) {
      if (!this.manners.forgetful) this.gone.add(reservationId)
      return [this.released(reservationId, orderId, [])]
    }
    if (known.state !== "held" && known.state !== "committed") return [this.released(reservationId, orderId, [])]
    const freed = known.lines.flatMap((line) => {
      const qty = lines === undefined ? line.qty : lines.find((one) => one.lineId === line.lineId)?.qty ?? 0
      return qty === 0 ? [] : [{ lineId: line.lineId, sku: line.sku, qty: Math.min(qty, line.qty) }]
    })
    this.free(known, freed)
    if (known.lines.length === 0) known.state = "released"
    return [this.released(reservationId, orderId, freed)]
  }

  /** The time of a held reservation is over. */
  expire(reservationId: string): ReadonlyArray<Sent> {
    const known = this.reservations.get(reservationId)
    if (known?.state !== "held") return []
    this.free(known, known.lines)
    known.state = "expired"
    return [this.answer(reservationId, known)]
  }

  private free(known: Reservation, freed: Reservation["lines"]): void {
    for (const { qty, sku } of freed) this.available.set(sku, (this.available.get(sku) ?? 0) + qty)
    known.lines = known.lines.flatMap((line) => {
      const qty = line.qty - (freed.find((one) => one.lineId === line.lineId)?.qty ?? 0)
      return qty === 0 ? [] : [{ ...line, qty }]
    })
  }

  private answer(reservationId: string, { lines, orderId, state }: Reservation): Sent {
    const target = { reservationId: reservationId as ReservationId, orderId }
    if (state === "expired") return sent(Stock.ReservationExpired, target)
    if (state === "released") return this.released(target.reservationId, orderId, [])
    return sent(Stock.ReservationConfirmed, {
      ...target,
      state,
      lines: lines.map((line) => ({ ...line, locationId: LocationId.make("main") }))
    })
  }

  private released(reservationId: ReservationId, orderId: OrderId, lines: Reservation["lines"]): Sent {
    return sent(Stock.ReservationReleased, {
      reservationId,
      orderId,
      lines: lines.map(({ lineId, qty }) => ({ lineId, qty }))
    })
  }

  private refused(reservationId: ReservationId, orderId: OrderId, command: "commit" | "extend"): Sent {
    return sent(Stock.ReservationCommandRefused, {
      reservationId,
      orderId,
      command,
      code: "not_found",
      detail: "unknown reservation"
    })
  }

  /** What `GET /reservations/{id}` answers. */
  look(reservationId: string): unknown {
    const known = this.reservations.get(reservationId)
    return known === undefined ? undefined : { id: reservationId, state: known.state, lines: known.lines }
  }
}

interface Payment {
  readonly orderId: OrderId
  readonly amount: Money
  readonly token: string
  state: "processing" | "requires_action" | "authorized" | "captured" | "declined" | "voided"
  voidWished: boolean
  captured: number
  refunded: number
}

/**
 * Holds money. Tokens: `ok`, `decline` (the customer may retry), `stolen` (not), `threeds` (waits for `settle`), `slow`
 * (waits for `settle`), `never`.
 */
export class Payments {
  readonly payments = new Map<string, Payment>()
  private readonly gone = new Set<string>()
  private readonly refundKeys = new Set<string>()
  private readonly manners: Manners

  constructor(manners: Manners = { forgetful: false }) {
    this.manners = manners
  }

  authorized(orderId: OrderId): ReadonlyArray<Payment> {
    return [...this.payments.values()].filter((one) => one.orderId === orderId && one.state === "authorized")
  }

  handle(command: Sent): ReadonlyArray<Sent> {
    return when(command, AuthorizePayment, (wish) => this.authorize(wish)) ??
      when(command, VoidPayment, ({ orderId, paymentId }) => this.void(paymentId, orderId)) ??
      when(command, RefundPayment, (wish) => this.refund(wish)) ??
      []
  }

  private authorize(wish: Message.Payload<typeof AuthorizePayment>): ReadonlyArray<Sent> {
    const { amount, methodToken, orderId, paymentId } = wish
    if (this.payments.has(paymentId)) return []
    if (this.gone.has(paymentId)) return [this.voided(paymentId, orderId, { ...amount, amount: 0 })]
    const payment: Payment = {
      orderId,
      amount,
      token: methodToken,
      state: "processing",
      voidWished: false,
      captured: 0,
      refunded: 0
    }
    this.payments.set(paymentId, payment)
    if (methodToken === "threeds") {
      payment.state = "requires_action"
      return [
        sent(Pay.PaymentActionRequired, { paymentId, orderId, kind: "threeds", expiresAt: "2030-01-01T00:00:00.000Z" })
      ]
    }
    return methodToken === "slow" || methodToken === "never" ? [] : this.settle(paymentId)
  }

  /** The gateway's answer, or the customer's, has come. */
  settle(paymentId: PaymentId | string): ReadonlyArray<Sent> {
    const payment = this.payments.get(paymentId)
    if (payment === undefined || (payment.state !== "processing" && payment.state !== "requires_action")) return []
    const target = { paymentId: paymentId as PaymentId, orderId: payment.orderId }
    if (payment.token === "never") return []
    if (payment.token === "decline" || payment.token === "stolen") {
      payment.state = "declined"
      return [
        sent(Pay.PaymentDeclined, {
          ...target,
          code: payment.token,
          retryableByCustomer: payment.token === "decline"
        })
      ]
    }
    payment.state = "authorized"
    const authorized = sent(Pay.PaymentAuthorized, { ...target, amount: payment.amount, risk: { cvc: "pass" } })
    return payment.voidWished ? [authorized, ...this.void(target.paymentId, target.orderId)] : [authorized]
  }

  capture(paymentId: string, amount: number): ReadonlyArray<Sent> {
    const payment = this.payments.get(paymentId)
    if (payment?.state !== "authorized") return []
    payment.state = "captured"
    payment.captured = amount
    const money = { ...payment.amount, amount }
    return [
      sent(Pay.PaymentCaptured, {
        paymentId: paymentId as PaymentId,
        orderId: payment.orderId,
        amount: money,
        capturedTotal: money,
        final: true
      })
    ]
  }

  private void(paymentId: PaymentId, orderId: OrderId): ReadonlyArray<Sent> {
    const payment = this.payments.get(paymentId)
    const nothing = { amount: 0, currency: "GBP" }
    if (payment === undefined) {
      if (!this.manners.forgetful) this.gone.add(paymentId)
      return [this.voided(paymentId, orderId, nothing)]
    }
    switch (payment.state) {
      case "processing":
      case "requires_action":
        if (this.manners.forgetful) return [this.voided(paymentId, orderId, nothing)]
        payment.voidWished = true
        return []
      case "authorized":
        payment.state = "voided"
        return [this.voided(paymentId, orderId, payment.amount)]
      case "captured":
        return [sent(Pay.VoidFailed, { paymentId, orderId, code: "captured", retryable: false })]
      default:
        return [this.voided(paymentId, orderId, { ...payment.amount, amount: 0 })]
    }
  }

  private refund(wish: Message.Payload<typeof RefundPayment>): ReadonlyArray<Sent> {
    const { amount, orderId, paymentId, refundKey } = wish
    const payment = this.payments.get(paymentId)
    const refundId = RefundId.make(id("ref"))
    if (this.refundKeys.has(refundKey)) return []
    if (payment === undefined || payment.captured - payment.refunded < amount.amount || payment.token === "no_refund") {
      return [sent(Pay.RefundFailed, { refundId, paymentId, orderId, refundKey, code: "refund_failed" })]
    }
    this.refundKeys.add(refundKey)
    payment.refunded += amount.amount
    return [
      sent(Pay.PaymentRefunded, {
        refundId,
        paymentId,
        orderId,
        refundKey,
        amount,
        refundedTotal: { ...amount, amount: payment.refunded }
      })
    ]
  }

  private voided(paymentId: PaymentId, orderId: OrderId, amount: Money): Sent {
    return sent(Pay.PaymentVoided, { paymentId, orderId, amount })
  }

  /** What `GET /payments/{id}` answers. */
  look(paymentId: string): unknown {
    const known = this.payments.get(paymentId)
    return known === undefined ? undefined : {
      id: paymentId,
      state: known.state,
      authorized: { ...known.amount, amount: known.state === "authorized" ? known.amount.amount : 0 }
    }
  }
}

/** Judges orders as it is told; a review or a block opens a case. */
export class Fraud {
  readonly cases = new Map<OrderId, "open" | "approve" | "decline">()
  private readonly known = new Map<string, Sent>()
  private readonly judge: (orderId: OrderId, stage: string) => AssessmentOutcome

  constructor(judge: (orderId: OrderId, stage: string) => AssessmentOutcome) {
    this.judge = judge
  }

  handle(command: Sent): ReadonlyArray<Sent> {
    return when(command, AssessOrder, ({ orderId, stage }) => {
      const earlier = this.known.get(`${orderId} ${stage}`)
      if (earlier !== undefined) return [earlier]
      const outcome = this.judge(orderId, stage)
      if (outcome === "review" || outcome === "block_and_review") this.cases.set(orderId, "open")
      const answer = sent(OrderAssessed, {
        assessmentId: AssessmentId.make(id("fas")),
        orderId,
        stage,
        score: 0,
        outcome,
        topReasons: [],
        rulesetVersion: 1,
        fallback: false
      })
      this.known.set(`${orderId} ${stage}`, answer)
      return [answer]
    }) ?? []
  }

  /** A person decides the case, if there is an open one. */
  decide(orderId: OrderId, outcome: "approve" | "decline"): ReadonlyArray<Sent> {
    if (this.cases.get(orderId) !== "open") return []
    this.cases.set(orderId, outcome)
    return [sent(ReviewDecided, { caseId: CaseId.make(id("fcs")), orderId, outcome, by: "analyst" })]
  }
}

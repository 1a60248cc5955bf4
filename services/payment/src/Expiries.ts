import * as Events from "@holdfast/contracts/PaymentEvents"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import { announce } from "./Announcements.ts"
import * as Commands from "./Commands.ts"
import * as Expiry from "./Domain/Expiry.ts"
import * as PaymentStates from "./Domain/PaymentStates.ts"
import * as Sums from "./Domain/Sums.ts"
import * as Repository from "./Repository.ts"
import { type PaymentRow, Payments } from "./Tables.ts"

const BATCH = 200

/** The gateway gave the money back by itself; a capture under way is waited for, as it may have come first. */
const expireAuthorization = (payment: PaymentRow) =>
  Effect.gen(function*() {
    const open = yield* Repository.openAttempts(payment.id)
    const state = PaymentStates.next(payment.state, "authorization_expired")
    if (open.length > 0 || state === undefined) return
    const amount = Sums.uncaptured(payment)
    const after = yield* Repository.updatePayment(payment.id, (row) => ({ state, voided: row.voided + amount }))
    yield* Repository.book(payment, [{ kind: "void", amount }], null)
    yield* announce(after, { _tag: "Voided", amount, reason: "expired" }, yield* Repository.origin)
  })

const warn = (payment: PaymentRow) =>
  Effect.gen(function*() {
    if (payment.authExpiresAt === null) return
    yield* Repository.updatePayment(payment.id, () => ({ warned: true }))
    yield* Transaction.emit(Events.AuthorizationExpiring, {
      paymentId: payment.id,
      orderId: payment.orderId,
      authExpiresAt: payment.authExpiresAt
    })
  })

const actOn = (payment: PaymentRow, now: number) => {
  const due = Expiry.due(Repository.limits(payment), now)
  switch (due) {
    case "cancel_action":
      return Effect.asVoid(Commands.requestVoid(payment, "expired"))
    case "expire_authorization":
      return expireAuthorization(payment)
    case "warn":
      return warn(payment)
    case "nothing":
      return Effect.void
  }
}

/** Does what the clock demands: unfinished actions are cancelled, authorisations warned of and expired. */
export const actOnDue = Effect.gen(function*() {
  const now = yield* Transaction.now
  const due = yield* Transaction.select(Payments, {
    where: [["dueAt", "<=", now]],
    orderBy: [["dueAt", "asc"]],
    limit: BATCH
  })
  yield* Effect.forEach(due, (payment) => actOn(payment, now), { discard: true })
})

import * as SagaMachine from "@holdfast/agent/SagaMachine"
import { request } from "@holdfast/agent/SagaMachine"
import type { Features } from "@holdfast/contracts/Fraud"
import { PaymentId } from "@holdfast/contracts/Id"
import { Money } from "@holdfast/contracts/Money"
import type { PaymentMethodToken } from "@holdfast/contracts/Order"
import { PaymentRisk, PaymentState } from "@holdfast/contracts/Payment"
import { AuthorizePayment, VoidPayment } from "@holdfast/contracts/PaymentCommands"
import {
  PaymentActionRequired,
  PaymentAuthorized,
  PaymentDeclined,
  PaymentVoided
} from "@holdfast/contracts/PaymentEvents"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  after,
  type Answer,
  type Data,
  hold,
  MINUTE,
  release,
  SECOND,
  type Step,
  toCommit,
  type Transition
} from "./CheckoutData.ts"
import { extend } from "./CheckoutStock.ts"

const { fail, next, on } = SagaMachine

const authorized = (data: Data, amount: number, risk: PaymentRisk): Transition => {
  const paid: Data = { ...data, authorized: true, features: { ...data.features, card: cardOf(risk) } }
  if (amount < data.amount.amount) return fail("payment_failed", paid)
  const actions = [{ _tag: "Authorized", amount }, release("awaiting_payment", "payment")] as const
  // Authorised anew after a block: a person has approved the order with all its facts.
  return data.assessed.includes("post_auth") ? toCommit(paid, ...actions) : next("assess_payment", paid, ...actions)
}

const cardOf = ({ fingerprint, ...risk }: PaymentRisk): NonNullable<Features["card"]> => ({
  ...risk,
  ...(fingerprint === undefined || !/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/.test(fingerprint) ? {} : { fingerprint })
})

const declined = (data: Data, retryable: boolean): Transition =>
  retryable ? next("await_payment", data, hold("awaiting_payment")) : fail("payment_declined", data)

/** What the payment agent tells when it is asked, since its event is missing. */
const readPayment = Schema.decodeUnknownOption(
  Schema.Struct({ id: PaymentId, state: PaymentState, authorized: Money, risk: Schema.optional(PaymentRisk) })
)

type PaymentView = Option.Option.Value<ReturnType<typeof readPayment>>

const askPayment = (
  read: (data: Data, payment: PaymentView) => Transition | undefined
): NonNullable<Step["query"]> => ({
  agent: "payment",
  path: (data) => `/payments/${data.paymentId ?? ""}`,
  read: (data, body) => Option.getOrUndefined(Option.map(readPayment(body), (payment) => read(data, payment)))
})

const askWhetherAuthorized = askPayment((data, payment) => {
  switch (payment.state) {
    case "authorized":
      return authorized(data, payment.authorized.amount, payment.risk ?? {})
    case "declined":
    case "failed":
    case "expired":
      return declined(data, false)
    default:
      return undefined
  }
})

const voidPayment = (data: Data, reason: string) =>
  data.paymentId === null
    ? []
    : [request(VoidPayment, { paymentId: data.paymentId, orderId: data.orderId, reason })]

const paymentAnswers: ReadonlyArray<Answer> = [
  on(
    PaymentAuthorized,
    (data: Data, event) =>
      event.paymentId === data.paymentId ? authorized(data, event.amount.amount, event.risk) : undefined
  ),
  on(
    PaymentDeclined,
    (data: Data, event) => event.paymentId === data.paymentId ? declined(data, event.retryableByCustomer) : undefined
  )
]

export const authorise: Step = {
  requests: (data) =>
    data.paymentId === null || data.methodToken === null ? [] : [
      request(AuthorizePayment, {
        paymentId: data.paymentId,
        orderId: data.orderId,
        amount: data.amount,
        methodToken: data.methodToken,
        captureMode: "manual",
        ...(data.customerId === undefined ? {} : { customerId: data.customerId })
      })
    ],
  answers: [
    ...paymentAnswers,
    on(
      PaymentActionRequired,
      (data: Data, event) => event.paymentId === data.paymentId ? next("authenticate", data) : undefined
    )
  ],
  // Gateways answer within half a minute, or the payment agent asks them until they do.
  waitMillis: () => 45 * SECOND,
  query: askWhetherAuthorized,
  exhausted: "compensate",
  undo: {
    requests: (data) => voidPayment(data, "checkout"),
    answers: [
      on(PaymentVoided, (data: Data, event) => event.paymentId === data.paymentId),
      on(PaymentDeclined, (data: Data, event) => event.paymentId === data.paymentId)
    ]
  }
}

/** The customer finishes 3-D Secure or the like. */
export const authenticate: Step = {
  requests: extend(45 * 60),
  answers: paymentAnswers,
  waitMillis: (data, now) => Math.max(SECOND, Math.min(30 * MINUTE, data.expiresAt + 4 * MINUTE - now)),
  onMiss: (data, misses) => misses < 2 ? undefined : fail("payment_expired", data),
  query: askWhetherAuthorized,
  exhausted: "compensate"
}

/** The payment was declined: the customer may try another until the order expires. */
export const awaitPayment: Step = {
  requests: extend(45 * 60),
  answers: [
    on(
      PaymentAuthorized,
      (data: Data, event) =>
        event.paymentId === data.paymentId ? authorized(data, event.amount.amount, event.risk) : undefined
    )
  ],
  waitMillis: (data, now) => Math.max(SECOND, data.expiresAt - now),
  onMiss: (data) => fail("payment_expired", data),
  exhausted: "compensate"
}

const freed = (data: Data): Transition => {
  const paymentId = data.paymentId === null ? undefined : after(data.paymentIds, data.paymentId)
  return paymentId === undefined
    ? fail("payment_failed", data)
    : next("review_first", { ...data, authorized: false, paymentId }, { _tag: "ChangePayment" })
}

/** Blocked with the money authorised already: it is given back before a person looks at the case (spec §18.10). */
export const freePayment: Step = {
  requests: (data) => voidPayment(data, "fraud"),
  answers: [
    on(PaymentVoided, (data: Data, event) => event.paymentId === data.paymentId ? freed(data) : undefined)
  ],
  waitMillis: () => 10 * SECOND,
  query: askPayment((data, { state }) => state === "voided" ? freed(data) : undefined),
  exhausted: "park"
}

/** Someone gave the authorisation back, or its time was over: nothing is left to confirm the order with. */
export const authorizationLost: Answer = on(
  PaymentVoided,
  (data: Data, event) =>
    data.authorized && event.paymentId === data.paymentId ? fail("payment_failed", data) : undefined
)

/** The customer pays with another token: under a new id, since the declined payment is final. */
export const payAgain = (
  data: Data,
  paymentId: PaymentId,
  spareId: PaymentId,
  methodToken: typeof PaymentMethodToken.Type
): Transition =>
  next(
    "authorise",
    { ...data, paymentId, paymentIds: [...data.paymentIds, paymentId, spareId], methodToken },
    release("awaiting_payment", "customer"),
    { _tag: "ChangePayment" }
  )

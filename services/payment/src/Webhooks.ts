import { NotFound } from "@holdfast/contracts/Errors"
import { DisputeId } from "@holdfast/contracts/Id"
import * as Instant from "@holdfast/contracts/Instant"
import * as Money from "@holdfast/contracts/Money"
import * as Events from "@holdfast/contracts/PaymentEvents"
import { Database } from "@holdfast/database/Database"
import { type Operation, retention } from "@holdfast/database/Operation"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as PaymentStates from "./Domain/PaymentStates.ts"
import * as RetryMatrix from "./Domain/RetryMatrix.ts"
import * as Sums from "./Domain/Sums.ts"
import { Gateway, type Notice } from "./Gateway.ts"
import * as Repository from "./Repository.ts"
import * as Results from "./Results.ts"
import { Disputes, Payments, WebhookEvents, type WebhookRow } from "./Tables.ts"

/** A notification as it came. */
export interface Incoming {
  readonly provider: string
  readonly raw: Uint8Array
  readonly signature: string | undefined
}

/** Checks the signature over the raw body and stores the event once; it is handled after the answer. */
export const receive = ({ provider, raw, signature }: Incoming) =>
  Effect.gen(function*() {
    const gateway = yield* Gateway
    if (provider !== gateway.provider) return yield* new NotFound({ resource: "provider", id: provider })
    const now = yield* Transaction.now
    const webhook = yield* gateway.verifyWebhook(raw, signature, now)
    const known = yield* Transaction.get(WebhookEvents, { provider, eventId: webhook.eventId })
    if (known._tag === "Some") return
    yield* Transaction.insert(WebhookEvents, {
      provider,
      ...webhook,
      receivedAt: Instant.fromMillis(now),
      processedAt: null
    })
  })

const openDispute = (notice: Extract<Notice, { readonly _tag: "DisputeOpened" }>, provider: string) =>
  Effect.gen(function*() {
    const [payment] = yield* Transaction.select(Payments, {
      where: [["provider", "=", provider], ["providerRef", "=", notice.authorizationRef]],
      limit: 1
    })
    const [known] = yield* Transaction.select(Disputes, {
      where: [["provider", "=", provider], ["providerRef", "=", notice.disputeRef]],
      limit: 1
    })
    if (payment === undefined || known !== undefined) return
    const now = Instant.fromMillis(yield* Transaction.now)
    // What was refunded before cannot be charged back again (P1); the rest of the claim is settled with the bank.
    const chargedBack = Math.min(notice.amount, Sums.refundable(payment))
    const dispute = yield* Transaction.insert(Disputes, {
      id: DisputeId.make(yield* Transaction.nextId("dsp")),
      paymentId: payment.id,
      provider,
      providerRef: notice.disputeRef,
      amount: notice.amount,
      chargedBack,
      currency: payment.currency,
      reason: notice.reason,
      dueBy: Instant.fromMillis(notice.dueBy),
      state: "needs_response",
      evidence: [],
      createdAt: now,
      updatedAt: now
    })
    yield* Repository.updatePayment(payment.id, (row) => ({
      chargedBack: row.chargedBack + chargedBack,
      state: PaymentStates.next(row.state, "disputed") ?? row.state
    }))
    if (chargedBack > 0) {
      yield* Repository.book(payment, [{ kind: "chargeback", amount: chargedBack }], notice.disputeRef)
    }
    yield* Transaction.emit(Events.DisputeOpened, {
      disputeId: dispute.id,
      paymentId: payment.id,
      orderId: payment.orderId,
      amount: Money.of(dispute.amount, payment.currency),
      reason: dispute.reason,
      dueBy: dispute.dueBy
    })
  })

const closeDispute = (notice: Extract<Notice, { readonly _tag: "DisputeClosed" }>, provider: string) =>
  Effect.gen(function*() {
    const [dispute] = yield* Transaction.select(Disputes, {
      where: [["provider", "=", provider], ["providerRef", "=", notice.disputeRef]],
      limit: 1
    })
    if (dispute === undefined || dispute.state === "won" || dispute.state === "lost") return
    const now = Instant.fromMillis(yield* Transaction.now)
    const returned = notice.outcome === "won" ? dispute.chargedBack : 0
    yield* Transaction.update(Disputes, { id: dispute.id }, (row) => ({
      ...row,
      state: notice.outcome,
      updatedAt: now
    }))
    const payment = yield* Repository.updatePayment(dispute.paymentId, (row) => ({
      chargedBack: row.chargedBack - returned,
      state: PaymentStates.next(row.state, notice.outcome === "won" ? "dispute_won" : "dispute_lost") ?? row.state
    }))
    if (returned > 0) {
      yield* Repository.book(payment, [{ kind: "chargeback_reversal", amount: returned }], notice.disputeRef)
    }
    yield* Transaction.emit(Events.DisputeClosed, {
      disputeId: dispute.id,
      paymentId: payment.id,
      orderId: payment.orderId,
      outcome: notice.outcome
    })
  })

/** What an event changes. One about nothing we know of changes nothing: a gateway also tells of what others did there. */
const handle = (notice: Notice, provider: string) =>
  Effect.gen(function*() {
    switch (notice._tag) {
      case "CallEnded": {
        const attempt = yield* Repository.attemptByKey(notice.idempotencyKey)
        if (attempt === undefined) return
        const now = yield* Transaction.now
        const ageMillis = now - Instant.toMillis(attempt.startedAt)
        const next = RetryMatrix.next("pending", "query", { tries: attempt.tries, ageMillis, random: 0 })
        return yield* Results.settle(attempt.id, { _tag: "Outcome", outcome: notice.outcome }, next)
      }
      case "DisputeOpened":
        return yield* openDispute(notice, provider)
      case "DisputeClosed":
        return yield* closeDispute(notice, provider)
      case "Other":
        return
    }
  })

const process = (event: WebhookRow) =>
  Effect.gen(function*() {
    const gateway = yield* Gateway
    const now = yield* Transaction.now
    const row = yield* Transaction.update(
      WebhookEvents,
      { provider: event.provider, eventId: event.eventId },
      (row) => ({ ...row, processedAt: Instant.fromMillis(now) })
    )
    yield* handle(gateway.interpret(row.payload), row.provider)
  })

const operation = <E, R>(event: WebhookRow, handler: Effect.Effect<void, E, R>): Operation<void, E, R> => {
  const id = `webhook:${event.provider}:${event.eventId}`
  return {
    id,
    command: `payment.webhook.${event.type}`,
    writeClass: "mergeable",
    fingerprint: event.type,
    cause: { correlationId: id, causationId: id },
    keepMillis: retention.orderOrPayment,
    handler,
    answer: () => "",
    refusal: () => undefined
  }
}

const BATCH = 100

/** Handles what is stored and not handled yet, oldest first, each event as an operation of its own. */
export const processAll = Effect.gen(function*() {
  const database = yield* Database
  for (;;) {
    const open = yield* database.read(
      Transaction.select(WebhookEvents, {
        where: [["processedAt", "is null"]],
        orderBy: [["receivedAt", "asc"], ["eventId", "asc"]],
        limit: BATCH
      })
    )
    const failed = yield* Effect.forEach(open, (event) =>
      database.execute(operation(event, process(event))).pipe(
        Effect.as(0),
        // One event that cannot be handled must not stop those behind it; it stays open and is tried again.
        Effect.catchAllCause((cause) =>
          Effect.as(
            Effect.annotateLogs(Effect.logError("webhook not handled", cause), {
              provider: event.provider,
              eventId: event.eventId,
              type: event.type
            }),
            1
          )
        )
      ))
    if (open.length < BATCH || failed.every((n) => n === 1)) return
  }
})

/** The operation of a webhook that comes from within the process, as the HTTP face would run it. */
export const receiving = (incoming: Incoming, id: string) =>
  Effect.flatMap(Database, (database) =>
    database.execute({
      id,
      command: "payment.webhook",
      writeClass: "mergeable",
      fingerprint: "",
      cause: { correlationId: id, causationId: id },
      keepMillis: retention.other,
      handler: receive(incoming),
      answer: () => "",
      refusal: () => undefined
    }))

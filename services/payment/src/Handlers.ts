import * as Handler from "@holdfast/agent/Handler"
import { NotFound } from "@holdfast/contracts/Errors"
import { PaymentId } from "@holdfast/contracts/Id"
import * as Page from "@holdfast/contracts/Page"
import { PaymentApi } from "@holdfast/contracts/PaymentApi"
import * as Transaction from "@holdfast/database/Transaction"
import * as Effect from "effect/Effect"
import * as Commands from "./Commands.ts"
import { Sandbox } from "./SandboxGateway.ts"
import { Attempts, LedgerEntries, Payments, Refunds } from "./Tables.ts"
import * as Views from "./Views.ts"
import * as Webhooks from "./Webhooks.ts"

interface Paging {
  readonly limit?: number | undefined
  readonly after?: Page.Position | undefined
}

/** One row more than the page holds tells whether there is another page. */
const paged = ({ after, limit = Page.defaultLimit }: Paging) => ({
  limit: limit + 1,
  ...(after === undefined ? {} : { after })
})

const size = ({ limit = Page.defaultLimit }: Paging) => limit

export const handlers = Handler.group(PaymentApi, {
  create: Handler.command(({ payload }) =>
    Effect.gen(function*() {
      const paymentId = payload.paymentId ?? PaymentId.make(yield* Transaction.nextId("pay"))
      const result = yield* Commands.authorize({
        ...payload,
        captureMode: payload.captureMode ?? "manual",
        paymentId
      })
      if (result._tag === "OrderHasPayment") return yield* Commands.paymentExists(result.live)
      // A payment of that id for another order is somebody else's.
      if (result._tag === "Known" && result.payment.orderId !== payload.orderId) {
        return yield* Commands.paymentExists(result.payment)
      }
      return Views.payment(result.payment)
    })
  ),
  get: Handler.query(({ path }) => Effect.map(Commands.expect(path.id), Views.payment)),
  list: Handler.query(({ urlParams }) =>
    Effect.map(
      Transaction.select(Payments, {
        where: [
          ...(urlParams.orderId === undefined ? [] : [["orderId", "=", urlParams.orderId] as const]),
          ...(urlParams.state === undefined ? [] : [["state", "=", urlParams.state] as const]),
          ...(urlParams.updatedSince === undefined ? [] : [["updatedAt", ">=", urlParams.updatedSince] as const])
        ],
        orderBy: [["updatedAt", "asc"], ["id", "asc"]],
        ...paged(urlParams)
      }),
      (rows) => Page.make(rows, size(urlParams), (row) => [row.updatedAt, row.id], Views.payment)
    )
  ),
  capture: Handler.command(({ expectedVersion, path, payload }) =>
    Effect.gen(function*() {
      const payment = yield* Commands.expect(path.id, expectedVersion)
      return Views.payment(yield* Commands.capture(payment, payload))
    })
  ),
  void: Handler.command(({ expectedVersion, path }) =>
    Effect.gen(function*() {
      const payment = yield* Commands.expect(path.id, expectedVersion)
      return Views.payment(yield* Commands.voidOrRefuse(payment))
    })
  ),
  refund: Handler.command(({ expectedVersion, path, payload }) =>
    Effect.gen(function*() {
      const payment = yield* Commands.expect(path.id, expectedVersion)
      return Views.refund((yield* Commands.refund(payment, payload)).refund)
    })
  ),
  refunds: Handler.query(({ path, urlParams }) =>
    Effect.gen(function*() {
      const payment = yield* Commands.expect(path.id)
      const rows = yield* Transaction.select(Refunds, {
        where: [["paymentId", "=", payment.id]],
        orderBy: [["createdAt", "asc"], ["id", "asc"]],
        ...paged(urlParams)
      })
      return Page.make(rows, size(urlParams), (row) => [row.createdAt, row.id], Views.refund)
    })
  ),
  sync: Handler.command(({ path }) =>
    Effect.map(Effect.flatMap(Commands.expect(path.id), Commands.sync), Views.payment)
  ),
  attempts: Handler.query(({ path, urlParams }) =>
    Effect.gen(function*() {
      const payment = yield* Commands.expect(path.id)
      const rows = yield* Transaction.select(Attempts, {
        where: [["paymentId", "=", payment.id]],
        orderBy: [["startedAt", "asc"], ["id", "asc"]],
        ...paged(urlParams)
      })
      return Page.make(
        rows,
        size(urlParams),
        (row) => [row.startedAt, row.id],
        (row) => Views.attempt(row, payment.currency)
      )
    })
  ),
  ledger: Handler.query(({ path, urlParams }) =>
    Effect.gen(function*() {
      const payment = yield* Commands.expect(path.id)
      const rows = yield* Transaction.select(LedgerEntries, {
        where: [["paymentId", "=", payment.id]],
        orderBy: [["n", "asc"]],
        ...paged(urlParams)
      })
      return Page.make(rows, size(urlParams), (row) => [row.n], Views.ledgerEntry)
    })
  ),
  webhook: Handler.command(({ headers, path, rawBody }) =>
    Effect.as(
      Webhooks.receive({ provider: path.provider, raw: rawBody, signature: headers["webhook-signature"] }),
      { received: true }
    )
  ),
  // Reads only, as far as this agent's store goes: the outside is not called inside a transaction.
  completeChallenge: Handler.query(({ path, payload }) =>
    Effect.gen(function*() {
      const sandbox = yield* Effect.serviceOption(Sandbox)
      const completed = sandbox._tag === "Some" && (yield* sandbox.value.completeChallenge(path.id, payload.outcome))
      return completed ? { completed } : yield* new NotFound({ resource: "challenge", id: path.id })
    })
  )
})

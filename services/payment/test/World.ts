import * as JobRunner from "@holdfast/agent/JobRunner"
import { Outside, type Party } from "@holdfast/agent/Outside"
import { sourceOf } from "@holdfast/contracts/Envelope"
import { OrderId, PaymentId } from "@holdfast/contracts/Id"
import type * as Message from "@holdfast/contracts/Message"
import { AuthorizePayment, CapturePayment, RefundPayment, VoidPayment } from "@holdfast/contracts/PaymentCommands"
import { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as Transaction from "@holdfast/database/Transaction"
import * as Reactions from "@holdfast/messaging/Reactions"
import { Context, Duration, Effect, Layer, TestClock } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Sums from "../src/Domain/Sums.ts"
import { Gateway, type GatewayShape } from "../src/Gateway.ts"
import * as GatewayCalls from "../src/GatewayCalls.ts"
import { jobs } from "../src/Jobs.ts"
import { initial } from "../src/migrations/0001_initial.ts"
import { subscriptions } from "../src/Reactions.ts"
import * as SandboxGateway from "../src/SandboxGateway.ts"
import { Attempts, LedgerEntries, type PaymentRow, Payments, Refunds } from "../src/Tables.ts"

const digits = (n: number) => String(n).padStart(26, "0")
export const paymentId = (n: number) => PaymentId.make(`pay_${digits(n)}`)
export const orderId = (n: number) => OrderId.make(`ord_${digits(n)}`)
export const gbp = (amount: number) => ({ amount, currency: "GBP" })

/** A folder that vanishes with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "payment-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

export interface Options extends Partial<SandboxGateway.Options>, GatewayCalls.Options {
  /** Stands between the agent and the sandbox. */
  readonly around?: (gateway: GatewayShape) => GatewayShape
}

const reactions = Reactions.make("payment", subscriptions)

let unnamed = 0

/** The agent over real files, with its jobs, without server and bus. Closing the scope is the end of the process. */
export const open = (directory: string, options: Options = {}) =>
  Effect.gen(function*() {
    const around = options.around ?? ((gateway) => gateway)
    const sandbox = Layer.map(
      SandboxGateway.layer({ secret: "secret", ...options, directory }),
      (context) => Context.add(context, Gateway, around(Context.get(context, Gateway)))
    )
    const parties: Array<Party> = []
    const world = Layer.provideMerge(
      Layer.provideMerge(GatewayCalls.GatewayCalls.layer(options), sandbox),
      Layer.merge(
        Sqlite.layer({ agent: "payment", directory, migrations: [initial] }),
        Layer.succeed(Outside, Outside.listing(parties))
      )
    )
    const context = yield* Layer.build(world)
    const database = Context.get(context, Database)
    const running = yield* Effect.provide(JobRunner.start(jobs), context)
    yield* Effect.addFinalizer(() => running.stop(Duration.zero))
    const execute = <A, E, R>(handler: Effect.Effect<A, E, R>, id = `test-${unnamed++}`) =>
      Effect.flatMap(
        database.execute({
          id,
          command: "test",
          writeClass: "mergeable",
          fingerprint: "",
          cause: { correlationId: id, causationId: id },
          keepMillis: 60_000,
          handler,
          answer: () => "",
          refusal: () => undefined
        }),
        (outcome) => outcome._tag === "Done" ? Effect.succeed(outcome.value) : Effect.dieMessage("known")
      ).pipe(Effect.provide(context))
    const hear = <Name extends string, A, I>(
      message: Message.Message<Name, A, I>,
      payload: A,
      id = `msg-${unnamed++}`
    ) => {
      const envelope = {
        id,
        source: sourceOf("order"),
        type: message.type,
        topic: message.topic,
        key: message.key(payload),
        subject: message.subject(payload),
        time: "2026-01-01T00:00:00.000Z",
        correlationId: "saga",
        causationId: id,
        data: payload
      }
      return Effect.asVoid(Effect.provide(
        database.execute(reactions.operation(envelope, reactions.handle(envelope))),
        context
      ))
    }
    const find = (n: number) =>
      Effect.map(database.read(Transaction.get(Payments, { id: paymentId(n) })), (row) =>
        row._tag === "Some" ? row.value : undefined)
    return {
      context,
      database,
      sandbox: Context.get(context, SandboxGateway.Sandbox),
      gateway: Context.get(context, Gateway),
      calls: Context.get(context, GatewayCalls.GatewayCalls),
      execute,
      hear,
      find,
      authorize: (n: number, token: string, amount = 100, order = n, id?: string) =>
        hear(AuthorizePayment, {
          paymentId: paymentId(n),
          orderId: orderId(order),
          amount: gbp(amount),
          methodToken: token,
          captureMode: "manual"
        }, id),
      capture: (n: number, amount?: number, final = false, id?: string) =>
        hear(CapturePayment, {
          paymentId: paymentId(n),
          orderId: orderId(n),
          ...(amount === undefined ? {} : { amount: gbp(amount) }),
          final
        }, id),
      void: (n: number) =>
        hear(VoidPayment, { paymentId: paymentId(n), orderId: orderId(n) }),
      refund: (n: number, amount: number, refundKey: string, id?: string) =>
        hear(RefundPayment, {
          paymentId: paymentId(n),
          orderId: orderId(n),
          amount: gbp(amount),
          reason: "test",
          refundKey
        }, id),
      /** What was said about a payment, without the topic's prefix, in order. */
      news: (n: number) =>
        Effect.map(database.outbox.readAfter(0, ["ecom.payment.events.v1"], 100_000), (messages) =>
          messages.filter(({ envelope }) =>
            envelope.subject === paymentId(n)
          ).map(({ envelope }) => ({
            type: envelope.type.replace(/^ecom\.payment\.|\.v1$/g, ""),
            correlationId: envelope.correlationId,
            data: envelope.data
          }))),
      attempts: (n: number) =>
        database.read(Transaction.select(Attempts, {
          where: [["paymentId", "=", paymentId(n)]],
          orderBy: [["startedAt", "asc"], ["id", "asc"]]
        })),
      refunds: (n: number) =>
        database.read(Transaction.select(Refunds, { where: [["paymentId", "=", paymentId(n)]] })),
      ledger: (n: number) =>
        database.read(Transaction.select(LedgerEntries, {
          where: [["paymentId", "=", paymentId(n)]],
          orderBy: [["n", "asc"]]
        }))
    }
  })
export type Row = PaymentRow
export type World = Effect.Effect.Success<ReturnType<typeof open>>

/** Lets everything that needs no time happen. */
export const settle = Effect.promise(async () => {
  for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve))
})

/** Lets time pass in steps until the check holds; dies when it does not within the time. */
export const until = <E>(
  check: Effect.Effect<boolean, E>,
  within: Duration.DurationInput = "2 minutes",
  step: Duration.DurationInput = "250 millis"
): Effect.Effect<void, E> =>
  Effect.gen(function*() {
    const rounds = Math.ceil(Duration.toMillis(within) / Duration.toMillis(step))
    for (let round = 0; round <= rounds; round++) {
      yield* settle
      if (yield* check) return
      yield* TestClock.adjust(step)
    }
    return yield* Effect.dieMessage(`not within ${String(within)}`)
  })

/** Until the payment is in the state. */
export const untilState = (world: World, n: number, state: PaymentRow["state"], within?: Duration.DurationInput) =>
  until(Effect.map(world.find(n), (payment) => payment?.state === state), within)

/** Until nothing is under way for the payment. */
export const untilQuiet = (world: World, n: number, within?: Duration.DurationInput) =>
  until(
    Effect.map(world.attempts(n), (attempts) => attempts.every((attempt) => attempt.nextAt === null)),
    within
  )

/** What is wrong with a payment's money: P1, P5, and our books against the gateway's. Empty when all is right. */
export const faults = (world: World, n: number) =>
  Effect.gen(function*() {
    const payment = yield* world.find(n)
    if (payment === undefined) return []
    const found: Array<string> = []
    const sums: Sums.Sums = payment
    if (!Sums.isSound(sums)) found.push("P1")
    const booked = Sums.ofLedger(yield* world.ledger(n))
    for (const [name, amount] of Object.entries(booked)) {
      const column = Object.entries(payment).find(([key]) => key === name)?.[1]
      if (column !== amount) found.push(`P5 ${name}: ${String(column)} ≠ ${amount}`)
    }
    const charges = world.sandbox.charges(payment.id)
    if (charges.length > 1) found.push(`${charges.length} charges at the gateway`)
    const [charge] = charges
    const quiet = (yield* world.attempts(n)).every((attempt) => attempt.nextAt === null)
    if (quiet && charge !== undefined && charge.state === "authorized") {
      for (const name of ["authorized", "captured", "voided", "refunded"] as const) {
        if (charge[name] !== payment[name]) found.push(`${name}: ${payment[name]} here, ${charge[name]} there`)
      }
    }
    return found
  })

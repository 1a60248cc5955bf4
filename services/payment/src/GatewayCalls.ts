import * as Instant from "@holdfast/contracts/Instant"
import { Database } from "@holdfast/database/Database"
import { type Operation, retention } from "@holdfast/database/Operation"
import type { ExecuteError, ReadError, WriteError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import type * as Failure from "@holdfast/resilience/Failure"
import * as Policy from "@holdfast/resilience/Policy"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Alarm from "./Alarm.ts"
import type { Outcome } from "./Domain/Outcome.ts"
import * as RetryMatrix from "./Domain/RetryMatrix.ts"
import * as Gateway from "./Gateway.ts"
import * as Repository from "./Repository.ts"
import * as Results from "./Results.ts"
import { type AttemptRow, Attempts, type PaymentRow } from "./Tables.ts"

/** How the gateway is called. */
export interface Options {
  /** One call waits at most this long; then its outcome is unknown, and the gateway is asked. */
  readonly callTimeout?: Duration.DurationInput
  /** Payments with a call under way at once. */
  readonly concurrency?: number
}

const DEFAULT_CONCURRENCY = 64

const call = (
  gateway: Gateway.GatewayShape,
  payment: PaymentRow,
  attempt: AttemptRow
): Effect.Effect<Outcome, Gateway.GatewayError> => {
  const about = {
    idempotencyKey: attempt.idempotencyKey,
    paymentId: payment.id,
    amount: attempt.amount,
    currency: payment.currency
  }
  const followUp = { ...about, authorizationRef: payment.providerRef ?? "" }
  switch (attempt.kind) {
    case "authorize":
      return gateway.authorize({
        ...about,
        orderId: payment.orderId,
        methodToken: payment.methodToken,
        captureMode: payment.captureMode
      })
    case "capture":
      return gateway.capture({ ...followUp, final: attempt.final })
    case "void":
      return gateway.void(followUp)
    case "refund":
      return gateway.refund(followUp)
    case "query":
      return Effect.dieMessage("a query is no call with effects")
  }
}

const failureOf = (error: Gateway.GatewayError | Failure.PolicyFailure): RetryMatrix.Failure | "rejected" => {
  switch (error._tag) {
    case "GatewayRejected":
      return "rejected"
    case "GatewayKeyInUse":
      return "key_in_use"
    case "GatewayAway":
      return error.reason === "network" ? "no_answer" : error.reason
    case "AttemptTimeout":
    case "DeadlineExceeded":
      return "no_answer"
    case "BreakerOpen":
    case "BulkheadFull":
    case "RateLimited":
      return "not_called"
  }
}

/** What one call came to, and when the gateway is asked again should that not be the end. */
interface Called {
  readonly at: number
  readonly report: Results.Report
  readonly next: RetryMatrix.Next
}

const operation = <E, R>(
  attempt: AttemptRow,
  { at, report }: Called,
  handler: Effect.Effect<void, E, R>
): Operation<void, E, R> => {
  const id = report._tag === "Deferred" || report._tag === "Outcome" &&
      (report.outcome._tag === "Pending" || report.outcome._tag === "ActionRequired")
    ? `attempt:${attempt.id}:${attempt.tries}:${at}`
    : `attempt:${attempt.id}:result`
  return {
    id,
    command: `payment.${attempt.kind}.result`,
    writeClass: "mergeable",
    fingerprint: "",
    cause: { correlationId: attempt.correlationId, causationId: attempt.causationId },
    keepMillis: retention.orderOrPayment,
    handler,
    answer: () => "",
    refusal: () => undefined
  }
}

type DriveError = ReadError | WriteError | ExecuteError

/**
 * Calls the gateway for the attempts whose time has come: the intent is committed before, the result is written after, and
 * nothing is open in between. One call at a time for each payment, many payments at once. All that is to be done stands in
 * the rows, so that a restart goes on where the last process ended, with the same keys.
 *
 * @category services
 */
export class GatewayCalls extends Context.Tag("@holdfast/payment/GatewayCalls")<GatewayCalls, {
  /** Looks now for attempts that are due. */
  readonly wake: Effect.Effect<void>
  readonly policy: Pick<Policy.Policy<Gateway.GatewayError>, "stats" | "breaker">
}>() {
  static readonly layer = (options: Options = {}) => Layer.scoped(this, make(options))
}

const make = (options: Options) =>
  Effect.gen(function*() {
    const database = yield* Database
    const gateway = yield* Gateway.Gateway
    const concurrency = options.concurrency ?? DEFAULT_CONCURRENCY
    const policy = yield* Effect.orDie(Policy.make(gateway.provider, {
      failures: Gateway.failures,
      counts: (error: Gateway.GatewayError) => error._tag === "GatewayAway" && error.reason !== "rate_limited",
      attemptTimeout: options.callTimeout ?? "2 seconds",
      // Repeating is decided by the rows, where a restart finds it.
      retry: false,
      // A handful of calls that never end are some payments' trouble, not the gateway's: only the rate opens it.
      breaker: { consecutiveFailures: Infinity },
      bulkhead: { limit: concurrency, queue: concurrency }
    }))

    const ask = (payment: PaymentRow, attempt: AttemptRow): Effect.Effect<Called> =>
      Effect.gen(function*() {
        const age = (now: number) => now - Instant.toMillis(attempt.startedAt)
        const step = RetryMatrix.allowed(
          attempt.state === "sent" ? "send" : "query",
          age(yield* Clock.currentTimeMillis)
        )
        const answer = yield* Effect.either(policy.effect(
          step === "send"
            ? call(gateway, payment, attempt)
            : gateway.retrieve({ idempotencyKey: attempt.idempotencyKey })
        ))
        const now = yield* Clock.currentTimeMillis
        const random = yield* Random.next
        const next = (failure: RetryMatrix.Failure, retryAfterMillis?: number) =>
          RetryMatrix.next(failure, step, {
            tries: attempt.tries + 1,
            ageMillis: age(now),
            random,
            retryAfterMillis
          })
        if (answer._tag === "Right") {
          return answer.right === undefined
            ? { at: now, report: { _tag: "Deferred", called: true }, next: next("unknown_key") }
            : { at: now, report: { _tag: "Outcome", outcome: answer.right }, next: next("pending") }
        }
        const failure = failureOf(answer.left)
        if (failure === "rejected") {
          yield* Effect.logError("the gateway refuses a call", answer.left)
          // Asked about a key it may refuse the question, which says nothing about the call.
          return step === "send"
            ? { at: now, report: { _tag: "Rejected" }, next: next("pending") }
            : { at: now, report: { _tag: "Deferred", called: true }, next: next("no_answer") }
        }
        const retryAfter = "retryAfterMs" in answer.left ? answer.left.retryAfterMs : undefined
        return {
          at: now,
          report: { _tag: "Deferred", called: failure !== "not_called" },
          next: next(failure, retryAfter)
        }
      })

    const dueOf = (paymentId: PaymentRow["id"]) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const [attempt] = yield* database.read(Transaction.select(Attempts, {
          where: [["paymentId", "=", paymentId], ["nextAt", "<=", now]],
          orderBy: [["nextAt", "asc"], ["seq", "asc"]],
          limit: 1
        }))
        const payment = attempt === undefined ? undefined : yield* database.read(Repository.payment(paymentId))
        return attempt === undefined || payment === undefined ? undefined : { attempt, payment }
      })

    const driveOne = (paymentId: PaymentRow["id"]): Effect.Effect<void, DriveError> =>
      Effect.gen(function*() {
        for (let due = yield* dueOf(paymentId); due !== undefined; due = yield* dueOf(paymentId)) {
          const { attempt, payment } = due
          const called = yield* ask(payment, attempt)
          const outcome = yield* database.execute(
            operation(attempt, called, Results.settle(attempt.id, called.report, called.next))
          )
          // A result that is on record ended the attempt with it; never call on if that should not be so.
          if (outcome._tag === "Known") return
        }
      })

    const running = new Map<string, { again: boolean }>()
    const fibers = yield* FiberSet.make<void>()

    const drive = (paymentId: PaymentRow["id"]): Effect.Effect<void> => {
      const mine = { again: false }
      running.set(paymentId, mine)
      const rounds: Effect.Effect<void, DriveError> = Effect.flatMap(
        driveOne(paymentId),
        () => {
          if (!mine.again) return Effect.void
          mine.again = false
          return rounds
        }
      )
      return rounds.pipe(
        Effect.catchAllCause((cause) =>
          Effect.annotateLogs(Effect.logError("gateway call not settled", cause), { paymentId })
        ),
        Effect.ensuring(Effect.suspend(() => {
          running.delete(paymentId)
          return overflow ? alarm.ring : Effect.void
        }))
      )
    }

    let overflow = false

    /** Starts what is due; answers with the time of what is due next. */
    const look = Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const due = yield* database.read(Transaction.select(Attempts, {
        where: [["nextAt", "<=", now]],
        orderBy: [["nextAt", "asc"]],
        limit: running.size + concurrency
      }))
      overflow = false
      for (const { paymentId } of due) {
        const busy = running.get(paymentId)
        if (busy !== undefined) busy.again = true
        else if (running.size < concurrency) yield* FiberSet.run(fibers, drive(paymentId))
        else overflow = true
      }
      const [later] = yield* database.read(Transaction.select(Attempts, {
        where: [["nextAt", ">", now]],
        orderBy: [["nextAt", "asc"]],
        limit: 1
      }))
      return later?.nextAt ?? undefined
    })

    const alarm = yield* Alarm.make("gateway-calls", look)
    return { wake: alarm.ring, policy }
  })
